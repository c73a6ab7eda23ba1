package rbac

import "strings"

// KubeCluster is the type of a managed cluster, with which every data action of Kubernetes begins.
const KubeCluster = "Microsoft.ContainerService/managedClusters"

// KubeActions are the data actions that a Kubernetes request stands for.
type KubeActions struct {
	// Own is the request's own action: …/managedClusters[/group]/resource[/subresource]/suffix, or …/managedClusters/path/suffix.
	Own string
	// Parent is the action on the resource that a subresource belongs to; empty for other requests. A role that takes it away
	// (notDataActions) takes the subresource too. Implied is true when holding it is enough.
	Parent  string
	Implied bool
	// Custom is …/managedClusters/customresources/suffix, for a resource that Azure does not list by name.
	Custom string
}

// ActionsOf maps a Kubernetes request to data actions. It is false for a request that no role can cover: one whose parts are
// malformed, so that nobody's spelling can be taken for another's.
//
// Verbs: get, list, watch are read; create, update, patch are write; delete, deletecollection are delete; any other is
// <verb>/action. pods/exec, pods/attach and pods/portforward are …/action whatever the verb, for clients open them with get
// as well as with create. '*' in the place of a verb, group or resource asks for all of them at once.
func ActionsOf(req KubeRequest) (KubeActions, bool) {
	var buf nameBuffers
	n, ok := namesOf(&buf, &req)
	if !ok {
		return KubeActions{}, false
	}
	return KubeActions{Own: string(n.own), Parent: string(n.parent), Implied: n.implied, Custom: string(n.custom)}, true
}

// nameBuffers are where the names of a request are put together, on the stack of who decides.
type nameBuffers struct{ own, parent, custom [stackAction]byte }

// names are the actions of a request. Letters are as in the request: lower case, but for the prefix.
type names struct {
	own, parent, custom []byte
	implied             bool
	// glob is true when own asks for several actions at once.
	glob bool
	// maybe is true when custom is a name of some of the things asked for only: it takes away and does not grant.
	maybe bool
}

// widened makes the names of a request with a star for its group, resource or subresource stand for all that it asks for: what is
// asked of a group "*" is also asked of the core group, whose actions have none, and what is asked of every subresource of pods
// also of exec, whose action is another. It stands for more rather than for less, so that many are never allowed
// when one of them is not.
func widened(n names, buf *nameBuffers, req *KubeRequest) names {
	sub := req.Subresource
	if req.Verb == "impersonate" {
		sub = ""
	}
	if req.NonResource || req.APIGroup != "*" && req.Resource != "*" && sub != "*" {
		return n
	}
	resource := req.Resource
	if req.APIGroup == "*" {
		resource = "*"
	}
	suffix, tail := verbSuffix(req.Verb)
	if req.APIGroup != "" {
		n.custom, n.maybe = appendSuffix(append(append(buf.custom[:0], KubeCluster...), "/customresources"...), suffix, tail), true
	}
	if sub != "" {
		n.parent = append(appendResource(append(buf.parent[:0], KubeCluster...), req.APIGroup, resource), "/*"...)
		n.implied = false
		pods := resource == "*" || resource == "pods"
		if (req.APIGroup == "" || req.APIGroup == "*") && pods && (sub == "*" || session("", "pods", sub)) {
			suffix, tail = "*", ""
		}
	}
	stem := appendResource(append(buf.own[:0], KubeCluster...), req.APIGroup, resource)
	if sub != "" {
		stem = append(append(stem, '/'), sub...)
	}
	n.own = appendSuffix(stem, suffix, tail)
	return n
}

// maxNamePart bounds each part of a request in bytes; Kubernetes' own names end at 253.
const maxNamePart = 253

func namesOf(buf *nameBuffers, req *KubeRequest) (names, bool) {
	if !req.hasNames() {
		return names{}, false
	}
	if req.NonResource {
		return pathName(buf, req), true
	}
	var n names
	sub := req.Subresource
	if req.Verb == "impersonate" {
		sub = "" // of userextras it is the key; who may show extras at all may show any
	}
	suffix, tail := verbSuffix(req.Verb)
	n.glob = req.Verb == "*" || req.Resource == "*" || req.APIGroup == "*" || sub == "*"
	stem := appendResource(append(buf.own[:0], KubeCluster...), req.APIGroup, req.Resource)
	if sub == "" {
		n.own = appendSuffix(stem, suffix, tail)
	} else {
		parent := suffix
		if session(req.APIGroup, req.Resource, sub) {
			suffix, tail, parent = "action", "", ""
		}
		n.own = appendSuffix(append(append(stem, '/'), sub...), suffix, tail)
		if tail == "" {
			if by := impliedBy(req.APIGroup, req.Resource, sub, suffix); by != "" {
				parent, n.implied = by, true
			}
			if parent != "" {
				n.parent = appendSuffix(appendResource(append(buf.parent[:0], KubeCluster...), req.APIGroup, req.Resource), parent, "")
			}
		}
	}
	if isCustom(req.APIGroup, req.Resource) {
		n.custom = appendSuffix(append(append(buf.custom[:0], KubeCluster...), "/customresources"...), suffix, tail)
	}
	return n, true
}

