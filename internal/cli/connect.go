package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/internal/workstation"
)

// introductionPath is where a server says who it is.
const introductionPath = "/.well-known/keyreeve"

// introduction is what a server says of itself.
type introduction struct {
	Login string `json:"login"`
	ARM   string `json:"arm"`
	Graph string `json:"graph"`
	CA    string `json:"ca"`
}

// connection is what the flags of connect say.
type connection struct {
	name, fingerprint, caFile string
	shell, output             string
	list                      bool
}

func connectCommand(d Deps) *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:   "connect URL | NAME",
		Short: "Set this machine up for a Keyreeve elsewhere",
		Long: "Set this machine up for a Keyreeve elsewhere, and print the environment in which az, kubelogin, kubectl and this\n" +
			"command reach it:\n\n" +
			"  eval \"$(keyreeve connect https://keys.example:8443 --ca-fingerprint sha256:...)\"\n\n" +
			"URL is where people sign in. The server's authority is trusted if its fingerprint is the given one, if it is in\n" +
			"the given file, if this machine trusts it anyway, or else after you have compared the fingerprint shown with the\n" +
			"one that `keyreeve up` prints on the server. NAME alone takes up a server that is connected already.",
		Args: cobra.MaximumNArgs(1),
	}
	f := cmd.Flags()
	f.StringVar(&c.name, "name", "", "name of the server on this machine (default: its host)")
	f.StringVar(&c.fingerprint, "ca-fingerprint", "", "SHA-256 of the authority's certificate")
	f.StringVar(&c.caFile, "ca-file", "", "file with the authority's certificate, PEM")
	f.StringVar(&c.shell, "shell", "bash", "whose way of setting variables: bash, fish or powershell")
	f.StringVarP(&c.output, "output", "o", "shell", "shell, or json")
	f.BoolVar(&c.list, "list", false, "list the servers that this machine is connected to")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		book, err := workstation.DefaultBook()
		if err != nil {
			return err
		}
		if c.list {
			return listServers(d.Out, book)
		}
		if len(args) == 0 {
			return errors.New("where is the Keyreeve? Give its URL, or --list")
		}
		return c.run(cmd.Context(), d, book, args[0])
	}
	return cmd
}

func listServers(w io.Writer, book workstation.Book) error {
	names, err := book.Names()
	if err != nil {
		return err
	}
	current, err := book.Current()
	if err != nil {
		return err
	}
	for _, name := range names {
		dir, err := book.Folder(name)
		if err != nil {
			return err
		}
		s, err := workstation.ReadServer(dir)
		if err != nil {
			return err
		}
		mark := " "
		if name == current {
			mark = "*"
		}
		if _, err := fmt.Fprintf(w, "%s %s  %s\n", mark, name, s.Login); err != nil {
			return err
		}
	}
	return nil
}

func (c *connection) run(ctx context.Context, d Deps, book workstation.Book, where string) error {
	if !strings.Contains(where, "/") {
		return c.again(d, book, where)
	}
	u, err := url.Parse(strings.TrimSuffix(where, "/"))
	if err != nil || u.Scheme != "https" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil {
		return fmt.Errorf("%q is not https://HOST[:PORT]", where)
	}
	name := c.name
	if name == "" {
		name = u.Hostname()
	}
	dir, err := book.Folder(strings.ReplaceAll(name, ":", "-"))
	if err != nil {
		return err
	}
	known := ""
	if s, err := workstation.ReadServer(dir); err == nil {
		if !strings.EqualFold(s.Login, u.String()) {
			return fmt.Errorf("this machine is connected to %s under the name %s: choose another with --name", s.Login, name)
		}
		known = s.CA
	}
	in, ca, err := c.meet(ctx, d, u.String(), known)
	if err != nil {
		return err
	}
	return c.setUp(d, book, filepath.Base(dir), workstation.Settings{
		Dir: dir, Login: in.Login, ARM: in.ARM, Graph: in.Graph, CA: []byte(ca), SystemBundles: workstation.SystemBundles(),
	})
}

// again sets the environment of a server that is connected already.
func (c *connection) again(d Deps, book workstation.Book, name string) error {
	dir, err := book.Folder(name)
	if err != nil {
		return err
	}
	s, err := workstation.ReadServer(dir)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("this machine is connected to no server %q: give its URL, as in `keyreeve connect https://HOST:PORT`", name)
	}
	if err != nil {
		return err
	}
	return c.setUp(d, book, name, workstation.Settings{
		Dir: dir, Login: s.Login, ARM: s.ARM, Graph: s.Graph, CA: []byte(s.CA), SystemBundles: workstation.SystemBundles(),
	})
}

func (c *connection) setUp(d Deps, book workstation.Book, name string, s workstation.Settings) error {
	vars, err := workstation.Setup(s)
	if err != nil {
		return err
	}
	if err := book.SetCurrent(name); err != nil {
		return err
	}
	return printVariables(d.Out, vars, c.output, c.shell)
}

