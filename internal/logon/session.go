package logon

import (
	"time"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/session"
	"github.com/keyreeve/keyreeve/internal/store"
)

// current returns a user who may go on with what began at a time: there, enabled, and not revoked since.
func current(tx *store.Tx, id ident.ObjectID, at time.Time) (directory.User, error) {
	u, err := tx.User(id)
	switch {
	case store.IsNotFound(err):
		return u, oauth.UserGone().Because(err)
	case err != nil:
		return u, err
	case !u.AccountEnabled:
		return u, oauth.UserDisabled()
	case at.Before(u.SessionsValidFrom):
		return u, oauth.Revoked()
	}
	return u, nil
}

// Begin begins the session of a person whose password was right at a time, in the caller's transaction, and records
// the sign-in. Errors are *oauth.Error when the person may not sign in any more.
func Begin(tx *store.Tx, user ident.ObjectID, at, now time.Time, methods []string, from Origin) (session.Session, directory.User, error) {
	u, err := current(tx, user, at)
	if err != nil {
		return session.Session{}, u, err
	}
	s := session.Session{
		ID: ident.New[ident.SessionID](), Tenant: u.Tenant, User: u.ID, Client: from.Client, Methods: methods,
		CreatedAt: at.UTC(), ExpiresAt: now.UTC().Add(session.Life),
	}
	if err := tx.PutSession(s); err != nil {
		return s, u, err
	}
	err = tx.Audit(audit.Record{
		At: now, Event: audit.SignIn, Tenant: u.Tenant, Actor: u.ID, ActorName: u.UserPrincipalName,
		Target: from.Client.String(), Correlation: from.Correlation,
		Detail: map[string]string{"method": from.Method, "session": s.ID.String(), "remoteAddr": from.RemoteAddr},
	})
	return s, u, err
}

// Resume returns the session and its user if both may still be used, in the caller's transaction. Errors are
// *oauth.Error, or internal.
func Resume(tx *store.Tx, id ident.SessionID, now time.Time) (session.Session, directory.User, error) {
	s, err := tx.Session(id)
	switch {
	case store.IsNotFound(err):
		return s, directory.User{}, oauth.Revoked().Because(err)
	case err != nil:
		return s, directory.User{}, err
	case !s.Live(now):
		return s, directory.User{}, oauth.Revoked()
	}
	u, err := current(tx, s.User, s.CreatedAt)
	return s, u, err
}

// Actor is who ends a session, for the record.
type Actor struct {
	ID          ident.ObjectID
	Name        string
	Correlation string
}

// Revoke ends one session in the caller's transaction, with all its tokens. It is NotFound if there is none; a session
// that has ended stays as it is.
func Revoke(tx *store.Tx, id ident.SessionID, now time.Time, reason string, by Actor) error {
	s, err := tx.Session(id)
	if err != nil {
		return err
	}
	if !s.RevokedAt.IsZero() {
		return nil
	}
	if err := tx.PutSession(s.Revoke(now, reason)); err != nil {
		return err
	}
	return tx.Audit(audit.Record{
		At: now, Event: audit.SessionRevoked, Tenant: s.Tenant, Actor: by.ID, ActorName: by.Name, Target: s.User.String(),
		Correlation: by.Correlation, Detail: map[string]string{"session": id.String(), "reason": reason},
	})
}

// RevokeUser ends every session of a user in the caller's transaction (revokeSignInSessions): what was begun before
// now is over. It is NotFound if there is no such user.
func RevokeUser(tx *store.Tx, id ident.ObjectID, now time.Time, reason string, by Actor) error {
	u, err := tx.User(id)
	if err != nil {
		return err
	}
	u.SessionsValidFrom = now.UTC()
	if err := tx.PutUser(u); err != nil {
		return err
	}
	return tx.Audit(audit.Record{
		At: now, Event: audit.SessionRevoked, Tenant: u.Tenant, Actor: by.ID, ActorName: by.Name, Target: id.String(),
		Correlation: by.Correlation, Detail: map[string]string{"sessions": "all", "reason": reason},
	})
}
