package kubewire

import (
	"strings"
	"testing"
)

func worst(list []Finding) (level Level, text string) {
	level = OK
	for _, f := range list {
		if f.Level == Fail || f.Level == Warn && level == OK {
			level, text = f.Level, f.Check+": "+f.Text
			if level == Fail {
				return level, text
			}
		}
	}
	return level, text
}

// What is printed for any version is found to be in order; each change that weakens it is found.
func TestCheckAuthorization(t *testing.T) {
	for minor := MinMinor; minor <= 38; minor++ {
		text, err := Settings{Minor: minor, Dir: "/etc/keyreeve", GateURL: "https://g", Cluster: "c"}.AuthorizationConfiguration()
		if err != nil {
			t.Fatal(err)
		}
		if level, why := worst(CheckAuthorization(text)); level != OK {
			t.Errorf("1.%d: %s %s", minor, level, why)
		}
	}
	raw, err := Settings{Minor: 33, Dir: "/etc/keyreeve", GateURL: "https://g", Cluster: "c"}.AuthorizationConfiguration()
	if err != nil {
		t.Fatal(err)
	}
	good := string(raw)
	for name, c := range map[string]struct {
		old, changed string
		level        Level
		want         string
	}{
		"no opinion":     {"failurePolicy: Deny", "failurePolicy: NoOpinion", Fail, "NoOpinion"},
		"remembered":     {"authorizedTTL: 1ms", "authorizedTTL: 5m", Fail, "remembered for 5m"},
		"zero":           {"authorizedTTL: 1ms", "authorizedTTL: 0s", Fail, "0 means the default"},
		"not said":       {"    authorizedTTL: 1ms\n", "", Fail, "remembered for minutes"},
		"hangs":          {"timeout: 3s", "timeout: 30s", Warn, "timeout"},
		"everybody":      {"!request.user.startsWith(''system:'')", "true", Warn, "matchConditions"},
		"nobody":         {"!request.user.startsWith(''system:'')", "false", Fail, "never asked"},
		"not everybody":  {"!request.user.startsWith(''system:'')", "request.user != ''bob''", Warn, "pass by the gate"},
		"one more":       {"expression: '!request", "expression: request.user != ''bob''\n    - expression: '!request", Warn, "pass by the gate"},
		"two documents":  {"authorizers:\n", "authorizers: []\n---\nauthorizers:\n", Fail, "more than one document"},
		"RBAC first":     {"authorizers:\n", "authorizers:\n- name: first\n  type: RBAC\n", Fail, "stands before the gate"},
		"always":         {"  type: RBAC", "  type: AlwaysAllow", Fail, "AlwaysAllow"},
		"no webhook":     {"type: Webhook", "type: ABAC", Fail, ""},
		"unknown member": {"timeout: 3s", "timeouts: 3s", Fail, "cannot be read"},
		"another kind":   {"kind: AuthorizationConfiguration", "kind: EgressSelectorConfiguration", Fail, "not an AuthorizationConfiguration"},
		"not YAML":       {"kind", "{", Fail, "cannot be read"},
	} {
		text := strings.Replace(good, c.old, c.changed, 1)
		if text == good {
			t.Errorf("%s: %q is not in\n%s", name, c.old, good)
		}
		if level, why := worst(CheckAuthorization([]byte(text))); level != c.level || !strings.Contains(why, c.want) {
			t.Errorf("%s: %s %s", name, level, why)
		}
	}
}

func TestCheckFlags(t *testing.T) {
	s := Settings{Minor: 37, Dir: "/etc/keyreeve", GateURL: "https://g", Cluster: "c"}
	flags := func(less string, more ...string) map[string]string {
		out := map[string]string{}
		for _, f := range s.Flags() {
			out[f.Name] = f.Value
		}
		delete(out, less)
		for i := 0; i+1 < len(more); i += 2 {
			out[more[i]] = more[i+1]
		}
		return out
	}
	for name, c := range map[string]struct {
		program string
		flags   map[string]string
		level   Level
	}{
		"as printed":        {"kube-apiserver", flags(""), OK},
		"no configuration":  {"kube-apiserver", flags("authorization-config"), Fail},
		"with the old mode": {"kube-apiserver", flags("", "authorization-mode", "Node,RBAC"), Fail},
		"no tokens":         {"kube-apiserver", flags("authentication-token-webhook-config-file"), Fail},
		"default cache":     {"kube-apiserver", flags("authentication-token-webhook-cache-ttl"), Fail},
		"impersonation":     {"kube-apiserver", flags("feature-gates"), Warn},
		"anonymous":         {"kube-apiserver", flags("", "anonymous-auth", "true"), Warn},
		"signs":             {"kube-controller-manager", map[string]string{"cluster-signing-cert-file": "ca.crt"}, Warn},
		"signs not":         {"kube-controller-manager", map[string]string{"cluster-signing-cert-file": "ca.crt", "controllers": "*,-csrsigning"}, OK},
	} {
		if level, why := worst(CheckFlags(c.program, c.flags, 37)); level != c.level {
			t.Errorf("%s: %s %s", name, level, why)
		}
	}
	if level, _ := worst(CheckFlags("kube-apiserver", flags("feature-gates"), 35)); level != OK {
		t.Error("constrained impersonation is looked for before it was there")
	}
	pods, err := ParsePod([]byte("kind: Pod\nspec:\n  containers:\n  - name: kube-apiserver\n    command: [kube-apiserver, --a=b=c, --flag]\n    args: [--d=]\n"))
	if err != nil || pods["kube-apiserver"]["a"] != "b=c" || pods["kube-apiserver"]["flag"] != "true" {
		t.Errorf("%v %v", pods, err)
	}
	if _, err := ParsePod([]byte("kind: Job")); err == nil {
		t.Error("a job is read as a pod")
	}
}
