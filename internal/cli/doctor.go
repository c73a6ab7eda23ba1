package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/internal/client"
	"github.com/keyreeve/keyreeve/internal/kubewire"
)

// doctor looks for what lets access through that has ended, or keeps out access that is given.
type doctor struct {
	asker
	authorization string
	pods          []string
	version       string
	now           func() time.Time
}

// errFindings is the exit of a doctor who found something that must be mended.
var errFindings = errors.New("something must be mended")

func doctorCommand(d Deps) *cobra.Command {
	x := doctor{asker: asker{out: d.Out}, now: time.Now}
	cmd := &cobra.Command{
		Use:   "doctor [--cluster CLUSTER] [--authorization-config FILE] [--static-pod FILE]…",
		Short: "Look for what is set up so that access does not end when it should",
		Long: "Looks at the control plane (certificates, clocks), at a cluster and its gates, and at the files of an API server: its\n" +
			"authorization configuration, and the static pods of API server and controller manager. Ends with status 1 when\n" +
			"something must be mended.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return x.run(cmd.Context()) },
	}
	x.flags(cmd)
	f := cmd.Flags()
	f.Lookup("cluster").Usage = "a cluster's name or resource id"
	f.StringVar(&x.authorization, "authorization-config", "", "the API server's --authorization-config file")
	f.StringArrayVar(&x.pods, "static-pod", nil, "the manifest of kube-apiserver or kube-controller-manager; may be given several times")
	f.StringVar(&x.version, "kubernetes-version", "", "the API server's version, such as 1.37")
	return cmd
}

func (x *doctor) run(ctx context.Context) error {
	if x.output != "table" && x.output != "json" {
		return fmt.Errorf("--output %q is not one of table, json", x.output)
	}
	var all []kubewire.Finding
	files, err := x.files()
	if err != nil {
		return err
	}
	all = append(all, files...)
	// With files alone there may be no control plane to ask.
	if x.arm != "" {
		all = append(all, x.controlPlane(ctx)...)
	}
	if x.cluster != "" {
		found, err := x.look(ctx)
		if err != nil {
			return err
		}
		all = append(all, found...)
	}
	if len(all) == 0 {
		return errors.New("what shall be looked at? Set the environment with `eval \"$(keyreeve env)\"`, or give --authorization-config or --static-pod")
	}
	if err := x.print(all); err != nil {
		return err
	}
	for _, f := range all {
		if f.Level == kubewire.Fail {
			return errFindings
		}
	}
	return nil
}

func (x *doctor) print(all []kubewire.Finding) error {
	if x.output == "json" {
		return printJSON(x.out, map[string]any{"findings": all})
	}
	tw := tabwriter.NewWriter(x.out, 0, 0, 2, ' ', 0)
	for _, f := range all {
		_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\n", f.Level, f.Check, f.Text) // the writer keeps its error until Flush
	}
	return tw.Flush()
}

// files looks at the files of an API server.
func (x *doctor) files() ([]kubewire.Finding, error) {
	var out []kubewire.Finding
	minor := 0
	if x.version != "" {
		var err error
		if minor, err = kubewire.ParseMinor(x.version); err != nil {
			return nil, err
		}
	}
	if x.authorization != "" {
		text, err := os.ReadFile(x.authorization)
		if err != nil {
			return nil, err
		}
		out = append(out, kubewire.CheckAuthorization(text)...)
	}
	for _, path := range x.pods {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		pods, err := kubewire.ParsePod(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for program, flags := range pods {
			out = append(out, kubewire.CheckFlags(program, flags, minor)...)
		}
	}
	return out, nil
}

// Bounds of what is in order.
const (
	skewWarn   = 2 * time.Second // tokens and sessions are held against the clock
	skewFail   = time.Minute
	expiryWarn = 14 * 24 * time.Hour
	reportWarn = 30 * time.Second
	behindWarn = 5
)

// controlPlane looks at the listener of Resource Manager: is it there, how long is its certificate good, and what time is it.
func (x *doctor) controlPlane(ctx context.Context) []kubewire.Finding {
	const check = "control plane"
	var peer *x509.Certificate
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // the standard library's own
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, VerifyConnection: func(s tls.ConnectionState) error {
		peer = s.PeerCertificates[0]
		return nil
	}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(x.arm, "/")+"/metadata/endpoints?api-version=2022-09-01", nil)
	if err != nil {
		return []kubewire.Finding{{Check: check, Level: kubewire.Fail, Text: err.Error()}}
	}
	begun := x.now()
	res, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return []kubewire.Finding{{Check: check, Level: kubewire.Fail, Text: "it does not answer: " + err.Error()}}
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20))
	out := []kubewire.Finding{{Check: check, Level: kubewire.OK, Text: "it answers"}}
	if date, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		out = append(out, skew(begun, x.now(), date))
	}
	if peer != nil {
		out = append(out, expiry(check+": certificate", peer.NotAfter, x.now()))
	}
	return out
}

