package kubeconfig

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	execAPIVersion = "client.authentication.k8s.io/v1beta1"
	// installHint is what Azure's kubelogin writes, to the letter: files are compared.
	installHint = "\nkubelogin is not installed which is required to connect to AAD enabled cluster.\n\n" +
		"To learn more, please go to https://azure.github.io/kubelogin/\n"
)

// Settings are the flags of a conversion.
type Settings struct {
	// Context limits the conversion to its user.
	Context string
	// Mode is the login mode that users get.
	Mode string
	// AzureConfigDir is az's folder for mode azurecli.
	AzureConfigDir string
	// Given holds the flags that were given, by name, with their values after the environment had its say.
	Given map[string]string
}

// Files says which kubeconfigs there are: an explicit one, which must exist, or the list of $KUBECONFIG, or the one at home.
func Files(explicit, list, home string) []string {
	if explicit != "" {
		return []string{explicit}
	}
	if list == "" {
		return []string{filepath.Join(home, ".kube", "config")}
	}
	var out []string
	for _, f := range filepath.SplitList(list) {
		if f != "" && !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	return out
}

// Convert converts the users of the files that sign in with kubelogin, or by the azure provider of old, to exec with the
// arguments that the settings ask for. A file without such users is not touched; when anything fails, none is.
func Convert(files []string, explicit bool, s Settings) error {
	var unlock []func()
	defer func() {
		for _, f := range unlock {
			f()
		}
	}()
	names := slices.Sorted(slices.Values(files)) // everybody locks in the same order
	for _, name := range names {
		if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
			if explicit {
				return fmt.Errorf("unable to load kubeconfig: %w", err)
			}
			continue
		}
		release, err := lock(name)
		if err != nil {
			// A folder that takes no lock takes no new file either; reading may be all that is needed.
			if errors.Is(err, fs.ErrPermission) {
				continue
			}
			return err
		}
		unlock = append(unlock, release)
	}
	loaded, err := load(files)
	if err != nil {
		return err
	}
	texts, err := convertAll(loaded, s)
	if err != nil {
		return err
	}
	for _, l := range loaded {
		if text, ok := texts[l.path]; ok {
			if err := replace(l.path, text); err != nil {
				return fmt.Errorf("%s is left as it was: %w", l.path, err)
			}
		}
	}
	return nil
}

type loadedFile struct {
	path   string
	config *config
}

func load(files []string) ([]loadedFile, error) {
	var out []loadedFile
	for _, path := range files {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("unable to load kubeconfig: %w", err)
		}
		c, err := parse(data)
		if err != nil {
			return nil, fmt.Errorf("unable to load kubeconfig: %s: %w", path, err)
		}
		out = append(out, loadedFile{path, c})
	}
	return out, nil
}

// convertAll returns the new text of each file that changes.
func convertAll(files []loadedFile, s Settings) (map[string][]byte, error) {
	only, err := target(files, s.Context)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	texts := map[string][]byte{}
	for _, f := range files {
		var last *execConfig
		f.config.sortUsers()
		for _, u := range f.config.Users {
			// The first file that names a user defines it.
			if seen[u.Name] || s.Context != "" && u.Name != only {
				continue
			}
			seen[u.Name] = true
			if !byKubelogin(&u.User) && !byProvider(&u.User) {
				continue
			}
			exec, err := s.exec(&u.User)
			if err != nil {
				return nil, fmt.Errorf("%w (user %q)", err, u.Name)
			}
			u.User.Exec, u.User.AuthProvider = exec, nil
			base, err := filepath.Abs(filepath.Dir(f.path))
			if err != nil {
				return nil, err
			}
			if err := u.User.rebase(base); err != nil {
				return nil, err
			}
			last = exec
		}
		if last == nil {
			continue
		}
		// The default that clientcmd fills in on reading: it writes a file once for each user, so all but the one
		// written last have been read again.
		for _, u := range f.config.Users {
			if e := u.User.Exec; e != nil && e != last && e.InteractiveMode == "" && betaExec(e.APIVersion) {
				e.InteractiveMode = "IfAvailable"
			}
		}
		if texts[f.path], err = f.config.text(); err != nil {
			return nil, err
		}
	}
	return texts, nil
}

func betaExec(version string) bool {
	return version == "client.authentication.k8s.io/v1beta1" || version == "client.authentication.k8s.io/v1alpha1"
}

// target returns the user of a context; the first file that names the context defines it.
func target(files []loadedFile, context string) (string, error) {
	if context == "" {
		return "", nil
	}
	for _, f := range files {
		for _, c := range f.config.Contexts {
			if c.Name == context {
				return c.Context.User, nil
			}
		}
	}
	return "", fmt.Errorf("no context exists with the name: %q", context)
}

// Contexts returns the names of contexts, for completion.
func Contexts(files []string) []string {
	loaded, err := load(files)
	if err != nil {
		return nil
	}
	var out []string
	for _, f := range loaded {
		for _, c := range f.config.Contexts {
			if !slices.Contains(out, c.Name) {
				out = append(out, c.Name)
			}
		}
	}
	return out
}

func byProvider(u *user) bool { return u.AuthProvider != nil && u.AuthProvider.Name == "azure" }

func byKubelogin(u *user) bool {
	return u.Exec != nil && strings.Contains(strings.ToLower(u.Exec.Command), "kubelogin")
}
