package apiserver

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	audit "k8s.io/apiserver/pkg/apis/audit/v1"
	serveroptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
)

// Bounds of the audit log: at most 320 MiB, for at most 30 days.
const (
	auditMegabytes = 64
	auditBackups   = 4
	auditDays      = 30
)

// auditPolicy records who did what and why it was allowed, never what was in it: no bodies, so no secrets and no tokens.
// What the cluster's own parts read, and their leases, would bury the rest.
func auditPolicy() *audit.Policy {
	parts := []string{
		"system:apiserver", "system:kube-controller-manager", "system:kube-scheduler", operatorUser,
	}
	return &audit.Policy{
		TypeMeta:          metav1.TypeMeta{APIVersion: audit.SchemeGroupVersion.String(), Kind: "Policy"},
		OmitStages:        []audit.Stage{audit.StageRequestReceived},
		OmitManagedFields: true,
		Rules: []audit.PolicyRule{
			{Level: audit.LevelNone, NonResourceURLs: []string{"/healthz*", "/livez*", "/readyz*"}},
			{Level: audit.LevelNone, Users: parts, Verbs: []string{"get", "list", "watch"}},
			{Level: audit.LevelNone, UserGroups: []string{"system:serviceaccounts:kube-system"}, Verbs: []string{"get", "list", "watch"}},
			{Level: audit.LevelNone, Users: parts, Resources: []audit.GroupResources{{Group: "coordination.k8s.io", Resources: []string{"leases"}}}},
			{Level: audit.LevelMetadata},
		},
	}
}

// operatorUser is the name in the operator's certificate: what keeps the pretend nodes.
const operatorUser = "localkube"

// applyAudit writes the audit log to a file that only its owner may read. An event is written before its request is
// answered: what was answered is on record.
func applyAudit(o *options.ServerRunOptions, file, policy string) {
	if file == "" {
		return
	}
	o.Audit.PolicyFile = policy
	o.Audit.LogOptions.Path = file
	o.Audit.LogOptions.MaxSize, o.Audit.LogOptions.MaxBackups, o.Audit.LogOptions.MaxAge = auditMegabytes, auditBackups, auditDays
	o.Audit.LogOptions.BatchOptions.Mode = serveroptions.ModeBlocking
}
