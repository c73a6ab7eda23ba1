package az

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/keyreeve/keyreeve/internal/account"
	"github.com/keyreeve/keyreeve/internal/client"
	"github.com/keyreeve/keyreeve/internal/workstation"
)

const subscriptionsAPI = "?api-version=2022-12-01"

func signInCommands() []command {
	return []command{
		{
			path: "login", short: "Sign in", run: login, table: accountTable,
			example: "keyreeve login --use-device-code\n" +
				"keyreeve login --username ann@example.com --password PASSWORD\n" +
				"keyreeve login --service-principal --username APP_ID --password SECRET --tenant TENANT\n" +
				"keyreeve login --service-principal --username APP_ID --certificate app.pem --tenant TENANT\n" +
				"keyreeve login --identity",
			flags: []flag{
				{name: "username", short: "u", help: "user principal name, or appId of a service principal"},
				{name: "password", short: "p", help: "password or client secret; asked for if it is not given"},
				{name: "tenant", short: "t", help: "tenant's id or domain; needed for a service principal"},
				{name: "service-principal", kind: toggle, help: "sign in as a service principal"},
				{name: "certificate", help: "PEM file with the service principal's certificate and key"},
				{name: "federated-token", help: "token from elsewhere that the service principal's application takes as proof"},
				{name: "use-device-code", kind: toggle, help: "sign in on another device"},
				{name: "identity", short: "i", kind: toggle, help: "sign in as this machine's managed identity"},
				{name: "client-id", help: "client id of a user-assigned managed identity"},
				{name: "allow-no-subscriptions", kind: toggle, help: "sign in to the tenant even if no subscription is seen"},
			},
		},
		{
			path: "logout", short: "Sign out on this machine", flags: []flag{{name: "username", help: "whose sign-in to remove (default: that of the default subscription)"}},
			run: func(x *call) (any, error) {
				h, err := x.open()
				if err != nil {
					return nil, err
				}
				found, err := h.accounts.Forget(x.word("username"))
				if err == nil && !found {
					err = errors.New("there was nobody to sign out: `keyreeve account list` says who is signed in")
				}
				return nil, err
			},
		},
	}
}

const accountTable = "[].{Name:name, CloudName:cloudName, SubscriptionId:id, TenantId:tenantId, State:state, IsDefault:isDefault}"

func accountCommands() []command {
	return []command{
		{
			path: "account list", short: "List the subscriptions of whoever is signed in", table: accountTable,
			flags: []flag{{name: "all", kind: toggle, help: "those that are not enabled, too"}},
			run: func(x *call) (any, error) {
				h, err := x.open()
				if err != nil {
					return nil, err
				}
				list := []any{}
				for _, s := range h.accounts.Subscriptions() {
					if s.State == "Enabled" || x.on("all") {
						list = append(list, profile(s, "cloudName"))
					}
				}
				if len(list) == 0 {
					x.warn("nobody is signed in: sign in with `keyreeve login`")
				}
				return list, nil
			},
		},
		{
			path: "account show", short: "Show the default subscription, or another",
			run: func(x *call) (any, error) {
				s, err := x.subscription()
				if err != nil {
					return nil, err
				}
				return profile(s, "environmentName"), nil
			},
		},
		{
			path: "account set", short: "Choose the subscription that commands work on", example: "keyreeve account set --subscription NAME_OR_ID",
			flags: []flag{{name: "name", short: "n", help: "the same as --subscription"}, {name: "s", help: "the same as --subscription"}},
			run: func(x *call) (any, error) {
				h, err := x.open()
				if err != nil {
					return nil, err
				}
				name := x.word("subscription") + x.word("name") + x.word("s")
				if name == "" {
					return nil, errors.New("name the subscription with --subscription")
				}
				return nil, h.accounts.SetDefault(name)
			},
		},
		{
			path: "account clear", short: "Sign everybody out on this machine",
			run: func(x *call) (any, error) {
				h, err := x.open()
				if err != nil {
					return nil, err
				}
				for _, s := range h.accounts.Subscriptions() {
					if _, err := h.accounts.Forget(s.UserName); err != nil {
						return nil, err
					}
				}
				return nil, nil
			},
		},
		{
			path: "account get-access-token", short: "Print an access token", run: accessToken,
			example: "keyreeve account get-access-token --query accessToken --output tsv",
			flags: []flag{
				{name: "resource", help: "what the token is for (default: Resource Manager)"},
				{name: "resource-type", help: "arm or ms-graph"},
				{name: "scope", kind: words, help: "one scope, which ends with /.default"},
				{name: "tenant", short: "t", help: "a tenant in place of a subscription"},
			},
		},
	}
}

// profile is a subscription in the form of az's list, which names the cloud otherwise than its show does.
func profile(s account.Subscription, cloud string) map[string]any {
	user := map[string]any{"name": s.UserName, "type": s.UserType}
	if s.AssignedIdent != "" {
		user["name"], user["assignedIdentityInfo"] = s.AssignedIdent, "MSI"
	}
	return map[string]any{
		cloud: workstation.CloudName, "homeTenantId": s.TenantID, "id": s.ID, "isDefault": s.Default, "managedByTenants": []any{},
		"name": s.Name, "state": s.State, "tenantDefaultDomain": s.TenantDomain, "tenantDisplayName": s.TenantName, "tenantId": s.TenantID,
		"user": user,
	}
}

