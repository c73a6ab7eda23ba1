package logon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/throttle"
	"github.com/keyreeve/keyreeve/internal/world"
)

// Service checks passwords. Fill every field.
type Service struct {
	DB     *store.DB
	World  *world.World
	Hasher *proof.Hasher
	Now    func() time.Time

	once sync.Once
	// wrong bounds wrong passwords from one address, whoever they are for: the lock of an account does not stop somebody
	// who tries one password on each (password spraying).
	wrong throttle.Limit
}

// One address may be wrong this often at once, and once more every wrongPause.
const (
	wrongBurst = 100
	wrongPause = 3 * time.Second
)

func (s *Service) init() { s.wrong.Burst, s.wrong.Every = wrongBurst, wrongPause }

// Network is what is counted as one address: of IPv6, all that one site has (RFC 6177).
func Network(remoteAddr string) string {
	ip, err := netip.ParseAddr(remoteAddr)
	if err != nil || ip.Unmap().Is4() {
		return remoteAddr
	}
	p, err := ip.WithZone("").Prefix(64)
	if err != nil {
		return remoteAddr
	}
	return p.String()
}

// Origin is what the record of a sign-in says of where it came from.
type Origin struct {
	Client      ident.ClientID
	RemoteAddr  string
	Correlation string
	// Method names the way: password grant, device code.
	Method string
}

// Verified is a person whose password was right.
type Verified struct {
	User directory.User
	// At is when checking began: a session that comes of it is no newer.
	At time.Time
	// MustChange asks for a new password before anything else.
	MustChange bool
}

// maxName is the longest user name that is looked at, in bytes (RFC 5321 4.5.3.1 allows 320).
const maxName = 320

// Password checks a user name and password. hint is the tenant that was asked, or zero for the one of the name's domain.
// Errors are *oauth.Error, or faults of kind Internal or Unavailable.
//
// A name that nobody has is answered like a wrong password, after the same work, and is locked like a real one.
func (s *Service) Password(ctx context.Context, hint ident.TenantID, name, password string, from Origin) (Verified, error) {
	s.once.Do(s.init)
	at := s.Now()
	if !s.wrong.Left(Network(from.RemoteAddr), at) {
		return Verified{}, oauth.TooManyGuesses()
	}
	name = strings.TrimSpace(name)
	_, domain, ok := strings.Cut(name, "@")
	if !ok || len(name) > maxName || strings.Contains(domain, "@") {
		name, domain = "", ""
	}
	tenant, _ := s.World.TenantByDomain(domain)
	if !hint.IsZero() && !tenant.ID.IsZero() && tenant.ID != hint {
		return Verified{}, oauth.OtherTenant(printable(name), hint.String())
	}
	account := accountKey(tenant.ID, name)
	var attempts proof.Attempts
	var user directory.User
	var hash string
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		if attempts, err = tx.Attempts(account); err != nil || tenant.ID.IsZero() {
			return err
		}
		if user, err = tx.UserByUPN(tenant.ID, name); err != nil {
			return ignoreMissing(err)
		}
		hash, err = tx.Password(user.ID)
		return ignoreMissing(err)
	})
	if err != nil {
		return Verified{}, err
	}
	if attempts.Locked(at) {
		return Verified{}, oauth.Locked()
	}
	right, stale, err := s.Hasher.Verify(ctx, hash, password)
	if err != nil {
		return Verified{}, err
	}
	if !right {
		return Verified{}, s.failed(ctx, account, tenant.ID, user, from)
	}
	if err := s.succeeded(ctx, account, user, hash, password, stale); err != nil {
		return Verified{}, err
	}
	if !user.AccountEnabled {
		return Verified{}, oauth.UserDisabled()
	}
	return Verified{User: user, At: at, MustChange: user.MustChangePassword}, nil
}

