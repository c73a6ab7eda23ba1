// Package onboard owns what a machine needs before anybody is signed in on it: where the services are and which authority
// vouches for them, and the clients kubectl and kubelogin, in the paths in which `az aks install-cli` asks for them.
//
// All of it may be known by everyone. The clients are those that an operator put into a folder; what is asked for is
// looked up in a list of them and never becomes a path.
package onboard

import (
	"archive/zip"
	"compress/flate"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/web"
)

// downloadTime is how long a download may take: longer than other answers.
const downloadTime = 15 * time.Minute

// Handler serves it.
type Handler struct {
	// Login, ARM and Graph are the origins of the services.
	Login, ARM, Graph string
	// CA holds the authorities of their certificates, PEM; empty if every machine trusts them.
	CA string
	// Clients is the folder with the clients; empty or missing: none are offered.
	Clients string
	Now     func() time.Time
	Log     *slog.Logger

	sums *sums
}

// Mount adds the routes to mux.
func (h Handler) Mount(mux *http.ServeMux) {
	h.sums = &sums{}
	a := web.Adapter{Log: h.Log, Now: h.Now, Face: "login", WriteError: writeError}
	get := func(pattern string, f web.Handler) { mux.Handle("GET "+pattern, a.Handle(f)) }
	get("/.well-known/keyreeve", h.introduce)
	get("/clients/", h.index)
	get("/clients/kubectl/stable.txt", h.current("kubectl"))
	get("/clients/kubelogin/stable.txt", h.current("kubelogin"))
	get("/clients/kubelogin/latest", h.latest)
	get("/clients/kubectl/{version}/bin/{os}/{arch}/{file}", h.kubectl)
	get("/clients/kubelogin/{version}/kubelogin.zip", h.kubelogin)
}

// writeError answers in plain words: there is a person at a command at the other end.
func writeError(w http.ResponseWriter, _ *http.Request, err error) {
	var f *fault.Error
	if errors.As(err, &f) && f.Kind == fault.NotFound {
		http.Error(w, f.Public, http.StatusNotFound)
		return
	}
	http.Error(w, "something went wrong on the server", http.StatusInternalServerError)
}

func (h Handler) introduce(w http.ResponseWriter, _ *http.Request) error {
	return web.WriteJSON(w, http.StatusOK, "application/json", map[string]string{"login": h.Login, "arm": h.ARM, "graph": h.Graph, "ca": h.CA})
}

// index lists all that is offered.
func (h Handler) index(w http.ResponseWriter, r *http.Request) error {
	if r.URL.Path != "/clients/" {
		return fault.New(fault.NotFound, "", "there is no %s; %s/clients/ lists what there is", r.URL.Path, h.Login)
	}
	all, err := find(h.Clients)
	if err != nil {
		return err
	}
	type entry struct {
		Name    string `json:"name"`
		Version string `json:"version"`
		OS      string `json:"os"`
		Arch    string `json:"arch"`
		SHA256  string `json:"sha256"`
	}
	list := []entry{}
	for _, p := range all {
		sum, err := h.sums.of(p.path)
		if err != nil {
			return err
		}
		list = append(list, entry{p.name, p.version, p.os, p.arch, sum})
	}
	return web.WriteJSON(w, http.StatusOK, "application/json", map[string]any{"clients": list})
}

// current answers with the version to be installed when none is named.
func (h Handler) current(name string) web.Handler {
	return func(w http.ResponseWriter, _ *http.Request) error {
		version, err := h.newest(name)
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, err = io.WriteString(w, version)
		return err
	}
}

// latest is current in the form of GitHub's releases.
func (h Handler) latest(w http.ResponseWriter, _ *http.Request) error {
	version, err := h.newest("kubelogin")
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, "application/json", map[string]string{"tag_name": version})
}

