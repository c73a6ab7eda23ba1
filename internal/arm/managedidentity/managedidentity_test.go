package managedidentity_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/arm/armtest"
	"github.com/keyreeve/keyreeve/internal/arm/managedidentity"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

const (
	groupPath = "/subscriptions/" + armtest.Sub + "/resourceGroups/rg1"
	path      = groupPath + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/app"
	operator  = "f1a07417-d97a-45cb-824c-7a7467783830" // Managed Identity Operator
)

func rig(t *testing.T) *armtest.Rig {
	t.Helper()
	r := armtest.New(t)
	(&managedidentity.Handler{DB: r.DB, EndpointURL: "https://login.test/msi/token", Now: r.Clock.Now}).Mount(r.Face)
	r.Update(func(tx *store.Tx) error {
		return tx.PutResourceGroup(resource.Group{
			Subscription: ident.MustParse[ident.SubscriptionID](armtest.Sub), Name: "rg1", Location: "westus2", State: "Succeeded", CreatedAt: r.Clock.Now(),
		})
	})
	return r
}

type identity struct {
	ID, Name, Type, Location string
	Tags                     map[string]string
	Properties               struct {
		TenantID    string         `json:"tenantId"`
		PrincipalID ident.ObjectID `json:"principalId"`
		ClientID    ident.ClientID `json:"clientId"`
	}
}

func create(t *testing.T, r *armtest.Rig, path string) identity {
	t.Helper()
	var i identity
	r.Do("PUT", path, armtest.Owner, `{"location":"West US 2","tags":{"team":"shop"}}`).Want(201, "").JSON(&i)
	return i
}

// TestLife: an identity and its principal come, change and go together.
func TestLife(t *testing.T) {
	r := rig(t)
	i := create(t, r, path)
	if i.Location != "westus2" || i.Tags["team"] != "shop" || i.Type != resource.IdentityType || i.Properties.TenantID != armtest.Tenant {
		t.Fatalf("%+v", i)
	}
	var p directory.ServicePrincipal
	read := func() (err error) {
		return r.DB.View(t.Context(), func(tx *store.Tx) error {
			p, err = tx.ServicePrincipal(i.Properties.PrincipalID)
			return err
		})
	}
	if err := read(); err != nil || p.AppID != i.Properties.ClientID || p.Type != directory.TypeManagedIdentity ||
		fmt.Sprint(p.AlternativeNames) != "[isExplicit=True "+i.ID+"]" {
		t.Fatal(p, err)
	}
	var again identity
	r.Do("PUT", strings.ToUpper(path), armtest.Owner, `{"location":"westus2"}`).Want(200, "").JSON(&again)
	if again.Properties != i.Properties || again.ID != i.ID || len(again.Tags) != 0 {
		t.Fatalf("a second PUT changed it: %+v", again)
	}
	r.Do("PATCH", path, armtest.Owner, `{"tags":{"a":"b"}}`).Want(200, "").JSON(&again)
	if again.Tags["a"] != "b" {
		t.Fatal(again)
	}
	r.Do("PUT", path, armtest.Owner, `{"location":"eastus"}`).Want(409, "InvalidResourceLocation")

	r.Grant(i.Properties.PrincipalID.String(), rbac.PrincipalServicePrincipal, armtest.ReaderRole, groupPath)
	r.Do("DELETE", path, armtest.Owner, "").Want(200, "")
	r.Do("DELETE", path, armtest.Owner, "").Want(204, "")
	r.Do("GET", path, armtest.Owner, "").Want(404, "ResourceNotFound")
	if err := read(); !store.IsNotFound(err) {
		t.Fatal("the principal is still there")
	}
	if _, ok := r.World.Principal(i.Properties.PrincipalID); ok {
		t.Fatal("the world still knows the principal")
	}
	// Another of the same name is somebody else: what the first one held, it does not.
	if next := create(t, r, path); next.Properties.PrincipalID == i.Properties.PrincipalID || len(r.World.GrantsOf(next.Properties.PrincipalID)) != 0 {
		t.Fatal("the new identity has the rights of the old one")
	}
}

