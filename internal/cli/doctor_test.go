package cli

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/kubewire"
)

func TestDoctorRules(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	gate := gateView{Name: "g", Version: "1", Connected: true, Revision: 10, ReportedOn: now}
	old := gate
	old.Version, old.Revision = "2", 1
	gone := gate
	gone.Connected = false
	silent := gate
	silent.ReportedOn, silent.Revision = now.Add(-time.Minute), 9
	for name, c := range map[string]struct {
		found []kubewire.Finding
		want  string
	}{
		"gates":           {checkGates([]gateView{gate}, 10, now), "ok"},
		"two versions":    {checkGates([]gateView{gate, old}, 10, now), "ok warn warn"},
		"none":            {checkGates(nil, 10, now), "fail"},
		"gone":            {checkGates([]gateView{gone}, 10, now), "warn fail"},
		"silent":          {checkGates([]gateView{silent}, 10, now), "warn"},
		"clocks":          {[]kubewire.Finding{skew(now, now.Add(time.Second), now)}, "ok"},
		"clocks, seconds": {[]kubewire.Finding{skew(now, now, now.Add(-10*time.Second))}, "warn"},
		"clocks, minutes": {[]kubewire.Finding{skew(now, now, now.Add(10*time.Minute))}, "fail"},
		"ends later":      {[]kubewire.Finding{expiry("x", now.Add(1000*time.Hour), now)}, "ok"},
		"ends soon":       {[]kubewire.Finding{expiry("x", now.Add(time.Hour), now)}, "warn"},
		"ended":           {[]kubewire.Finding{expiry("x", now, now)}, "fail"},
		"no sign-in":      {checkCluster(&clusterView{}, now), "fail warn ok"},
	} {
		var got []string
		for _, f := range c.found {
			got = append(got, string(f.Level))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %+v", name, c.found)
		}
	}
}

func TestDoctorCommand(t *testing.T) {
	const id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/first"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text := map[string]string{
			"/metadata/endpoints": `{}`, id: `{"properties":{"disableLocalAccounts":true,"aadProfile":{"managed":true},"keyreeveAttachedProfile":{"certificateAuthority":""}}}`,
			id + "/keyreeveGates":  `{"value":[{"name":"g","connected":true,"revision":7,"reportedOn":"2126-01-01T00:00:00Z"}],"revision":7}`,
			id + "/keyreeveAccess": `{"complete":false}`,
		}[r.URL.Path]
		if text == "" {
			w.WriteHeader(http.StatusForbidden)
		}
		_, _ = io.WriteString(w, text)
	}))
	defer s.Close()
	t.Setenv("KEYREEVE_TOKEN", "t")
	t.Setenv("KEYREEVE_ARM_URL", "")
	dir := t.TempDir()
	good, err := kubewire.Settings{Minor: 37, Dir: "/x", GateURL: "https://g", Cluster: "c"}.AuthorizationConfiguration()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"good.yaml": string(good), "bad.yaml": strings.Replace(string(good), "Deny", "NoOpinion", 1),
		"pod.yaml": "kind: Pod\nspec:\n  containers:\n  - name: kube-controller-manager\n    command: [kube-controller-manager, --cluster-signing-cert-file=/ca.crt]\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for args, c := range map[string]struct {
		err  string
		want []string
	}{
		"--authorization-config good.yaml":        {"", []string{"ok", "failurePolicy"}},
		"--authorization-config bad.yaml":         {"must be mended", []string{"fail", "NoOpinion"}},
		"--authorization-config bad.yaml -o json": {"must be mended", []string{`"level": "fail"`}},
		"--static-pod pod.yaml":                   {"", []string{"warn", "certificate signing"}},
		"-c " + id + " --arm " + s.URL:            {"", []string{"it answers", "gate g", "connected, at revision 7 of 7", "are not known"}},
		"--arm http://127.0.0.1:1":                {"must be mended", []string{"does not answer"}},
		"":                                        {"what shall be looked at", nil},
		"-o xml":                                  {"not one of table, json", nil},
		"--authorization-config none.yaml":        {"no such file", nil},
		"--static-pod good.yaml":                  {"not the manifest of a pod", nil},
		"--static-pod pod.yaml --kubernetes-version nonsense": {"not a Kubernetes version", nil},
	} {
		var out bytes.Buffer
		cmd := New(Deps{Out: &out, Err: io.Discard})
		fields := []string{"doctor"}
		for f := range strings.FieldsSeq(args) {
			if strings.HasSuffix(f, ".yaml") {
				f = filepath.Join(dir, f)
			}
			fields = append(fields, f)
		}
		cmd.SetArgs(fields)
		err := cmd.ExecuteContext(t.Context())
		if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v", args, err)
		}
		for _, w := range c.want {
			if !strings.Contains(out.String(), w) {
				t.Errorf("%s lacks %q:\n%s", args, w, out.String())
			}
		}
	}
}