// skew compares a server's clock, which says whole seconds, with ours.
func skew(begun, ended, there time.Time) kubewire.Finding {
	f := kubewire.Finding{Check: "clocks", Level: kubewire.OK, Text: "within a second or two"}
	off := time.Duration(0)
	switch {
	case there.Before(begun.Add(-time.Second)):
		off = begun.Sub(there)
	case there.After(ended):
		off = there.Sub(ended)
	}
	switch {
	case off > skewFail:
		f.Level = kubewire.Fail
	case off > skewWarn:
		f.Level = kubewire.Warn
	default:
		return f
	}
	f.Text = fmt.Sprintf("this host and the control plane are %s apart: tokens begin and end at the wrong time", off.Round(time.Second))
	return f
}

// expiry says how long something is good.
func expiry(check string, end, now time.Time) kubewire.Finding {
	left := end.Sub(now)
	f := kubewire.Finding{Check: check, Level: kubewire.OK, Text: "good until " + end.UTC().Format(time.RFC3339)}
	switch {
	case left <= 0:
		f.Level, f.Text = kubewire.Fail, "it ended on "+end.UTC().Format(time.RFC3339)
	case left < expiryWarn:
		f.Level = kubewire.Warn
	}
	return f
}

// clusterView is what doctor reads of a managed cluster.
type clusterView struct {
	Properties struct {
		DisableLocalAccounts bool `json:"disableLocalAccounts"`
		AADProfile           *struct {
			Managed bool `json:"managed"`
		} `json:"aadProfile"`
		Attached *struct {
			CertificateAuthority string `json:"certificateAuthority"`
		} `json:"keyreeveAttachedProfile"`
	} `json:"properties"`
}

type gateView struct {
	Name       string    `json:"name"`
	Version    string    `json:"version"`
	Connected  bool      `json:"connected"`
	Since      time.Time `json:"since"`
	Revision   int64     `json:"revision"`
	ReportedOn time.Time `json:"reportedOn"`
}

// look looks at a cluster: its settings, its gates, and whether its own RBAC is known.
func (x *doctor) look(ctx context.Context) ([]kubewire.Finding, error) {
	c, id, err := x.open(ctx)
	if err != nil {
		return nil, err
	}
	var view clusterView
	if err := c.Get(ctx, id, &view); err != nil {
		return nil, err
	}
	out := checkCluster(&view, x.now())
	if view.Properties.Attached != nil {
		var gates struct {
			Value    []gateView `json:"value"`
			Revision int64      `json:"revision"`
		}
		if err := c.Get(ctx, id+"/keyreeveGates", &gates); err != nil {
			return nil, err
		}
		out = append(out, checkGates(gates.Value, gates.Revision, x.now())...)
	}
	access, err := c.Access(ctx, id, client.Question{})
	if err != nil {
		return nil, err
	}
	if access.Complete {
		return append(out, kubewire.Finding{Check: "own RBAC", Level: kubewire.OK, Text: "the cluster's own roles and bindings are known"}), nil
	}
	return append(out, kubewire.Finding{
		Check: "own RBAC", Level: kubewire.Warn, Text: "the cluster's own roles and bindings are not known to the control plane: explain, who-can and access are not complete",
	}), nil
}

func checkCluster(view *clusterView, now time.Time) []kubewire.Finding {
	var out []kubewire.Finding
	say := func(check string, level kubewire.Level, text string) {
		out = append(out, kubewire.Finding{Check: check, Level: level, Text: text})
	}
	p := &view.Properties
	if p.AADProfile == nil {
		say("sign-in", kubewire.Fail, "the cluster does not take people from the directory (aadProfile)")
	}
	if p.Attached == nil {
		if p.DisableLocalAccounts {
			say("local accounts", kubewire.OK, "disabled")
		} else {
			say("local accounts", kubewire.Warn, "enabled: who may list admin credentials gets a certificate of 30 days; az aks update --disable-local-accounts")
		}
		say("API server", kubewire.OK, "it runs here: its chain, caches and controllers are as they should be")
		return out
	}
	rest := []byte(p.Attached.CertificateAuthority)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return out
		}
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
			out = append(out, expiry("API server: authority "+cert.Subject.CommonName, cert.NotAfter, now))
		}
	}
}

// checkGates looks at what is known of a cluster's gates.
func checkGates(gates []gateView, head int64, now time.Time) []kubewire.Finding {
	var out []kubewire.Finding
	say := func(check string, level kubewire.Level, format string, args ...any) {
		out = append(out, kubewire.Finding{Check: check, Level: level, Text: fmt.Sprintf(format, args...)})
	}
	connected := 0
	versions := map[string]bool{}
	for _, g := range gates {
		check := "gate " + g.Name
		if !g.Connected {
			say(check, kubewire.Warn, "not connected since %s: it goes on with what it knows up to its staleness bound, then answers nothing", g.Since.UTC().Format(time.RFC3339))
			continue
		}
		connected++
		versions[g.Version] = true
		switch behind := head - g.Revision; {
		case behind > behindWarn:
			say(check, kubewire.Warn, "connected, and %d revisions behind", behind)
		case g.ReportedOn.IsZero() || now.Sub(g.ReportedOn) > reportWarn && behind > 0:
			say(check, kubewire.Warn, "connected, and has not said lately by what it decides")
		default:
			say(check, kubewire.OK, "connected, at revision %d of %d", g.Revision, head)
		}
	}
	switch {
	case connected == 0:
		say("gates", kubewire.Fail, "none is connected: the cluster's decisions are, or soon will be, none")
	case len(versions) > 1:
		say("gates", kubewire.Warn, "they are of %d versions", len(versions))
	}
	return out
}
