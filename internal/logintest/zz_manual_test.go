package logintest

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"
	"fmt"
)

func TestManual(t *testing.T) {
	dir := os.Getenv("MANUAL")
	if dir == "" { t.Skip() }
	s := Start(t)
	s.Clock.Run()
	arm := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Println("ARM", r.Method, r.URL)
		if r.URL.Path == "/tenants" {
			fmt.Fprintf(w, `{"value":[{"id":"/tenants/%s","tenantId":"%s","displayName":"Contoso"}]}`, s.Tenant.ID, s.Tenant.ID); return
		}
		fmt.Fprintf(w, `{"value":[{"id":"/subscriptions/00000000-0000-4000-8000-000000000001","subscriptionId":"00000000-0000-4000-8000-000000000001","displayName":"S","state":"Enabled","tenantId":"%s","managedByTenants":[]}]}`, s.Tenant.ID)
	}))
	defer arm.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: arm.Certificate().Raw})
	os.WriteFile(dir+"/ca.pem", ca, 0o600)
	os.WriteFile(dir+"/env", []byte(fmt.Sprintf("LOGIN=%s\nARM=%s\nTID=%s\nAPP=%s\nSECRET='%s'\n", s.BaseURL, arm.URL, s.Tenant.ID, s.App.AppID, s.AppSecret)), 0o600)
	deadline := time.Now().Add(9*time.Minute)
	for time.Now().Before(deadline) {
		if _, err := os.Stat(dir+"/stop"); err == nil { break }
		time.Sleep(200*time.Millisecond)
	}
	os.WriteFile(dir+"/log", []byte(s.Log.String()), 0o600)
}
