package az

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// maxProgram bounds a downloaded program in bytes.
const maxProgram = 512 << 20

func installCLI(x *call) (any, error) {
	h, err := x.open()
	if err != nil {
		return nil, err
	}
	exe := ""
	if runtime.GOOS == "windows" {
		exe = ".exe"
	}
	source := func(name, otherwise string) string {
		if x.given(name) {
			return strings.TrimSuffix(x.word(name), "/")
		}
		return h.server.Login + otherwise
	}
	place := func(name, program string) string {
		if x.given(name) {
			return x.word(name)
		}
		return filepath.Join("/usr/local/bin", program)
	}
	kubectl := source("base-src-url", "/clients/kubectl")
	version, err := wanted(x, h.http, x.word("client-version"), kubectl+"/stable.txt")
	if err != nil {
		return nil, err
	}
	text, err := download(x, h.http, fmt.Sprintf("%s/%s/bin/%s/%s/kubectl%s", kubectl, version, runtime.GOOS, runtime.GOARCH, exe))
	if err != nil {
		return nil, err
	}
	if err := x.install(place("install-location", "kubectl"+exe), text); err != nil {
		return nil, err
	}
	kubelogin := source("kubelogin-base-src-url", "/clients/kubelogin")
	if version, err = wanted(x, h.http, x.word("kubelogin-version"), kubelogin+"/stable.txt"); err != nil {
		return nil, err
	}
	packed, err := download(x, h.http, kubelogin+"/"+version+"/kubelogin.zip")
	if err != nil {
		return nil, err
	}
	if text, err = unpack(packed, fmt.Sprintf("bin/%s_%s/kubelogin%s", runtime.GOOS, runtime.GOARCH, exe)); err != nil {
		return nil, err
	}
	return nil, x.install(place("kubelogin-install-location", "kubelogin"+exe), text)
}

// wanted is the version that was asked for, or the one that the source says is current.
func wanted(ctx context.Context, c *http.Client, version, current string) (string, error) {
	if version != "" && version != "latest" {
		return "v" + strings.TrimPrefix(version, "v"), nil
	}
	text, err := download(ctx, c, current)
	return strings.TrimSpace(string(text)), err
}

func download(ctx context.Context, c *http.Client, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("download: %w", err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, fmt.Errorf("download: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxProgram))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, fmt.Errorf("download: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s: %s", address, resp.Status, strings.TrimSpace(string(text[:min(len(text), 500)])))
	}
	return text, nil
}

func unpack(packed []byte, name string) ([]byte, error) {
	z, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
	if err != nil {
		return nil, fmt.Errorf("kubelogin.zip: %w", err)
	}
	f, err := z.Open(name)
	if err != nil {
		return nil, fmt.Errorf("kubelogin.zip holds no %s: the server has none for this machine: %w", name, err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxProgram))
	return text, errors.Join(err, f.Close())
}

// install writes a program, whole or not at all.
func (x *call) install(file string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // a folder of programs
		return fmt.Errorf("install: %w", err)
	}
	if err := replaceFile(file, text); err != nil {
		return fmt.Errorf("install: %w; name another place with --install-location and --kubelogin-install-location", err)
	}
	if err := os.Chmod(file, 0o755); err != nil { //nolint:gosec // a program
		return fmt.Errorf("install: %w", err)
	}
	x.warn("Installed %s. Please ensure that %s is in your search PATH.", file, filepath.Dir(file))
	return nil
}
