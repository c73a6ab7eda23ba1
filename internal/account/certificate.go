package account

import (
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // the name of a certificate in a header; Entra's clients send it so
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// assertionLife is how long the proof of holding a certificate's key is good.
const assertionLife = 10 * time.Minute

// certificateAssertion proves that an application holds the key of a certificate. file is PEM with both in it.
func certificateAssertion(file, appID, audience string, now time.Time) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("certificate: %w", err)
	}
	pair, err := tls.X509KeyPair(text, text)
	if err != nil {
		return "", fmt.Errorf("certificate: %s must hold a certificate and its private key in PEM: %w", file, err)
	}
	sum := sha1.Sum(pair.Certificate[0]) //nolint:gosec // see the import
	opts := (&jose.SignerOptions{}).WithType("JWT").WithHeader("x5t", base64.RawURLEncoding.EncodeToString(sum[:]))
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: pair.PrivateKey}, opts)
	if err != nil {
		return "", fmt.Errorf("certificate: its key must be RSA: %w", err)
	}
	claims, err := json.Marshal(map[string]any{
		"aud": audience, "iss": appID, "sub": appID, "jti": rand.Text(), "nbf": now.Unix(), "exp": now.Add(assertionLife).Unix(),
	})
	if err != nil {
		return "", fmt.Errorf("certificate: %w", err)
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", errors.Join(errors.New("certificate: signing failed"), err)
	}
	return signed.CompactSerialize()
}
