package resources

import (
	"net/http"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

type tenantBody struct {
	ID             string   `json:"id"`
	TenantID       string   `json:"tenantId"`
	CountryCode    string   `json:"countryCode"`
	DisplayName    string   `json:"displayName"`
	Domains        []string `json:"domains"`
	TenantCategory string   `json:"tenantCategory"`
	DefaultDomain  string   `json:"defaultDomain"`
	TenantType     string   `json:"tenantType"`
}

// listTenants lists the tenants of the caller: the one the token is for, because a person is in one directory here.
func (h *Handler) listTenants(_ http.ResponseWriter, r *arm.Request) error {
	t, ok := h.World.Tenant(r.Caller.Tenant)
	if !ok {
		return fault.New(fault.NotFound, "TenantNotFound", "The tenant '%s' could not be found.", r.Caller.Tenant)
	}
	body := tenantBody{
		ID: "/tenants/" + t.ID.String(), TenantID: t.ID.String(), DisplayName: t.DisplayName, Domains: t.Domains,
		TenantCategory: "Home", TenantType: "AAD",
	}
	if body.Domains == nil {
		body.Domains = []string{}
	}
	if len(t.Domains) > 0 {
		body.DefaultDomain = t.Domains[0]
	}
	return r.WriteJSON(http.StatusOK, list[tenantBody]{Value: []tenantBody{body}})
}

type subscriptionBody struct {
	ID                   string               `json:"id"`
	AuthorizationSource  string               `json:"authorizationSource"`
	ManagedByTenants     []string             `json:"managedByTenants"`
	SubscriptionID       string               `json:"subscriptionId"`
	TenantID             string               `json:"tenantId"`
	DisplayName          string               `json:"displayName"`
	State                string               `json:"state"`
	SubscriptionPolicies subscriptionPolicies `json:"subscriptionPolicies"`
}

// subscriptionPolicies has no limit to tell of; clients want the fields.
type subscriptionPolicies struct {
	LocationPlacementID string `json:"locationPlacementId"`
	QuotaID             string `json:"quotaId"`
	SpendingLimit       string `json:"spendingLimit"`
}

func subscriptionAnswer(s resource.Subscription) subscriptionBody {
	return subscriptionBody{
		ID: "/subscriptions/" + s.ID.String(), AuthorizationSource: "RoleBased", ManagedByTenants: []string{},
		SubscriptionID: s.ID.String(), TenantID: s.Tenant.String(), DisplayName: s.DisplayName, State: s.State,
		SubscriptionPolicies: subscriptionPolicies{
			LocationPlacementID: "Public_2014-09-01", QuotaID: "PayAsYouGo_2014-09-01", SpendingLimit: "Off",
		},
	}
}

type subscriptionList struct {
	Value []subscriptionBody `json:"value"`
	Count struct {
		Type  string `json:"type"`
		Value int    `json:"value"`
	} `json:"count"`
}

// listSubscriptions lists the subscriptions of the caller's tenant in which the caller holds any role, at, above or below.
func (h *Handler) listSubscriptions(_ http.ResponseWriter, r *arm.Request) error {
	var subs []resource.Subscription
	err := h.DB.View(r.Context(), func(tx *store.Tx) (err error) {
		subs, err = tx.Subscriptions(r.Caller.Tenant)
		return err
	})
	if err != nil {
		return err
	}
	out := subscriptionList{Value: []subscriptionBody{}}
	for _, s := range subs {
		if r.HoldsRole("/subscriptions/" + s.ID.String()) {
			out.Value = append(out.Value, subscriptionAnswer(s))
		}
	}
	out.Count.Type, out.Count.Value = "Total", len(out.Value)
	return r.WriteJSON(http.StatusOK, out)
}

func (h *Handler) getSubscription(_ http.ResponseWriter, r *arm.Request) error {
	if err := seesSubscription(r); err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, subscriptionAnswer(r.Subscription))
}

type locationBody struct {
	ID                  string           `json:"id"`
	Name                string           `json:"name"`
	DisplayName         string           `json:"displayName"`
	RegionalDisplayName string           `json:"regionalDisplayName"`
	Metadata            locationMetadata `json:"metadata"`
}

type locationMetadata struct {
	RegionType       string         `json:"regionType"`
	RegionCategory   string         `json:"regionCategory"`
	GeographyGroup   string         `json:"geographyGroup"`
	Longitude        string         `json:"longitude"`
	Latitude         string         `json:"latitude"`
	PhysicalLocation string         `json:"physicalLocation"`
	PairedRegion     []pairedRegion `json:"pairedRegion"`
}

type pairedRegion struct {
	Name string `json:"name"`
	ID   string `json:"id"`
}

func (h *Handler) listLocations(_ http.ResponseWriter, r *arm.Request) error {
	if err := seesSubscription(r); err != nil {
		return err
	}
	base := subscriptionScope(r) + "/locations/"
	all := resource.Locations()
	out := list[locationBody]{Value: make([]locationBody, 0, len(all))}
	for _, l := range all {
		category := "Other"
		if l.Recommended {
			category = "Recommended"
		}
		b := locationBody{
			ID: base + l.Name, Name: l.Name, DisplayName: l.DisplayName, RegionalDisplayName: "(" + l.Region + ") " + l.DisplayName,
			Metadata: locationMetadata{
				RegionType: "Physical", RegionCategory: category, GeographyGroup: l.Region, Longitude: l.Longitude, Latitude: l.Latitude,
				PhysicalLocation: l.Place, PairedRegion: []pairedRegion{},
			},
		}
		if l.Pair != "" {
			b.Metadata.PairedRegion = append(b.Metadata.PairedRegion, pairedRegion{Name: l.Pair, ID: base + l.Pair})
		}
		out.Value = append(out.Value, b)
	}
	return r.WriteJSON(http.StatusOK, out)
}
