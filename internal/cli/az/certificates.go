package az

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
)

// certificateFlags are what commands that make credentials take of certificates.
func certificateFlags() []flag {
	return []flag{
		{name: "cert", help: "certificate in place of a secret: PEM, DER in base64, or @FILE"},
		{name: "create-cert", kind: toggle, help: "make a certificate in place of a secret, in a new file in your home folder"},
		{name: "keyvault", help: "taken for az's sake: there are no key vaults"},
	}
}

// certificate is one for an application: what the directory is given, and the file that holds its key if it is new.
type certificate struct {
	der      []byte
	from, to time.Time
	file     string
}

// wantsCertificate says whether the flags ask for a certificate and not for a secret.
func (x *call) wantsCertificate() bool { return x.given("cert") || x.on("create-cert") }

// certificate reads the certificate that the flags name, or makes one that is good until a time.
func (x *call) certificate(now, until time.Time) (certificate, error) {
	switch {
	case x.given("keyvault"):
		return certificate{}, errors.New("--keyvault: there are no key vaults here: give --cert, or --create-cert alone")
	case x.given("cert") && x.on("create-cert"):
		return certificate{}, errors.New("--cert and --create-cert exclude each other")
	case x.on("create-cert"):
		return createCertificate(now, until)
	}
	text := x.word("cert")
	if file, ok := strings.CutPrefix(text, "@"); ok {
		b, err := os.ReadFile(file)
		if err != nil {
			return certificate{}, fmt.Errorf("--cert: %w", err)
		}
		text = string(b)
	}
	der, err := readCertificate(text)
	if err != nil {
		return certificate{}, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return certificate{}, fmt.Errorf("--cert: %w", err)
	}
	return certificate{der: der, from: cert.NotBefore, to: cert.NotAfter}, nil
}

// readCertificate reads PEM, DER, or DER in base64. A private key beside it is refused: nobody meant to show it.
func readCertificate(text string) ([]byte, error) {
	if strings.Contains(text, "PRIVATE KEY") {
		return nil, errors.New("--cert holds a private key: give the certificate alone")
	}
	if block, _ := pem.Decode([]byte(text)); block != nil {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("--cert holds a %s and no certificate", strings.ToLower(block.Type))
		}
		return block.Bytes, nil
	}
	if der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), "")); err == nil {
		return der, nil
	}
	if _, err := x509.ParseCertificate([]byte(text)); err != nil {
		return nil, errors.New("--cert is neither a certificate in PEM, nor DER, nor DER in base64")
	}
	return []byte(text), nil
}

// createCertificate makes a key and a certificate of it, in a new file for its owner alone.
func createCertificate(now, until time.Time) (certificate, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return certificate{}, fmt.Errorf("certificate: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return certificate{}, fmt.Errorf("certificate: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "CLI-Login"}, NotBefore: now.Add(-time.Second).Truncate(time.Second),
		NotAfter: until.Add(time.Second).Truncate(time.Second), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return certificate{}, fmt.Errorf("certificate: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return certificate{}, fmt.Errorf("certificate: %w", err)
	}
	var text bytes.Buffer
	err = errors.Join(pem.Encode(&text, &pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: der}))
	if err != nil {
		return certificate{}, fmt.Errorf("certificate: %w", err)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return certificate{}, fmt.Errorf("no home folder for the certificate: %w", err)
	}
	file := filepath.Join(home, "tmp"+strings.ToLower(rand.Text()[:8])+".pem")
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return certificate{}, fmt.Errorf("certificate: %w", err)
	}
	_, err = f.Write(text.Bytes())
	if err = errors.Join(err, f.Close()); err != nil {
		return certificate{}, fmt.Errorf("certificate: %w", err)
	}
	return certificate{der, template.NotBefore, template.NotAfter, file}, nil
}

// within narrows the life of a credential to that of its certificate, and says so.
func (x *call) within(c certificate, from, until time.Time) (time.Time, time.Time) {
	if c.from.After(from) {
		x.warn("Certificate is not valid until %s. Adjusting key credential start date to match.", c.from.UTC().Format(time.RFC3339))
		from = c.from.Add(time.Second)
	}
	if c.to.Before(until) {
		x.warn("Certificate expires %s. Adjusting key credential end date to match.", c.to.UTC().Format(time.RFC3339))
		until = c.to.Add(-time.Second)
	}
	return from, until
}

// keyCredential is a certificate in the form of the directory.
func (x *call) keyCredential(c certificate, name any, from, until time.Time) map[string]any {
	from, until = x.within(c, from, until)
	return map[string]any{
		"@odata.type": "#microsoft.graph.keyCredential", "displayName": name, "startDateTime": wireTime(from), "endDateTime": wireTime(until),
		"key": base64.StdEncoding.EncodeToString(c.der), "keyId": uuid.NewString(), "type": "AsymmetricX509Cert", "usage": "Verify",
	}
}
