package resource

import (
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// ManagementGroup holds subscriptions and other management groups of a tenant, as a tree. Roles assigned at it count in all
// that is below it.
type ManagementGroup struct {
	Tenant ident.TenantID `json:"tenant"`
	// Name is the group's id, chosen by who makes it; compared without case. The root's is the tenant's id.
	Name        string `json:"name"`
	DisplayName string `json:"displayName"`
	// Parent is the name of the group above, or empty: the tenant's root group, or, of the root group itself, nothing.
	Parent    string    `json:"parent,omitempty"`
	Version   int       `json:"version"`
	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"updatedAt"`
	UpdatedBy string    `json:"updatedBy,omitempty"`
}

// ManagementGroupType is the type of management groups.
const ManagementGroupType = "Microsoft.Management/managementGroups"

const managementGroupPrefix = "/providers/" + ManagementGroupType + "/"

// MaxManagementGroupDepth is how many levels of groups there may be below the root group (Azure's limit).
const MaxManagementGroupDepth = 6

// RootManagementGroup returns the group that every tenant has from its start, and that nobody has to make.
func RootManagementGroup(t ident.TenantID) ManagementGroup {
	return ManagementGroup{Tenant: t, Name: t.String(), DisplayName: "Tenant Root Group", Version: 1}
}

// IsRoot reports whether the group is its tenant's root group.
func (g ManagementGroup) IsRoot() bool { return strings.EqualFold(g.Name, g.Tenant.String()) }

// ID returns the group's ARM id.
func (g ManagementGroup) ID() string { return ManagementGroupID(g.Name) }

// ManagementGroupID returns the ARM id of the group with a name.
func ManagementGroupID(name string) string { return managementGroupPrefix + name }

// ParseManagementGroupID returns the name in the ARM id of a management group; letter case of the rest does not count.
func ParseManagementGroupID(id string) (name string, ok bool) {
	n := len(managementGroupPrefix)
	if len(id) <= n || !strings.EqualFold(id[:n], managementGroupPrefix) {
		return "", false
	}
	name = strings.TrimSuffix(id[n:], "/")
	return name, ValidManagementGroupName(name)
}

// ValidManagementGroupName reports whether a name is one that a group may have: at most 90 ASCII letters, digits and - _ ( )
// and dots, beginning with a letter or digit and not ending with a dot.
func ValidManagementGroupName(s string) bool {
	const most = 90
	if s == "" || len(s) > most || s[len(s)-1] == '.' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !plain && (i == 0 || !strings.ContainsRune("-_().", rune(c))) {
			return false
		}
	}
	return true
}
