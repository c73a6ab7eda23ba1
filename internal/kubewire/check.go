package kubewire

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// Level says how bad a finding is.
type Level string

// The levels.
const (
	OK   Level = "ok"
	Warn Level = "warn" // access works and something about it is not as it should be
	Fail Level = "fail" // access does not work, or ends later than it must
)

// Finding is what was found about one thing.
type Finding struct {
	Check string `json:"check"`
	Level Level  `json:"level"`
	Text  string `json:"text"`
}

// longest is how long an answer may be remembered: a revocation counts within a second.
const longest = time.Second

// CheckAuthorization looks at an authorization configuration: who is asked first, what happens when the gate does not
// answer, and for how long answers are remembered.
func CheckAuthorization(text []byte) []Finding {
	var c authorizationConfiguration
	if severalDocuments.Match(text) {
		return []Finding{{"authorization configuration", Fail, "it has more than one document"}}
	}
	if err := yaml.UnmarshalStrict(text, &c); err != nil {
		return []Finding{{"authorization configuration", Fail, "it cannot be read: " + err.Error()}}
	}
	if c.Kind != "AuthorizationConfiguration" || !strings.HasPrefix(c.APIVersion, "apiserver.config.k8s.io/") {
		return []Finding{{"authorization configuration", Fail, fmt.Sprintf("it is a %s of %s, not an AuthorizationConfiguration of apiserver.config.k8s.io", c.Kind, c.APIVersion)}}
	}
	gate := slices.IndexFunc(c.Authorizers, func(a authorizer) bool { return a.Type == "Webhook" && a.Webhook != nil })
	if gate < 0 {
		return []Finding{{"authorizer", Fail, "no webhook is asked: the gate decides nothing"}}
	}
	var out []Finding
	for _, a := range c.Authorizers[:gate] {
		switch a.Type {
		case "Node":
		case "AlwaysAllow":
			out = append(out, Finding{"order", Fail, "AlwaysAllow stands before the gate, which is never asked"})
		default:
			out = append(out, Finding{"order", Fail, a.Type + " stands before the gate: what it allows, no revocation takes back"})
		}
	}
	for _, a := range c.Authorizers[gate:] {
		if a.Type == "AlwaysAllow" {
			out = append(out, Finding{"order", Fail, "AlwaysAllow stands behind the gate"})
		}
		if a.Webhook != nil {
			out = append(out, checkWebhook(a.Name, a.Webhook)...)
		}
	}
	return out
}

func checkWebhook(name string, w *webhook) []Finding {
	var out []Finding
	say := func(check string, level Level, format string, args ...any) {
		out = append(out, Finding{name + ": " + check, level, fmt.Sprintf(format, args...)})
	}
	switch w.FailurePolicy {
	case "Deny":
		say("failurePolicy", OK, "Deny")
	case "NoOpinion":
		say("failurePolicy", Fail, "NoOpinion: while the gate does not answer, Kubernetes RBAC lets in who was revoked; set Deny")
	default:
		say("failurePolicy", Fail, "%q is not Deny", w.FailurePolicy)
	}
	for _, x := range []struct {
		check string
		cache *bool
		ttl   string
	}{{"allowed answers", w.CacheAuthorizedRequests, w.AuthorizedTTL}, {"denied answers", w.CacheUnauthorizedRequests, w.UnauthorizedTTL}} {
		if x.cache != nil && !*x.cache {
			say(x.check, OK, "not remembered")
			continue
		}
		ttl, err := time.ParseDuration(x.ttl)
		switch {
		case x.ttl == "" || err == nil && ttl == 0:
			say(x.check, Fail, "remembered for minutes: a time of 0 means the default; switch the cache off, or before Kubernetes 1.%d set 1ms", cacheSwitchSince)
		case err != nil:
			say(x.check, Fail, "%q is not a time", x.ttl)
		case ttl > longest:
			say(x.check, Fail, "remembered for %s: a revocation counts that much later", ttl)
		default:
			say(x.check, OK, "remembered for %s", ttl)
		}
	}
	if d, err := time.ParseDuration(w.Timeout); err != nil || d <= 0 || d > 10*time.Second {
		say("timeout", Warn, "%q: a gate that hangs holds up every request; 3s is enough", w.Timeout)
	}
	spared := false
	for _, c := range w.MatchConditions {
		switch text := strings.Join(strings.Fields(c.Expression), ""); {
		case sparesSystem.MatchString(text):
			spared = true
		case text == "true":
		case text == "false":
			say("matchConditions", Fail, "false: the gate is never asked")
		default:
			say("matchConditions", Warn, "%q: requests for which it does not hold pass by the gate; Kubernetes RBAC alone decides them, and lets in who was revoked", c.Expression)
		}
	}
	if !spared {
		say("matchConditions", Warn, "nothing keeps controllers, kubelets and service accounts from depending on the gate; add !request.user.startsWith('system:')")
	}
	return out
}

