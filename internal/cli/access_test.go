package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAccessCommands runs the commands against a service that answers what it is told and notes what it is asked.
func TestAccessCommands(t *testing.T) {
	const id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/first"
	answers := map[string]string{
		"/subscriptions": `{"value":[{"id":"/subscriptions/s"},{"id":"/subscriptions/closed"}]}`,
		"/subscriptions/s/providers/Microsoft.ContainerService/managedClusters": `{"value":[{"id":"` + id + `"}]}`,
		id + "/keyreeveExplain": `{"decision":"deny","principal":{"name":"dana"},"scope":"` + id + `","actions":["A/read"],"paths":[],"wouldGrant":["Reader"]}`,
		id + "/keyreeveWhoCan": `{"principals":[{"name":"dana","type":"User","paths":[{"kind":"roleAssignment","role":"Reader","scope":"/s","via":[{"displayName":"team"},{"displayName":"all"}]},
			{"kind":"kubernetesBinding","role":"ClusterRole/view","binding":"ClusterRoleBinding/b","subject":"Group/system:authenticated","via":[]}]}],"complete":false}`,
		id + "/keyreeveAccess": `{"access":[{"kind":"adminGroup","role":"cluster-admin","via":[],"namespace":""}],"other":{"name":"rob"},"only":[],"onlyOther":[{"kind":"roleAssignment","role":"Reader","scope":"/s","via":[],"namespace":"dev"}],"complete":true}`,
	}
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("Authorization") != "Bearer t" || r.URL.Query().Get("api-version") == "" {
			t.Errorf("%s: %v", r.URL, r.Header)
		}
		asked = append(asked, strings.TrimSpace(string(body)))
		text, ok := answers[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusForbidden)
			text = `{"error":{"code":"AuthorizationFailed","message":"You may not."}}`
		}
		_, _ = io.WriteString(w, text)
	}))
	defer s.Close()
	t.Setenv("KEYREEVE_TOKEN", "t")
	before, broken := filepath.Join(t.TempDir(), "before.json"), filepath.Join(t.TempDir(), "broken.json")
	for path, text := range map[string]string{
		before: `{"principal":{"id":"p"},"access":[{"kind":"roleAssignment","role":"Reader","scope":"/s","via":[],"namespace":"dev"}],"complete":true}`, broken: `{}`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ args, out, asked, err string }{
		{"explain -c FIRST -u dana -n dev get pods/log", "deny: dana\nIt would be allowed by one of these roles at " + id + ":\n  Reader\nor by a custom role with the data action\n  A/read\n", `{"user":"dana","verb":"get","resource":"pods","subresource":"log","namespace":"dev"}`, ""},
		{"who-can -c " + id + " get pods", "NAME  TYPE  BY\ndana  User  role \"Reader\" at /s, as member of team in all\n            ClusterRoleBinding/b of ClusterRole/view, as everybody\nThe cluster's own roles and bindings are not known at the moment: there may be more.\n", `{"verb":"get","resource":"pods"}`, ""},
		{"access diff -c first a b", "  NAMESPACE  ROLE  BY\n> dev  Reader  role \"Reader\" at /s\n", `{"user":"a","compareWith":"b"}`, ""},
		{"access diff -c first --user a --user b", "  NAMESPACE  ROLE  BY\n> dev  Reader  role \"Reader\" at /s\n", `{"user":"a","compareWith":"b"}`, ""},
		{"access diff -c first --user a --with-cluster FIRST", "  NAMESPACE  ROLE  BY\n> dev  Reader  role \"Reader\" at /s\n", `{"user":"a","compareWithCluster":"` + id + `"}`, ""},
		{"access diff -c first --file " + before, "  NAMESPACE  ROLE    BY\n< dev        Reader  role \"Reader\" at /s\n> *  cluster-admin  the cluster's admin groups\n", `{"user":"p"}`, ""},
		{"access diff -c first", "", "", "compared with what"},
		{"access diff -c first a b c", "", "", "accepts at most 2"},
		{"access diff -c first -u a b c", "", "", "no more"},
		{"access diff -c first a b --file x", "", "", "--file compares one user"},
		{"access diff -c first --file " + broken, "", "", "is not what"},
		{"explain -c second get pods", "", "", `you see no cluster "second"`},
		{"explain get pods", "", "", "--cluster"},
		{"explain -c first -o xml get pods", "", "", "not one of table, json"},
		{"explain -c /subscriptions/x get pods", "", "", "AuthorizationFailed: You may not."},
	} {
		asked = nil
		var out bytes.Buffer
		cmd := New(Deps{Out: &out, Err: io.Discard})
		cmd.SetArgs(append(strings.Fields(c.args), "--arm", s.URL))
		err := cmd.ExecuteContext(t.Context())
		if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v", c.args, err)
			continue
		}
		if err == nil && (out.String() != c.out || asked[len(asked)-1] != c.asked) {
			t.Errorf("%s: asked %v\n%s", c.args, asked, cmp.Diff(c.out, out.String()))
		}
	}
	var out bytes.Buffer
	cmd := New(Deps{Out: &out, Err: io.Discard})
	cmd.SetArgs([]string{"explain", "-c", id, "-o", "json", "get", "pods", "--arm", s.URL})
	if err := cmd.ExecuteContext(t.Context()); err != nil || !json.Valid(out.Bytes()) || !strings.Contains(out.String(), `"decision": "deny"`) {
		t.Errorf("%v %s", err, out.String())
	}
}