// session reports whether a subresource is a way into a container or its network: who may open it may do anything with it,
// so all verbs are one action.
func session(group, resource, sub string) bool {
	return group == "" && resource == "pods" && (sub == "exec" || sub == "attach" || sub == "portforward")
}

func appendResource(b []byte, group, resource string) []byte {
	if group != "" && !(group == "*" && resource == "*") {
		b = append(append(b, '/'), group...)
	}
	return append(append(b, '/'), resource...)
}

func appendSuffix(b []byte, suffix, tail string) []byte {
	b = append(append(b, '/'), suffix...)
	if tail != "" {
		b = append(append(b, '/'), tail...)
	}
	return b
}

// pathName maps a non-resource request.
func pathName(buf *nameBuffers, req *KubeRequest) names {
	suffix, tail := pathSuffix(req.Verb)
	b := append(buf.own[:0], KubeCluster...)
	if req.Path != "/" {
		b = append(b, req.Path...)
	}
	return names{
		own:  appendSuffix(b, suffix, tail),
		glob: req.Verb == "*" || strings.Contains(req.Path, "*"),
	}
}

// verbSuffix returns the last one or two segments of an action.
func verbSuffix(verb string) (suffix, tail string) {
	switch verb {
	case "get", "list", "watch":
		return "read", ""
	case "create", "update", "patch":
		return "write", ""
	case "delete", "deletecollection":
		return "delete", ""
	case "*":
		return "*", ""
	}
	return verb, "action"
}

// pathSuffix is verbSuffix for the methods of HTTP, in lower case.
func pathSuffix(verb string) (suffix, tail string) {
	switch verb {
	case "get", "head", "options":
		return "read", ""
	case "post", "put", "patch":
		return "write", ""
	case "delete":
		return "delete", ""
	case "*":
		return "*", ""
	}
	return verb, "action"
}

// goodPart reports whether s can be a segment of an action: an API group, a resource or a subresource of Kubernetes, which
// are in lower case, or the star.
func goodPart(s string) bool {
	if s == "*" {
		return true
	}
	if s == "" || len(s) > maxNamePart {
		return false
	}
	for i := range len(s) {
		c := s[i]
		alnum := 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
		if !alnum && (c != '-' && c != '.' && c != '_' || i == 0 || i == len(s)-1 || c == '.' && s[i-1] == '.') {
			return false
		}
	}
	return true
}

// goodVerb is goodPart for verbs, which may be in any case and have a colon.
func goodVerb(s string) bool {
	if s == "*" {
		return true
	}
	if s == "" || len(s) > maxNamePart {
		return false
	}
	for i := range len(s) {
		c := s[i]
		alnum := 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z'
		if !alnum && (c != '-' && c != '_' && c != ':' || i == 0) {
			return false
		}
	}
	return true
}

// goodPath reports whether a path can be part of an action: absolute, printable ASCII, and without segments that a server
// would take away.
func goodPath(s string) bool {
	if s == "" || s[0] != '/' || len(s) > maxPattern {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' || s[i] == '?' || s[i] == '#' || s[i] == '%' || s[i] == '\\' {
			return false
		}
	}
	return !strings.Contains(s, "//") && !strings.Contains(s+"/", "/./") && !strings.Contains(s+"/", "/../")
}

// goodNamespace reports whether s can name a namespace: an RFC 1123 label, as Kubernetes demands.
func goodNamespace(s string) bool {
	if s == "" || len(s) > 63 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		alnum := 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
		if !alnum && (c != '-' || i == 0 || i == len(s)-1) {
			return false
		}
	}
	return true
}

// KubeScope returns the scope at which a request is decided: the cluster, or a namespace below it. It is false for a
// namespace that cannot be one: nothing is granted there.
func KubeScope(cluster string, req KubeRequest) (string, bool) {
	if req.NonResource || req.Namespace == "" {
		return cluster, true
	}
	if !goodNamespace(req.Namespace) {
		return "", false
	}
	return cluster + namespaceSegment + req.Namespace, true
}

const namespaceSegment = "/namespaces/"
