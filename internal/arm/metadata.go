package arm

import (
	"net/http"
	"net/url"

	"github.com/keyreeve/keyreeve/internal/fault"
)

// armAudiences are the resources that tokens for Resource Manager name.
func armAudiences() []string {
	return []string{"https://management.core.windows.net/", "https://management.azure.com/"}
}

// adGraph is the audience of the retired Azure AD Graph; clients want the field, nothing is served there.
const adGraph = "https://graph.windows.net/"

func (f *Face) mountMetadata() {
	f.routes.add(Route{Method: http.MethodGet, Pattern: "/metadata/endpoints", Errors: FromGateway, Public: true, Handle: f.metadata})
}

// metadata2015 is the oldest form, read by az cloud register and update.
type metadata2015 struct {
	GalleryEndpoint string `json:"galleryEndpoint"`
	GraphEndpoint   string `json:"graphEndpoint"`
	PortalEndpoint  string `json:"portalEndpoint"`
	Authentication  struct {
		LoginEndpoint string   `json:"loginEndpoint"`
		Audiences     []string `json:"audiences"`
	} `json:"authentication"`
}

// cloudMetadata describes a cloud (api-versions 2019-05-01, as a list, and 2022-09-01).
type cloudMetadata struct {
	Portal                   string              `json:"portal"`
	Authentication           cloudAuthentication `json:"authentication"`
	Media                    string              `json:"media"`
	GraphAudience            string              `json:"graphAudience"`
	Graph                    string              `json:"graph"`
	Name                     string              `json:"name"`
	Suffixes                 cloudSuffixes       `json:"suffixes"`
	Batch                    string              `json:"batch"`
	ResourceManager          string              `json:"resourceManager"`
	VMImageAliasDoc          string              `json:"vmImageAliasDoc"`
	ActiveDirectoryDataLake  string              `json:"activeDirectoryDataLake"`
	SQLManagement            string              `json:"sqlManagement"`
	MicrosoftGraphResourceID string              `json:"microsoftGraphResourceId"`
	Gallery                  string              `json:"gallery"`
}

type cloudAuthentication struct {
	LoginEndpoint    string   `json:"loginEndpoint"`
	Audiences        []string `json:"audiences"`
	Tenant           string   `json:"tenant"`
	IdentityProvider string   `json:"identityProvider"`
}

type cloudSuffixes struct {
	ACRLoginServer    string `json:"acrLoginServer"`
	KeyVaultDNS       string `json:"keyVaultDns"`
	SQLServerHostname string `json:"sqlServerHostname"`
	Storage           string `json:"storage"`
}

// metadata describes this cloud to clients that are told only where its Resource Manager is.
func (f *Face) metadata(_ http.ResponseWriter, r *Request) error {
	version, _, err := r.Query("api-version")
	if err != nil {
		return err
	}
	switch {
	case version == "":
		return fault.New(fault.Invalid, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests.")
	case !apiVersionForm.MatchString(version):
		return fault.New(fault.Invalid, "InvalidApiVersionParameter",
			"The api-version '%s' is invalid. The supported versions are '2022-09-01,2019-05-01,2015-01-01'.", clip(version))
	case version < "2018":
		var doc metadata2015
		doc.GalleryEndpoint, doc.GraphEndpoint, doc.PortalEndpoint = f.BaseURL+"/", adGraph, f.portal()
		// The form of the authority that this api-version's clients, az of 2.7x and before, take for a private cloud.
		doc.Authentication.LoginEndpoint, doc.Authentication.Audiences = f.LoginURL+"/adfs/t", armAudiences()
		return r.WriteJSON(http.StatusOK, doc)
	case version < "2022":
		return r.WriteJSON(http.StatusOK, []cloudMetadata{f.cloud(f.LoginURL + "/adfs/t")})
	}
	return r.WriteJSON(http.StatusOK, f.cloud(f.LoginURL+"/"))
}

func (f *Face) portal() string {
	if f.PortalURL == "" {
		return f.BaseURL + "/"
	}
	return f.PortalURL + "/"
}

// cloud describes this cloud. Services that it does not offer are said to be where Resource Manager is, which answers
// that they are not there: clients want an address in each field.
func (f *Face) cloud(login string) cloudMetadata {
	arm := f.BaseURL + "/"
	host := ""
	if u, err := url.Parse(f.BaseURL); err == nil {
		host = u.Hostname()
	}
	name := f.CloudName
	if name == "" {
		name = "Keyreeve"
	}
	return cloudMetadata{
		Portal:         f.portal(),
		Authentication: cloudAuthentication{LoginEndpoint: login, Audiences: armAudiences(), Tenant: "common", IdentityProvider: "AAD"},
		Media:          arm, GraphAudience: adGraph, Graph: adGraph, Name: name,
		Suffixes: cloudSuffixes{
			ACRLoginServer: "azurecr." + host, KeyVaultDNS: "vault." + host, SQLServerHostname: "database." + host, Storage: "core." + host,
		},
		Batch: arm, ResourceManager: arm, VMImageAliasDoc: arm, ActiveDirectoryDataLake: arm, SQLManagement: arm,
		MicrosoftGraphResourceID: f.GraphURL + "/", Gallery: arm,
	}
}