// sparesSystem is the condition that keeps the gate out of Kubernetes' own affairs, or of a part of them. All others could keep
// people from it.
var sparesSystem = regexp.MustCompile(`^!request\.user\.startsWith\((?:'system:[^'"]*'|"system:[^'"]*")\)$`)

// severalDocuments finds a second document of YAML: it would not be looked at.
var severalDocuments = regexp.MustCompile(`(?s)\S.*\n---[ \t]*\n.*\S`)

// ParsePod reads the flags of the programs of a static pod by the program's name.
func ParsePod(text []byte) (map[string]map[string]string, error) {
	var pod struct {
		Kind string `json:"kind"`
		Spec struct {
			Containers []struct {
				Name    string   `json:"name"`
				Command []string `json:"command"`
				Args    []string `json:"args"`
			} `json:"containers"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(text, &pod); err != nil {
		return nil, fmt.Errorf("kubewire: %w", err)
	}
	if pod.Kind != "Pod" {
		return nil, fmt.Errorf("kubewire: it is not the manifest of a pod")
	}
	out := map[string]map[string]string{}
	for _, c := range pod.Spec.Containers {
		flags := map[string]string{}
		for _, arg := range slices.Concat(c.Command, c.Args) {
			if f, ok := strings.CutPrefix(arg, "--"); ok {
				name, value, given := strings.Cut(f, "=")
				if !given {
					value = "true"
				}
				flags[name] = value
			}
		}
		out[c.Name] = flags
	}
	return out, nil
}

// CheckFlags looks at the flags of one program of the control plane, for Kubernetes 1.minor; 0 is not known.
func CheckFlags(program string, flags map[string]string, minor int) []Finding {
	var out []Finding
	say := func(check string, level Level, text string) {
		out = append(out, Finding{program + ": " + check, level, text})
	}
	switch program {
	case "kube-apiserver":
		if flags["authorization-config"] == "" {
			say("--authorization-config", Fail, "it is not given: the gate is not asked")
		}
		if flags["authorization-mode"] != "" {
			say("--authorization-mode", Fail, "it does not go with --authorization-config: the API server does not start")
		}
		if flags["authentication-token-webhook-config-file"] == "" {
			say("--authentication-token-webhook-config-file", Fail, "it is not given: no token of the directory is taken")
		}
		if ttl, err := time.ParseDuration(flags["authentication-token-webhook-cache-ttl"]); err != nil || ttl > longest {
			say("--authentication-token-webhook-cache-ttl", Fail, fmt.Sprintf("%q: who signed in stays signed in that much longer (default 2m); set 0s", flags["authentication-token-webhook-cache-ttl"]))
		}
		if !strings.Contains(flags["feature-gates"], "ConstrainedImpersonation=false") && (minor == 0 || minor >= constrainedSince) {
			say("constrained impersonation", Warn, fmt.Sprintf("it is on by default since 1.%d and remembers for 10 s; set --feature-gates=ConstrainedImpersonation=false", constrainedSince))
		}
		if flags["anonymous-auth"] == "true" {
			say("--anonymous-auth", Warn, "who shows nothing is let in as system:anonymous")
		}
	case "kube-controller-manager":
		controllers := strings.Split(flags["controllers"], ",")
		if flags["cluster-signing-cert-file"] != "" && !slices.Contains(controllers, "-csrsigning") && !slices.Contains(controllers, "-certificatesigningrequest-signing-controller") {
			say("certificate signing", Warn, "whoever may approve a CertificateSigningRequest can make a certificate with any name, which no revocation ends; set --controllers=*,-csrsigning unless kubelets renew theirs by it")
		}
	default:
		return nil
	}
	if len(out) == 0 {
		out = []Finding{{program, OK, "its flags are as they should be"}}
	}
	return out
}
