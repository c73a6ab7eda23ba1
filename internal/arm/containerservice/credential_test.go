package containerservice

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/keyreeve/keyreeve/internal/arm/armtest"
	"github.com/keyreeve/keyreeve/internal/pki"
	"github.com/keyreeve/keyreeve/internal/resource"
)

type kubeconfig struct {
	server, user  string
	ca, cert, key []byte
	exec          []string
	provider      map[string]string
}

// kubeconfig asks for a kubeconfig and reads it.
func (r *rig) kubeconfig(call, name string) kubeconfig {
	r.T.Helper()
	a := r.Do("POST", path+"/"+call, armtest.Owner, "").Want(200, "")
	var list struct {
		Kubeconfigs []struct {
			Name  string
			Value []byte
		}
	}
	a.JSON(&list)
	if len(list.Kubeconfigs) != 1 || list.Kubeconfigs[0].Name != name {
		r.T.Fatalf("answer %s", a.Body)
	}
	return r.parse(list.Kubeconfigs[0].Value)
}

func (r *rig) parse(text []byte) kubeconfig {
	r.T.Helper()
	var k struct {
		CurrentContext string `json:"current-context"`
		Clusters       []struct {
			Name    string
			Cluster struct {
				CA     []byte `json:"certificate-authority-data"`
				Server string
			}
		}
		Contexts []struct {
			Name    string
			Context struct{ Cluster, User string }
		}
		Users []struct {
			Name string
			User struct {
				Cert     []byte `json:"client-certificate-data"`
				Key      []byte `json:"client-key-data"`
				Exec     struct{ Args []string }
				Provider struct{ Config map[string]string } `json:"auth-provider"`
			}
		}
	}
	if err := yaml.Unmarshal(text, &k); err != nil {
		r.T.Fatal(err)
	}
	if k.CurrentContext != "c1" || k.Clusters[0].Name != "c1" || k.Contexts[0].Name != "c1" || k.Contexts[0].Context.User != k.Users[0].Name || k.Contexts[0].Context.Cluster != "c1" {
		r.T.Errorf("names in %s", text)
	}
	u := k.Users[0]
	return kubeconfig{
		server: k.Clusters[0].Cluster.Server, user: u.Name, ca: k.Clusters[0].Cluster.CA, cert: u.User.Cert, key: u.User.Key,
		exec: u.User.Exec.Args, provider: u.User.Provider.Config,
	}
}

func (r *rig) issued(cert []byte) pki.Issued {
	r.T.Helper()
	fingerprint, err := pki.Fingerprint(string(cert))
	if err != nil {
		r.T.Fatal(err)
	}
	i, ok := r.World.Certificate(fingerprint)
	if !ok {
		r.T.Fatal("the certificate is not on record")
	}
	return i
}

func TestAdminCredential(t *testing.T) {
	r := newRig(t)
	c := r.create(body(t, entra))
	k := r.kubeconfig("listClusterAdminCredential", "clusterAdmin")
	if k.server != "https://"+c.Endpoint || k.user != "clusterAdmin_Group-1_c1" {
		t.Errorf("%+v", k)
	}
	pair, err := tls.X509KeyPair(k.cert, k.key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{pki.AdminGroup}, leaf.Subject.Organization); diff != "" || leaf.Subject.CommonName != "clusterAdmin-"+armtest.Owner {
		t.Errorf("subject %s", leaf.Subject)
	}
	if got := leaf.NotAfter.Sub(r.Clock.Now()); got < 30*24*time.Hour-time.Second || got > 30*24*time.Hour {
		t.Errorf("good for %s", got)
	}
	block, _ := pem.Decode(k.ca)
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil || leaf.CheckSignatureFrom(ca) != nil {
		t.Error("the certificate is not of the cluster's authority", err)
	}
	i := r.issued(k.cert)
	if i.Cluster != c.ID || i.Holder.String() != armtest.Owner || i.HolderUPN != "owner@contoso.test" || i.Kind != "clusterAdmin" || !i.NotAfter.Equal(leaf.NotAfter) {
		t.Errorf("record %+v", i)
	}
	if second := r.kubeconfig("listClusterAdminCredential", "clusterAdmin"); string(second.cert) == string(k.cert) {
		t.Error("two calls gave one certificate")
	}
	if events := r.audited(c.ResourceID()); !slices.Contains(events, "clusterCredentialIssued") {
		t.Errorf("audited %v", events)
	}
	var profile struct{ Properties struct{ KubeConfig []byte } }
	r.Do("POST", path+"/accessProfiles/CLUSTERADMIN/listCredential", armtest.Owner, "").Want(200, "").JSON(&profile)
	r.issued(r.parse(profile.Properties.KubeConfig).cert)
	r.Do("POST", path+"/accessProfiles/other/listCredential", armtest.Owner, "").Want(404, "NotFound")
}

