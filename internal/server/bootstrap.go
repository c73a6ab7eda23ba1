package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/keyreeve/keyreeve/internal/datadir"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

// firstDomain is the domain of the first tenant. The top-level name test is reserved (RFC 6761), so nobody's mail or
// web site is named.
const firstDomain = "keyreeve.test"

// ownerRole is the built-in role Owner.
const ownerRole = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"

// bootstrap makes the first tenant of an empty store, and writes the administrator's sign-in to the data folder. On a store
// that has a tenant it only finishes what a crash left half done.
func bootstrap(ctx context.Context, db *store.DB, dir datadir.Dir, catalog *directory.Catalog, now time.Time) error {
	there, err := hasTenant(ctx, db)
	if err != nil {
		return err
	}
	if !there {
		first := first{
			domain: firstDomain, user: "admin", password: proof.NewPassword(),
			passwordGrant: []ident.ClientID{directory.AzureCLI(), directory.AKSClient()},
		}
		if err := first.make(ctx, db, catalog, now, dir.PrepareInitialAdmin); err != nil {
			return err
		}
	}
	return dir.PublishInitialAdmin()
}

func hasTenant(ctx context.Context, db *store.DB) (bool, error) {
	var tenants []directory.Tenant
	err := db.View(ctx, func(tx *store.Tx) (err error) {
		tenants, err = tx.Tenants()
		return err
	})
	return len(tenants) > 0, err
}

// first says how the first tenant and its administrator should be.
type first struct {
	domain, user, password string
	// passwordGrant are the clients that may use the password grant.
	passwordGrant []ident.ClientID
}

// errTenantThere says that another process made the first tenant.
var errTenantThere = errors.New("the database has a tenant already")

// make makes the first tenant, subscription and administrator of an empty store, with the service principals of the
// well-known applications. prepare is given the administrator's sign-in before it is good.
func (f first) make(ctx context.Context, db *store.DB, catalog *directory.Catalog, now time.Time, prepare func(datadir.InitialAdmin) error) error {
	hash, err := proof.HashPassword(ctx, f.password)
	if err != nil {
		return fmt.Errorf("first administrator: %w", err)
	}
	tenant := directory.Tenant{
		ID: ident.New[ident.TenantID](), DisplayName: "Keyreeve", Domains: []string{f.domain}, CreatedAt: now,
		PasswordGrantClients: f.passwordGrant,
	}
	admin := directory.User{
		ID: ident.New[ident.ObjectID](), Tenant: tenant.ID, UserPrincipalName: f.user + "@" + f.domain,
		DisplayName: "First administrator", MailNickname: f.user, AccountEnabled: true, UserType: "Member",
		CreatedAt: now, SessionsValidFrom: now,
	}
	subscription := resource.Subscription{
		ID: ident.New[ident.SubscriptionID](), Tenant: tenant.ID, DisplayName: "Keyreeve", State: "Enabled", CreatedAt: now,
	}
	if err := prepare(datadir.InitialAdmin{
		UserPrincipalName: admin.UserPrincipalName, Password: f.password,
		TenantID: tenant.ID.String(), SubscriptionID: subscription.ID.String(),
	}); err != nil {
		return err
	}
	_, err = db.Update(ctx, func(tx *store.Tx) error {
		if tenants, err := tx.Tenants(); err != nil || len(tenants) > 0 {
			return errors.Join(err, errTenantThere)
		}
		if err := tx.PutTenant(tenant); err != nil {
			return err
		}
		if err := tx.PutUser(admin); err != nil {
			return err
		}
		if err := tx.PutPassword(admin.ID, hash); err != nil {
			return err
		}
		if err := tx.GrantDirectoryRole(directory.GlobalAdministrator(), admin.ID); err != nil {
			return err
		}
		if err := tx.PutSubscription(subscription); err != nil {
			return err
		}
		for _, app := range catalog.Apps() {
			if err := tx.PutServicePrincipal(directory.FirstPartyPrincipal(tenant, app)); err != nil {
				return err
			}
		}
		return tx.PutAssignment(rbac.Assignment{
			ID: ident.New[ident.RoleAssignmentID](), Scope: "/subscriptions/" + subscription.ID.String(),
			RoleDefinitionID: ident.MustParse[ident.RoleDefinitionID](ownerRole), RoleDefinitionSubscription: subscription.ID,
			PrincipalID: admin.ID, PrincipalType: rbac.PrincipalUser, Tenant: tenant.ID,
			CreatedOn: now, UpdatedOn: now, CreatedBy: admin.ID.String(), UpdatedBy: admin.ID.String(),
		})
	})
	if err != nil {
		return fmt.Errorf("first tenant: %w", err)
	}
	return nil
}
