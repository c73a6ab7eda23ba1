package gatefeed

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/keyreeve/keyreeve/internal/rbac"
)

// A gate tells the control plane its cluster's own RBAC, so that explain, who-can and access know it there. Nothing is decided
// by it: the gate decides. It says every few seconds which rules it has, by their digest, and sends them when asked.

// RulesEvery is how often a gate says which rules it has. What was not said again for RulesLast is not known any more.
const (
	RulesEvery = 3 * time.Second
	RulesLast  = 12 * time.Second
)

// MaxRules bounds the rules of one cluster in bytes.
const MaxRules = 64 << 20

// OwnRules are a cluster's own roles and bindings, or only their digest.
type OwnRules struct {
	// Known is false while the gate itself does not know them; all else is empty then.
	Known  bool   `json:"known"`
	Digest string `json:"digest,omitempty"`
	// Whole is true when roles and bindings are with it.
	Whole    bool             `json:"whole,omitempty"`
	Roles    []*rbac.KubeRole `json:"roles,omitempty"`
	Bindings []*rbac.Binding  `json:"bindings,omitempty"`
}

// RulesAnswer is what the control plane says to that.
type RulesAnswer struct {
	// Want asks for the whole.
	Want bool `json:"want"`
}

// RulesOf makes rules whole.
func RulesOf(own *rbac.ClusterRBAC) (OwnRules, error) {
	out := OwnRules{Known: true, Whole: true}
	out.Roles, out.Bindings = own.Objects()
	raw, err := json.Marshal(out)
	if err != nil {
		return out, err
	}
	sum := sha256.Sum256(raw)
	out.Digest = hex.EncodeToString(sum[:])
	return out, nil
}

// Set makes the rules ready for decisions.
func (r *OwnRules) Set() *rbac.ClusterRBAC {
	e := rbac.NewClusterRBAC().Edit()
	for _, x := range r.Roles {
		if x != nil {
			e.PutRole(x)
		}
	}
	for _, x := range r.Bindings {
		if x != nil {
			e.PutBinding(x)
		}
	}
	return e.Done()
}
