package containerservice

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/arm/armtest"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/pki"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

// attachBody is the body of a PUT of an attached cluster, with members of its properties replaced.
func attachBody(t *testing.T, properties string) string {
	t.Helper()
	a, err := pki.NewAuthority("theirs", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := json.Marshal(a.CertPEM())
	if err != nil {
		t.Fatal(err)
	}
	return with(t, `{"location":"westus2","properties":{"keyreeveAttachedProfile":{"server":"https://api.theirs.test:6443","certificateAuthority":`+string(ca)+`},
		"aadProfile":{"managed":true,"adminGroupObjectIDs":["`+admins+`"]}}}`, properties)
}

// TestAttached: an attached cluster is a managed cluster that nothing is started, and no key made, for.
func TestAttached(t *testing.T) {
	r := newRig(t)
	a := r.Do("PUT", path, armtest.Owner, attachBody(t, `{}`)).Want(201, "")
	r.ended(a, resource.Succeeded)
	c := r.cluster()
	if !c.IsAttached() || c.Endpoint != "api.theirs.test:6443" || c.ProvisioningState != managedcluster.Succeeded || len(c.Pools) != 0 {
		t.Errorf("%+v", c)
	}
	if _, started := r.driver.want(c.ID); started {
		t.Error("the driver was told to run it")
	}
	if err := r.DB.View(t.Context(), func(tx *store.Tx) error {
		if _, err := tx.ClusterSecrets(c.ID); !store.IsNotFound(err) {
			t.Errorf("keys: %v", err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	shown := r.Do("GET", path, armtest.Owner, "").Want(200, "").Body
	for _, part := range []string{`"keyreeveAttachedProfile":{"server":"https://api.theirs.test:6443"`, `"agentPoolProfiles":[{"name":"attached","count":0,`, admins} {
		if !strings.Contains(shown, part) {
			t.Errorf("lacks %s: %s", part, shown)
		}
	}
	for _, part := range []string{"identityProfile", "nodeResourceGroup", "currentKubernetesVersion"} {
		if strings.Contains(shown, part) {
			t.Errorf("shows %s: %s", part, shown)
		}
	}

	// A client that does not know our property drops it: the cluster stays what it is, and so does what is not said.
	r.Do("PUT", path, armtest.Owner, `{"location":"westus2","properties":{"aadProfile":{"managed":true},"disableLocalAccounts":true}}`).Want(200, "")
	if again := r.cluster(); !again.IsAttached() || len(again.AAD.AdminGroups) != 1 || !again.LocalAccountsDisabled || again.Epoch != 1 {
		t.Errorf("%+v", again)
	}

	user := r.Do("POST", path+"/listClusterUserCredential", armtest.Owner, "").Want(200, "").Body
	if !strings.Contains(user, "kubeconfigs") {
		t.Error(user)
	}
	r.Do("POST", path+"/listClusterAdminCredential", armtest.Owner, "").Want(400, "BadRequest")
	r.Do("POST", path+"/rotateClusterCertificates", armtest.Owner, "").Want(400, "OperationNotAllowed")

	r.restart() // and nothing is started then either
	if err := r.h.StartAll(t.Context()); err != nil {
		t.Error(err)
	}
	if _, started := r.driver.want(c.ID); started {
		t.Error("the driver was told to run it")
	}
	r.ended(r.Do("DELETE", path, armtest.Owner, "").Want(202, ""), resource.Succeeded)
	if _, there := r.World.Cluster(c.ID); there || len(r.driver.deleted) != 0 {
		t.Errorf("there %v, driver told to delete %v", there, r.driver.deleted)
	}
}

func TestAttachedRefusals(t *testing.T) {
	r := newRig(t)
	for name, properties := range map[string]string{
		"no server":           `{"keyreeveAttachedProfile":{}}`,
		"plain HTTP":          `{"keyreeveAttachedProfile":{"server":"http://x","certificateAuthority":"x"}}`,
		"a path":              `{"keyreeveAttachedProfile":{"server":"https://x/y","certificateAuthority":"x"}}`,
		"a user":              `{"keyreeveAttachedProfile":{"server":"https://u:p@x","certificateAuthority":"x"}}`,
		"no certificate":      `{"keyreeveAttachedProfile":{"server":"https://x","certificateAuthority":"x"}}`,
		"a key":               `{"keyreeveAttachedProfile":{"server":"https://x","certificateAuthority":"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"}}`,
		"no people":           `{"aadProfile":null}`,
		"the old integration": `{"aadProfile":{"managed":false}}`,
		"nodes":               `{"agentPoolProfiles":[{"name":"nodepool1","count":1}]}`,
	} {
		a := r.Do("PUT", path, armtest.Owner, attachBody(t, properties))
		if a.Status != 400 {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
	if _, there := r.World.ClusterByResource(path); there {
		t.Error("a refused cluster is there")
	}
	// A cluster that runs here does not become one that does not.
	r.create(body(t, entra))
	if a := r.Do("PUT", path, armtest.Owner, attachBody(t, `{}`)); a.Status != 400 || !strings.Contains(a.Body, "keyreeveAttachedProfile") {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	r.Do("POST", path+"/keyreeveEnrollGate", armtest.Owner, "").Want(400, "OperationNotAllowed")
}

// What az reads it sends back: the pool that stands for nodes elsewhere may come back, and nothing else of nodes.
func TestAttachedPoolGoesRound(t *testing.T) {
	r := newRig(t)
	var read map[string]any
	r.Do("PUT", path, armtest.Owner, attachBody(t, `{}`)).Want(201, "").JSON(&read)
	r.Do("GET", path, armtest.Owner, "").Want(200, "").JSON(&read)
	send := func(change func(pool map[string]any)) armtest.Answer {
		t.Helper()
		raw, err := json.Marshal(read)
		if err != nil {
			t.Fatal(err)
		}
		var body map[string]any
		if err := json.Unmarshal(raw, &body); err != nil {
			t.Fatal(err)
		}
		pools, _ := body["properties"].(map[string]any)["agentPoolProfiles"].([]any)
		change(pools[0].(map[string]any))
		if raw, err = json.Marshal(body); err != nil {
			t.Fatal(err)
		}
		return r.Do("PUT", path, armtest.Owner, string(raw))
	}
	send(func(map[string]any) {}).Want(200, "")
	for key, value := range map[string]any{"count": 1, "name": "other", "enableAutoScaling": true, "minCount": 1, "nodeLabels": map[string]any{"a": "b"}, "mode": "User"} {
		if a := send(func(pool map[string]any) { pool[key] = value }); a.Status != 400 || !strings.Contains(a.Body, "not managed here") {
			t.Errorf("%s: %d %s", key, a.Status, a.Body)
		}
	}
}

// TestEnrollmentToken: it is shown once and kept as a hash, by who may write the cluster.
func TestEnrollmentToken(t *testing.T) {
	r := newRig(t)
	r.Do("PUT", path, armtest.Owner, attachBody(t, `{}`)).Want(201, "")
	r.Do("POST", path+"/keyreeveEnrollGate", armtest.Reader, "").Want(403, "AuthorizationFailed")
	var out enrollGateBody
	r.Do("POST", path+"/keyreeveEnrollGate", armtest.Owner, "").Want(200, "").JSON(&out)
	c := r.cluster()
	if !strings.HasPrefix(out.Token, managedcluster.EnrollmentPrefix) || out.ClusterID != c.ID.String() || !out.ExpiresOn.Equal(r.Clock.Now().UTC().Add(time.Hour)) {
		t.Errorf("%+v", out)
	}
	if err := r.DB.View(t.Context(), func(tx *store.Tx) error {
		e, err := tx.Enrollment(proof.HashToken(out.Token))
		if err == nil && e.Cluster != c.ID {
			t.Errorf("%+v", e)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	if events := strings.Join(r.audited(c.ResourceID()), " "); !strings.Contains(events, "gateTokenIssued") {
		t.Errorf("audited %s", events)
	}
	if list := r.Do("GET", path+"/keyreeveGates", armtest.Reader, "").Want(200, "").Body; !strings.Contains(list, `"value":[]`) {
		t.Error(list)
	}
}
