package deployments

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"

	"github.com/keyreeve/keyreeve/internal/arm/armtest"
)

// token is a credential whose token names its principal.
type token string

func (t token) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(t), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func done[T any](t *testing.T, p *runtime.Poller[T], err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.PollUntilDone(t.Context(), &runtime.PollUntilDoneOptions{Frequency: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSDK goes through a deployment's life with the SDK for Go, whose types and pollers we did not write.
func TestSDK(t *testing.T) {
	r := newRig(t)
	r.start()
	server := httptest.NewTLSServer(r.Face)
	t.Cleanup(server.Close)
	r.Face.BaseURL = server.URL
	client, err := armresources.NewDeploymentsClient(armtest.Sub, token(armtest.Owner), &arm.ClientOptions{
		ClientOptions: azcore.ClientOptions{Transport: server.Client(), Retry: policy.RetryOptions{MaxRetries: -1}, Cloud: cloud.Configuration{
			ActiveDirectoryAuthorityHost: armtest.LoginURL + "/",
			Services:                     map[cloud.ServiceName]cloud.ServiceConfiguration{cloud.ResourceManager: {Endpoint: server.URL, Audience: "https://management.core.windows.net/"}},
		}},
		DisableRPRegistration: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	var template any
	if err := json.Unmarshal([]byte(`{`+head+`"parameters":{"n":{"type":"string"}},"resources":[{"type":"Microsoft.Authorization/locks","apiVersion":"2020-05-01",
		"name":"[parameters('n')]","properties":{"level":"CanNotDelete"}}],"outputs":{"o":{"type":"string","value":"[reference(parameters('n')).level]"}}}`), &template); err != nil {
		t.Fatal(err)
	}
	parameters := map[string]any{"n": map[string]any{"value": "keep"}}
	ctx := t.Context()
	what, err := client.BeginWhatIf(ctx, "rg", "d", armresources.DeploymentWhatIf{Properties: &armresources.DeploymentWhatIfProperties{
		Mode: new(armresources.DeploymentModeIncremental), Template: template, Parameters: parameters,
	}}, nil)
	if c := done(t, what, err).Properties.Changes; len(c) != 1 || *c[0].ChangeType != armresources.ChangeTypeCreate {
		t.Errorf("changes %+v", c)
	}
	wanted := armresources.Deployment{Properties: &armresources.DeploymentProperties{
		Mode: new(armresources.DeploymentModeIncremental), Template: template, Parameters: parameters,
	}}
	check, err := client.BeginValidate(ctx, "rg", "d", wanted, nil)
	if v := done(t, check, err); v.Error != nil || len(v.Properties.ValidatedResources) != 1 {
		t.Errorf("validated %+v", v)
	}
	create, err := client.BeginCreateOrUpdate(ctx, "rg", "d", wanted, nil)
	made := done(t, create, err)
	out, _ := made.Properties.Outputs.(map[string]any)
	o, _ := out["o"].(map[string]any)
	if *made.Properties.ProvisioningState != armresources.ProvisioningStateSucceeded || o["value"] != "CanNotDelete" {
		t.Errorf("made %+v", made.Properties)
	}
	pages := 0
	for p := client.NewListByResourceGroupPager("rg", nil); p.More(); pages++ {
		page, err := p.NextPage(ctx)
		if err != nil || len(page.Value) != 1 {
			t.Fatalf("%+v %v", page, err)
		}
	}
	export, err := client.ExportTemplate(ctx, "rg", "d", nil)
	if err != nil || export.Template == nil {
		t.Errorf("export %v", err)
	}
	if there, err := client.CheckExistence(ctx, "rg", "d", nil); err != nil || !there.Success {
		t.Errorf("there %v", err)
	}
	locks := "/subscriptions/" + armtest.Sub + "/resourceGroups/rg/providers/Microsoft.Authorization/locks/keep?api-version=2020-05-01"
	r.Do(http.MethodDelete, locks, armtest.Owner, "").Want(http.StatusOK, "")
	gone, err := client.BeginDelete(ctx, "rg", "d", nil)
	done(t, gone, err)
	if there, err := client.CheckExistence(ctx, "rg", "d", nil); err != nil || there.Success {
		t.Errorf("still there %v", err)
	}
}
