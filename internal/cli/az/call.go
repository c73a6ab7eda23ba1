package az

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/internal/account"
	"github.com/keyreeve/keyreeve/internal/client"
	"github.com/keyreeve/keyreeve/internal/workstation"
)

// armAudience is what tokens for Resource Manager are for, in every cloud that az has registered.
const armAudience = "https://management.core.windows.net/"

// call is one run of a command.
type call struct {
	context.Context //nolint:containedctx // it lives as long as the command
	d               Deps
	cmd             *cobra.Command
	command         *command
	host            *host
}

// host is the server that a call talks to, and who is signed in.
type host struct {
	dir      string
	server   workstation.Server
	http     *http.Client
	accounts *account.Accounts
}

func (x *call) word(name string) string {
	v, _ := x.cmd.Flags().GetString(name) // no such flag: no value
	return v
}

func (x *call) words(name string) []string {
	v, _ := x.cmd.Flags().GetStringArray(name)
	return v
}

func (x *call) on(name string) bool {
	v, _ := x.cmd.Flags().GetBool(name)
	return v
}

func (x *call) given(name string) bool { return x.cmd.Flags().Changed(name) }

// say tells the person at the terminal something that is no result.
func (x *call) say(format string, args ...any) { _, _ = fmt.Fprintf(x.d.Err, format, args...) }

func (x *call) warn(format string, args ...any) {
	if !x.on("only-show-errors") {
		x.say("WARNING: "+format+"\n", args...)
	}
}

// open finds the server and reads who is signed in.
func (x *call) open() (*host, error) {
	if x.host != nil {
		return x.host, nil
	}
	dir, err := x.d.Workstation()
	if err != nil {
		return nil, err
	}
	server, err := workstation.ReadServer(dir)
	if err != nil {
		return nil, fmt.Errorf("%w\nSet this machine up with `eval \"$(keyreeve env)\"` or `keyreeve connect URL`", err)
	}
	h := &host{dir: dir, server: server}
	if h.http, err = httpClient(server.CA); err != nil {
		return nil, err
	}
	h.accounts = &account.Accounts{Path: workstation.Sessions(dir), Login: server.Login, HTTP: h.http, Now: x.d.Now}
	if err := h.accounts.Open(); err != nil {
		return nil, err
	}
	x.host = h
	return h, nil
}

// httpClient trusts the authority that was fixed when the machine was set up, or the machine's own.
func httpClient(ca string) (*http.Client, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM([]byte(ca)) {
			return nil, errors.New("the authority in the environment's folder cannot be read: run `keyreeve env` or `keyreeve connect` again")
		}
	}
	return &http.Client{
		Transport: &http.Transport{TLSClientConfig: cfg, Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true},
		Timeout:   2 * time.Minute,
	}, nil
}

// subscription is the one that the command works on.
func (x *call) subscription() (account.Subscription, error) {
	h, err := x.open()
	if err != nil {
		return account.Subscription{}, err
	}
	return h.accounts.Subscription(x.word("subscription"))
}

// service returns a client of one API with the signed-in person's token.
func (x *call) service(base, audience string) (*client.Client, error) {
	h, err := x.open()
	if err != nil {
		return nil, err
	}
	s, err := x.subscription()
	if err != nil {
		return nil, err
	}
	return &client.Client{BaseURL: base, HTTP: h.http, Token: func(ctx context.Context) (string, error) {
		t, err := h.accounts.Token(ctx, s, audience)
		return t.Access, err
	}}, nil
}

func (x *call) arm() (*client.Client, error) {
	h, err := x.open()
	if err != nil {
		return nil, err
	}
	return x.service(h.server.ARM, armAudience)
}

func (x *call) graph() (*client.Client, error) {
	h, err := x.open()
	if err != nil {
		return nil, err
	}
	return x.service(h.server.Graph, h.server.Graph+"/")
}

var placeholder = regexp.MustCompile(`\{[a-z-]+\}`)

// fill puts values of flags, escaped, and the subscription into a path.
func (x *call) fill(path string) (string, error) {
	var failed error
	out := placeholder.ReplaceAllStringFunc(path, func(p string) string {
		name := p[1 : len(p)-1]
		if name != "sub" {
			return url.PathEscape(x.word(name))
		}
		s, err := x.subscription()
		if err != nil {
			failed = err
		}
		return s.ID
	})
	return out, failed
}

// at returns the client for a path, and the path filled in. Paths of Graph begin with /v1.0.
func (x *call) at(path string) (*client.Client, string, error) {
	open := x.arm
	if strings.HasPrefix(path, "/v1.0/") {
		open = x.graph
	}
	path, err := x.fill(path)
	if err != nil {
		return nil, "", err
	}
	c, err := open()
	return c, path, err
}

func (x *call) list(path string) (any, error) {
	c, path, err := x.at(path)
	if err != nil {
		return nil, err
	}
	all, err := c.All(x, path)
	if err != nil {
		return nil, err
	}
	return all, nil
}

// objects is list for a list of objects.
func (x *call) objects(path string) ([]map[string]any, error) {
	v, err := x.list(path)
	if err != nil {
		return nil, err
	}
	var out []map[string]any
	for _, o := range v.([]any) {
		if m, ok := o.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out, nil
}

func (x *call) read(path string) (any, error) {
	v, err := x.do(http.MethodGet, path, nil)
	return v, err
}

// object is read for an object.
func (x *call) object(path string) (map[string]any, error) {
	v, err := x.read(path)
	if err != nil {
		return nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("the answer of %s is not what was expected", path)
	}
	return m, nil
}

func (x *call) do(method, path string, body any) (any, error) {
	c, path, err := x.at(path)
	if err != nil {
		return nil, err
	}
	a, err := c.Call(x, method, path, body)
	if err != nil {
		return nil, err
	}
	return a.Body, nil
}

// none is do for a command that prints nothing.
func (x *call) none(method, path string, body any) (any, error) {
	_, err := x.do(method, path, body)
	return nil, err
}

// operate starts a long-running operation and, unless told not to, follows it to its end. It returns what is then to be
// read at path, or nothing for an operation that leaves nothing.
func (x *call) operate(method, path string, body any, leaves string) (any, error) {
	c, path, err := x.at(path)
	if err != nil {
		return nil, err
	}
	a, err := c.Call(x, method, path, body)
	if err != nil || x.on("no-wait") {
		return nil, err
	}
	if err := c.Await(x, a, x.progress()); err != nil || leaves == "" {
		return nil, err
	}
	return x.read(leaves)
}

// progress tells of an operation's status when it is a new one.
func (x *call) progress() func(string) {
	last := ""
	start := x.d.Now()
	return func(status string) {
		if status != last {
			x.say("%s: %s\n", x.command.path, status)
			last = status
			return
		}
		if terminal(x.d.Err) {
			x.say("\r%s: %s, %s ", x.command.path, status, x.d.Now().Sub(start).Round(time.Second))
		}
	}
}

// terminal says whether somebody looks at what is written.
func terminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// filter writes a query of Graph's.
func filter(conditions ...string) string {
	if len(conditions) == 0 {
		return ""
	}
	return "?$filter=" + url.QueryEscape(strings.Join(conditions, " and "))
}

// quoted is a string in a filter.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

var guid = regexp.MustCompile(`^(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// static is a token that is already there.
func static(token string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return token, nil }
}