func TestRefusals(t *testing.T) {
	r := rig(t)
	base := groupPath + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/"
	for name, body := range map[string]string{"ab": `{"location":"westus2"}`, "-abc": `{"location":"westus2"}`, strings.Repeat("a", 129): `{"location":"westus2"}`} {
		r.Do("PUT", base+name, armtest.Owner, body).Want(400, "InvalidParameter")
	}
	r.Do("PUT", path, armtest.Owner, `{}`).Want(400, "LocationRequired")
	r.Do("PUT", path, armtest.Owner, `{"location":"moon"}`).Want(400, "LocationNotAvailableForResourceType")
	r.Do("PUT", path, armtest.Owner, `{"location":"westus2","tags":{"a":1}}`).Want(400, "InvalidRequestContent")
	r.Do("PUT", path, armtest.Reader, `{"location":"westus2"}`).Want(403, "AuthorizationFailed")
	r.Do("PUT", strings.Replace(path, "rg1", "rg2", 1), armtest.Owner, `{"location":"westus2"}`).Want(404, "ResourceGroupNotFound")
	create(t, r, path)
	r.Do("DELETE", path, armtest.Reader, "").Want(403, "AuthorizationFailed")
	r.Do("GET", path, armtest.Nobody, "").Want(403, "AuthorizationFailed")
}

// TestListShowsWhatOneMayRead: a Managed Identity Operator of one identity sees that one.
func TestListShowsWhatOneMayRead(t *testing.T) {
	r := rig(t)
	create(t, r, path)
	create(t, r, path+"-2")
	r.Grant(armtest.Nobody, rbac.PrincipalUser, operator, path)
	for _, list := range []string{groupPath, "/subscriptions/" + armtest.Sub} {
		for who, want := range map[string]int{armtest.Owner: 2, armtest.Reader: 2, armtest.Nobody: 1} {
			var got struct{ Value []identity }
			r.Do("GET", list+"/providers/Microsoft.ManagedIdentity/userAssignedIdentities", who, "").Want(200, "").JSON(&got)
			if len(got.Value) != want {
				t.Errorf("%s sees %d of %s, want %d", who, len(got.Value), list, want)
			}
		}
	}
	r.Do("GET", path, armtest.Nobody, "").Want(200, "")
	r.Do("GET", path+"-2", armtest.Nobody, "").Want(403, "AuthorizationFailed")
	r.Do("PUT", path, armtest.Nobody, `{"location":"westus2"}`).Want(403, "AuthorizationFailed")
	r.Do("GET", strings.Replace(groupPath, "rg1", "rg2", 1)+"/providers/Microsoft.ManagedIdentity/userAssignedIdentities", armtest.Owner, "").Want(404, "ResourceGroupNotFound")
}

func federated(issuer, subject, audience string) string {
	return fmt.Sprintf(`{"properties":{"issuer":%q,"subject":%q,"audiences":[%q]}}`, issuer, subject, audience)
}

