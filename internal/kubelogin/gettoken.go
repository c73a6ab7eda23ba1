package kubelogin

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/keyreeve/keyreeve/internal/kubelogin/ask"
	"github.com/keyreeve/keyreeve/internal/kubelogin/tokencache"
)

const (
	// enough is how long a token has to be good for to be handed out without a thought.
	enough = 5 * time.Minute
	// least is how long it has to be good for to be handed out when no other can be had.
	least = 10 * time.Second
	// renewal bounds the renewing of a token that is still good.
	renewal = 10 * time.Second
)

// GetToken prints an ExecCredential.
func GetToken(ctx context.Context, d Deps, o *Options) error {
	p, err := open(d, o)
	if err != nil {
		return err
	}
	token, err := p.token(ctx)
	if err != nil {
		return err
	}
	access := token.Access
	if p.r.PoPHost != "" {
		if access, err = d.Prove(access, p.r.PoPHost, p.kept(), d.Now()); err != nil {
			return err
		}
	}
	return writeCredential(d.Out, p.info.version, access, token.Expires)
}

// open reads whose token is wanted, and finds the cache.
func open(d Deps, o *Options) (*plugin, error) {
	if err := o.Settle(); err != nil {
		return nil, err
	}
	if o.serverID == "" {
		return nil, errServerID
	}
	info, err := readExecInfo(d)
	if err != nil {
		return nil, err
	}
	r, err := o.request()
	if err != nil {
		return nil, err
	}
	p := &plugin{Deps: d, o: o, r: r, info: info, cache: o.cache(d)}
	var cached bool
	if p.identity, cached = p.whole(); !cached {
		p.cache.Dir = ""
	}
	return p, nil
}

// token returns a good token, from the cache or by signing in.
func (p *plugin) token(ctx context.Context) (tokencache.Token, error) {
	entry := p.cache.Find(p.identity, false)
	if token, ok := entry.Token(); ok && fresh(token, p.Now()) {
		return token, nil
	}
	var err error
	if p.r.AuthorityCA, err = p.info.authorityCA(p.Deps); err != nil {
		return tokencache.Token{}, err
	}
	return p.acquire(ctx, p.cache.Find(p.identity, true))
}

// Cached answers from the cache, if the arguments are those of get-token and there is a good token for them; it says whether it did.
// Whatever is out of the ordinary is left to those who can explain it.
func Cached(d Deps, args []string) (bool, error) {
	if len(args) == 0 || args[0] != "get-token" {
		return false, nil
	}
	o, ok := quickParse(d, args[1:])
	if !ok {
		return false, nil
	}
	p, err := open(d, o)
	if err != nil || p.r.PoPHost != "" {
		return false, nil //nolint:nilerr // it is found again, and told
	}
	token, ok := p.cache.Find(p.identity, false).Token()
	if !ok || !fresh(token, d.Now()) {
		return false, nil
	}
	return true, writeCredential(d.Out, p.info.version, token.Access, token.Expires)
}

// source gets tokens that are in no cache.
func (p *plugin) source() Source {
	return p.Source(p.Deps, p.debug)
}

func (p *plugin) debug(format string, args ...any) {
	if p.o.verbosity >= 5 {
		_, _ = fmt.Fprintf(p.Err, "kubelogin: "+format+"\n", args...)
	}
}

// fresh reports whether a token may be handed out as it is: it has five minutes left, or half of a short life.
func fresh(t tokencache.Token, now time.Time) bool {
	margin := min(enough, t.Expires.Sub(t.Obtained)/2)
	return t.Expires.Sub(now) > max(margin, least) && !now.Before(t.Obtained.Add(-enough))
}

// plugin is one call of get-token.
type plugin struct {
	Deps
	o        *Options
	r        ask.Request
	info     execInfo
	cache    *tokencache.Cache
	identity []byte
	// own holds the session where there is no cache to hold it.
	own *memory
}

// cache opens the token cache.
func (o *Options) cache(d Deps) *tokencache.Cache {
	c := &tokencache.Cache{Dir: o.cacheDir, Warn: func(err error) {
		_, _ = fmt.Fprintf(d.Err, "kubelogin: warning: the token is not kept, so the next call signs in again: %v\n", err)
	}}
	switch o.tokenCache {
	case "none":
		c.Dir = ""
	case "keyring":
		c.Keyring = tokencache.SystemKeyring("keyreeve-kubelogin")
	}
	return c
}

