package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"
)

// bound is how long after an acknowledged write it is in force.
const bound = time.Second

// way is one way in which access comes and goes. Both ends are acknowledged when they return.
type way struct {
	name string
	// only names the kind of cluster that has it; empty is both.
	only string
	// ready makes the state that the way begins in: access.
	ready func(*ways, target)
	// revoke ends access and grant gives it back.
	revoke, grant func(*ways, target)
	// ask asks once with the credential at hand; nil asks with bob's token.
	ask func(*ways, target) int
	// after cleans up.
	after func(*ways, target)
}

// ways is what ways work with.
type ways struct {
	*estate
	foreign            *attached
	bob, dan           string
	admins, inner, tmp string
	assignment         string
	bobToken, danToken string
	askers             map[string]*asker // by target and person
	certificate        *asker
	fingerprint        string
}

const configmaps = "/api/v1/namespaces/default/configmaps"

const (
	readerRole       = "7f6c6a51-bcf8-42ba-9220-52d62157d7db"
	writerRole       = "a7ffa36f-339b-4b5c-8bdf-e2c188b2c0eb"
	adminRole        = "3498e952-d568-435e-9b2c-8d77e338d7f7"
	clusterAdminRole = "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b"
)

func newWays(t testing.TB) (*ways, []target) {
	t.Helper()
	w := &ways{estate: newEstate(t), askers: map[string]*asker{}}
	w.bob, w.dan = w.user("bob"), w.user("dan")
	w.inner = w.group("inner")
	w.admins = w.group("admins", w.inner)
	w.bobToken, w.danToken = w.userToken("bob"), w.userToken("dan")
	here := w.embedded("c1", w.admins)
	w.foreign = attach(t, w.p, "30s", "--admin-group", w.admins, "--enable-azure-rbac")
	w.foreign.masters("create", "clusterrolebinding", "owners", "--clusterrole", "cluster-admin", "--group", "owners")
	there := target{name: "attached", id: w.root + "/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/away", server: w.foreign.cluster.Server, ca: w.foreign.cluster.CA}
	return w, []target{here, there}
}

// as is an asker with a token, kept so that connections are.
func (w *ways) as(c target, token string) *asker {
	a, ok := w.askers[c.name+token]
	if !ok {
		a = w.byToken(c, token)
		w.askers[c.name+token] = a
	}
	return a
}

func (w *ways) askBob(c target) int {
	code, _ := w.as(c, w.bobToken).do(http.MethodGet, c.server+configmaps, nil)
	return code
}

// askAsBob asks as dan who plays bob.
func (w *ways) askAsBob(c target) int {
	w.t.Helper()
	a := w.as(c, w.danToken)
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, c.server+configmaps, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.danToken)
	req.Header.Set("Impersonate-User", "bob@keyreeve.test")
	res, err := a.http.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

func (w *ways) askByCertificate(c target) int {
	code, _ := w.certificate.do(http.MethodGet, c.server+configmaps, nil)
	return code
}

// takeCertificate takes a new admin certificate; of an attached cluster it is one of the cluster's own authority.
func (w *ways) takeCertificate(c target) {
	w.t.Helper()
	if c.name == "attached" {
		pair, err := w.foreign.cluster.Client("owner", "owners")
		if err != nil {
			w.t.Fatal(err)
		}
		w.certificate = w.byCertificate(c, []byte(pair.Cert), []byte(pair.Key))
		return
	}
	u := w.adminConfig(c).Users[0].User
	w.certificate, w.fingerprint = w.byCertificate(c, u.Cert, u.Key), thumbprint(w.t, u.Cert)
}

const denial = "/providers/Microsoft.Authorization/denyAssignments/44444444-5555-4666-8777-888888888888"

