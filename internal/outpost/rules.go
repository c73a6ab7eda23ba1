package outpost

import (
	"context"
	"time"

	"github.com/keyreeve/keyreeve/internal/gatefeed"
	"github.com/keyreeve/keyreeve/internal/rbac"
)

// looks is how often the gate looks whether the cluster's rules changed.
const looks = time.Second

// tellRules tells the control plane the cluster's own roles and bindings until ctx ends: at once when they change, else
// every gatefeed.RulesEvery that they are still the same. view returns nil while they are not known.
func (l *link) tellRules(ctx context.Context, view func() *rbac.ClusterRBAC) error {
	tick := time.NewTicker(looks)
	defer tick.Stop()
	var last *rbac.ClusterRBAC
	var whole gatefeed.OwnRules
	var said time.Time
	for {
		own := view()
		if own != last || l.now().Sub(said) >= gatefeed.RulesEvery {
			if own != last && own != nil {
				made, err := gatefeed.RulesOf(own)
				if err != nil {
					return err // they are plain values: this cannot be
				}
				whole = made
			}
			last = own
			if err := l.sayRules(ctx, own != nil, &whole); err != nil && ctx.Err() == nil {
				l.log.Debug("the cluster's own rules could not be told", "error", err)
			}
			said = l.now()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// sayRules says which rules the gate has, and sends them if the control plane wants them.
func (l *link) sayRules(ctx context.Context, known bool, whole *gatefeed.OwnRules) error {
	in := gatefeed.OwnRules{Known: known}
	if known {
		in.Digest = whole.Digest
	}
	var out gatefeed.RulesAnswer
	if err := l.call(ctx, "/gate/v1/rules", "", in, &out); err != nil || !out.Want {
		return err
	}
	return l.call(ctx, "/gate/v1/rules", "", whole, &out)
}