// whole is everything that decides whose token it is, and whether a token may be kept at all. It is hashed with a key before
// anything is written: it holds secrets, so that a token got by a secret is had only by who knows it.
func (p *plugin) whole() ([]byte, bool) {
	type whole struct {
		ask.Request
		Account string `json:",omitempty"`
		Host    string `json:",omitempty"`
	}
	w := whole{Request: p.r}
	switch p.r.Mode {
	case ask.ManagedIdentity:
		// Whose token the endpoint gives is known to it alone: a home that moves to another machine would bring another's.
		return nil, false
	case ask.AzureDevCLI:
		return nil, false // azd keeps its tokens, and what it is signed in as is not to be seen from outside
	case ask.AzureCLI:
		account, ok := p.azAccount()
		if !ok {
			return nil, false
		}
		w.Account = account
	case ask.ServicePrincipal:
		if p.r.Certificate != "" {
			data, err := os.ReadFile(p.r.Certificate)
			if err != nil {
				return nil, false // the sign-in says what is wrong
			}
			sum := sha256.Sum256(data)
			w.Account = string(sum[:])
		}
	case ask.WorkloadIdentity:
		w.Host = p.r.GitHubURL // another job's token is another's
	case ask.AzurePipelines:
		w.Host = p.r.PipelinesToken // an agent's home outlives the job, and the next one may have no right to the connection
	case ask.DeviceCode, ask.Interactive, ask.Password:
	}
	data, err := json.Marshal(w)
	return data, err == nil
}

// azAccount tells what az is signed in as: it rewrites these files whenever that changes.
func (p *plugin) azAccount() (string, bool) {
	dir := p.Getenv("AZURE_CONFIG_DIR")
	if dir == "" {
		dir = filepath.Join(p.Home(), ".azure")
	}
	sum := sha256.New()
	for _, name := range []string{"azureProfile.json", "config", "clouds.config"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && name == "azureProfile.json" {
			return "", false
		}
		_, _ = fmt.Fprintf(sum, "%s %d\n", name, len(data))
		_, _ = sum.Write(data)
	}
	return dir + " " + string(sum.Sum(nil)), true
}

type memory struct{ data []byte }

func (m *memory) Session() []byte        { return m.data }
func (m *memory) PutSession(data []byte) { m.data = data }

// kept is what the session of the identity is, after the token was found or got.
func (p *plugin) kept() []byte {
	if p.own != nil {
		return p.own.data
	}
	return p.cache.Find(p.identity, false).Session()
}

// acquire gets a token that is not in the cache, or is there and about to expire: one process at a time.
func (p *plugin) acquire(ctx context.Context, entry tokencache.Entry) (tokencache.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, p.o.timeout)
	defer cancel()
	c := p.source()
	old, ok := entry.Token()
	usable := ok && old.Expires.Sub(p.Now()) > least && old.Obtained.Before(p.Now().Add(enough))
	lock, err := entry.Lock(ctx, p.Now, func() { p.debug("another kubelogin is signing in; waiting for it") })
	if err != nil {
		if usable {
			return old, nil
		}
		return old, err
	}
	// Another process may have been here first.
	if now, ok := entry.Token(); ok && fresh(now, p.Now()) {
		lock.Release(p.Now(), nil)
		return now, nil
	}
	p.own = &memory{data: entry.Session()}
	renew := ctx
	if usable {
		var stop context.CancelFunc
		renew, stop = context.WithTimeout(ctx, min(renewal, p.o.timeout))
		defer stop()
	}
	got, err := c.Token(renew, p.r, both{p.own, entry}, usable)
	if err != nil && usable && ctx.Err() == nil {
		p.debug("the token is good for a while yet, and could not be renewed: %v", err)
		lock.Release(p.Now(), nil)
		p.own = nil
		return old, nil
	}
	if err != nil {
		lock.Release(p.Now(), err)
		return old, err
	}
	token := tokencache.Token{Access: got.Access, Obtained: p.Now(), Expires: got.Expires}
	entry.PutToken(token)
	lock.Release(p.Now(), nil)
	return token, nil
}

// both keeps a session in memory and in the cache.
type both struct {
	*memory
	entry tokencache.Entry
}

func (b both) PutSession(data []byte) {
	b.data = data
	b.entry.PutSession(data)
}
