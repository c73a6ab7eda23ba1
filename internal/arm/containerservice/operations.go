package containerservice

import (
	"net/http"
	"strings"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
)

// dataActions are the data actions of a cluster that Azure publishes, as GROUP/RESOURCE or RESOURCE and what can be done:
// r, w, d are read, write, delete; other words are followed by /action. Authorizers intersect the list with what an API
// server serves, to answer reviews that ask for everything at once.
const dataActions = `
bindings w
componentstatuses r w d
configmaps r w d
endpoints r w d
events r w d
groups impersonate
limitranges r w d
namespaces r w d
nodes r w d
persistentvolumeclaims r w d
persistentvolumes r w d
pods r w d exec
podtemplates r w d
replicationcontrollers r w d
resourcequotas r w d
secrets r w d
serviceaccounts r w d impersonate
services r w d
users impersonate
admissionregistration.k8s.io/initializerconfigurations r w d
admissionregistration.k8s.io/mutatingwebhookconfigurations r w d
admissionregistration.k8s.io/validatingwebhookconfigurations r w d
apiextensions.k8s.io/customresourcedefinitions r w d
apiregistration.k8s.io/apiservices r w d
apps/controllerrevisions r w d
apps/daemonsets r w d
apps/deployments r w d
apps/replicasets r w d
apps/statefulsets r w d
authentication.k8s.io/tokenreviews w
authentication.k8s.io/userextras impersonate
authorization.k8s.io/localsubjectaccessreviews w
authorization.k8s.io/selfsubjectaccessreviews w
authorization.k8s.io/selfsubjectrulesreviews w
authorization.k8s.io/subjectaccessreviews w
autoscaling/horizontalpodautoscalers r w d
batch/cronjobs r w d
batch/jobs r w d
certificates.k8s.io/certificatesigningrequests r w d
coordination.k8s.io/leases r w d
customresources r w d
discovery.k8s.io/endpointslices r w d
events.k8s.io/events r w d
extensions/daemonsets r w d
extensions/deployments r w d
extensions/ingresses r w d
extensions/networkpolicies r w d
extensions/podsecuritypolicies r w d
extensions/replicasets r w d
flowcontrol.apiserver.k8s.io/flowschemas r w d
flowcontrol.apiserver.k8s.io/prioritylevelconfigurations r w d
metrics.k8s.io/nodes r
metrics.k8s.io/pods r
networking.k8s.io/ingressclasses r w d
networking.k8s.io/ingresses r w d
networking.k8s.io/networkpolicies r w d
node.k8s.io/runtimeclasses r w d
policy/poddisruptionbudgets r w d
policy/podsecuritypolicies r w d use
rbac.authorization.k8s.io/clusterrolebindings r w d
rbac.authorization.k8s.io/clusterroles r w d bind escalate
rbac.authorization.k8s.io/rolebindings r w d
rbac.authorization.k8s.io/roles r w d bind escalate
scheduling.k8s.io/priorityclasses r w d
storage.k8s.io/csidrivers r w d
storage.k8s.io/csinodes r w d
storage.k8s.io/csistoragecapacities r w d
storage.k8s.io/storageclasses r w d
storage.k8s.io/volumeattachments r w d
api r
api/v1 r
apis r
healthz r
healthz/etcd r
livez r
logs r
metrics r
openapi/v2 r
readyz r
resetMetrics r
swagger-api r
swagger-ui r
ui r
version r
`

// controlActions are the control actions that this face checks.
const controlActions = `
managedClusters r w d
managedClusters/accessProfiles/listCredential action
managedClusters/abort action
managedClusters/agentPools r w d
managedClusters/agentPools/abort action
managedClusters/agentPools/upgradeProfiles r
managedClusters/availableAgentPoolVersions r
managedClusters/listClusterAdminCredential action
managedClusters/listClusterUserCredential action
managedClusters/resetAADProfile action
managedClusters/rotateClusterCertificates action
managedClusters/start action
managedClusters/stop action
managedClusters/upgradeProfiles r
locations/kubernetesversions r
locations/orchestrators r
locations/osOptions r
`

type operation struct {
	Name         string           `json:"name"`
	Display      operationDisplay `json:"display"`
	IsDataAction bool             `json:"isDataAction"`
}

type operationDisplay struct {
	Provider    string `json:"provider"`
	Resource    string `json:"resource"`
	Operation   string `json:"operation"`
	Description string `json:"description"`
}

// parseOperations reads a table of the form above.
func parseOperations(prefix, table string, data bool) []operation {
	var out []operation
	for line := range strings.Lines(strings.TrimSpace(table)) {
		fields := strings.Fields(line)
		for _, verb := range fields[1:] {
			suffix, word := verb+"/action", verb
			switch verb {
			case "r":
				suffix, word = "read", "Get"
			case "w":
				suffix, word = "write", "Write"
			case "d":
				suffix, word = "delete", "Delete"
			case "action":
				suffix, word = "action", "Do"
			}
			out = append(out, operation{
				Name: prefix + fields[0] + "/" + suffix, IsDataAction: data,
				Display: operationDisplay{
					Provider: "Microsoft Azure Container Service", Resource: fields[0], Operation: word + " " + fields[0],
					Description: suffix + " of " + fields[0],
				},
			})
		}
	}
	return out
}

// operations lists what roles can be made of. It is the same for everybody.
func (h *Handler) operations(_ http.ResponseWriter, r *arm.Request) error {
	return r.WriteJSON(http.StatusOK, struct {
		Value    []operation `json:"value"`
		NextLink *string     `json:"nextLink,omitempty"`
	}{Value: append(parseOperations(namespace+"/", controlActions, false), parseOperations(managedcluster.Type+"/", dataActions, true)...)})
}
