package login

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/kubelogin/ask"
)

// scheme is a proof of possession as MSAL asks for one: the access token is bound to a key, and each use of it is signed anew.
// A nil scheme is a bearer token.
type scheme struct {
	key  *rsa.PrivateKey
	bare string // the access token that MSAL last handed over
}

// scheme returns the scheme of the request, with the key of earlier calls or a new one.
func (a *attempt) scheme(key []byte) (*scheme, error) {
	if a.r.PoPHost == "" {
		return nil, nil //nolint:nilnil // a bearer token has no scheme
	}
	if a.r.Mode != ask.Interactive && a.r.Mode != ask.Password && a.r.Mode != ask.ServicePrincipal {
		return nil, nil //nolint:nilnil // the others give bearer tokens, as Azure's do
	}
	if k, err := parsePoPKey(key); err == nil {
		return &scheme{key: k}, nil
	}
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	return &scheme{key: k}, nil
}

func parsePoPKey(text []byte) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fault.New(fault.Invalid, "", "no key")
	}
	return x509.ParsePKCS1PrivateKey(block.Bytes)
}

func (s *scheme) pem() []byte {
	if s == nil {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(s.key)})
}

func (s *scheme) token(access string, expires time.Time) ask.Token {
	if s != nil {
		access = s.bare
	}
	return ask.Token{Access: access, Expires: expires}
}

// thumbprint is that of RFC 7638.
func (s *scheme) thumbprint() string {
	e, n := s.public()
	sum := sha256.Sum256([]byte(`{"e":"` + e + `","kty":"RSA","n":"` + n + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (s *scheme) public() (e, n string) {
	return base64.RawURLEncoding.EncodeToString(big.NewInt(int64(s.key.E)).Bytes()), base64.RawURLEncoding.EncodeToString(s.key.N.Bytes())
}

// TokenRequestParams binds the token that is asked for to the key.
func (s *scheme) TokenRequestParams() map[string]string {
	cnf := `{"kid":"` + s.thumbprint() + `","xms_ksl":"sw"}`
	return map[string]string{"token_type": "pop", "req_cnf": base64.RawURLEncoding.EncodeToString([]byte(cnf))}
}

// KeyID names the key.
func (s *scheme) KeyID() string { return s.thumbprint() }

// FormatAccessToken takes the bare token; the envelope is made at each use.
func (s *scheme) FormatAccessToken(access string) (string, error) {
	s.bare = access
	return access, nil
}

// AccessTokenType tells these tokens from bearer tokens in MSAL's cache.
func (s *scheme) AccessTokenType() string { return "pop" }

// Prove puts a proof of possession around an access token, good for one use. Session holds the key that it is bound to.
func Prove(access, host string, session []byte, now time.Time) (string, error) {
	key, _ := splitSession(session)
	k, err := parsePoPKey(key)
	if err != nil {
		return "", fmt.Errorf("the key of the token is gone: %w", err)
	}
	s := &scheme{key: k}
	e, n := s.public()
	kid := s.thumbprint()
	nonce := make([]byte, 16)
	if _, err := rand.Read(nonce); err != nil {
		return "", err
	}
	type jwk struct {
		E   string `json:"e"`
		Kty string `json:"kty"`
		N   string `json:"n"`
		Alg string `json:"alg"`
		Kid string `json:"kid"`
	}
	type cnf struct {
		JWK jwk `json:"jwk"`
	}
	header, err := encodePart(struct {
		Typ string `json:"typ"`
		Alg string `json:"alg"`
		Kid string `json:"kid"`
	}{"pop", "RS256", kid})
	if err != nil {
		return "", err
	}
	payload, err := encodePart(struct {
		At    string `json:"at"`
		Ts    int64  `json:"ts"`
		U     string `json:"u"`
		Cnf   cnf    `json:"cnf"`
		Nonce string `json:"nonce"`
	}{access, now.Unix(), host, cnf{jwk{e, "RSA", n, "RS256", kid}}, hex.EncodeToString(nonce)})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(header + "." + payload))
	sig, err := s.key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return "", err
	}
	return header + "." + payload + "." + base64.RawURLEncoding.EncodeToString(sig), nil
}

func encodePart(v any) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(bytes.TrimRight(b.Bytes(), "\n")), nil
}

// A session is the key of a proof of possession, if there is one, and MSAL's own data.
type session struct {
	Key  []byte `json:"key,omitempty"`
	MSAL []byte `json:"msal,omitempty"`
	// Refresh is the refresh token of a legacy sign-in, which MSAL knows nothing of.
	Refresh string `json:"refresh,omitempty"`
}

func joinSession(key, msal []byte) []byte {
	data, err := json.Marshal(session{Key: key, MSAL: msal})
	if err != nil {
		return nil
	}
	return data
}

func splitSession(data []byte) (key, msal []byte) {
	var s session
	if json.Unmarshal(data, &s) != nil {
		return nil, nil
	}
	return s.Key, s.MSAL
}