// meet finds out where the server's services are, and which authority vouches for them; empty: one that the machine
// trusts. Nothing that an unknown server says is used but its authority, and that only once somebody vouched for it.
func (c *connection) meet(ctx context.Context, d Deps, login, known string) (introduction, string, error) {
	if c.caFile != "" {
		text, err := os.ReadFile(c.caFile)
		if err != nil {
			return introduction{}, "", fmt.Errorf("--ca-file: %w", err)
		}
		in, err := introduce(ctx, login, string(text))
		return in, string(text), err
	}
	if c.fingerprint == "" {
		// What this machine trusts, by its own settings or since the last time, needs no question.
		in, err := introduce(ctx, login, known)
		if err == nil {
			// The authorities are kept even if the machine trusts them at the moment: its settings may change, and so may they.
			if in.CA != "" {
				if _, failed := introduce(ctx, login, in.CA); failed == nil {
					known = in.CA
				}
			}
			return in, known, nil
		}
		if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); !untrusted {
			return in, "", err
		}
		if known != "" {
			return in, "", fmt.Errorf("%w\nThe server's authority is not the one that was trusted when this machine was connected. If that is right, "+
				"give the new one's --ca-fingerprint", err)
		}
	}
	stranger, err := fetchIntroduction(ctx, login, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}) //nolint:gosec // see above
	if err != nil {
		return introduction{}, "", err
	}
	authority, err := c.vouched(ctx, d, login, stranger.CA)
	if err != nil {
		return introduction{}, "", err
	}
	in, err := introduce(ctx, login, authority)
	if err != nil {
		return in, "", err
	}
	// Told over a connection that somebody vouched for: the authorities of all three services.
	if _, err := introduce(ctx, login, in.CA); err != nil {
		return in, "", fmt.Errorf("the server names authorities that are not its own: %w", err)
	}
	return in, in.CA, nil
}

// vouched returns the one of a stranger's authorities that somebody vouches for: by the fingerprint given, or by a look at
// that of the one which vouches for the server's certificate.
func (c *connection) vouched(ctx context.Context, d Deps, login, bundle string) (string, error) {
	all, err := certificates(bundle)
	if err != nil {
		return "", err
	}
	if c.fingerprint != "" {
		for _, one := range all {
			if err = sameFingerprint(c.fingerprint, one.fingerprint); err == nil {
				return one.text, nil
			}
		}
		return "", err
	}
	for _, one := range all {
		if _, err = introduce(ctx, login, one.text); err == nil {
			return one.text, confirm(d, login, one.fingerprint)
		}
	}
	return "", err
}

// introduce asks a server over a connection that its authority vouches for.
func introduce(ctx context.Context, login, ca string) (introduction, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM([]byte(ca)) {
			return introduction{}, errors.New("the authority's certificate is not PEM")
		}
	}
	in, err := fetchIntroduction(ctx, login, cfg)
	if err != nil {
		return in, err
	}
	return in, in.check(login)
}

// check says whether a server that was asked at login says of itself what can be.
func (in introduction) check(login string) error {
	if in.Login != login {
		return fmt.Errorf("the server says that it is %s: connect to it under this name", in.Login)
	}
	for _, e := range []string{in.Login, in.ARM, in.Graph} {
		if u, err := url.Parse(e); err != nil || u.Hostname() == "" || e != "https://"+u.Host {
			return fmt.Errorf("the server names %q as one of its addresses, which is none", e)
		}
	}
	return nil
}

func fetchIntroduction(ctx context.Context, login string, cfg *tls.Config) (introduction, error) {
	var in introduction
	client := &http.Client{
		Transport: &http.Transport{TLSClientConfig: cfg, Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, login+introductionPath, nil)
	if err != nil {
		return in, fmt.Errorf("connect: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return in, fmt.Errorf("connect: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return in, fmt.Errorf("connect: %w", err)
	}
	if resp.StatusCode != http.StatusOK || json.Unmarshal(text, &in) != nil || in.Login == "" {
		return in, fmt.Errorf("no Keyreeve answers at %s (it answered %s): give the address where people sign in", login, resp.Status)
	}
	return in, nil
}

// certificate is one of a bundle, PEM, with its SHA-256.
type certificate struct{ text, fingerprint string }

// maxAuthorities bounds how many authorities a server may name.
const maxAuthorities = 50

// certificates are those in a PEM text that holds nothing else.
func certificates(bundle string) ([]certificate, error) {
	var all []certificate
	rest := []byte(bundle)
	for len(bytes.TrimSpace(rest)) > 0 {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || block.Type != "CERTIFICATE" || len(all) == maxAuthorities {
			return nil, errors.New("the server's authorities are no certificates: give --ca-file")
		}
		sum := sha256.Sum256(block.Bytes)
		all = append(all, certificate{string(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})), "sha256:" + hex.EncodeToString(sum[:])})
	}
	if len(all) == 0 {
		return nil, errors.New("the server shows no authority: this machine has to trust its certificate, or give --ca-file")
	}
	return all, nil
}

// sameFingerprint compares with or without sha256: and colons.
func sameFingerprint(want, got string) error {
	plain := strings.ReplaceAll(strings.TrimPrefix(strings.ToLower(want), "sha256:"), ":", "")
	if len(plain) != 2*sha256.Size || subtle.ConstantTimeCompare([]byte("sha256:"+plain), []byte(got)) != 1 {
		return fmt.Errorf("the authority that the server shows has the fingerprint %s, not the given one: somebody may be in between", got)
	}
	return nil
}

// confirm asks the person whether the fingerprint is the server's.
func confirm(d Deps, login, got string) error {
	_, _ = fmt.Fprintf(d.Err, "This machine does not know the authority of %s. Its fingerprint is\n\n  %s\n\n"+
		"Compare it with the one that is printed on the server. Trust it? (yes/no): ", login, got)
	line, err := bufio.NewReader(d.In).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch strings.TrimSpace(line) {
	case "yes":
		return nil
	case "":
		return errors.New("nobody answered: give --ca-fingerprint, or --ca-file")
	}
	return errors.New("not trusted, and nothing was set up")
}