// TestCredentialRules holds which call is refused when (semantics 3.3), over the wire.
func TestCredentialRules(t *testing.T) {
	const refused = "Getting static credential is not allowed because this cluster is set to disable local accounts."
	for _, tt := range []struct {
		name, properties string
		admin, user      bool
	}{
		{"plain", `{}`, true, true},
		{"Entra", entra, true, true},
		{"closed", `{"disableLocalAccounts":true}`, false, false},
		{"Entra, closed", `{"disableLocalAccounts":true,` + entra[1:], false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.create(body(t, tt.properties))
			for call, ok := range map[string]bool{
				"listClusterAdminCredential": tt.admin, "accessProfiles/clusterAdmin/listCredential": tt.admin,
				"listClusterUserCredential": tt.user, "accessProfiles/clusterUser/listCredential": tt.user,
			} {
				a := r.Do("POST", path+"/"+call, armtest.Owner, "")
				if ok {
					a.Want(200, "")
				} else if a.Want(400, "BadRequest").Message() != refused || !strings.HasPrefix(a.Body, `{"code":"BadRequest"`) {
					t.Errorf("%s: %s", call, a.Body)
				}
			}
		})
	}
}

func TestUserCredential(t *testing.T) {
	r := newRig(t)
	r.create(body(t, entra))
	k := r.kubeconfig("listClusterUserCredential", "clusterUser")
	want := []string{
		"get-token", "--environment", "AzurePublicCloud", "--server-id", "6dae42f8-4368-4678-94ff-3960e28e3630",
		"--client-id", "80faf920-1908-4b52-b5ef-a8e7bedfc67a", "--tenant-id", armtest.Tenant, "--login", "devicecode",
		"--authority-host", armtest.LoginURL + "/", "--disable-instance-discovery",
	}
	if diff := cmp.Diff(want, k.exec); diff != "" || k.cert != nil || k.user != "clusterUser_Group-1_c1" {
		t.Error(diff, k)
	}
	if k := r.kubeconfig("listClusterUserCredential?api-version=2022-11-01&format=azure&server-fqdn=public", "clusterUser"); k.provider["config-mode"] != "1" || k.exec != nil {
		t.Errorf("%+v", k)
	}
	r.Do("POST", path+"/listClusterUserCredential?api-version=2022-11-01&format=other", armtest.Owner, "").Want(400, "InvalidParameter")
}

func TestCertificates(t *testing.T) {
	r := newRig(t)
	c := r.create(body(t, entra))
	k := r.kubeconfig("listClusterAdminCredential", "clusterAdmin")
	i := r.issued(k.cert)
	status := func() []string {
		var list struct {
			Value []struct{ Properties struct{ Status string } }
		}
		r.Do("GET", path+"/keyreeveCertificates", armtest.Reader, "").Want(200, "").JSON(&list)
		var out []string
		for _, v := range list.Value {
			out = append(out, v.Properties.Status)
		}
		return out
	}
	revoke := path + "/keyreeveCertificates/" + i.Fingerprint + "/revoke"
	r.Do("POST", revoke, armtest.Reader, "").Want(403, "AuthorizationFailed")
	r.Do("POST", path+"/keyreeveCertificates/00/revoke", armtest.Owner, "").Want(404, "NotFound")
	if diff := cmp.Diff([]string{"Good"}, status()); diff != "" {
		t.Error(diff)
	}
	for range 2 {
		r.Do("POST", revoke, armtest.Owner, "").Want(200, "")
	}
	if now := r.issued(k.cert); now.RevokedAt.IsZero() || now.RevokedBy != "owner@contoso.test" {
		t.Errorf("record %+v", now)
	}
	events := r.audited(c.ResourceID())
	if n := len(slices.DeleteFunc(events, func(e string) bool { return e != "certificateRevoked" && e != "clusterCertificateRevoked" })); n != 1 {
		t.Errorf("audited %v", r.audited(c.ResourceID()))
	}
	r.kubeconfig("listClusterAdminCredential", "clusterAdmin")
	r.ended(r.Do("PUT", path, armtest.Owner, with(t, body(t, entra), `{"disableLocalAccounts":true}`)).Want(200, ""), resource.Succeeded)
	if got := status(); !slices.Contains(got, "Superseded") || !slices.Contains(got, "Revoked") {
		t.Error(got)
	}
	r.ended(r.Do("PUT", path, armtest.Owner, with(t, body(t, entra), `{"disableLocalAccounts":false}`)).Want(200, ""), resource.Succeeded)
	r.kubeconfig("listClusterAdminCredential", "clusterAdmin")
	r.Clock.Move(31 * 24 * time.Hour)
	if got := status(); !slices.Contains(got, "Expired") || !slices.Contains(got, "Superseded") {
		t.Error(got)
	}
}