// failed counts a wrong password and returns the refusal.
func (s *Service) failed(ctx context.Context, account string, tenant ident.TenantID, user directory.User, from Origin) error {
	s.wrong.Allow(Network(from.RemoteAddr), s.Now())
	refusal := oauth.BadCredentials()
	_, err := s.DB.Update(ctx, func(tx *store.Tx) error {
		now := s.Now()
		a, err := tx.Attempts(account)
		if err != nil {
			return err
		}
		if a.Locked(now) {
			// Others guessed at the same time; their failures locked the account while this one was being checked.
			refusal = oauth.Locked()
			return nil
		}
		if err := tx.PutAttempts(account, a.Failed(now)); err != nil {
			return err
		}
		// What was typed is not written down: people type passwords into the wrong field.
		who := user.UserPrincipalName
		if who == "" {
			who = "unknown account"
		}
		return tx.Audit(audit.Record{
			At: now, Event: audit.SignInFailed, Tenant: tenant, Actor: user.ID, ActorName: who,
			Target: from.Client.String(), Correlation: from.Correlation,
			Detail: map[string]string{"method": from.Method, "remoteAddr": from.RemoteAddr, "error": refusal.Code()},
		})
	})
	if err != nil {
		return err
	}
	return refusal
}

// succeeded clears the count of failures and renews a hash made with yesterday's costs. It refuses if the account was
// locked while the password was being checked, so that guesses made all at once do not get round the lock.
func (s *Service) succeeded(ctx context.Context, account string, user directory.User, hash, password string, stale bool) error {
	var a proof.Attempts
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		a, err = tx.Attempts(account)
		return err
	})
	if err != nil {
		return err
	}
	if a.Locked(s.Now()) {
		return oauth.Locked()
	}
	if a.Failures == 0 && !stale {
		return nil
	}
	fresh := ""
	if stale {
		if fresh, err = s.Hasher.Hash(ctx, password); err != nil {
			return err
		}
	}
	_, err = s.DB.Update(ctx, func(tx *store.Tx) error {
		if err := tx.DeleteAttempts(account); err != nil || fresh == "" {
			return err
		}
		present, err := tx.Password(user.ID)
		if err != nil || present != hash {
			return ignoreMissing(err) // changed meanwhile: the new one stands
		}
		return tx.PutPassword(user.ID, fresh)
	})
	return err
}

// ChangePassword sets a new password for a person who showed the old one at a time. Errors are faults of kind Invalid
// whose text says what is wrong with the new one, *oauth.Error, or internal.
func (s *Service) ChangePassword(ctx context.Context, user ident.ObjectID, at time.Time, fresh string, from Origin) error {
	var name, old string
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		u, err := current(tx, user, at)
		if err != nil {
			return err
		}
		name = u.UserPrincipalName
		old, err = tx.Password(user)
		return err
	})
	if err != nil {
		return err
	}
	if err := proof.CheckNew(fresh, name); err != nil {
		return err
	}
	same, _, err := s.Hasher.Verify(ctx, old, fresh)
	if err != nil {
		return err
	}
	if same {
		return fault.New(fault.Invalid, "", "it is the old one.")
	}
	hash, err := s.Hasher.Hash(ctx, fresh)
	if err != nil {
		return err
	}
	_, err = s.DB.Update(ctx, func(tx *store.Tx) error {
		u, err := current(tx, user, at)
		if err != nil {
			return err
		}
		if present, err := tx.Password(u.ID); err != nil || present != old {
			return errors.Join(oauth.BadCredentials(), err) // changed meanwhile: that one stands
		}
		u.MustChangePassword = false
		if err := tx.PutUser(u); err != nil {
			return err
		}
		if err := tx.PutPassword(u.ID, hash); err != nil {
			return err
		}
		return tx.Audit(audit.Record{
			At: s.Now(), Event: audit.UserUpdated, Tenant: u.Tenant, Actor: u.ID, ActorName: u.UserPrincipalName,
			Target: u.ID.String(), Correlation: from.Correlation, Detail: map[string]string{"changed": "password", "method": from.Method},
		})
	})
	return err
}

// accountKey names an account in the count of failures without keeping what was typed.
func accountKey(t ident.TenantID, name string) string {
	sum := sha256.Sum256([]byte(t.String() + "\x00" + directory.Fold(name)))
	return hex.EncodeToString(sum[:])
}

func ignoreMissing(err error) error {
	if store.IsNotFound(err) {
		return nil
	}
	return err
}