func TestFederatedCredentials(t *testing.T) {
	r := rig(t)
	i := create(t, r, path)
	const (
		issuer, subject, audience = "https://issuer.test/", "system:serviceaccount:shop:web", "api://AzureADTokenExchange"
		set                       = path + "/federatedIdentityCredentials"
	)
	r.Do("PUT", set+"/web", armtest.Owner, federated(issuer, subject, audience)).Want(201, "")
	r.Do("PUT", set+"/WEB", armtest.Owner, federated(issuer, subject+"2", audience)).Want(200, "")
	r.Do("PUT", set+"/other", armtest.Owner, federated(issuer, subject+"2", audience)).Want(409, "Conflict")
	r.Do("PUT", set+"/other", armtest.Owner, federated(issuer, strings.ToUpper(subject)+"2", audience)).Want(201, "") // case counts
	for body, target := range map[string]string{
		federated("http://issuer.test", subject, audience):           "issuer",
		federated("https://issuer.test/?a=b", subject, audience):     "issuer",
		federated(issuer, "", audience):                              "subject",
		federated(issuer, " x", audience):                            "subject",
		federated(issuer, subject, ""):                               "audiences",
		`{"properties":{"issuer":"https://a.test","subject":"b"}}`:   "audiences",
		federated(issuer, strings.Repeat("x", 601), audience):        "subject",
		federated(issuer+strings.Repeat("x", 600), "long", audience): "issuer",
	} {
		if a := r.Do("PUT", set+"/bad", armtest.Owner, body).Want(400, "BadRequest"); !strings.Contains(a.Body, `"target":"`+target+`"`) {
			t.Errorf("%s: %s", body, a.Body)
		}
	}
	r.Do("PUT", set+"/x", armtest.Owner, federated(issuer, "x", audience)).Want(400, "BadRequest")
	r.Do("PUT", set+"/web", armtest.Reader, federated(issuer, subject, audience)).Want(403, "AuthorizationFailed")
	for n := range 50 { // no small limit
		r.Do("PUT", fmt.Sprintf("%s/pod-%d", set, n), armtest.Owner, federated(issuer, fmt.Sprintf("system:serviceaccount:shop:pod-%d", n), audience)).Want(201, "")
	}
	extra := proof.FederatedCredential{Owner: i.Properties.PrincipalID, AppID: i.Properties.ClientID, Issuer: "https://other.test", Audiences: []string{audience}}
	fill := func(change func(*store.Tx, ident.ObjectID) error) {
		r.Update(func(tx *store.Tx) error {
			for n := range proof.MaxFederated - 52 {
				if err := change(tx, ident.Derive[ident.ObjectID]("test.fill", fmt.Sprint(n))); err != nil {
					return err
				}
			}
			return nil
		})
	}
	fill(func(tx *store.Tx, id ident.ObjectID) error {
		extra.ID, extra.Name, extra.Subject = id, "fill-"+id.String(), id.String()
		return tx.PutFederatedCredential(extra)
	})
	if a := r.Do("PUT", set+"/last", armtest.Owner, federated(issuer, "last", audience)).Want(400, "BadRequest"); !strings.Contains(a.Message(), "at most 10000") {
		t.Error(a.Message())
	}
	r.Do("PUT", set+"/web", armtest.Owner, federated(issuer, subject+"2", audience)).Want(200, "") // one that is there may change
	fill(func(tx *store.Tx, id ident.ObjectID) error { return tx.DeleteFederatedCredential(id) })
	var list struct {
		Value []struct {
			ID, Name, Type string
		}
	}
	r.Do("GET", set, armtest.Owner, "").Want(200, "").JSON(&list)
	if len(list.Value) != 52 || list.Value[0].ID != i.ID+"/federatedIdentityCredentials/"+list.Value[0].Name {
		t.Fatalf("%+v", list)
	}
	if a := r.Do("GET", set+"/web", armtest.Owner, "").Want(200, ""); !strings.Contains(a.Body, subject+"2") {
		t.Error(a.Body)
	}
	r.Do("DELETE", set+"/web", armtest.Owner, "").Want(200, "")
	r.Do("DELETE", set+"/web", armtest.Owner, "").Want(204, "")
	r.Do("GET", set+"/web", armtest.Owner, "").Want(404, "ResourceNotFound")
	r.Do("DELETE", path, armtest.Owner, "").Want(200, "")
	err := r.DB.View(t.Context(), func(tx *store.Tx) error {
		left, err := tx.FederatedCredentialsOf(i.Properties.PrincipalID)
		if len(left) != 0 {
			t.Error("credentials outlived their identity")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestContents: identities are among the resources of their group, and go with it.
func TestContents(t *testing.T) {
	r := rig(t)
	h := &managedidentity.Handler{DB: r.DB, Now: r.Clock.Now}
	i := create(t, r, path)
	sub := ident.MustParse[ident.SubscriptionID](armtest.Sub)
	id, err := ident.ParseResourceID(i.ID)
	if err != nil {
		t.Fatal(err)
	}
	r.Update(func(tx *store.Tx) error {
		if list, err := h.Resources(tx, sub, "RG1"); err != nil || len(list) != 1 || list[0].ID != i.ID {
			t.Error(list, err)
		}
		if exists, known, err := h.Exists(tx, id); !exists || !known || err != nil {
			t.Error(exists, known, err)
		}
		return h.SetTags(tx, nil, id, map[string]string{"x": "y"})
	})
	if err := h.DeleteAll(t.Context(), sub, "other"); err != nil {
		t.Fatal(err)
	}
	r.Do("GET", path, armtest.Owner, "").Want(200, "")
	if err := h.DeleteAll(t.Context(), sub, "rg1"); err != nil {
		t.Fatal(err)
	}
	r.Do("GET", path, armtest.Owner, "").Want(404, "ResourceNotFound")
}
