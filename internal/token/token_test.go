package token_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/keyring"
	"github.com/keyreeve/keyreeve/internal/keyring/keytest"
	"github.com/keyreeve/keyreeve/internal/token"
)

const (
	issuer   = "https://login.keyreeve.test:8443"
	audience = "6dae42f8-4368-4678-94ff-3960e28e3630"
)

func start() time.Time { return time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC) }

type keys map[string]keyring.Public

func (k keys) SigningKey(kid string) (keyring.Public, bool) { p, ok := k[kid]; return p, ok }

// bench is a verifier, a signer and good claims.
type bench struct {
	verifier *token.Verifier
	signer   *keyring.Signer
	key      keyring.Key
	keys     keys
	now      time.Time
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{key: keytest.Key(t, 0, start()), now: start()}
	b.keys = keys{b.key.KID: b.key.Public}
	var err error
	if b.signer, err = b.key.Signer(); err != nil {
		t.Fatal(err)
	}
	b.verifier, err = token.NewVerifier(token.Config{
		Issuer: issuer, Audiences: []string{audience, "spn:" + audience}, Keys: b.keys, Now: func() time.Time { return b.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) claims() token.Access {
	tenant, oid := ident.Derive[ident.TenantID]("t"), ident.Derive[ident.ObjectID]("o")
	return token.Access{
		Audience: audience, Issuer: token.IssuerV1(issuer, tenant), IssuedAt: b.now.Unix(), NotBefore: b.now.Unix(),
		Expires: b.now.Add(time.Hour).Unix(), AppID: ident.Derive[ident.ClientID]("c"), AppIDACR: "0", IdentityType: token.TypeUser,
		Object: oid, Subject: "s", Tenant: tenant, ID: token.NewID(), Version: "1.0", AMR: []string{"pwd"}, ACR: "1",
	}
}

func (b *bench) mint(t testing.TB, c token.Access) string {
	t.Helper()
	raw, err := c.Mint(b.signer)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func wantReason(t *testing.T, err error, want token.Reason) {
	t.Helper()
	r, ok := errors.AsType[*token.Refusal](err)
	if !ok || r.Reason != want {
		t.Errorf("got %v, want reason %d", err, want)
	}
}

func TestVerifierNeedsEverything(t *testing.T) {
	good := token.Config{Issuer: issuer, Audiences: []string{audience}, Keys: keys{}, Now: time.Now}
	if _, err := token.NewVerifier(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*token.Config){
		"no issuer":      func(c *token.Config) { c.Issuer = "" },
		"slash":          func(c *token.Config) { c.Issuer += "/" },
		"no audience":    func(c *token.Config) { c.Audiences = nil },
		"empty audience": func(c *token.Config) { c.Audiences = []string{audience, ""} },
		"no keys":        func(c *token.Config) { c.Keys = nil },
		"no clock":       func(c *token.Config) { c.Now = nil },
	} {
		c := good
		change(&c)
		if _, err := token.NewVerifier(c); err == nil {
			t.Errorf("%s: a verifier was made", name)
		}
	}
}

func TestVerifyReturnsWhatWasMinted(t *testing.T) {
	b := newBench(t)
	want := b.claims()
	want.Groups = []ident.ObjectID{ident.Derive[ident.ObjectID]("g")}
	want.Session = ident.Derive[ident.SessionID]("s")
	got, err := b.verifier.Verify(b.mint(t, want))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRefusedClaims(t *testing.T) {
	b := newBench(t)
	for _, row := range []struct {
		name   string
		change func(*token.Access)
		want   token.Reason
	}{
		{"other audience", func(c *token.Access) { c.Audience = "https://graph.microsoft.com" }, token.WrongAudience},
		{"audience with a slash", func(c *token.Access) { c.Audience += "/" }, token.WrongAudience},
		{"issuer of another tenant", func(c *token.Access) { c.Tenant = ident.New[ident.TenantID]() }, token.WrongIssuer},
		{"issuer elsewhere", func(c *token.Access) { c.Issuer = strings.Replace(c.Issuer, "keyreeve", "evil", 1) }, token.WrongIssuer},
		{"v2 issuer", func(c *token.Access) { c.Issuer = token.IssuerV2(issuer, c.Tenant) }, token.WrongIssuer},
		{"expired", func(c *token.Access) { c.Expires = b.now.Add(-time.Minute).Unix() }, token.Expired},
		{"never expires", func(c *token.Access) { c.Expires = 0 }, token.Expired},
		{"not yet", func(c *token.Access) { c.NotBefore = b.now.Add(61 * time.Second).Unix() }, token.NotYetValid},
		{"issued in the future", func(c *token.Access) { c.IssuedAt = b.now.Add(61 * time.Second).Unix() }, token.NotYetValid},
		{"no object", func(c *token.Access) { c.Object = ident.ObjectID{} }, token.Malformed},
		{"no client", func(c *token.Access) { c.AppID = ident.ClientID{} }, token.Malformed},
		{"no id", func(c *token.Access) { c.ID = "" }, token.Malformed},
		{"other version", func(c *token.Access) { c.Version = "2.0" }, token.Malformed},
		{"neither user nor app", func(c *token.Access) { c.IdentityType = "" }, token.Malformed},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := b.claims()
			row.change(&c)
			_, err := b.verifier.Verify(b.mint(t, c))
			wantReason(t, err, row.want)
		})
	}
	t.Run("within the skew", func(t *testing.T) {
		c := b.claims()
		c.Expires, c.NotBefore = b.now.Add(-59*time.Second).Unix(), b.now.Add(59*time.Second).Unix()
		if _, err := b.verifier.Verify(b.mint(t, c)); err != nil {
			t.Error(err)
		}
	})
	t.Run("an id token is no access token", func(t *testing.T) {
		id := token.Identity{
			Audience: ident.MustParse[ident.ClientID](audience), Issuer: b.claims().Issuer, Expires: b.now.Add(time.Hour).Unix(),
			Object: b.claims().Object, Tenant: b.claims().Tenant, ID: "x", Version: "1.0",
		}
		raw, err := id.Mint(b.signer)
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.verifier.Verify(raw)
		wantReason(t, err, token.Malformed)
	})
}

// TestForgeries are the known attacks on JWS readers.
func TestForgeries(t *testing.T) {
	b := newBench(t)
	good := b.mint(t, b.claims())
	parts := strings.Split(good, ".")
	b64 := base64.RawURLEncoding.EncodeToString
	header := func(text string) string { return b64([]byte(text)) + "." + parts[1] }
	stranger := keytest.Key(t, 1, start())
	signAs := func(opts *jose.SignerOptions, alg jose.SignatureAlgorithm, key any) string {
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, opts)
		if err != nil {
			t.Fatal(err)
		}
		payload, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err != nil {
			t.Fatal(err)
		}
		jws, err := s.Sign(payload)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := jws.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	typed := func() *jose.SignerOptions { return (&jose.SignerOptions{}).WithType("JWT") }
	mac := func(input string) string {
		m := hmac.New(sha256.New, b.key.JWK)
		m.Write([]byte(input))
		return input + "." + b64(m.Sum(nil))
	}
	for name, row := range map[string]struct {
		raw  string
		want token.Reason
	}{
		"none":                         {header(`{"alg":"none","typ":"JWT","kid":"`+b.key.KID+`"}`) + ".", token.BadKey},
		"public key as an HMAC secret": {mac(header(`{"alg":"HS256","typ":"JWT","kid":"` + b.key.KID + `"}`)), token.BadKey},
		"PS256 by our key":             {signAs(typed(), jose.PS256, jose.JSONWebKey{Key: keytest.Private(t, 0), KeyID: b.key.KID}), token.BadKey},
		"RS512 by our key":             {signAs(typed(), jose.RS512, jose.JSONWebKey{Key: keytest.Private(t, 0), KeyID: b.key.KID}), token.BadKey},
		"a stranger under our id":      {signAs(typed(), jose.RS256, jose.JSONWebKey{Key: keytest.Private(t, 1), KeyID: b.key.KID}), token.BadSig},
		"a stranger under its own id":  {signAs(typed(), jose.RS256, jose.JSONWebKey{Key: keytest.Private(t, 1), KeyID: stranger.KID}), token.BadKey},
		"a stranger that brings its key": {
			signAs(&jose.SignerOptions{EmbedJWK: true, ExtraHeaders: map[jose.HeaderKey]any{"typ": "JWT"}}, jose.RS256,
				jose.JSONWebKey{Key: keytest.Private(t, 1), KeyID: b.key.KID}), token.BadKey,
		},
		"no kid":               {signAs(typed(), jose.RS256, keytest.Private(t, 0)), token.BadKey},
		"other type":           {signAs((&jose.SignerOptions{}).WithType("pop"), jose.RS256, jose.JSONWebKey{Key: keytest.Private(t, 0), KeyID: b.key.KID}), token.Malformed},
		"no type":              {signAs(nil, jose.RS256, jose.JSONWebKey{Key: keytest.Private(t, 0), KeyID: b.key.KID}), token.Malformed},
		"no signature":         {parts[0] + "." + parts[1] + ".", token.BadSig},
		"changed payload":      {parts[0] + "." + b64([]byte(`{"aud":"`+audience+`"}`)) + "." + parts[2], token.BadSig},
		"JSON serialization":   {`{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, token.Malformed},
		"empty":                {"", token.Malformed},
		"too long":             {good + strings.Repeat("A", token.MaxSize), token.Malformed},
		"critical extension":   {signAs(typed().WithHeader("crit", []string{"exp"}).WithHeader("exp", 1), jose.RS256, jose.JSONWebKey{Key: keytest.Private(t, 0), KeyID: b.key.KID}), token.BadSig},
		"trailing white space": {good + "\n", token.Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := b.verifier.Verify(row.raw)
			wantReason(t, err, row.want)
			if err != nil && len(row.raw) > 40 && strings.Contains(err.Error(), row.raw[:40]) {
				t.Error("the refusal quotes the token")
			}
		})
	}
}

func TestKeysComeAndGo(t *testing.T) {
	b := newBench(t)
	raw := b.mint(t, b.claims())
	if _, err := b.verifier.Verify(raw); err != nil {
		t.Fatal(err)
	}
	retiring := b.key.Public
	retiring.RetiresAt = b.now.Add(time.Minute)
	b.keys[b.key.KID] = retiring
	if _, err := b.verifier.Verify(raw); err != nil {
		t.Error("a superseded key must verify until it retires")
	}
	b.now = retiring.RetiresAt
	_, err := b.verifier.Verify(raw)
	wantReason(t, err, token.BadKey)
	delete(b.keys, b.key.KID)
	_, err = b.verifier.Verify(raw)
	wantReason(t, err, token.BadKey)
	// Another key under the same id is not taken for the one that was seen before.
	other := keytest.Key(t, 1, start()).Public
	other.KID = b.key.KID
	other.JWK = json.RawMessage(strings.ReplaceAll(string(other.JWK), keytest.Key(t, 1, start()).KID, b.key.KID))
	b.keys[b.key.KID] = other
	_, err = b.verifier.Verify(raw)
	wantReason(t, err, token.BadKey)
}

// TestIssuedAfter: within one second, what was issued before a revocation ends with it and what is issued after lives.
func TestIssuedAfter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.Int64Range(0, int64(3*time.Second))
		before := start().Add(time.Duration(at.Draw(t, "before")))
		revoked := before.Add(1 + time.Duration(at.Draw(t, "revoked")))
		after := revoked.Add(time.Duration(at.Draw(t, "after")))
		old := token.IssuedAfter(before, start())
		if !time.Unix(old, 0).Before(revoked) {
			t.Fatalf("issued at %s, revoked at %s, and lives", before, revoked)
		}
		fresh := time.Unix(token.IssuedAfter(after, revoked), 0)
		if fresh.Before(revoked) || fresh.Sub(after) >= time.Second || after.Sub(fresh) >= time.Second {
			t.Fatalf("issued at %s after %s: iat %s", after, revoked, fresh)
		}
	})
}

func TestPairwiseSubject(t *testing.T) {
	tenant, oid := ident.New[ident.TenantID](), ident.New[ident.ObjectID]()
	a, b := ident.New[ident.ClientID](), ident.New[ident.ClientID]()
	first, again, other := token.PairwiseSubject(tenant, oid, a), token.PairwiseSubject(tenant, oid, a), token.PairwiseSubject(tenant, oid, b)
	if first != again || first == other {
		t.Error("the subject must be stable at one application and differ between two")
	}
}

// FuzzVerify holds the verifier against a second reader: whatever is accepted, go-jose's own verification with our key
// must accept too, and the text must be one that we minted.
func FuzzVerify(f *testing.F) {
	b := newBench(f)
	claims := b.claims()
	claims.ID = "fixed" // every fuzzing process mints the same text
	good := b.mint(f, claims)
	f.Add(good)
	f.Add(strings.Replace(good, ".", "..", 1))
	f.Add("a.b.c")
	f.Add(`{"payload":"e30","signatures":[]}`)
	f.Add(strings.ToUpper(good))
	for _, h := range []string{`{"alg":"none"}`, `{"alg":"HS256","typ":"JWT"}`, `{"alg":"RS256","typ":"JWT","kid":""}`, `{"alg":"RS256","alg":"none"}`} {
		f.Add(base64.RawURLEncoding.EncodeToString([]byte(h)) + good[strings.IndexByte(good, '.'):])
	}
	public, err := b.key.VerifyKey()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		c, err := b.verifier.Verify(raw)
		if err != nil {
			if _, ok := errors.AsType[*token.Refusal](err); !ok {
				t.Fatalf("not a refusal: %v", err)
			}
			return
		}
		jws, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.RS256})
		if err != nil {
			t.Fatalf("accepted, and a second reader says: %v", err)
		}
		if _, err := jws.Verify(public); err != nil {
			t.Fatalf("accepted with a bad signature: %v", err)
		}
		if c.Audience != audience || raw != good {
			t.Fatalf("accepted %q, which was never minted", raw)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	x := newBench(b)
	raw := x.mint(b, x.claims())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := x.verifier.Verify(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMint(b *testing.B) {
	x := newBench(b)
	c := x.claims()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Mint(x.signer); err != nil {
			b.Fatal(err)
		}
	}
}

// TestEachKeyItsAlgorithm: tokens of both algorithms are good, and the header chooses none for a key.
func TestEachKeyItsAlgorithm(t *testing.T) {
	b := newBench(t)
	curve, err := keyring.GenerateES256(start(), start())
	if err != nil {
		t.Fatal(err)
	}
	b.keys[curve.KID] = curve.Public
	signer, err := curve.Signer()
	if err != nil {
		t.Fatal(err)
	}
	want := b.claims()
	raw, err := want.Mint(signer)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := b.verifier.Verify(raw); err != nil || !cmp.Equal(want, got) {
		t.Error(err, cmp.Diff(want, got))
	}
	parts := strings.Split(raw, ".")
	header := func(alg, kid string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"` + alg + `","kid":"` + kid + `","typ":"JWT"}`))
	}
	for name, head := range map[string]string{
		"the curve's key for RS256": header("RS256", curve.KID), "the RSA key for ES256": header("ES256", b.key.KID), "HS256": header("HS256", curve.KID),
	} {
		_, err := b.verifier.Verify(head + "." + parts[1] + "." + parts[2])
		t.Log(name)
		wantReason(t, err, token.BadKey)
	}
	b.keys[curve.KID] = keyring.Public{KID: curve.KID, Algorithm: "RS256", JWK: curve.JWK}
	_, err = b.verifier.Verify(raw)
	wantReason(t, err, token.BadKey)
}
