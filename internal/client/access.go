package client

import (
	"context"
	"strings"
)

// Question asks about access to a cluster. See the REST operations keyreeveExplain, keyreeveWhoCan and keyreeveAccess.
type Question struct {
	User        string `json:"user,omitempty"`
	CompareWith string `json:"compareWith,omitempty"`
	// CompareWithCluster is the resource id of a second cluster.
	CompareWithCluster string `json:"compareWithCluster,omitempty"`
	Verb               string `json:"verb,omitempty"`
	Group              string `json:"group,omitempty"`
	Resource           string `json:"resource,omitempty"`
	Subresource        string `json:"subresource,omitempty"`
	Name               string `json:"name,omitempty"`
	Namespace          string `json:"namespace,omitempty"`
	Path               string `json:"path,omitempty"`
}

// Principal is a user or a service principal.
type Principal struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	DisplayName string `json:"displayName,omitempty"`
	Type        string `json:"type"`
}

// Group is a group on the way to a right.
type Group struct {
	ID          string `json:"id"`
	DisplayName string `json:"displayName"`
}

// Way is one way in which a principal holds something.
type Way struct {
	Kind         string       `json:"kind"`
	Via          []Group      `json:"via"`
	Role         string       `json:"role"`
	RoleID       string       `json:"roleDefinitionId,omitempty"`
	AssignmentID string       `json:"roleAssignmentId,omitempty"`
	Scope        string       `json:"scope,omitempty"`
	Condition    string       `json:"condition,omitempty"`
	Binding      string       `json:"binding,omitempty"`
	Subject      string       `json:"subject,omitempty"`
	Namespace    *string      `json:"namespace,omitempty"`
	Permissions  []Permission `json:"permissions,omitempty"`
	Rules        []Rule       `json:"rules,omitempty"`
}

// Permission is what an Azure role gives in a cluster.
type Permission struct {
	DataActions    []string `json:"dataActions"`
	NotDataActions []string `json:"notDataActions"`
}

// Rule is a rule of a Kubernetes role.
type Rule struct {
	Verbs           []string `json:"verbs,omitempty"`
	APIGroups       []string `json:"apiGroups,omitempty"`
	Resources       []string `json:"resources,omitempty"`
	ResourceNames   []string `json:"resourceNames,omitempty"`
	NonResourceURLs []string `json:"nonResourceURLs,omitempty"`
}

// Explanation says whether a principal may do something, and why.
type Explanation struct {
	Decision  string    `json:"decision"`
	Reason    string    `json:"reason,omitempty"`
	Principal Principal `json:"principal"`
	Scope     string    `json:"scope,omitempty"`
	Actions   []string  `json:"actions"`
	Paths     []Way     `json:"paths"`
	// DenyAssignment is the one that takes away what roles grant.
	DenyAssignment *DenyAssignment `json:"denyAssignment,omitempty"`
	WouldGrant     []string        `json:"wouldGrant"`
	// WouldGrantGroups are groups whose members may; MoreGroups says that there are others.
	WouldGrantGroups []Group `json:"wouldGrantGroups"`
	MoreGroups       bool    `json:"moreGroups,omitempty"`
	Revision         int64   `json:"revision"`
}

// DenyAssignment takes actions away.
type DenyAssignment struct {
	ID         string `json:"id"`
	Properties struct {
		Name        string       `json:"denyAssignmentName"`
		Scope       string       `json:"scope"`
		Permissions []Permission `json:"permissions"`
	} `json:"properties"`
}

// Who is somebody who may.
type Who struct {
	Principal
	Paths []Way `json:"paths"`
}

// WhoCan says who may do something.
type WhoCan struct {
	Principals []Who `json:"principals"`
	Complete   bool  `json:"complete"`
	Revision   int64 `json:"revision"`
}

// Access is all that a principal holds in a cluster, and how another one differs.
type Access struct {
	Principal Principal `json:"principal"`
	Enabled   bool      `json:"enabled"`
	Access    []Way     `json:"access"`
	// Denied are the deny assignments that take something away from it again.
	Denied       []DenyAssignment `json:"denied,omitempty"`
	Other        *Principal       `json:"other,omitempty"`
	OtherCluster string           `json:"otherCluster,omitempty"`
	Only         []Way            `json:"only,omitempty"`
	OnlyOther    []Way            `json:"onlyOther,omitempty"`
	Complete     bool             `json:"complete"`
	Revision     int64            `json:"revision"`
}

// Explain asks whether a principal may do something in a cluster, which is named by its resource id.
func (c *Client) Explain(ctx context.Context, cluster string, q Question) (Explanation, error) {
	var out Explanation
	err := c.Post(ctx, cluster+"/keyreeveExplain", q, &out)
	return out, err
}

// WhoCan asks who may do something in a cluster.
func (c *Client) WhoCan(ctx context.Context, cluster string, q Question) (WhoCan, error) {
	var out WhoCan
	err := c.Post(ctx, cluster+"/keyreeveWhoCan", q, &out)
	return out, err
}

// Access asks what a principal holds in a cluster.
func (c *Client) Access(ctx context.Context, cluster string, q Question) (Access, error) {
	var out Access
	err := c.Post(ctx, cluster+"/keyreeveAccess", q, &out)
	return out, err
}

// right names what a way gives, by whatever it is held.
func (w *Way) right() string {
	ns := ""
	if w.Namespace != nil {
		ns = *w.Namespace
	}
	if w.Kind == "adminGroup" {
		return w.Kind
	}
	return strings.Join([]string{ns, w.Kind, w.RoleID, w.Role, w.Condition}, "\x00")
}

// DiffWays returns what is only in the first list and what is only in the second. The same role at the same place is the
// same, by whatever way it is held.
func DiffWays(first, second []Way) (onlyFirst, onlySecond []Way) {
	without := func(list, other []Way) (out []Way) {
		has := map[string]bool{}
		for i := range other {
			has[other[i].right()] = true
		}
		for _, w := range list {
			if !has[w.right()] {
				out = append(out, w)
			}
		}
		return out
	}
	return without(first, second), without(second, first)
}