// everyWay is the table of docs/revocation.md.
func everyWay() []way {
	joined := func(w *ways, _ target) { w.join(w.inner, w.bob) }
	left := func(w *ways, _ target) { w.leave(w.inner, w.bob) }
	assigned := func(scope string) func(*ways, target) {
		return func(w *ways, c target) { w.assignment = w.assign(c.id+scope, readerRole, w.bob, "User") }
	}
	unassigned := func(w *ways, _ target) { w.unassign(w.assignment) }
	nested := func(w *ways, _ target) {
		w.tmp = w.group("tmp", w.bob)
		w.join(w.admins, w.tmp)
	}
	enabled := func(on bool) func(*ways, target) {
		return func(w *ways, _ target) {
			w.dir(http.MethodPatch, "/users/"+w.bob, map[string]any{"accountEnabled": on})
		}
	}
	none := func(*ways, target) {}
	return []way{
		{name: "member of a nested group", ready: joined, revoke: left, grant: joined, after: left},
		{name: "assignment at the cluster", ready: assigned(""), revoke: unassigned, grant: assigned(""), after: unassigned},
		{name: "assignment at a namespace", ready: assigned("/namespaces/default"), revoke: unassigned, grant: assigned("/namespaces/default"), after: unassigned},
		{
			name: "deny assignment", ready: assigned(""), after: unassigned,
			revoke: func(w *ways, c target) {
				w.manage(http.MethodPut, c.id+denial, "2022-04-01", map[string]any{"properties": map[string]any{
					"denyAssignmentName": "bob", "permissions": []any{map[string]any{"dataActions": []string{"*"}}}, "principals": []any{map[string]string{"id": w.bob}},
				}}, nil)
			},
			grant: func(w *ways, c target) { w.manage(http.MethodDelete, c.id+denial, "2022-04-01", nil, nil) },
		},
		{
			name: "group", ready: nested, grant: nested,
			revoke: func(w *ways, _ target) { w.dir(http.MethodDelete, "/groups/"+w.tmp, nil) },
			after:  func(w *ways, _ target) { w.dir(http.MethodDelete, "/groups/"+w.tmp, nil) },
		},
		{name: "account", ready: joined, revoke: enabled(false), grant: enabled(true), after: left},
		{
			name: "sessions", ready: joined, after: left,
			revoke: func(w *ways, _ target) {
				w.dir(http.MethodPost, "/users/"+w.bob+"/revokeSignInSessions", map[string]any{})
			},
			grant: func(w *ways, _ target) { w.bobToken = w.userToken("bob") },
		},
		{
			name: "impersonator", ask: (*ways).askAsBob,
			ready:  func(w *ways, c target) { assigned("")(w, c); w.join(w.inner, w.dan) },
			revoke: func(w *ways, _ target) { w.leave(w.inner, w.dan) },
			grant:  func(w *ways, _ target) { w.join(w.inner, w.dan) },
			after:  func(w *ways, c target) { w.leave(w.inner, w.dan); unassigned(w, c) },
		},
		{
			name: "one certificate", only: "embedded", ask: (*ways).askByCertificate, ready: (*ways).takeCertificate, grant: (*ways).takeCertificate, after: none,
			revoke: func(w *ways, c target) {
				w.manage(http.MethodPost, c.id+"/keyreeveCertificates/"+w.fingerprint+"/revoke", aksVersion, map[string]any{}, nil)
			},
		},
		{
			name: "local accounts", ask: (*ways).askByCertificate, ready: (*ways).takeCertificate, after: none,
			revoke: func(w *ways, c target) { w.localAccounts(c, true) },
			grant:  func(w *ways, c target) { w.localAccounts(c, false); w.takeCertificate(c) },
		},
	}
}

func refusedCode(code int) bool {
	return code == http.StatusUnauthorized || code == http.StatusForbidden
}

// until asks until the answer is as wanted, and returns how long after the call that was.
func (w *ways) until(y way, c target, what string, good func(int) bool) time.Duration {
	w.t.Helper()
	ask := y.ask
	if ask == nil {
		ask = (*ways).askBob
	}
	start := time.Now()
	for {
		code := ask(w, c)
		took := time.Since(start)
		if good(code) {
			return took
		}
		if took > bound {
			w.t.Fatalf("%s, %s, %s: a second later still %d", y.name, c.name, what, code)
		}
	}
}