func (h Handler) newest(name string) (string, error) {
	all, err := find(h.Clients)
	if err != nil {
		return "", err
	}
	version := ""
	for _, p := range all {
		if p.name == name && (version == "" || newer(p.version, version)) {
			version = p.version
		}
	}
	if version == "" {
		return "", fault.New(fault.NotFound, "", "no %s is offered: whoever runs this Keyreeve can put one into the folder of --clients-dir (in production clientsDir)", name)
	}
	return version, nil
}

func (h Handler) kubectl(w http.ResponseWriter, r *http.Request) error {
	file, wantsSum := strings.CutSuffix(r.PathValue("file"), ".sha256")
	all, err := find(h.Clients)
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.name != "kubectl" || p.version != r.PathValue("version") || p.os != r.PathValue("os") || p.arch != r.PathValue("arch") || p.file() != file {
			continue
		}
		if !wantsSum {
			return h.send(w, r, p.path)
		}
		sum, err := h.sums.of(p.path)
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, err = io.WriteString(w, sum)
		return err
	}
	return h.missing("kubectl", r.PathValue("version"), r.PathValue("os")+"/"+r.PathValue("arch"), all)
}

// missing says what there is in place of what was asked for.
func (h Handler) missing(name, version, platform string, all []program) error {
	var have []string
	for _, p := range all {
		if p.name == name {
			have = append(have, p.version+" for "+p.os+"/"+p.arch)
		}
	}
	if len(have) == 0 {
		have = []string{"none"}
	}
	return fault.New(fault.NotFound, "", "there is no %s %s for %s here; there is: %s", name, version, platform, strings.Join(have, ", "))
}

// kubelogin answers with an archive of a version's programs for all platforms, as Azure's releases have it.
func (h Handler) kubelogin(w http.ResponseWriter, r *http.Request) error {
	all, err := find(h.Clients)
	if err != nil {
		return err
	}
	var parts []program
	for _, p := range all {
		if p.name == "kubelogin" && p.version == r.PathValue("version") {
			parts = append(parts, p)
		}
	}
	if len(parts) == 0 {
		return h.missing("kubelogin", r.PathValue("version"), "any platform", all)
	}
	_ = http.NewResponseController(w).SetWriteDeadline(h.Now().Add(downloadTime)) // not every test's recorder can
	w.Header().Set("Content-Type", "application/zip")
	z := zip.NewWriter(w)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestSpeed) })
	for _, p := range parts {
		if err := pack(z, p); err != nil {
			return err
		}
	}
	return z.Close()
}

func pack(z *zip.Writer, p program) error {
	header := &zip.FileHeader{Name: "bin/" + p.os + "_" + p.arch + "/" + p.file(), Method: zip.Deflate}
	header.SetMode(0o755)
	w, err := z.CreateHeader(header)
	if err != nil {
		return fmt.Errorf("clients: %w", err)
	}
	f, err := os.Open(p.path)
	if err != nil {
		return fmt.Errorf("clients: %w", err)
	}
	_, err = io.Copy(w, f)
	return errors.Join(err, f.Close())
}

func (h Handler) send(w http.ResponseWriter, r *http.Request, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("clients: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("clients: %w", err), f.Close())
	}
	_ = http.NewResponseController(w).SetWriteDeadline(h.Now().Add(downloadTime)) // not every test's recorder can
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", info.ModTime(), f)
	return f.Close()
}

// sums remembers the checksums of files as long as they do not change.
type sums struct {
	mu   sync.Mutex
	seen map[string]string
}

func (s *sums) of(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("clients: %w", err)
	}
	key := fmt.Sprintf("%s %d %s", path, info.Size(), info.ModTime())
	s.mu.Lock()
	defer s.mu.Unlock()
	if sum, ok := s.seen[key]; ok {
		return sum, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("clients: %w", err)
	}
	hash := sha256.New()
	_, err = io.Copy(hash, f)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("clients: %w", err)
	}
	if s.seen == nil {
		s.seen = map[string]string{}
	}
	s.seen[key] = hex.EncodeToString(hash.Sum(nil))
	return s.seen[key], nil
}
