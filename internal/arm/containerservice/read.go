package containerservice

import (
	"net/http"
	"strings"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
)

func (h *Handler) agentPools(_ http.ResponseWriter, r *arm.Request) error {
	c, err := h.view(r)
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, map[string]any{"value": c.AgentPools()})
}

func (h *Handler) agentPool(_ http.ResponseWriter, r *arm.Request) error {
	c, err := h.view(r)
	if err != nil {
		return err
	}
	bodies := c.AgentPools()
	for i, p := range c.Pools {
		if strings.EqualFold(p.Name, r.Param("pool")) {
			return r.WriteJSON(http.StatusOK, bodies[i])
		}
	}
	return fault.New(fault.NotFound, "NotFound", "Could not find the agent pool '%s' in the managed cluster '%s'.", r.Param("pool"), c.Name)
}

type upgradeProfile struct {
	Version  string   `json:"kubernetesVersion"`
	Name     string   `json:"name,omitempty"`
	OSType   string   `json:"osType"`
	Upgrades []string `json:"upgrades"` // null: none
}

// upgradeProfile says which versions a cluster can go to; there is one version.
func (h *Handler) upgradeProfile(_ http.ResponseWriter, r *arm.Request) error {
	c, err := h.view(r)
	if err != nil {
		return err
	}
	pools := make([]upgradeProfile, len(c.Pools))
	for i, p := range c.Pools {
		pools[i] = upgradeProfile{Version: c.KubernetesVersion, Name: p.Name, OSType: "Linux"}
	}
	return r.WriteJSON(http.StatusOK, map[string]any{
		"id": c.ResourceID() + "/upgradeprofiles/default", "name": "default", "type": managedcluster.Type + "/upgradeprofiles",
		"properties": map[string]any{
			"controlPlaneProfile": upgradeProfile{Version: c.KubernetesVersion, OSType: "Linux"},
			"agentPoolProfiles":   pools,
		},
	})
}

type orchestrator struct {
	Type     string   `json:"orchestratorType"`
	Version  string   `json:"orchestratorVersion"`
	Default  bool     `json:"default,omitempty"`
	Upgrades []string `json:"upgrades"`
}

// orchestrators lists the versions for az before 2.51.
func (h *Handler) orchestrators(_ http.ResponseWriter, r *arm.Request) error {
	list := []orchestrator{}
	for _, v := range managedcluster.Versions() {
		for i, p := range v.Patches {
			list = append(list, orchestrator{Type: "Kubernetes", Version: p, Default: v.Default && i == len(v.Patches)-1})
		}
	}
	return r.WriteJSON(http.StatusOK, map[string]any{
		"id":   r.Scope + "/orchestrators",
		"name": "default", "type": namespace + "/locations/orchestrators",
		"properties": map[string]any{"orchestrators": list},
	})
}

type patchVersion struct {
	Upgrades []string `json:"upgrades"`
}

// kubernetesVersions lists the versions for newer az.
func (h *Handler) kubernetesVersions(_ http.ResponseWriter, r *arm.Request) error {
	values := []map[string]any{}
	for _, v := range managedcluster.Versions() {
		patches := map[string]patchVersion{}
		for _, p := range v.Patches {
			patches[p] = patchVersion{Upgrades: []string{}}
		}
		values = append(values, map[string]any{
			"version": v.Minor, "isDefault": v.Default, "isPreview": nil,
			"capabilities": map[string]any{"supportPlan": []string{"KubernetesOfficial"}}, "patchVersions": patches,
		})
	}
	return r.WriteJSON(http.StatusOK, map[string]any{"values": values})
}
