package rbac

// whyMalformed is said of a request that no API server can have had.
const whyMalformed = "the namespace, verb, resource or path is not one that Kubernetes can have"

// Malformed reports whether a request cannot be one to Kubernetes: its namespace is no DNS label, its verb, group, resource or
// subresource no name, its path not absolute or with segments that a server would take away. A review may say anything, and
// Kubernetes' own authorizer compares whatever it says; a directory principal or an admin certificate has no access to such a
// thing, whatever it holds.
func (r *KubeRequest) Malformed() bool { return !r.wellFormed() }

func (r *KubeRequest) wellFormed() bool {
	return r.hasNames() && (r.everywhere() || goodNamespace(r.Namespace))
}

// hasNames reports whether namesOf has names for a request.
func (r *KubeRequest) hasNames() bool {
	if !goodVerb(r.Verb) {
		return false
	}
	if r.NonResource {
		return goodPath(r.Path)
	}
	return goodPart(r.Resource) && (r.APIGroup == "" || goodPart(r.APIGroup)) && (r.Subresource == "" || r.Verb == "impersonate" || goodPart(r.Subresource))
}
