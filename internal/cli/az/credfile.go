package az

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"sigs.k8s.io/yaml"
)

func getCredentials(x *call) (any, error) {
	action, query := "/listClusterUserCredential", ""
	if x.on("admin") {
		action = "/listClusterAdminCredential"
	}
	if x.given("format") {
		if x.on("admin") {
			return nil, errors.New("--format is for a user's credential: it goes without --admin")
		}
		query += "&format=" + url.QueryEscape(strings.ToLower(x.word("format")))
	}
	if x.on("public-fqdn") {
		query += "&server-fqdn=public"
	}
	v, err := x.do(http.MethodPost, clusterPath+action+clustersAPI+query, nil)
	if err != nil {
		return nil, err
	}
	m, _ := v.(map[string]any)
	list, _ := m["kubeconfigs"].([]any)
	if len(list) == 0 {
		return nil, errors.New("the service gave no credential")
	}
	first, _ := list[0].(map[string]any)
	text, err := base64.StdEncoding.DecodeString(str(first, "value"))
	if err != nil {
		return nil, fmt.Errorf("the credential cannot be read: %w", err)
	}
	file := x.word("file")
	if file == "-" {
		_, err := x.d.Out.Write(append(text, '\n'))
		return nil, err
	}
	if file == "" {
		if file, err = kubeconfigFile(); err != nil {
			return nil, err
		}
	}
	name, err := mergeKubeconfig(file, text, x.word("context"), x.on("overwrite-existing"))
	if err != nil {
		return nil, err
	}
	x.warn("Merged %q as current context in %s", name, file)
	return nil, nil
}

// kubeconfigFile is the first file that $KUBECONFIG names, or the usual one.
func kubeconfigFile() (string, error) {
	if list := filepath.SplitList(os.Getenv("KUBECONFIG")); len(list) > 0 && list[0] != "" {
		return list[0], nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no home folder: name a file with --file: %w", err)
	}
	return filepath.Join(home, ".kube", "config"), nil
}

// mergeKubeconfig puts a cluster into a kubeconfig and makes it the current one. It returns the context's name.
func mergeKubeconfig(file string, text []byte, context string, overwrite bool) (string, error) {
	var add map[string]any
	if err := yaml.Unmarshal(text, &add); err != nil {
		return "", fmt.Errorf("the credential is no kubeconfig: %w", err)
	}
	if err := wholeKubeconfig(add); err != nil {
		return "", err
	}
	name := rename(add, context)
	have := map[string]any{}
	old, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("kubeconfig: %w", err)
	}
	if err := yaml.Unmarshal(old, &have); err != nil {
		return "", fmt.Errorf("kubeconfig: %s cannot be read: %w", file, err)
	}
	if len(have) == 0 {
		have = add
	} else {
		for _, key := range []string{"clusters", "users", "contexts"} {
			if err := mergeEntries(have, add, key, overwrite); err != nil {
				return "", err
			}
		}
		have["current-context"] = add["current-context"]
	}
	out, err := yaml.Marshal(have)
	if err != nil {
		return "", fmt.Errorf("kubeconfig: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return "", fmt.Errorf("kubeconfig: %w", err)
	}
	return name, replaceFile(file, out)
}

// wholeKubeconfig says whether what a server gave names a cluster, a user and a context.
func wholeKubeconfig(config map[string]any) error {
	for _, key := range []string{"clusters", "users", "contexts"} {
		list, _ := config[key].([]any)
		for _, entry := range list {
			m, _ := entry.(map[string]any)
			if _, ok := m[strings.TrimSuffix(key, "s")].(map[string]any); !ok || str(m, "name") == "" {
				return fmt.Errorf("the credential is no kubeconfig: one of its %s has no name or says nothing", key)
			}
		}
		if len(list) == 0 {
			return fmt.Errorf("the credential is no kubeconfig: it has no %s", key)
		}
	}
	return nil
}

// rename gives the context the name that was asked for, and an administrator's context one of its own.
func rename(config map[string]any, name string) string {
	entry := func(key string) (whole, inner map[string]any) {
		list, _ := config[key].([]any)
		if len(list) == 0 {
			return map[string]any{}, map[string]any{}
		}
		whole, _ = list[0].(map[string]any)
		inner, _ = whole[strings.TrimSuffix(key, "s")].(map[string]any)
		return whole, inner
	}
	context, inner := entry("contexts")
	if name != "" {
		cluster, _ := entry("clusters")
		context["name"], cluster["name"] = name, name
		inner["cluster"] = name
		config["current-context"] = name
	}
	if strings.HasPrefix(str(inner, "user"), "clusterAdmin") {
		context["name"] = str(context, "name") + "-admin"
		config["current-context"] = context["name"]
	}
	return str(config, "current-context")
}

// mergeEntries adds the named entries of one list to another.
func mergeEntries(have, add map[string]any, key string, overwrite bool) error {
	old, isList := have[key].([]any)
	if !isList && have[key] != nil {
		return fmt.Errorf("the %s of your kubeconfig are no list: it is damaged, and left as it is", key)
	}
	more, _ := add[key].([]any)
	for _, entry := range more {
		m, _ := entry.(map[string]any)
		var kept []any
		for _, o := range old {
			om, _ := o.(map[string]any)
			if str(om, "name") != str(m, "name") {
				kept = append(kept, o)
				continue
			}
			if !overwrite && !reflect.DeepEqual(o, entry) {
				return fmt.Errorf("a different object named %s already exists in %s of your kubeconfig: give --overwrite-existing to replace it", str(m, "name"), key)
			}
		}
		old = append(kept, entry)
	}
	have[key] = old
	return nil
}

// replaceFile writes a file for its owner alone, whole or not at all. A link is followed.
func replaceFile(file string, text []byte) error {
	if target, err := filepath.EvalSymlinks(file); err == nil {
		file = target
	}
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
