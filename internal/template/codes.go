package template

import (
	"crypto/sha1" //nolint:gosec // of a name-based UUID, which is no secret
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/bits"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

func codeFunctions() map[string]function {
	return map[string]function{
		"guid":         {least: 1, most: -1, do: func(in *input) (any, error) { return named(in, guid) }},
		"uniquestring": {least: 1, most: -1, do: func(in *input) (any, error) { return named(in, uniqueString) }},
		"base64":       one(func(s string) (any, error) { return base64.StdEncoding.EncodeToString([]byte(s)), nil }),
		"base64tostring": one(func(s string) (any, error) {
			return decode64(s)
		}),
		"base64tojson": one(func(s string) (any, error) {
			t, err := decode64(s)
			if err != nil {
				return nil, err
			}
			return Read([]byte(t))
		}),
		"json":                 one(func(s string) (any, error) { return Read([]byte(s)) }),
		"uricomponent":         one(func(s string) (any, error) { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20"), nil }),
		"uricomponenttostring": one(func(s string) (any, error) { return url.PathUnescape(s) }),
		"uri":                  {least: 2, most: 2, do: uri},
		"datauri": one(func(s string) (any, error) {
			return "data:text/plain;charset=utf8;base64," + base64.StdEncoding.EncodeToString([]byte(s)), nil
		}),
	}
}

func decode64(s string) (string, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || !utf8.Valid(b) {
		return "", errors.New("the value is no base64 of a text")
	}
	return string(b), nil
}

// named makes something of texts joined by '-'.
func named(in *input, f func(string) string) (any, error) {
	s, err := in.strs()
	if err != nil {
		return nil, err
	}
	if err := in.room(total(s) + len(s)); err != nil {
		return nil, err
	}
	return f(strings.Join(s, "-")), nil
}

// guid is the name-based UUID (version 5) of a text in the name space that the documentation gives.
func guid(s string) string {
	space, err := hex.DecodeString("11fb06fb712d4ddd98c7e71bbd588830")
	if err != nil {
		return "" // it is a constant
	}
	sum := sha1.Sum(append(space, s...)) //nolint:gosec // RFC 9562 asks for it
	sum[6] = sum[6]&0x0f | 0x50
	sum[8] = sum[8]&0x3f | 0x80
	h := hex.EncodeToString(sum[:16])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// uniqueString writes a 64-bit hash of a text in 13 letters and digits, as the real service does.
func uniqueString(s string) string {
	const letters = "abcdefghijklmnopqrstuvwxyz234567"
	h := murmur64([]byte(s))
	out := make([]byte, 13)
	for i := range out {
		out[i] = letters[h>>59]
		h <<= 5
	}
	return string(out)
}

// murmur64 is the hash of two 32-bit lanes, of the MurmurHash3 family, with seed 0.
func murmur64(data []byte) uint64 {
	const c1, c2 = 0x239b961b, 0xab0e9789
	var h1, h2 uint32
	mix1 := func(k uint32) uint32 { return bits.RotateLeft32(k*c1, 15) * c2 }
	mix2 := func(k uint32) uint32 { return bits.RotateLeft32(k*c2, 17) * c1 }
	rest := data
	for ; len(rest) >= 8; rest = rest[8:] {
		h1 = (bits.RotateLeft32(h1^mix1(binary.LittleEndian.Uint32(rest)), 19)+h2)*5 + 0x561ccd1b
		h2 = (bits.RotateLeft32(h2^mix2(binary.LittleEndian.Uint32(rest[4:])), 13)+h1)*5 + 0x0bcaa747
	}
	if len(rest) > 0 {
		var tail [8]byte
		copy(tail[:], rest)
		h1 ^= mix1(binary.LittleEndian.Uint32(tail[:]))
		if len(rest) > 4 {
			h2 ^= mix2(binary.LittleEndian.Uint32(tail[4:]))
		}
	}
	n := uint32(len(data))
	h1, h2 = h1^n, h2^n
	h1 += h2
	h2 += h1
	h1, h2 = avalanche(h1), avalanche(h2)
	h1 += h2
	h2 += h1
	return uint64(h2)<<32 | uint64(h1)
}

func avalanche(h uint32) uint32 {
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
}

func uri(in *input) (any, error) {
	s, err := in.strs()
	if err != nil {
		return nil, err
	}
	base, err := url.Parse(s[0])
	if err != nil || !base.IsAbs() {
		return nil, in.bad("'%s' is no absolute URI", s[0])
	}
	out, err := base.Parse(s[1])
	if err != nil {
		return nil, in.bad("'%s' is no relative URI", s[1])
	}
	return out.String(), nil
}

func sortedNames(o *Object) []string {
	names := slices.Clone(o.names)
	slices.SortFunc(names, func(a, b string) int {
		if c := strings.Compare(strings.ToLower(a), strings.ToLower(b)); c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
	return names
}

// Hash is the number by which a template is known: of its JSON without white space.
func Hash(v any) uint64 { return murmur64([]byte(Write(v))) }
