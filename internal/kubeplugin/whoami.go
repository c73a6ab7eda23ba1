package kubeplugin

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/internal/kubelogin"
)

// who is the answer of whoami.
type who struct {
	Context  string   `json:"context"`
	Cluster  string   `json:"cluster"`
	Server   string   `json:"server"`
	Identity identity `json:"identity"`
	SignIn   *signIn  `json:"signIn,omitempty"`
	// CertificateExpires is the end of a client certificate.
	CertificateExpires *time.Time `json:"certificateExpires,omitempty"`
}

// signIn is what the token says.
type signIn struct {
	Mode        string    `json:"mode"`
	Authority   string    `json:"authority"`
	Name        string    `json:"name"`
	ObjectID    string    `json:"objectId"`
	TenantID    string    `json:"tenantId"`
	Application string    `json:"applicationId"`
	Expires     time.Time `json:"expires"`
}

func whoamiCommand(d Deps, f *flags) *cobra.Command {
	return &cobra.Command{
		Use: "whoami", Short: "Say who you are in the cluster of the current context", Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := f.here(d)
			if err != nil {
				return err
			}
			w, err := h.whoami(cmd.Context())
			if err != nil {
				return err
			}
			if f.output == "json" {
				return printJSON(d.Out, w)
			}
			return w.print(d.Out, d.Now())
		},
	}
}

func (h *here) whoami(ctx context.Context) (*who, error) {
	w := &who{Context: h.Context, Cluster: h.ClusterName, Server: h.Server}
	if h.signIn != nil {
		token, expires, err := h.signIn.Token(ctx)
		if err != nil {
			return nil, err
		}
		c := kubelogin.ReadClaims(token)
		w.SignIn = &signIn{h.signIn.Mode(), h.signIn.Authority(), c.Name, c.ObjectID, c.TenantID, c.ApplicationID, expires.UTC()}
	}
	if block, _ := pem.Decode(h.Certificate); block != nil {
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			w.CertificateExpires = &c.NotAfter
		}
	}
	var err error
	w.Identity, err = h.self(ctx)
	return w, err
}

func (w *who) print(out io.Writer, now time.Time) error {
	lines := [][2]string{{"User", w.Identity.Username}, {"Object", w.Identity.UID}}
	for i, g := range w.Identity.Groups {
		label := ""
		if i == 0 {
			label = "Groups"
		}
		lines = append(lines, [2]string{label, g})
	}
	if s := w.SignIn; s != nil {
		lines = append(lines,
			[2]string{"Signed in", "by " + s.Mode + " at " + strings.TrimSuffix(s.Authority, "/") + ", tenant " + s.TenantID},
			[2]string{"Expires", s.Expires.Format(time.RFC3339) + ", " + until(now, s.Expires)})
	}
	if w.CertificateExpires != nil {
		lines = append(lines, [2]string{"Certificate", w.CertificateExpires.UTC().Format(time.RFC3339) + ", " + until(now, *w.CertificateExpires)})
	}
	lines = append(lines, [2]string{"Cluster", w.Cluster + " at " + w.Server}, [2]string{"Context", w.Context})
	return printLines(out, lines)
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
