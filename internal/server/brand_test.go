package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/datadir"
)

func TestBrand(t *testing.T) {
	dir := t.TempDir()
	if b, err := readBrand(datadir.Dir(dir)); err != nil || b.Name != "" {
		t.Fatal(b, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "logo.png"), []byte("png"), 0o600); err != nil {
		t.Fatal(err)
	}
	for text, trouble := range map[string]string{
		`{"name":"Contoso","logo":"logo.png","accent":"#8a2be2","accentDark":"#d0b3ff","helpUrl":"https://help.contoso.test"}`: "",
		`{"name":"Contoso","colour":"#8a2be2"}`:      "unknown field",
		`{"accent":"#ffff00"}`:                       "can hardly be seen",
		`{"accentDark":"#000000"}`:                   "can hardly be seen",
		`{"accent":"red;}body{display:none"}`:        "write it as #rrggbb",
		`{"helpUrl":"javascript:alert(1)"}`:          "must begin with https: or mailto:",
		`{"logo":"missing.png"}`:                     "missing.png",
		`{"logo":"../../etc/passwd"}`:                "passwd",
		`{"name":"` + strings.Repeat("x", 65) + `"}`: "longer than 64",
	} {
		if err := os.WriteFile(filepath.Join(dir, "brand.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := readBrand(datadir.Dir(dir))
		if trouble == "" && (err != nil || b.LogoType != "image/png") || trouble != "" && (err == nil || !strings.Contains(err.Error(), trouble)) {
			t.Errorf("%s: %+v, %v", text, b, err)
		}
	}
}
