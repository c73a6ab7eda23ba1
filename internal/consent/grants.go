package consent

import (
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/store"
)

// Permissions returns the delegated permissions (scp) that a person's token for a resource carries, in the caller's
// transaction, and the refusal if nobody allowed the client what it asks for.
func Permissions(_ *store.Tx, c Client, t Target, s Scopes, _ directory.User) ([]string, error) {
	named, err := t.Named(s)
	if err != nil {
		return nil, err
	}
	if c.FirstParty && !t.registered || c.ID == t.ID {
		if s.All || len(named) == 0 {
			return t.Offers, nil
		}
		return named, nil
	}
	return nil, oauth.NoConsent(c.ID.String(), c.Name)
}
