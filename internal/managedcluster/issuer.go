package managedcluster

import (
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
)

// Issuer is a cluster as an issuer of tokens for its service accounts: what others need to check them (oidcIssuerProfile).
type Issuer struct {
	// URL is its name, in iss, and where its metadata is; it never changes.
	URL string `json:"url"`
	// Keys are public. The first is the one that signs; the others did, and end.
	Keys []IssuerKey `json:"keys"`
}

// IssuerKey is a key of an issuer.
type IssuerKey struct {
	PEM string `json:"pem"` // PKIX
	// Until is when it ends; zero while it signs.
	Until time.Time `json:"until,omitzero"`
}

// RetiredKeyLife is how long a key counts after another has taken its place: as long as a token may live.
const RetiredKeyLife = 24 * time.Hour

// Good returns the keys that count at a time.
func (i *Issuer) Good(now time.Time) []string {
	if i == nil {
		return nil
	}
	var out []string
	for _, k := range i.Keys {
		if k.Until.IsZero() || now.Before(k.Until) {
			out = append(out, k.PEM)
		}
	}
	return out
}

// IssuedBy returns the cluster as an issuer with a name and the key that signs now. Keys from before end at once: this is for
// one that is new, or whose authorities were replaced because nothing of before may count.
func (c *Cluster) IssuedBy(url, key string) Cluster {
	after := *c
	after.Issuer = &Issuer{URL: url, Keys: []IssuerKey{{PEM: key}}}
	return after
}

// SigningKeyRotated returns the cluster with another key for service account tokens. The one before counts as long as its
// tokens may live.
func (c *Cluster) SigningKeyRotated(key string, now time.Time) Cluster {
	after := *c
	after.Generation++
	if c.Issuer == nil {
		return after
	}
	keys := []IssuerKey{{PEM: key}}
	for _, k := range c.Issuer.Keys {
		if k.Until.IsZero() {
			k.Until = now.Add(RetiredKeyLife)
		}
		if now.Before(k.Until) {
			keys = append(keys, k)
		}
	}
	after.Issuer = &Issuer{URL: c.Issuer.URL, Keys: keys}
	return after
}

// settleIssuer settles whether the cluster is an issuer, and whether its pods get tokens for the token service.
func (c *Cluster) settleIssuer(req *Request, before *Cluster, _ *object) error {
	if before != nil {
		c.WantsIssuer = before.WantsIssuer
	}
	if req.oidcIssuer != nil {
		if !*req.oidcIssuer && before != nil && before.WantsIssuer {
			return fault.New(fault.Invalid, "OIDCIssuerFeatureCannotBeDisabled", "The OIDC issuer feature cannot be disabled once it is enabled.").At("oidcIssuerProfile.enabled")
		}
		c.WantsIssuer = *req.oidcIssuer
	}
	if req.workloadIdentity != nil {
		c.WorkloadIdentity = *req.workloadIdentity
	}
	if c.WorkloadIdentity && !c.WantsIssuer {
		return invalidParameter("securityProfile.workloadIdentity.enabled", "Workload identity needs the OIDC issuer: oidcIssuerProfile.enabled must be true.")
	}
	return nil
}

func readIssuer(r *reader) (oidc, workload *bool) {
	if o := r.object("oidcIssuerProfile", []string{"enabled", "issuerURL"}); o != nil {
		f := &reader{o: o, path: "oidcIssuerProfile"}
		oidc = f.flag("enabled")
		r.fail(f.err)
	}
	if o := r.object("securityProfile", []string{"workloadIdentity"}); o != nil {
		f := &reader{o: o, path: "securityProfile"}
		if w := f.object("workloadIdentity", []string{"enabled"}); w != nil {
			g := &reader{o: w, path: "securityProfile.workloadIdentity"}
			workload = g.flag("enabled")
			f.fail(g.err)
		}
		r.fail(f.err)
	}
	return oidc, workload
}

// issuerRestarts reports whether the running cluster must be started again for how it issues tokens.
func issuerRestarts(before, after *Cluster) bool {
	return before.WantsIssuer != after.WantsIssuer || before.WorkloadIdentity != after.WorkloadIdentity
}
