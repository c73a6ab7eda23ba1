package kubeconfig

import (
	"fmt"
	"strings"
)

// old is what a user's section says before its conversion.
type old struct {
	provider map[string]string // nil unless it is of the azure provider
	args     []string
}

// value is what follows an argument.
func (o old) value(flag string) string {
	for i, a := range o.args {
		if a == flag && i+1 < len(o.args) {
			return o.args[i+1]
		}
		if v, ok := strings.CutPrefix(a, flag+"="); ok {
			return v
		}
	}
	return ""
}

func (o old) has(flag string) bool {
	for _, a := range o.args {
		if a == flag || a == flag+"=true" {
			return true
		}
	}
	return false
}

// builder puts the arguments of a user together.
type builder struct {
	Settings
	old  old
	args []string
	err  error
}

// from is a flag that was given, else what the provider's configuration says, else the old argument.
func (b *builder) from(flag, provider string) string {
	if v, ok := b.Given[flag]; ok {
		return v
	}
	if b.old.provider != nil && provider != "" {
		return b.old.provider[provider]
	}
	return b.old.value("--" + flag)
}

// on is the same of a switch.
func (b *builder) on(flag string) bool {
	if v, ok := b.Given[flag]; ok {
		return v == "true"
	}
	return b.old.has("--" + flag)
}

func (b *builder) required(flag, value string) {
	if value == "" && b.err == nil {
		b.err = fmt.Errorf("--%s is required", flag)
	}
	b.args = append(b.args, "--"+flag, value)
}

func (b *builder) optional(flag, value string) {
	if value != "" {
		b.args = append(b.args, "--"+flag, value)
	}
}

// given appends flags that were given, as they were given.
func (b *builder) given(flags ...string) {
	for _, flag := range flags {
		if v, ok := b.Given[flag]; ok {
			b.args = append(b.args, "--"+flag, v)
		}
	}
}

func (b *builder) legacy() {
	on := false
	switch {
	case b.Given["legacy"] == "true":
		on = true
	case b.old.provider != nil:
		mode := b.old.provider["config-mode"]
		on = mode == "" || mode == "0"
	default:
		on = b.old.has("--legacy")
	}
	if on {
		b.args = append(b.args, "--legacy")
	}
}

func (b *builder) pop() {
	enabled, claims := b.on("pop-enabled"), b.from("pop-claims", "")
	switch {
	case b.err != nil:
	case enabled && claims == "":
		b.err = fmt.Errorf("%s is required when specifying %s", "--pop-claims", "--pop-enabled")
	case !enabled && claims != "":
		b.err = fmt.Errorf("%s is required when specifying %s", "--pop-enabled", "--pop-claims")
	case enabled:
		b.args = append(b.args, "--pop-enabled", "--pop-claims", claims)
	}
}

// account appends the application, its tenant and the cloud.
func (b *builder) account() {
	b.required("client-id", b.from("client-id", "client-id"))
	b.required("tenant-id", b.from("tenant-id", "tenant-id"))
	b.optional("environment", b.from("environment", "environment"))
}

// exec returns the exec section that a user gets. The order of arguments is that of Azure's kubelogin; what Azure's drops
// and a private authority needs comes after them.
func (s Settings) exec(u *user) (*execConfig, error) {
	b := &builder{Settings: s, args: []string{"get-token", "--login", s.Mode}}
	e := &execConfig{Command: "kubelogin", APIVersion: execAPIVersion, InstallHint: installHint}
	if u.Exec != nil {
		b.old.args = u.Exec.Args
		e.Env, e.ProvideClusterInfo = u.Exec.Env, u.Exec.ProvideClusterInfo
		if u.Exec.InstallHint != "" {
			e.InstallHint = u.Exec.InstallHint
		}
	}
	if byProvider(u) {
		b.old.provider = u.AuthProvider.Config
		if b.old.provider == nil {
			b.old.provider = map[string]string{}
		}
	}
	b.required("server-id", b.from("server-id", "apiserver-id"))
	b.optional("cache-dir", b.cacheDir())
	b.mode(e)
	b.authority()
	e.Args = b.args
	return e, b.err
}

func (b *builder) cacheDir() string {
	for _, flag := range []string{"cache-dir", "token-cache-dir"} {
		if v, ok := b.Given[flag]; ok {
			return v
		}
	}
	if v := b.old.value("--cache-dir"); v != "" {
		return v
	}
	return b.old.value("--token-cache-dir")
}

func (b *builder) mode(e *execConfig) {
	switch b.Mode {
	case "azd":
		b.given("tenant-id")
	case "azurecli":
		if b.AzureConfigDir != "" {
			e.setEnv("AZURE_CONFIG_DIR", b.AzureConfigDir)
		}
		// The old tenant is left out: az signed in as a managed identity takes none.
		b.given("tenant-id", "subscription")
	case "devicecode":
		b.account()
		b.legacy()
	case "interactive":
		b.account()
		b.pop()
		b.optional("redirect-url", b.from("redirect-url", ""))
		b.optional("login-hint", b.from("login-hint", ""))
	case "spn":
		b.account()
		b.given("client-secret", "client-certificate", "client-certificate-password")
		b.legacy()
		b.pop()
		if _, ok := b.Given["disable-environment-override"]; ok {
			b.args = append(b.args, "--disable-environment-override")
		}
	case "msi":
		if _, ok := b.Given["client-id"]; ok {
			b.given("client-id")
		} else {
			b.given("identity-resource-id")
		}
	case "ropc":
		b.account()
		b.given("username", "password")
		b.legacy()
		b.pop()
	case "workloadidentity":
		b.given("client-id", "tenant-id", "authority-host", "federated-token-file")
	case "azurepipelines":
		b.required("tenant-id", b.from("tenant-id", "tenant-id"))
		b.given("azure-pipelines-service-connection-id")
	}
}

// authority keeps what leads to a private authority, and where tokens are kept.
func (b *builder) authority() {
	_, there := b.Given["authority-host"]
	if !there || b.Mode != "workloadidentity" {
		b.optional("authority-host", b.from("authority-host", ""))
	}
	if b.on("disable-instance-discovery") {
		b.args = append(b.args, "--disable-instance-discovery")
	}
	b.optional("token-cache", b.from("token-cache", ""))
}

func (e *execConfig) setEnv(name, value string) {
	kept := make([]environment, 0, len(e.Env)+1)
	for _, v := range e.Env {
		if v.Name != name {
			kept = append(kept, v)
		}
	}
	e.Env = append(kept, environment{name, value})
}
