package kubelogin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/kubelogin/ask"
	"github.com/keyreeve/keyreeve/internal/kubelogin/tokencache"
)

// SignIn is how the user of a kubeconfig signs in, for other programs of this machine: by the same arguments, the same cache
// and the same session as get-token.
type SignIn struct{ p *plugin }

// NewSignIn reads the arguments of get-token.
func NewSignIn(d Deps, args []string) (*SignIn, error) {
	o, ok := quickParse(d, args)
	if !ok {
		return nil, fmt.Errorf("kubelogin does not understand its arguments in the kubeconfig: %s", strings.Join(args, " "))
	}
	p, err := open(d, o)
	if err != nil {
		return nil, err
	}
	if p.r.AuthorityCA, err = p.info.authorityCA(d); err != nil {
		return nil, err
	}
	return &SignIn{p}, nil
}

// Mode is the login mode, Authority the base URL of the token service, with a slash at the end, and CA what vouches for it
// beside the system's authorities, PEM.
func (s *SignIn) Mode() string { return string(s.p.r.Mode) }

// Authority is the base URL of the token service, with a slash at the end.
func (s *SignIn) Authority() string { return s.p.r.Authority }

// CA vouches for the authority beside the system's, PEM; it may be empty.
func (s *SignIn) CA() []byte { return s.p.r.AuthorityCA }

// Token returns a token for the cluster, as kubectl gets it; whoever is not signed in is asked.
func (s *SignIn) Token(ctx context.Context) (string, time.Time, error) {
	t, err := s.p.token(ctx)
	if err != nil {
		return "", time.Time{}, err
	}
	access := t.Access
	if s.p.r.PoPHost != "" {
		access, err = s.p.Prove(access, s.p.r.PoPHost, s.p.kept(), s.p.Now())
	}
	return access, t.Expires, err
}

// For returns a token of the same sign-in for another service. Nobody is asked for it.
func (s *SignIn) For(ctx context.Context, server string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.p.o.timeout)
	defer cancel()
	r := s.p.r
	r.Server, r.PoPHost, r.Legacy = server, "", false
	other := *s.p
	other.r, other.own = r, nil
	identity, cached := other.whole()
	entry := tokencache.Entry{}
	if cached {
		if entry = s.p.cache.Find(identity, true); s.person() {
			// Of a person, the account may change: the token belongs to the session.
			entry = s.p.cache.Find(slices.Concat(identity, []byte(" of "), s.account()), true)
		}
		if t, ok := entry.Token(); ok && fresh(t, s.p.Now()) {
			return t.Access, nil
		}
	}
	// A refresh token is exchanged for a new one: nobody else uses it meanwhile, and the new one is kept for the cluster.
	own := s.p.cache.Find(s.p.identity, false)
	lock, err := own.Lock(ctx, s.p.Now, nil)
	if err != nil {
		return "", err
	}
	defer lock.Release(s.p.Now(), nil)
	session := both{&memory{data: s.p.kept()}, own}
	got, err := s.p.source().Token(ctx, r, session, true)
	if err != nil {
		return "", err
	}
	if cached {
		t := tokencache.Token{Access: got.Access, Obtained: s.p.Now(), Expires: got.Expires}
		if s.person() {
			t.Owner = own.Owner(string(s.account()))
		}
		entry.PutToken(t)
	}
	return got.Access, nil
}

// person says that a person signs in by hand, so that the account is theirs to choose.
func (s *SignIn) person() bool {
	return s.p.r.Mode == ask.DeviceCode || s.p.r.Mode == ask.Interactive
}

// account is what tells the current account from others of the same identity.
func (s *SignIn) account() []byte {
	t, ok := s.p.cache.Find(s.p.identity, false).Token()
	if !ok {
		return nil
	}
	return []byte(ReadClaims(t.Access).account())
}

// Account is an account that is signed in.
type Account struct {
	Claims
	Current bool
	// Expires is the end of the token at hand; the session behind it lives longer.
	Expires time.Time
}

// Accounts returns the accounts that are signed in, the current one first.
func (s *SignIn) Accounts() ([]Account, error) {
	entry, err := s.own()
	if err != nil {
		return nil, err
	}
	var out []Account
	if t, ok := entry.Token(); ok {
		out = append(out, Account{ReadClaims(t.Access), true, t.Expires})
	}
	for _, t := range entry.Parked() {
		out = append(out, Account{ReadClaims(t.Access), false, t.Expires})
	}
	return out, nil
}

// own is the entry of a person's identity, or the reason why there is no choice.
func (s *SignIn) own() (tokencache.Entry, error) {
	switch {
	case s.p.r.Mode == ask.AzureCLI:
		return tokencache.Entry{}, fault.New(fault.Invalid, "", "the account is az's: `az account list` shows them, `az login` signs in another one")
	case !s.person():
		return tokencache.Entry{}, fault.New(fault.Invalid, "", "login mode %s has one account, which the kubeconfig and the environment name", s.p.r.Mode)
	case s.p.cache.Dir == "":
		return tokencache.Entry{}, fault.New(fault.Invalid, "", "no account is kept with --token-cache none: each sign-in begins anew")
	}
	return s.p.cache.Find(s.p.identity, true), nil
}

