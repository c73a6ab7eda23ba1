package rbac

// The tables of this file are facts about Kubernetes and Azure, each with its source. They are functions of constants, so that
// a look-up takes no memory and nobody can change them.

// impliedBy returns the suffix of the parent resource's action that implies an action on a subresource; empty when none does.
//
// Source: Kubernetes 1.37, plugin/pkg/auth/authorizer/rbac/bootstrappolicy, roles system:aggregate-to-view, -edit and -admin
// (testdata/bootstrap-1.37.json). A subresource follows its parent where a default role holds both: what view may read of
// a subresource follows the parent's read, what edit adds follows the parent's write (or delete, for delete). pods/exec follows
// nothing: Azure publishes pods/exec/action, and roles name it.
func impliedBy(group, resource, sub, suffix string) string {
	switch sub {
	case "status":
		if suffix == "read" && hasStatus(group, resource) {
			return "read"
		}
	case "scale":
		if (suffix == "read" || suffix == "write" || suffix == "delete") && hasScale(group, resource) {
			return suffix
		}
	case "rollback":
		if (suffix == "write" || suffix == "delete") && resource == "deployments" && (group == "apps" || group == "extensions") {
			return suffix
		}
	case "proxy":
		if group == "" && (resource == "pods" || resource == "services") {
			return proxyBy(suffix)
		}
	case "log":
		if suffix == "read" && group == "" && resource == "pods" {
			return "read"
		}
	case "attach", "portforward":
		if suffix == "action" && group == "" && resource == "pods" {
			return "write"
		}
	case "eviction":
		if suffix == "write" && group == "" && resource == "pods" {
			return "write"
		}
	case "token":
		if suffix == "write" && group == "" && resource == "serviceaccounts" {
			return "write"
		}
	}
	return ""
}

// proxyBy is edit's: view reads pods and services, and proxies to neither.
func proxyBy(suffix string) string {
	switch suffix {
	case "read", "write":
		return "write"
	case "delete":
		return "delete"
	}
	return ""
}

func hasStatus(group, resource string) bool {
	switch group {
	case "":
		switch resource {
		case "namespaces", "persistentvolumeclaims", "pods", "replicationcontrollers", "resourcequotas", "services":
			return true
		}
	case "apps":
		switch resource {
		case "daemonsets", "deployments", "replicasets", "statefulsets":
			return true
		}
	case "autoscaling":
		return resource == "horizontalpodautoscalers"
	case "batch":
		return resource == "cronjobs" || resource == "jobs"
	case "extensions":
		switch resource {
		case "daemonsets", "deployments", "ingresses", "replicasets":
			return true
		}
	case "networking.k8s.io":
		return resource == "ingresses"
	case "policy":
		return resource == "poddisruptionbudgets"
	case "resource.k8s.io":
		return resource == "resourceclaims"
	}
	return false
}

func hasScale(group, resource string) bool {
	switch group {
	case "":
		return resource == "replicationcontrollers"
	case "apps":
		return resource == "deployments" || resource == "replicasets" || resource == "statefulsets"
	case "extensions":
		return resource == "deployments" || resource == "replicasets"
	}
	return false
}

// isCustom reports whether Azure does not list a resource by name: its actions are then also customresources/…, and Reader
// and Writer get it by aggregation.
func isCustom(group, resource string) bool {
	return group != "" && group != "*" && resource != "*" && !published(group, resource)
}

// published reports whether a resource outside the core group is among the data actions that Azure lists.
//
// Source: operations of Microsoft.ContainerService, api-version 2018-10-31.
func published(group, resource string) bool {
	switch group {
	case "admissionregistration.k8s.io":
		switch resource {
		case "initializerconfigurations", "mutatingwebhookconfigurations", "validatingwebhookconfigurations":
			return true
		}
	case "apiextensions.k8s.io":
		return resource == "customresourcedefinitions"
	case "apiregistration.k8s.io":
		return resource == "apiservices"
	case "apps":
		switch resource {
		case "controllerrevisions", "daemonsets", "deployments", "replicasets", "statefulsets":
			return true
		}
	case "authentication.k8s.io":
		return resource == "tokenreviews" || resource == "userextras"
	case "authorization.k8s.io":
		switch resource {
		case "localsubjectaccessreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews", "subjectaccessreviews":
			return true
		}
	case "autoscaling":
		return resource == "horizontalpodautoscalers"
	case "batch":
		return resource == "cronjobs" || resource == "jobs"
	case "certificates.k8s.io":
		return resource == "certificatesigningrequests"
	case "coordination.k8s.io":
		return resource == "leases"
	case "discovery.k8s.io":
		return resource == "endpointslices"
	case "events.k8s.io":
		return resource == "events"
	case "extensions":
		switch resource {
		case "daemonsets", "deployments", "ingresses", "networkpolicies", "podsecuritypolicies", "replicasets":
			return true
		}
	case "flowcontrol.apiserver.k8s.io":
		return resource == "flowschemas" || resource == "prioritylevelconfigurations"
	case "metrics.k8s.io":
		return resource == "nodes" || resource == "pods"
	case "networking.k8s.io":
		return resource == "ingressclasses" || resource == "ingresses" || resource == "networkpolicies"
	case "node.k8s.io":
		return resource == "runtimeclasses"
	case "policy":
		return resource == "poddisruptionbudgets" || resource == "podsecuritypolicies"
	case "rbac.authorization.k8s.io":
		switch resource {
		case "clusterrolebindings", "clusterroles", "rolebindings", "roles":
			return true
		}
	case "scheduling.k8s.io":
		return resource == "priorityclasses"
	case "storage.k8s.io":
		switch resource {
		case "csidrivers", "csinodes", "csistoragecapacities", "storageclasses", "volumeattachments":
			return true
		}
	}
	return false
}
