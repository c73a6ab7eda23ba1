package containerservice

import (
	"net/http"
	"strings"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
)

// Versions: which may be named, and where a cluster may go from its own. One runs, whatever the name; the lists say so.

// namedOnly is the support plan of a version whose clusters run another. az shows it in its table.
const namedOnly = "NameOnly"

type upgradeProfile struct {
	Version  string    `json:"kubernetesVersion"`
	Name     string    `json:"name,omitempty"`
	OSType   string    `json:"osType"`
	Upgrades []upgrade `json:"upgrades"` // null: none
}

type upgrade struct {
	Version   string `json:"kubernetesVersion"`
	IsPreview *bool  `json:"isPreview"`
}

func upgradesOf(versions []string) []upgrade {
	var out []upgrade
	for _, v := range versions {
		out = append(out, upgrade{Version: v})
	}
	return out
}

// upgradeProfile says which versions a cluster can go to.
func (h *Handler) upgradeProfile(_ http.ResponseWriter, r *arm.Request) error {
	c, err := h.view(r)
	if err != nil {
		return err
	}
	next := upgradesOf(c.Upgrades())
	pools := make([]upgradeProfile, len(c.Pools))
	for i, p := range c.Pools {
		pools[i] = upgradeProfile{Version: c.PoolVersion(p.Name), Name: p.Name, OSType: "Linux", Upgrades: next}
	}
	return r.WriteJSON(http.StatusOK, map[string]any{
		"id": c.ResourceID() + "/upgradeprofiles/default", "name": "default", "type": managedcluster.Type + "/upgradeprofiles",
		"properties": map[string]any{
			"controlPlaneProfile": upgradeProfile{Version: c.Version(), OSType: "Linux", Upgrades: next},
			"agentPoolProfiles":   pools,
		},
	})
}

// poolUpgrades says which versions an agent pool can go to: the cluster's, if it is newer.
func (h *Handler) poolUpgrades(_ http.ResponseWriter, r *arm.Request) error {
	c, err := h.view(r)
	if err != nil {
		return err
	}
	p, ok := c.Pool(r.Param("pool"))
	if !ok {
		return poolNotFound(r, c)
	}
	var next []upgrade
	if v := c.PoolVersion(p.Name); v != c.Version() {
		next = upgradesOf([]string{c.Version()})
	}
	return r.WriteJSON(http.StatusOK, map[string]any{
		"id": c.ResourceID() + "/agentPools/" + p.Name + "/upgradeProfiles/default", "name": "default", "type": managedcluster.Type + "/agentPools/upgradeProfiles",
		"properties": map[string]any{
			"kubernetesVersion": c.PoolVersion(p.Name), "osType": "Linux", "upgrades": next, "latestNodeImageVersion": managedcluster.NodeImage,
		},
	})
}

// poolVersions lists the versions that a new agent pool may name: those up to the cluster's.
func (h *Handler) poolVersions(_ http.ResponseWriter, r *arm.Request) error {
	c, err := h.view(r)
	if err != nil {
		return err
	}
	type version struct {
		Default bool   `json:"default,omitempty"`
		Version string `json:"kubernetesVersion"`
	}
	list := []version{{Default: true, Version: c.Version()}}
	return r.WriteJSON(http.StatusOK, map[string]any{
		"id": c.ResourceID() + "/availableagentpoolversions", "name": "default", "type": managedcluster.Type + "/availableAgentpoolVersions",
		"properties": map[string]any{"agentPoolVersions": list},
	})
}

type orchestrator struct {
	Type     string                `json:"orchestratorType"`
	Version  string                `json:"orchestratorVersion"`
	Default  bool                  `json:"default,omitempty"`
	Upgrades []orchestratorUpgrade `json:"upgrades"`
}

type orchestratorUpgrade struct {
	Type    string `json:"orchestratorType"`
	Version string `json:"orchestratorVersion"`
}

// orchestrators lists the versions for az before 2.51.
func (h *Handler) orchestrators(_ http.ResponseWriter, r *arm.Request) error {
	list := []orchestrator{}
	for _, v := range managedcluster.Versions() {
		o := orchestrator{Type: "Kubernetes", Version: v.Patch, Default: v.Default, Upgrades: []orchestratorUpgrade{}}
		for _, u := range v.Upgrades {
			o.Upgrades = append(o.Upgrades, orchestratorUpgrade{"Kubernetes", u})
		}
		list = append(list, o)
	}
	return r.WriteJSON(http.StatusOK, map[string]any{
		"id":   r.Scope + "/orchestrators",
		"name": "default", "type": namespace + "/locations/orchestrators",
		"properties": map[string]any{"orchestrators": list},
		// Ours: what a cluster runs, whatever version it is named for.
		"keyreeveRuns": managedcluster.DefaultVersion,
	})
}

type patchVersion struct {
	Upgrades []string `json:"upgrades"`
}

// kubernetesVersions lists the versions for newer az.
func (h *Handler) kubernetesVersions(_ http.ResponseWriter, r *arm.Request) error {
	values := []map[string]any{}
	for _, v := range managedcluster.Versions() {
		plan := namedOnly
		if v.Runs {
			plan = "KubernetesOfficial"
		}
		values = append(values, map[string]any{
			"version": v.Minor, "isDefault": v.Default, "isPreview": nil,
			"capabilities":  map[string]any{"supportPlan": []string{plan}},
			"patchVersions": map[string]patchVersion{v.Patch: {Upgrades: v.Upgrades}},
		})
	}
	return r.WriteJSON(http.StatusOK, map[string]any{"values": values, "keyreeveRuns": managedcluster.DefaultVersion})
}

// osOptions lists the operating systems of nodes.
func (h *Handler) osOptions(_ http.ResponseWriter, r *arm.Request) error {
	return r.WriteJSON(http.StatusOK, map[string]any{
		"id":   r.Scope + "/locations/" + strings.ToLower(r.Param("location")) + "/osOptions/default",
		"name": "default", "type": namespace + "/locations/osOptions",
		"properties": map[string]any{"osOptionPropertyList": []map[string]any{{"os-type": "Linux", "enable-fips-image": false}}},
	})
}

// none answers a list of what this service never has.
func none(_ http.ResponseWriter, r *arm.Request) error {
	return r.WriteJSON(http.StatusOK, map[string]any{"value": []any{}})
}
