package login

import (
	"bytes"
	"strings"
	"testing"

	"rsc.io/qr"
)

// TestQRCode reads the drawing back, module by module: it is the code of the link, light on dark, with a quiet zone around it.
func TestQRCode(t *testing.T) {
	const link = "https://login.example.com:8443/device?user_code=BCDF-GHJK"
	var b strings.Builder
	drawQR(&b, link)
	want, err := qr.Encode(link, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	const quiet = 2
	var rows [][]bool // light
	for line := range strings.Lines(b.String()) {
		var top, bottom []bool
		for _, r := range strings.TrimSuffix(line, "\n") {
			top = append(top, r == '█' || r == '▀')
			bottom = append(bottom, r == '█' || r == '▄')
			if !strings.ContainsRune("█▀▄ ", r) {
				t.Fatalf("%q is drawn", r)
			}
		}
		rows = append(rows, top, bottom)
	}
	if len(rows) < want.Size+2*quiet {
		t.Fatalf("%d rows for a code of %d", len(rows), want.Size)
	}
	for y := range want.Size + 2*quiet {
		if len(rows[y]) != want.Size+2*quiet {
			t.Fatalf("row %d has %d modules", y, len(rows[y]))
		}
		for x := range rows[y] {
			if rows[y][x] == want.Black(x-quiet, y-quiet) {
				t.Fatalf("the module at %d, %d is wrong", x, y)
			}
		}
	}
	b.Reset()
	if drawQR(&b, "https://x.test/"+strings.Repeat("long", 500)); b.Len() > 0 {
		t.Error("a code that no terminal has room for is drawn")
	}
}

// TestPromptOnTerminal: the code is drawn for a person at a terminal, and for nobody else.
func TestPromptOnTerminal(t *testing.T) {
	for _, terminal := range []bool{true, false} {
		var b bytes.Buffer
		a := &attempt{Client: &Client{Err: &b, Terminal: terminal}, transport: &transport{complete: "https://login.test/device?code=ABC"}}
		a.prompt("https://login.test/device", "ABC", "")
		if !strings.HasPrefix(b.String(), "To sign in, open https://login.test/device?code=ABC\nor enter the code ABC at https://login.test/device\n") ||
			strings.Contains(b.String(), "█") != terminal {
			t.Errorf("terminal %v:\n%s", terminal, &b)
		}
		// A link that is no web address is not shown.
		b.Reset()
		a.transport.complete = "javascript:alert(1)"
		if a.prompt("https://login.test/device", "ABC", ""); strings.Contains(b.String(), "javascript") {
			t.Error(b.String())
		}
	}
}
