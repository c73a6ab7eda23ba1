package directory

import (
	"slices"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// AccessAsUser is the scope of a client through which people may do all that they may do themselves.
const AccessAsUser = "Directory.AccessAsUser.All"

// graphPermission is one permission of Microsoft Graph, as a scope, as an app role or as both. The ids are those of the
// Microsoft Graph permissions reference: scripts carry them.
type graphPermission struct {
	value, scope, role string
	// admin says that only administrators consent to the scope.
	admin bool
	text  string
}

func graphPermissions() []graphPermission {
	return []graphPermission{
		{"openid", "37f7f235-527c-4136-accd-4a02d197296e", "", false, "Sign users in"},
		{"profile", "14dad69e-099b-42c9-810b-d002981feec1", "", false, "View users' basic profile"},
		{"email", "64a6cdd6-aab1-4aaf-94b8-3cc8405e90d0", "", false, "View users' email address"},
		{"offline_access", "7427e0e9-2fba-42fe-b0c0-848c9e6a8182", "", false, "Maintain access to data you have given it access to"},
		{"User.Read", "e1fe6dd8-ba31-4d61-89e7-88639da4683d", "", false, "Sign in and read user profile"},
		{"User.ReadWrite", "b4e74841-8e56-480b-be8b-910348b18b4c", "", false, "Read and write access to user profile"},
		{"User.ReadBasic.All", "b340eb25-3456-403f-be2f-af7a0d370277", "97235f07-e226-4f63-ace3-39588e11d3a1", false, "Read all users' basic profiles"},
		{"User.Read.All", "a154be20-db9c-4678-8ab7-66f6cc099a59", "df021288-bdef-4463-88db-98f22de89214", true, "Read all users' full profiles"},
		{"User.ReadWrite.All", "204e0828-b5ca-4ad8-b9f3-f32a958e7cc4", "741f803b-c850-494e-b5df-cde7c675a1ca", true, "Read and write all users' full profiles"},
		{"Group.Create", "", "bf7b1a76-6e77-406b-b258-bf5c7720e98f", true, "Create groups"},
		{"Group.Read.All", "5f8c59db-677d-491f-a6b8-5f174b11ec1d", "5b567255-7703-4780-807c-7be8301ae99b", true, "Read all groups"},
		{"Group.ReadWrite.All", "4e46008b-f24c-477d-8fff-7bb4ec7aafe0", "62a82d76-70ea-41e2-9197-370581804d09", true, "Read and write all groups"},
		{"GroupMember.Read.All", "bc024368-1153-4739-b217-4326f2e966d0", "98830695-27a2-44f7-8c18-0c3ebc9698f6", true, "Read group memberships"},
		{"GroupMember.ReadWrite.All", "f81125ac-d3b7-4573-a3b2-7099cc39df9e", "dbaae8cf-10b5-4b86-a4a1-f871c94c6695", true, "Read and write group memberships"},
		{"Directory.Read.All", "06da0dbc-49e2-44d2-8312-53f166ab848a", "7ab1d382-f21e-4acd-a863-ba3e13f7da61", true, "Read directory data"},
		{"Directory.ReadWrite.All", "c5366453-9fb0-48a5-a156-24f0c49a4b84", "19dbc75e-c2e2-444c-a770-ec69d8559fc7", true, "Read and write directory data"},
		{AccessAsUser, "0e263e50-5827-48a4-b97c-d940288653c7", "", true, "Access the directory as the signed-in user"},
		{"Application.Read.All", "c79f8feb-a9db-4090-85f9-90d820caa0eb", "9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30", true, "Read all applications"},
		{"Application.ReadWrite.All", "bdfbf15f-ee85-4955-8675-146e8e5296b5", "1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9", true, "Read and write all applications"},
		{ownedApplications, "", "18a4783c-866b-4cc7-a460-3d5e5662c884", true, "Manage apps that this app creates or owns"},
		{"AppRoleAssignment.ReadWrite.All", "84bccea3-f856-4a8a-967b-dbe0a3d53a64", "06b708a9-e830-4db3-a914-8e69da51d44f", true, "Manage app permission grants and app role assignments"},
		{"DelegatedPermissionGrant.ReadWrite.All", "41ce6ca6-6826-4807-84f1-1c82854f7ee5", "8e8e4742-1d95-4f68-9d56-6ee75648c72a", true, "Manage all delegated permission grants"},
		{"RoleManagement.Read.Directory", "741c54c3-0c1e-44a1-818b-3f97ab4e8c83", "483bed4a-2ad3-4361-a73b-c83ccdbdc53c", true, "Read directory RBAC settings"},
		{"RoleManagement.ReadWrite.Directory", "d01b97e9-cbc0-49fe-810a-750afd5527a3", "9e3f62cf-ca93-4989-b6ce-bf83c28f9fe8", true, "Read and write directory RBAC settings"},
		{"Organization.Read.All", "4908d5b9-3fb2-4b1e-9336-1888b7937185", "498476ce-e0fe-48b0-b801-37ba7e2685c6", true, "Read organization information"},
		{"Domain.Read.All", "2f9ee017-59c1-4f1d-9472-bd5529a7b311", "dbb9058a-0e50-45d7-ae91-66909b5d4664", true, "Read domains"},
		{"Policy.Read.All", "572fea84-0151-49b2-9301-11cb16974376", "246dd0d5-5bd0-4def-940b-0421030a5b68", true, "Read your organization's policies"},
		{"AuditLog.Read.All", "e4c9e354-4dc5-45b8-9e7c-e1393b0b1a20", "b0afded3-3588-46d8-8b3d-9842eff778da", true, "Read all audit log data"},
	}
}

// manageAzure is the one scope of Azure Resource Manager.
const manageAzure = "41094075-9dad-400e-a0bd-54e686782033"

// Offers returns what a well-known application offers: its scopes and its app roles.
func (c *Catalog) Offers(app ident.ClientID) (scopes []PermissionScope, roles []AppRole) {
	o := c.offered[app]
	return slices.Clone(o.scopes), slices.Clone(o.roles)
}

// offer is what a well-known application offers.
type offer struct {
	scopes []PermissionScope
	roles  []AppRole
}

// offersOf makes the offer of a well-known application. It derives and reads many ids: a catalog keeps what it gives.
func offersOf(known FirstParty) (o offer) {
	if known.AppID == MicrosoftGraph() {
		for _, p := range graphPermissions() {
			if p.scope != "" {
				s := PermissionScope{
					ID: ident.MustParse[ident.PermissionID](p.scope), Value: p.value, Type: ScopeUser, Enabled: true,
					AdminConsentDisplayName: p.text, AdminConsentDescription: p.text + ".", UserConsentDisplayName: p.text, UserConsentDescription: p.text + ".",
				}
				if p.admin {
					s.Type = ScopeAdmin
				}
				o.scopes = append(o.scopes, s)
			}
			if p.role != "" {
				o.roles = append(o.roles, AppRole{
					ID: ident.MustParse[ident.PermissionID](p.role), Value: p.value, DisplayName: p.text, Description: p.text + ", without a signed-in user.",
					Enabled: true, AllowedMembers: []string{MemberApplication},
				})
			}
		}
		return o
	}
	for _, value := range known.Scopes {
		id := ident.Derive[ident.PermissionID]("first-party scope", known.AppID.String(), value)
		if known.AppID == ResourceManager() {
			id = ident.MustParse[ident.PermissionID](manageAzure)
		}
		text := "Access " + known.DisplayName + " as a user"
		o.scopes = append(o.scopes, PermissionScope{
			ID: id, Value: value, Type: ScopeUser, Enabled: true,
			AdminConsentDisplayName: text, AdminConsentDescription: text + ".", UserConsentDisplayName: text, UserConsentDescription: text + ".",
		})
	}
	return o
}

// GraphPermission returns the value of an app role of Microsoft Graph, and false if there is none with that id.
func GraphPermission(id ident.PermissionID) (string, bool) {
	text := id.String()
	for _, p := range graphPermissions() {
		if p.role == text {
			return p.value, true
		}
	}
	return "", false
}
