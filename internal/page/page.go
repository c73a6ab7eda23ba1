// Package page owns how the pages look that people sign in on: their templates and style, the brand of the installation,
// the headers that fence them in, and what each error means in plain words.
//
// Pages work without scripts. The one script there is, on the page that hands an answer to an application by a form,
// saves a click where scripts may run. It knows no flow: who shows which page is the faces' concern.
package page

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/web"
)

//go:embed pages
var files embed.FS

var pages = template.Must(template.ParseFS(files, "pages/*.html"))

// Printer prints pages. Make one with NewPrinter.
type Printer struct {
	brand Brand
	host  string
	style []byte
	now   func() time.Time
}

// NewPrinter returns what prints the pages of a login address, and refuses a brand that people could not read.
func NewPrinter(b Brand, baseURL string, now func() time.Time) (*Printer, error) {
	b, err := b.withDefaults()
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(baseURL)
	if err != nil {
		return nil, fault.Wrap(err, "login address")
	}
	style, err := files.ReadFile("pages/style.css")
	if err != nil {
		return nil, fault.Wrap(err, "style sheet")
	}
	return &Printer{brand: b, host: u.Host, style: append(style, b.css()...), now: now}, nil
}

// Mount adds the routes of style sheet and pictures to mux.
func (p *Printer) Mount(mux *http.ServeMux) {
	mux.Handle("GET /signin/style.css", asset(p.style, "text/css; charset=utf-8"))
	mux.Handle("GET /signin/logo", asset(p.brand.Logo, p.brand.LogoType))
}

func asset(body []byte, contentType string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox") // a picture may be SVG
		w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
		w.Header().Set("Cache-Control", "public, max-age=300")
		_, _ = w.Write(body)
	})
}

// View is what a page shows. Each page takes what it needs.
type View struct {
	Title, Error string
	// State goes on to the next step.
	State string
	// Action is where the form goes.
	Action string
	// Targets are the origins, besides our own, that the form may lead to: browsers follow its redirects only there.
	Targets []string

	Code, User, App, Tenant, Resource string
	From, Ago                         string
	SameAddress, Done, Fixed, Retry   bool
	// Accounts are shown for choosing.
	Accounts []Account
	// Permissions are what an application asks for; Admin says that the person may allow them for everybody.
	Permissions []Permission
	Admin, All  bool
	// Fields are handed on to an application.
	Fields []Field
	// Script says that the form may send itself.
	Script bool

	// Next says what to do about a problem, Again where to start again.
	Next, Number, Time string
	Again, AgainText   string

	// The printer fills in the rest.
	Reference, Host, Nonce string
	Brand                  Brand
}

// Account is somebody to choose.
type Account struct {
	ID, Name, User, Status string
}

// Permission is something that an application asks for.
type Permission struct {
	Name, Text string
}

// Field is a value of a form.
type Field struct {
	Name, Value string
}

// Print writes a page.
func (p *Printer) Print(w http.ResponseWriter, r *http.Request, status int, name string, v View) error {
	v.Reference, v.Host, v.Brand = web.EventOf(r).RequestID.String(), p.host, p.brand
	if v.Script {
		v.Nonce = proof.NewToken("")
	}
	var buf bytes.Buffer
	if err := pages.ExecuteTemplate(&buf, name, v); err != nil {
		return fault.Wrap(err, "page %s", name)
	}
	Fence(w)
	w.Header().Set("Content-Security-Policy", policy(v.Nonce, v.Targets))
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(buf.Bytes())
	return nil
}

// Policy is that of an answer without a page whose form may have led through the targets.
func Policy(targets []string) string { return policy("", targets) }

// policy allows a page its own style sheet and pictures, the forms it has, and nothing else.
func policy(nonce string, targets []string) string {
	sources := slices.DeleteFunc(slices.Clone(targets), func(t string) bool { return !isSource(t) })
	s := "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action " +
		strings.Join(append([]string{"'self'"}, sources...), " ")
	if nonce != "" {
		s += "; script-src 'nonce-" + nonce + "'"
	}
	return s
}

// isSource reports whether text is one source of a policy, and cannot end it or add another.
func isSource(text string) bool {
	return text != "" && !strings.ContainsAny(text, " \t\r\n;,'\"*")
}

// Fence sets the headers that every page and every redirect between pages has.
func Fence(w http.ResponseWriter) {
	for k, v := range map[string]string{
		"Content-Security-Policy":      policy("", nil),
		"X-Frame-Options":              "DENY",
		"X-Content-Type-Options":       "nosniff",
		"Referrer-Policy":              "same-origin",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Permissions-Policy":           "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
		"Cache-Control":                "no-store",
	} {
		w.Header().Set(k, v)
	}
}

// now is the time as problems show it.
func (p *Printer) stamp() string { return p.now().UTC().Format("2006-01-02 15:04:05 UTC") }
