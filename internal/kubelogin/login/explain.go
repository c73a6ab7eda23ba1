package login

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/kubelogin/ask"
)

// tolerableSkew is how far two clocks may be apart; tokens are checked with about as much.
const tolerableSkew = 5 * time.Minute

func skewText(skew time.Duration) string {
	direction := "behind"
	if skew < 0 {
		direction = "ahead of"
	}
	return fmt.Sprintf("this machine's clock is %s %s the server's: set it, or tokens count as expired or not yet valid",
		skew.Abs().Round(time.Minute), direction)
}

// explain turns what a library says into what happened and what to do. It never shows a request, which may hold secrets.
func (a *attempt) explain(ctx context.Context, err error) error {
	if errors.Is(err, errAsk) {
		return err
	}
	// Once the time is over, what goes wrong goes wrong for that.
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, context.DeadlineExceeded):
		return a.withClock(fault.New(fault.Unavailable, "timeout", "%s: not done within %s; --timeout gives more time",
			a.doing(), a.r.Timeout))
	case cause != nil:
		return fault.New(fault.Unavailable, "interrupted", "%s: interrupted", a.doing())
	}
	if ours, ok := errors.AsType[*fault.Error](err); ok {
		return ours
	}
	if r := a.transport.refusal(); r != nil {
		return a.withClock(a.refused(r))
	}
	var (
		op      *net.OpError
		dns     *net.DNSError
		u       *url.Error
		invalid x509.CertificateInvalidError
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
	)
	at := a.r.Authority
	if errors.As(err, &u) {
		if parsed, perr := url.Parse(u.URL); perr == nil {
			at = parsed.Scheme + "://" + parsed.Host
		}
	}
	switch {
	case errors.As(err, &unknown):
		return fault.New(fault.Unavailable, "", "%s is not trusted: its certificate is signed by an authority that this machine does not know. "+
			"A kubeconfig carries its authority's certificates in the exec section's env as %s; SSL_CERT_FILE names a file of them", at, ask.AuthorityCAVariable)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return a.withClock(fault.New(fault.Unavailable, "", "the certificate of %s is expired or not yet valid by this machine's clock (%s): "+
			"check the clock first", at, a.Now().UTC().Format(time.RFC3339)))
	case errors.As(err, &host):
		return fault.New(fault.Unavailable, "", "the certificate of %s is for another name: %v", at, host)
	case errors.As(err, &dns):
		return fault.New(fault.Unavailable, "", "%s cannot be found (%v): check the network and --authority-host", at, dns)
	case errors.As(err, &op):
		return fault.New(fault.Unavailable, "", "%s cannot be reached (%v): check the network and --authority-host", at, op)
	}
	text := firstParagraph(err.Error())
	switch a.r.Mode {
	case ask.AzureCLI:
		return fault.New(fault.Unauthenticated, "", "az gave no token: %s", text)
	case ask.AzureDevCLI:
		return fault.New(fault.Unauthenticated, "", "azd gave no token: %s", text)
	case ask.ManagedIdentity:
		return fault.New(fault.Unauthenticated, "", "the endpoint of managed identities gave no token: %s", text)
	default:
		return a.withClock(fault.New(fault.Unauthenticated, "", "%s failed: %s", a.doing(), text))
	}
}

func (a *attempt) doing() string {
	switch a.r.Mode {
	case ask.DeviceCode, ask.Interactive:
		return "signing in"
	default:
		return "getting a token by " + string(a.r.Mode)
	}
}

func (a *attempt) withClock(f *fault.Error) error {
	if skew := a.transport.skew(); skew.Abs() > tolerableSkew {
		f.Public += "\n" + strings.ToUpper(skewText(skew)[:1]) + skewText(skew)[1:]
	}
	return f
}

// advice is what to do, by the numbers of the token service's errors.
func advice(n int) string {
	switch n {
	case 53003:
		return "A Conditional Access policy blocks this sign-in; whoever looks after the directory can say what it asks for."
	case 53000, 53001, 53002, 53004, 530002, 530003:
		return "A Conditional Access policy asks for a device that is managed and compliant. A device code cannot show one: use --login interactive."
	case 50158, 50072, 50076, 50079:
		return "Multi-factor authentication is required: use --login interactive or devicecode."
	case 50126, 50034, 50056:
		return "The user name or the password is wrong."
	case 50057:
		return "The account is disabled."
	case 50053:
		return "The account is locked for a while, after too many wrong passwords."
	case 50055:
		return "The password has expired: sign in once in a browser to set a new one."
	case 700016:
		return "The tenant has no such application: check --client-id and --tenant-id."
	case 90002, 900023:
		return "There is no such tenant: check --tenant-id and --authority-host."
	case 7000215:
		return "The client secret is wrong: give its value, not its id."
	case 7000222:
		return "The client secret has expired: make a new one."
	case 700027, 700021, 700030:
		return "The certificate is not one of the application's: check --client-certificate, or add it to the application."
	case 70021, 700213, 700211, 700212, 7002138:
		return "No federated credential of the application fits the token: compare its issuer, subject and audience."
	case 700024, 700023, 500133:
		return "The assertion is expired or not yet valid: check the clock, and that its file is renewed."
	case 500011, 500014, 650052:
		return "The tenant does not have the cluster's server application: check --server-id."
	case 65001:
		return "Consent is missing: an administrator can give it to the application."
	case 70016, 70019, 70020:
		return "The code was not used in time: run the command again."
	case 7000218:
		return "The application is not a public client: allow public client flows for it, or use --login spn."
	case 50105:
		return "The application asks for an assignment: have one made for this account."
	}
	return ""
}

// refused says what the token service said.
func (a *attempt) refused(r *refusal) *fault.Error {
	text := firstParagraph(r.Description)
	if text == "" {
		text = r.Code
	}
	var hints []string
	numbers := r.Numbers
	for _, word := range strings.FieldsFunc(r.Description, func(c rune) bool { return c == ':' || c == ' ' || c == '\r' || c == '\n' }) {
		if rest, ok := strings.CutPrefix(word, "AADSTS"); ok {
			n := 0
			if _, err := fmt.Sscanf(rest, "%d", &n); err == nil {
				numbers = append(numbers, n)
			}
		}
	}
	for _, n := range numbers {
		if h := advice(n); h != "" && !slices.Contains(hints, h) {
			hints = append(hints, h)
		}
	}
	if len(hints) == 0 {
		switch r.Code {
		case "access_denied", "authorization_declined":
			hints = []string{"The sign-in was declined."}
		case "expired_token", "code_expired":
			hints = []string{"The code was not used in time: run the command again."}
		}
	}
	f := fault.New(fault.Unauthenticated, r.Code, "the token service refuses: %s", text)
	for _, p := range r.Policies {
		f.Public += "\nPolicy: " + clean(p)
	}
	for _, h := range hints {
		f.Public += "\n" + h
	}
	if r.Correlation != "" {
		f.Public += "\nCorrelation id: " + clean(r.Correlation)
	}
	return f
}

// firstParagraph is what is meant for people: without trace ids, and without characters that steer a terminal.
func firstParagraph(s string) string {
	s, _, _ = strings.Cut(s, "\r\n")
	if i := strings.Index(s, " Trace ID: "); i > 0 {
		s = s[:i]
	}
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + " …"
	}
	return clean(s)
}

// maxText bounds what is repeated of what a server or a library said, in bytes.
const maxText = 1000

func clean(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r == '\n' || r >= ' ' && r != 0x7f && (r < 0x80 || r > 0x9f) {
			return r
		}
		return -1
	}, s))
}
