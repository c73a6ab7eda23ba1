package workstation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
)

// Server is what a folder that Setup wrote says of the server that it is for.
type Server struct {
	Login string `json:"login"`
	ARM   string `json:"arm"`
	Graph string `json:"graph"`
	// CA is the PEM of the server's authority; empty if the machine's own authorities vouch for it.
	CA string `json:"ca,omitempty"`
}

func writeServer(s Settings) error {
	text, err := json.MarshalIndent(Server{Login: s.Login, ARM: s.ARM, Graph: s.Graph, CA: string(s.CA)}, "", "  ")
	if err != nil {
		return fmt.Errorf("environment: %w", err)
	}
	return replace(filepath.Join(s.Dir, "server.json"), append(text, '\n'))
}

// ReadServer reads which server a folder is for.
func ReadServer(dir string) (Server, error) {
	var s Server
	text, err := os.ReadFile(filepath.Join(dir, "server.json"))
	if err != nil {
		return s, fmt.Errorf("environment: %w", err)
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("environment: %s: %w", filepath.Join(dir, "server.json"), err)
	}
	return s, nil
}

// Sessions is the file in a folder that keeps who is signed in with the keyreeve command.
func Sessions(dir string) string { return filepath.Join(dir, "sign-ins.json") }

// Book holds the servers that this machine is connected to, a folder for each name.
type Book string

// DefaultBook is below the person's configuration folder.
func DefaultBook() (Book, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("no folder for configuration: %w", err)
	}
	return Book(filepath.Join(dir, "keyreeve", "servers")), nil
}

var serverName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// Folder returns the folder of a server.
func (b Book) Folder(name string) (string, error) {
	if !serverName.MatchString(name) {
		return "", fmt.Errorf("server name %q: use letters, digits, dots, hyphens and underscores", name)
	}
	return filepath.Join(string(b), name), nil
}

// Names lists the servers, sorted.
func (b Book) Names() ([]string, error) {
	entries, err := os.ReadDir(string(b))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("servers: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && serverName.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// Current returns the server that is used when none is named; empty if there is none.
func (b Book) Current() (string, error) {
	text, err := os.ReadFile(filepath.Join(string(b), "current"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("servers: %w", err)
	}
	return string(bytes.TrimSpace(text)), nil
}

// SetCurrent makes a server the one that is used when none is named.
func (b Book) SetCurrent(name string) error {
	return replace(filepath.Join(string(b), "current"), []byte(name+"\n"))
}
