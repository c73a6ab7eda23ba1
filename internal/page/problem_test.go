package page_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/page"
	"github.com/keyreeve/keyreeve/internal/web"
)

// TestProblemsSayWhatToDo: each says what is wrong, what to do, when it was and under which correlation id; the code too if
// it has one. Nothing of an inner error is shown.
func TestProblemsSayWhatToDo(t *testing.T) {
	now := func() time.Time { return time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC) }
	p, err := page.NewPrinter(page.Brand{}, "https://login.test", now)
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"AADSTS50011":    oauth.BadRedirect("https://evil.test/", "app"),
		"AADSTS90094":    oauth.AdminMustConsent("Shop"),
		"AADSTS50126":    oauth.BadCredentials(),
		"AADSTS50053":    oauth.Locked(),
		"stale":          fault.New(fault.Precondition, "", "inner"),
		"another site":   fault.New(fault.Forbidden, "", "inner"),
		"too many":       fault.New(fault.TooMany, "", "inner"),
		"unavailable":    fault.New(fault.Unavailable, "", "inner"),
		"unreadable":     fault.New(fault.Invalid, "", "inner"),
		"our own mishap": fault.Wrap(http.ErrServerClosed, "inner"),
	} {
		t.Run(name, func(t *testing.T) {
			var id string
			w := httptest.NewRecorder()
			a := web.Adapter{Log: slog.New(slog.DiscardHandler), Now: now, Face: "login", WriteError: func(w http.ResponseWriter, r *http.Request, err error) {
				id = web.EventOf(r).RequestID.String()
				p.Problem(w, r, err)
			}}
			a.Handle(func(http.ResponseWriter, *http.Request) error { return err }).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
			text := w.Body.String()
			for _, want := range []string{`role="alert"`, "<p>", "Correlation ID</dt><dd><code>" + id, "2026-05-01 12:00:00 UTC"} {
				if !strings.Contains(text, want) {
					t.Errorf("no %q in\n%s", want, text)
				}
			}
			if strings.HasPrefix(name, "AADSTS") != strings.Contains(text, "Error code") || strings.HasPrefix(name, "AADSTS") && !strings.Contains(text, name) {
				t.Errorf("the code is not as it should be:\n%s", text)
			}
			if w.Code < 400 || strings.Contains(text, "inner") || strings.Count(text, id) != 1 {
				t.Errorf("%d\n%s", w.Code, text)
			}
		})
	}
}
