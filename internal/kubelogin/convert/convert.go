// Package convert owns convert-kubeconfig without the library of commands: its flags, and what they ask of the room kubeconfig. So
// the small program that answers from the cache converts as well, and hands nothing over for it.
package convert

import (
	"io"
	"runtime/debug"

	"github.com/spf13/pflag"

	"github.com/keyreeve/keyreeve/internal/kubelogin"
	"github.com/keyreeve/keyreeve/internal/kubelogin/kubeconfig"
)

// Conversion is one call of convert-kubeconfig.
type Conversion struct {
	d                           kubelogin.Deps
	o                           *kubelogin.Options
	flags                       *pflag.FlagSet
	explicit, context, azureDir string
}

// New adds the flags to a set.
func New(d kubelogin.Deps, f *pflag.FlagSet) *Conversion {
	c := &Conversion{d: d, o: kubelogin.NewOptions(d), flags: f}
	c.o.AddFlags(f)
	f.StringVar(&c.explicit, "kubeconfig", "", "the kubeconfig (default: those of $KUBECONFIG, else ~/.kube/config)")
	f.StringVar(&c.context, "context", "", "convert the user of this context only")
	f.StringVar(&c.azureDir, "azure-config-dir", "", "az's folder, for azurecli")
	return c
}

// Files are the kubeconfigs that the flags and the environment name.
func (c *Conversion) Files() []string {
	return kubeconfig.Files(c.explicit, c.d.Getenv("KUBECONFIG"), c.d.Home())
}

// Run converts, once the flags are parsed.
func (c *Conversion) Run() error {
	if err := c.o.Settle(); err != nil {
		return err
	}
	// The process is over before what it throws away is worth collecting; the limit is there for files that are no kubeconfigs.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 30))
	return kubeconfig.Convert(c.Files(), c.explicit != "", kubeconfig.Settings{
		Context: c.context, Mode: c.o.Mode(), AzureConfigDir: c.azureDir, Given: given(c.flags),
	})
}

// given returns the flags that were given, with the values that they have once the environment had its say.
func given(f *pflag.FlagSet) map[string]string {
	values := map[string]string{}
	f.Visit(func(flag *pflag.Flag) { values[flag.Name] = flag.Value.String() })
	return values
}

// Plainly converts if the arguments are convert-kubeconfig and flags that are understood; it says whether they were.
// Help, completion and mistakes are left to those who can explain them.
func Plainly(d kubelogin.Deps, args []string) (bool, error) {
	if len(args) == 0 || args[0] != "convert-kubeconfig" {
		return false, nil
	}
	f := pflag.NewFlagSet(args[0], pflag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Usage = func() {}
	c := New(d, f)
	kubelogin.NewOptions(d).AddLogFlags(f)
	if f.Parse(args[1:]) != nil || f.NArg() > 0 {
		return false, nil //nolint:nilerr // it is found again, and told
	}
	return true, c.Run()
}
