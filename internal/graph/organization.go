package graph

import (
	"net/http"
	"strings"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/store"
)

// tenant returns the caller's tenant, for a caller who may read the directory.
func (rq *request) tenant() (directory.Tenant, error) {
	var t directory.Tenant
	err := rq.view(directory.Organization, func(tx *store.Tx) error {
		var err error
		t, err = tx.Tenant(rq.caller.Tenant)
		return err
	})
	return t, err
}

func organizationObject(t directory.Tenant) object {
	domains := []object{}
	for i, d := range t.Domains {
		domains = append(domains, object{
			{"capabilities", "Email, OfficeCommunicationsOnline"}, {"isDefault", i == 0}, {"isInitial", i == 0}, {"name", d}, {"type", "Managed"},
		})
	}
	return object{
		{"id", t.ID.String()},
		{"deletedDateTime", nil},
		{"businessPhones", []string{}},
		{"city", nil},
		{"country", nil},
		{"countryLetterCode", nil},
		{"createdDateTime", instant(t.CreatedAt)},
		{"displayName", t.DisplayName},
		{"preferredLanguage", nil},
		{"tenantType", "AAD"},
		{"assignedPlans", []string{}},
		{"provisionedPlans", []string{}},
		{"verifiedDomains", domains},
	}
}

func domainObject(name string, first bool) object {
	return object{
		{"authenticationType", "Managed"},
		{"availabilityStatus", nil},
		{"id", name},
		{"isAdminManaged", true},
		{"isDefault", first},
		{"isInitial", first},
		{"isRoot", true},
		{"isVerified", true},
		{"supportedServices", []string{}},
		{"model", nil},
		{"state", nil},
	}
}

func domains(t directory.Tenant) []object {
	var out []object
	for i, d := range t.Domains {
		out = append(out, domainObject(d, i == 0))
	}
	return out
}

// pick leaves of an object what a $select asks for. Names it does not have are passed over.
func (o object) pick(selected []string) object {
	if len(selected) == 0 {
		return o
	}
	out := object{}
	for _, f := range o {
		for _, s := range selected {
			if strings.EqualFold(s, f.name) {
				out = append(out, f)
				break
			}
		}
	}
	return out
}

func listOrganization(rq *request) error {
	if err := rq.plain(); err != nil {
		return err
	}
	t, err := rq.tenant()
	if err != nil {
		return err
	}
	return rq.collection(collection{set: "organization", items: []object{organizationObject(t).pick(rq.query.selected)}, count: 1})
}

func getOrganization(rq *request) error {
	t, err := rq.tenant()
	if err != nil {
		return err
	}
	if fold(rq.args[0]) != t.ID.String() {
		return absent(rq.args[0])
	}
	return rq.entity(http.StatusOK, "organization", organizationObject(t).pick(rq.query.selected))
}

func listDomains(rq *request) error {
	if err := rq.plain(); err != nil {
		return err
	}
	t, err := rq.tenant()
	if err != nil {
		return err
	}
	all := domains(t)
	for i := range all {
		all[i] = all[i].pick(rq.query.selected)
	}
	return rq.collection(collection{set: "domains", items: all, count: int64(len(all))})
}

func getDomain(rq *request) error {
	t, err := rq.tenant()
	if err != nil {
		return err
	}
	for i, d := range t.Domains {
		if fold(d) == fold(rq.args[0]) {
			return rq.entity(http.StatusOK, "domains", domainObject(d, i == 0).pick(rq.query.selected))
		}
	}
	return absent(rq.args[0])
}