// named finds one of the accounts by its name or a part that no other has.
func named(list []Account, name string) (Account, error) {
	var found []Account
	for _, a := range list {
		if strings.EqualFold(a.Name, name) || strings.EqualFold(a.ObjectID, name) {
			return a, nil
		}
		if strings.HasPrefix(strings.ToLower(a.Name), strings.ToLower(name)) {
			found = append(found, a)
		}
	}
	var names []string
	for _, a := range list {
		names = append(names, a.Name)
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return Account{}, fault.New(fault.Invalid, "", "%q may be any of several accounts: %s", name, strings.Join(names, ", "))
	case len(names) == 0:
		return Account{}, fault.New(fault.NotFound, "", "no account is signed in; the next kubectl asks for one")
	}
	return Account{}, fault.New(fault.NotFound, "", "no account %q is signed in here, but %s; --new lets the next kubectl ask for another", name, strings.Join(names, ", "))
}

// change does something to the accounts while nobody signs in.
func (s *SignIn) change(ctx context.Context, f func(tokencache.Entry, []Account) error) error {
	entry, err := s.own()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	lock, err := entry.Lock(ctx, s.p.Now, nil)
	if err != nil {
		return err
	}
	defer lock.Release(s.p.Now(), nil)
	list, err := s.Accounts()
	if err != nil {
		return err
	}
	return f(entry, list)
}

// SetAside leaves nobody current: the next kubectl signs in anew. The account that was stays to be chosen again.
func (s *SignIn) SetAside(ctx context.Context) error {
	return s.change(ctx, func(e tokencache.Entry, list []Account) error { return setAside(e, list) })
}

func setAside(e tokencache.Entry, list []Account) error {
	if len(list) > 0 && list[0].Current {
		return e.Park(list[0].account())
	}
	return e.Drop()
}

// Choose makes one of the accounts current, and returns it.
func (s *SignIn) Choose(ctx context.Context, name string) (chosen Account, err error) {
	err = s.change(ctx, func(e tokencache.Entry, list []Account) error {
		if chosen, err = named(list, name); err != nil || chosen.Current {
			return err
		}
		if err := setAside(e, list); err != nil {
			return err
		}
		return e.Unpark(chosen.account())
	})
	return chosen, err
}

// SignOut forgets an account on this machine; an empty name is the current one.
func (s *SignIn) SignOut(ctx context.Context, name string) (gone Account, err error) {
	err = s.change(ctx, func(e tokencache.Entry, list []Account) error {
		switch {
		case name != "":
			if gone, err = named(list, name); err != nil {
				return err
			}
		case len(list) > 0 && list[0].Current:
			gone = list[0]
		default:
			return fault.New(fault.NotFound, "", "nobody is signed in: the next kubectl asks")
		}
		err := e.DropOwned(gone.account())
		if gone.Current {
			return errors.Join(err, e.Drop())
		}
		return errors.Join(err, e.DropParked(gone.account()))
	})
	return gone, err
}

// Claims are what an access token says of its bearer. Nothing is verified: it is what this machine was given.
type Claims struct {
	// Name is the user principal name, or the object id of an application's principal.
	Name, ObjectID, TenantID, ApplicationID string
	Audience                                string
	Person                                  bool
	Expires                                 time.Time
	// Groups are those that the token names; a cluster looks them up anew.
	Groups []string
}

func (c Claims) account() string { return c.TenantID + " " + c.ObjectID }

// ReadClaims reads an access token, or the one in a proof of possession; what cannot be read is empty.
func ReadClaims(token string) Claims {
	var in struct {
		At, OID, TID, AppID, AZP, UPN, Aud string
		PreferredUsername                  string `json:"preferred_username"`
		UniqueName                         string `json:"unique_name"`
		Exp                                int64
		Groups                             []string
	}
	_, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	data, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil || json.Unmarshal(data, &in) != nil {
		return Claims{}
	}
	if in.At != "" && in.OID == "" {
		return ReadClaims(in.At)
	}
	first := func(list ...string) string {
		for _, s := range list {
			if s != "" {
				return s
			}
		}
		return ""
	}
	c := Claims{ObjectID: in.OID, TenantID: in.TID, ApplicationID: first(in.AppID, in.AZP), Audience: in.Aud, Expires: time.Unix(in.Exp, 0).UTC(), Groups: in.Groups}
	name := first(in.UPN, in.PreferredUsername, in.UniqueName)
	c.Name, c.Person = first(name, in.OID), name != ""
	return c
}
