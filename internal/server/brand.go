package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"os"
	"path/filepath"

	"github.com/keyreeve/keyreeve/internal/datadir"
	"github.com/keyreeve/keyreeve/internal/page"
)

// brandFile is brand.json in the data folder: how the sign-in pages show whose they are.
type brandFile struct {
	Name string `json:"name"`
	// Logo is a file beside it: SVG, PNG, JPEG or WebP.
	Logo       string `json:"logo"`
	Accent     string `json:"accent"`
	AccentDark string `json:"accentDark"`
	HelpURL    string `json:"helpUrl"`
	HelpText   string `json:"helpText"`
}

// readBrand reads the brand of a data folder; without a file it is Keyreeve's own. What people could not read is refused.
func readBrand(dir datadir.Dir) (page.Brand, error) {
	text, err := os.ReadFile(dir.Brand())
	if errors.Is(err, fs.ErrNotExist) {
		return page.Brand{}, nil
	}
	if err != nil {
		return page.Brand{}, err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	var f brandFile
	if err := dec.Decode(&f); err != nil {
		return page.Brand{}, fmt.Errorf("%s: %w", dir.Brand(), err)
	}
	b := page.Brand{Name: f.Name, Accent: f.Accent, AccentDark: f.AccentDark, HelpURL: f.HelpURL, HelpText: f.HelpText}
	if f.Logo != "" {
		if b.Logo, err = os.ReadFile(filepath.Join(filepath.Dir(dir.Brand()), filepath.Base(f.Logo))); err != nil {
			return b, fmt.Errorf("%s: %w", dir.Brand(), err)
		}
		b.LogoType = mime.TypeByExtension(filepath.Ext(f.Logo))
	}
	if err := b.Check(); err != nil {
		return b, fmt.Errorf("%s: %w", dir.Brand(), err)
	}
	return b, nil
}