func allowedCode(code int) bool { return code == http.StatusOK }

// rounds ends and gives back access as often as that, and returns how long each took.
func (w *ways) rounds(y way, c target, n int) (revoked, granted []time.Duration) {
	w.t.Helper()
	y.ready(w, c)
	w.until(y, c, "ready", allowedCode)
	for range n {
		y.revoke(w, c)
		revoked = append(revoked, w.until(y, c, "revoked", refusedCode))
		y.grant(w, c)
		granted = append(granted, w.until(y, c, "granted", allowedCode))
	}
	y.after(w, c)
	return revoked, granted
}

// TestEveryWay: each way in which access ends or comes is in force within a second of the acknowledged write, on the API server
// of an embedded cluster and on one with a gate beside it, for a credential at hand.
func TestEveryWay(t *testing.T) {
	w, targets := newWays(t)
	for _, y := range everyWay() {
		for _, c := range targets {
			if y.only != "" && y.only != c.name {
				continue
			}
			t.Run(y.name+", "+c.name, func(t *testing.T) {
				revoked, granted := w.rounds(y, c, 2)
				t.Logf("refused after at most %s, let in after at most %s", slices.Max(revoked).Round(time.Millisecond), slices.Max(granted).Round(time.Millisecond))
			})
		}
	}
	t.Run("open streams", func(t *testing.T) { openStreams(t, w, targets[0]) })
	t.Run("open streams, attached", func(t *testing.T) { foreignStreams(t, w, targets[1]) })
	t.Run("a gate is revoked", func(t *testing.T) { revokedGate(t, w, targets[1]) })
}

// revokedGate: a gate whose certificate is revoked stops deciding, whatever its staleness bound.
func revokedGate(t *testing.T, w *ways, c target) {
	w.join(w.inner, w.bob)
	y := everyWay()[0]
	w.until(y, c, "before", allowedCode)
	var list struct{ Value []struct{ Name string } }
	w.manage(http.MethodGet, c.id+"/keyreeveCertificates", aksVersion, nil, &list)
	for _, v := range list.Value {
		w.manage(http.MethodPost, c.id+"/keyreeveCertificates/"+v.Name+"/revoke", aksVersion, map[string]any{}, nil)
	}
	revoked := time.Now()
	eventually(t, 3*time.Second, "the gate decides no more", func() bool { return w.askBob(c) != http.StatusOK })
	t.Logf("the gate decides no more %s after its certificate was revoked", time.Since(revoked).Round(time.Millisecond))
	if code, text := w.foreign.gate.Get("/readyz"); code != http.StatusServiceUnavailable || text == "" {
		t.Errorf("readyz %d %s", code, text)
	}
	if w.foreign.metric("revoked") != "1" {
		t.Error("the gate does not say that it is revoked")
	}
}

// BenchmarkRevocation measures, for each way and kind of cluster, how long after an acknowledged write the first request is
// refused, and let in again, over 50 rounds.
func BenchmarkRevocation(b *testing.B) {
	w, targets := newWays(b)
	const times = 50
	for _, y := range everyWay() {
		for _, c := range targets {
			if y.only != "" && y.only != c.name {
				continue
			}
			b.Run(fmt.Sprintf("%s/%s", y.name, c.name), func(b *testing.B) {
				var revoked, granted []time.Duration
				for b.Loop() {
					r, g := w.rounds(y, c, times)
					revoked, granted = append(revoked, r...), append(granted, g...)
				}
				b.ReportMetric(0, "ns/op") // a round waits, and is no measure
				report(b, "refused", revoked)
				report(b, "let-in", granted)
			})
		}
	}
}

func report(b *testing.B, what string, all []time.Duration) {
	b.Helper()
	slices.Sort(all)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(ms(all[(len(all)*99+99)/100-1]), what+"-p99-ms")
	b.ReportMetric(ms(all[len(all)-1]), what+"-max-ms")
}
