package login

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"strings"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/keyreeve/keyreeve/internal/fault"
)

// maxCertificate bounds a file of certificates and a key.
const maxCertificate = 1 << 20

// readCertificate reads a certificate, with those above it, and its key. What the file holds counts, not its name.
func readCertificate(path, password string) ([]*x509.Certificate, *rsa.PrivateKey, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fault.New(fault.Invalid, "", "the client certificate cannot be read: %v", err)
	}
	if len(data) > maxCertificate {
		return nil, nil, fault.New(fault.TooLarge, "", "%s is too large for a certificate and a key", path)
	}
	chain, key, err := parseCertificate(data, password)
	if err != nil {
		return nil, nil, fault.New(fault.Invalid, "", "the client certificate %s cannot be used: %v", path, err)
	}
	return chain, key, nil
}

func parseCertificate(data []byte, password string) ([]*x509.Certificate, *rsa.PrivateKey, error) {
	var (
		certs []*x509.Certificate
		key   any
		err   error
	)
	if bytes.Contains(data, []byte("-----BEGIN ")) {
		certs, key, err = parsePEM(data)
	} else {
		certs, key, err = parsePFX(data, password)
	}
	if err != nil {
		return nil, nil, err
	}
	k, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, nil, errors.New("its key is not an RSA key, and Microsoft Entra takes no other")
	}
	for i, c := range certs {
		if k.PublicKey.Equal(c.PublicKey) {
			certs[0], certs[i] = certs[i], certs[0]
			return certs, k, nil
		}
	}
	return nil, nil, errors.New("none of its certificates belongs to its key")
}

func parsePEM(data []byte) ([]*x509.Certificate, any, error) {
	var (
		certs []*x509.Certificate
		key   any
	)
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		var err error
		switch {
		case block.Type == "CERTIFICATE":
			var c *x509.Certificate
			if c, err = x509.ParseCertificate(block.Bytes); err == nil {
				certs = append(certs, c)
			}
		case block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
			err = errors.New("its key is encrypted; kubelogin opens PFX files with a password, not PEM files: " +
				"`openssl pkey -in FILE` writes it in clear")
		case key != nil && strings.HasSuffix(block.Type, "PRIVATE KEY"):
			err = errors.New("it holds two keys")
		case block.Type == "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case block.Type == "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case block.Type == "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	switch {
	case key == nil:
		return nil, nil, errors.New("it holds no private key")
	case len(certs) == 0:
		return nil, nil, errors.New("it holds no certificate")
	}
	return certs, key, nil
}

func parsePFX(data []byte, password string) ([]*x509.Certificate, any, error) {
	key, cert, above, err := pkcs12.DecodeChain(data, password)
	switch {
	case errors.Is(err, pkcs12.ErrIncorrectPassword) && password == "":
		return nil, nil, errors.New("it has a password: give --client-certificate-password or set AZURE_CLIENT_CERTIFICATE_PASSWORD")
	case errors.Is(err, pkcs12.ErrIncorrectPassword):
		return nil, nil, errors.New("the password is wrong")
	case err != nil:
		return nil, nil, errors.New("it is neither PEM nor a PFX file that can be read (" + err.Error() + ")")
	}
	return append([]*x509.Certificate{cert}, above...), key, nil
}
