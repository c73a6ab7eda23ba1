package e2e

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"os"
	"regexp"
	"testing"
)

// fingerprint returns the hex SHA-256 of the client certificate in a kubeconfig.
func fingerprint(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`client-certificate-data: (\S+)`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("%s holds no client certificate", file)
	}
	raw, err := base64.StdEncoding.DecodeString(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return fingerprintIn(t, raw)
}

// fingerprintOf returns the hex SHA-256 of the certificate in a file.
func fingerprintOf(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return fingerprintIn(t, text)
}

func fingerprintIn(t *testing.T, text []byte) string {
	t.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatal("no PEM")
	}
	sum := sha256.Sum256(block.Bytes)
	return hex.EncodeToString(sum[:])
}

func sum256(b []byte) [sha256.Size]byte { return sha256.Sum256(b) }

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
