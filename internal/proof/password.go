package proof

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"

	"github.com/keyreeve/keyreeve/internal/fault"
)

// Params are the costs of argon2id (RFC 9106 3.1).
type Params struct {
	MemoryKiB uint32
	Passes    uint32
	Lanes     uint8
}

// DefaultParams are OWASP's first choice for argon2id: 19 MiB, two passes. Some 25 ms on a server core.
func DefaultParams() Params { return Params{MemoryKiB: 19 << 10, Passes: 2, Lanes: 1} }

// Bounds on what is read back, so that a damaged row cannot ask for all memory of the machine.
const (
	maxMemoryKiB = 1 << 20
	maxPasses    = 64
	saltSize     = 16
	hashSize     = 32
)

// MaxPassword is the longest password that is looked at, in bytes.
const MaxPassword = 256

// errPHC is the cause of every hash that cannot be read.
var errPHC = errors.New("proof: not an argon2id hash in PHC form")

// Hasher hashes and checks passwords, a bounded number of them at a time.
type Hasher struct {
	params Params
	slots  chan struct{}
	dummy  phc
	rest   rest
}

// NewHasher returns a Hasher that works on at most parallel passwords at a time; the others wait for their turn.
func NewHasher(p Params, parallel int) (*Hasher, error) {
	if p.MemoryKiB < 8*uint32(p.Lanes) || p.Passes == 0 || p.Lanes == 0 || parallel < 1 {
		return nil, fmt.Errorf("proof: bad argon2id parameters %+v for %d at a time", p, parallel)
	}
	h := &Hasher{params: p, slots: make(chan struct{}, parallel)}
	h.dummy = phc{Params: p, salt: make([]byte, saltSize), hash: make([]byte, hashSize)}
	return h, nil
}

// Hash returns the PHC form ($argon2id$v=19$m=…,t=…,p=…$salt$hash) of a password.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	if len(password) > MaxPassword {
		return "", fault.New(fault.Invalid, "", "The password is longer than %d bytes.", MaxPassword)
	}
	c := phc{Params: h.params, salt: make([]byte, saltSize)}
	_, _ = rand.Read(c.salt) // never fails
	var err error
	if c.hash, err = h.derive(ctx, c, password); err != nil {
		return "", err
	}
	return c.String(), nil
}

// Verify reports whether a password has the hash, and whether the hash should be made anew with today's costs. An
// empty hash stands for "no such account": it takes as long as any other and never matches.
func (h *Hasher) Verify(ctx context.Context, hash, password string) (ok, stale bool, err error) {
	c := h.dummy
	if hash != "" {
		if c, err = parsePHC(hash); err != nil {
			return false, false, fault.Wrap(err, "password hash")
		}
	}
	long := len(password) > MaxPassword
	if long {
		password = password[:MaxPassword]
	}
	got, err := h.derive(ctx, c, password)
	if err != nil {
		return false, false, err
	}
	match := subtle.ConstantTimeCompare(got, c.hash) == 1
	return match && hash != "" && !long, c.Params != h.params, nil
}

func (h *Hasher) derive(ctx context.Context, c phc, password string) ([]byte, error) {
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return nil, fault.New(fault.Unavailable, "", "Too many sign-ins at the same time. Try again.").Because(ctx.Err())
	}
	h.rest.used(c.MemoryKiB)
	return argon2.IDKey([]byte(password), c.salt, c.Passes, c.MemoryKiB, c.Lanes, hashSize), nil
}

// phc is a parsed hash.
type phc struct {
	Params
	salt, hash []byte
}

// String returns the PHC form.
func (c phc) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, c.MemoryKiB, c.Passes, c.Lanes,
		b64.EncodeToString(c.salt), b64.EncodeToString(c.hash))
}

func parsePHC(s string) (phc, error) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return phc{}, errPHC
	}
	costs := strings.Split(parts[3], ",")
	if len(costs) != 3 {
		return phc{}, errPHC
	}
	var c phc
	var n [3]uint64
	for i, name := range []string{"m=", "t=", "p="} {
		digits, ok := strings.CutPrefix(costs[i], name)
		v, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil || strconv.FormatUint(v, 10) != digits {
			return phc{}, errPHC
		}
		n[i] = v
	}
	if n[0] == 0 || n[0] > maxMemoryKiB || n[1] == 0 || n[1] > maxPasses || n[2] == 0 || n[2] > 255 {
		return phc{}, errPHC
	}
	c.Params = Params{MemoryKiB: uint32(n[0]), Passes: uint32(n[1]), Lanes: uint8(n[2])}
	var err1, err2 error
	c.salt, err1 = base64.RawStdEncoding.Strict().DecodeString(parts[4])
	c.hash, err2 = base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(c.salt) < 8 || len(c.salt) > 64 || len(c.hash) != hashSize {
		return phc{}, errPHC
	}
	return c, nil
}

// HashPassword hashes one password with the default costs, for programs that set up a first account.
func HashPassword(ctx context.Context, password string) (string, error) {
	h, err := NewHasher(DefaultParams(), 1)
	if err != nil {
		return "", err
	}
	return h.Hash(ctx, password)
}

// MinPassword is the shortest password that may be chosen, in characters (NIST SP 800-63B 5.1.1.2).
const MinPassword = 8

// CheckNew reports why a password may not be chosen by the user with this name; nil if it may. Length counts, and it
// must not be the name; rules about kinds of characters make passwords worse, not better.
func CheckNew(password, userPrincipalName string) error {
	bad := func(format string, args ...any) error {
		return fault.New(fault.Invalid, "Request_BadRequest", format, args...).At("passwordProfile")
	}
	name, _, _ := strings.Cut(userPrincipalName, "@")
	switch n := len([]rune(password)); {
	case n < MinPassword:
		return bad("The specified password does not comply with password complexity requirements: it must have at least %d characters.", MinPassword)
	case len(password) > MaxPassword:
		return bad("The specified password does not comply with password complexity requirements: it is longer than %d bytes.", MaxPassword)
	case len(strings.Trim(password, password[:1])) == 0:
		return bad("The specified password does not comply with password complexity requirements: it repeats one character.")
	case name != "" && strings.EqualFold(password, name), strings.EqualFold(password, userPrincipalName):
		return bad("The specified password does not comply with password complexity requirements: it is the user's name.")
	}
	return nil
}

// wordAlphabet has no characters that are easily mistaken for one another.
const wordAlphabet = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"

// NewPassword returns a fresh password that can be read aloud and typed: five groups of five, 144 bits.
func NewPassword() string {
	groups := make([]string, 5)
	for i := range groups {
		groups[i] = randomText(wordAlphabet, 5)
	}
	return strings.Join(groups, "-")
}

// randomText returns n characters of an alphabet of at most 256, each equally likely.
func randomText(alphabet string, n int) string {
	limit := 256 - 256%len(alphabet)
	out := make([]byte, 0, n)
	var b [64]byte
	for len(out) < n {
		_, _ = rand.Read(b[:]) // never fails
		for _, v := range b {
			if int(v) < limit && len(out) < n {
				out = append(out, alphabet[int(v)%len(alphabet)])
			}
		}
	}
	return string(out)
}