func accessToken(x *call) (any, error) {
	h, err := x.open()
	if err != nil {
		return nil, err
	}
	s, err := x.subscription()
	if err != nil {
		return nil, err
	}
	audience := armAudience
	switch {
	case x.given("resource"):
		audience = x.word("resource")
	case len(x.words("scope")) == 1:
		var ok bool
		if audience, ok = strings.CutSuffix(x.words("scope")[0], "/.default"); !ok {
			return nil, errors.New("--scope: give one that ends with /.default")
		}
	case x.word("resource-type") == "ms-graph":
		audience = h.server.Graph + "/"
	case x.given("resource-type") && x.word("resource-type") != "arm", len(x.words("scope")) > 1:
		return nil, errors.New("--resource-type is arm or ms-graph, and --scope is one scope")
	}
	t, err := h.accounts.Token(x, s, audience)
	if err != nil {
		return nil, err
	}
	out := map[string]any{
		"accessToken": t.Access, "expiresOn": t.Expires.Local().Format("2006-01-02 15:04:05.000000"), "expires_on": t.Expires.Unix(),
		"tenant": s.TenantID, "tokenType": "Bearer",
	}
	if !x.given("tenant") {
		out["subscription"] = s.ID
	}
	return out, nil
}

func login(x *call) (any, error) {
	h, err := x.open()
	if err != nil {
		return nil, err
	}
	in, token, err := x.signIn(h)
	if err != nil {
		return nil, err
	}
	subs, err := x.seen(h, in, token.Access)
	if err != nil {
		return nil, err
	}
	if err := h.accounts.Keep(in, subs); err != nil {
		return nil, err
	}
	list := []any{}
	for _, s := range h.accounts.Subscriptions() {
		if strings.EqualFold(s.UserName, in.Name) {
			list = append(list, profile(s, "cloudName"))
		}
	}
	return list, nil
}

// signIn gets the first token, for Resource Manager.
func (x *call) signIn(h *host) (account.SignIn, account.Token, error) {
	tenant := x.word("tenant")
	user := x.word("username")
	if x.on("identity") {
		id := x.word("client-id")
		name := "systemAssignedIdentity"
		if id != "" {
			name = "userAssignedIdentity"
		}
		return h.accounts.AsApplication(x, account.SignIn{Name: name, Managed: &id}, armAudience)
	}
	if x.on("service-principal") {
		if user == "" || tenant == "" {
			return account.SignIn{}, account.Token{}, errors.New("a service principal signs in with --username APP_ID and --tenant TENANT")
		}
		in := account.SignIn{Name: user, TenantID: tenant, Certificate: x.word("certificate"), Assertion: x.word("federated-token")}
		if in.Certificate == "" && in.Assertion == "" {
			var err error
			if in.Secret, err = x.password("Password: "); err != nil {
				return in, account.Token{}, err
			}
		}
		return h.accounts.AsApplication(x, in, armAudience)
	}
	if tenant == "" {
		tenant = "organizations"
	}
	if user == "" {
		// There is no browser to be relied upon: what az does in one, a code on any device does as well.
		return h.accounts.WithDeviceCode(x, tenant, armAudience, func(message string) { x.say("%s\n", message) })
	}
	password, err := x.password("Password: ")
	if err != nil {
		return account.SignIn{}, account.Token{}, err
	}
	return h.accounts.WithPassword(x, tenant, user, password, armAudience)
}

// password is the flag's value, or what is typed and not shown.
func (x *call) password(prompt string) (string, error) {
	if x.given("password") {
		return x.word("password"), nil
	}
	if f, ok := x.d.In.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		x.say("%s", prompt)
		text, err := term.ReadPassword(int(f.Fd()))
		x.say("\n")
		return string(text), err
	}
	line, err := bufio.NewReader(x.d.In).ReadString('\n')
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", errors.Join(errors.New("no password: give --password, or type it in a terminal"), err)
	}
	return line, nil
}

// seen returns the subscriptions that a new sign-in sees.
func (x *call) seen(h *host, in account.SignIn, token string) ([]account.Subscription, error) {
	c := &client.Client{BaseURL: h.server.ARM, HTTP: h.http, Token: static(token)}
	tenants, err := c.All(x, "/tenants"+subscriptionsAPI)
	if err != nil {
		return nil, err
	}
	found, err := c.All(x, "/subscriptions"+subscriptionsAPI)
	if err != nil {
		return nil, err
	}
	var subs []account.Subscription
	for _, v := range found {
		m, _ := v.(map[string]any)
		s := account.Subscription{ID: str(m, "subscriptionId"), Name: str(m, "displayName"), State: str(m, "state"), TenantID: str(m, "tenantId")}
		for _, v := range tenants {
			if t, _ := v.(map[string]any); str(t, "tenantId") == s.TenantID {
				s.TenantName, s.TenantDomain = str(t, "displayName"), str(t, "defaultDomain")
			}
		}
		if in.Managed != nil {
			s.AssignedIdent = in.Name
		}
		subs = append(subs, s)
	}
	if len(subs) == 0 {
		if !x.on("allow-no-subscriptions") {
			return nil, fmt.Errorf("%s sees no subscription: somebody has to assign a role, or give --allow-no-subscriptions", in.Name)
		}
		subs = []account.Subscription{{
			ID: in.TenantID, Name: "N/A(tenant level account)", State: "Enabled", TenantID: in.TenantID,
		}}
	}
	return subs, nil
}

// str reads a string from an object, or nothing.
func str(m map[string]any, name string) string {
	s, _ := m[name].(string)
	return s
}

// wireTime is how az writes points in time into bodies.
func wireTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
