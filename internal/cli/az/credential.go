package az

import (
	"context"
	"errors"
	"io/fs"

	"github.com/keyreeve/keyreeve/internal/account"
	"github.com/keyreeve/keyreeve/internal/workstation"
)

// ErrSignedOut says that nobody is signed in with this command.
var ErrSignedOut = account.ErrSignedOut

// Credential returns a token for the Resource Manager at an origin, of whoever is signed in, and their default subscription.
// Nobody is signed in where this machine is not set up, or for another server: no server is shown the token of another.
func Credential(ctx context.Context, d Deps, arm string) (token, subscription string, err error) {
	dir, err := d.Workstation()
	if err != nil {
		return "", "", err
	}
	server, err := workstation.ReadServer(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", ErrSignedOut
	}
	if err != nil {
		return "", "", err
	}
	if server.ARM != arm {
		return "", "", ErrSignedOut
	}
	client, err := httpClient(server.CA)
	if err != nil {
		return "", "", err
	}
	accounts := &account.Accounts{Path: workstation.Sessions(dir), Login: server.Login, HTTP: client, Now: d.Now}
	if err := accounts.Open(); err != nil {
		return "", "", err
	}
	s, err := accounts.Subscription("")
	if err != nil {
		return "", "", err
	}
	t, err := accounts.Token(ctx, s, armAudience)
	return t.Access, s.ID, err
}
