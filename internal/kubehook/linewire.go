package kubehook

import (
	"encoding/binary"
	"errors"
	"unicode/utf8"

	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/web"
)

// The line is how the API server of an embedded cluster asks, one frame a question, without TLS and HTTP. Both sides
// implement this text (docs/adr/0007); numbers are big-endian, "uvarint" is encoding/binary's, a string is a uvarint of its
// bytes and those, in UTF-8.
//
//	hello     8 bytes "krline/1", first from the API server, then back; anything else ends the connection
//	frame     u32 length of what follows, at most 4 MiB; then u32 id, chosen by the API server; then
//	question  string user, uid; list of strings groups; list of (string key, list of strings) extra; u8 what:
//	            1  string verb, API group, resource, subresource, name, namespace
//	            2  string verb, path
//	answer    u8 verdict: 1 allow, 2 deny, 3 no opinion, 0 not known; string reason, or what is wrong
//
// A list is a uvarint of its length and the elements. Nothing follows the last field. Answers come in any order. What is not
// known, and a question that cannot be read, is verdict 0: the API server denies, and remembers nothing.
const lineHello = "krline/1"

const (
	askResource = 1
	askPath     = 2

	// largestFrame is as much as a review may have.
	largestFrame = web.MaxBody
)

var errFrame = errors.New("a question that cannot be read")

// frame reads the fields of a frame. The first thing that is wrong makes all later reads empty.
type frame struct {
	rest string
	bad  bool
}

func (f *frame) uvarint() int {
	var v uint64
	for i := 0; i < len(f.rest) && i < binary.MaxVarintLen32; i++ {
		c := f.rest[i]
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			f.rest = f.rest[i+1:]
			// Whatever is counted takes a byte at least.
			if v > uint64(len(f.rest)) || c == 0 && i > 0 {
				break
			}
			return int(v)
		}
	}
	f.fail()
	return 0
}

func (f *frame) fail() { f.rest, f.bad = "", true }

func (f *frame) byte() byte {
	if f.rest == "" {
		f.fail()
		return 0
	}
	c := f.rest[0]
	f.rest = f.rest[1:]
	return c
}

func (f *frame) str() string {
	n := f.uvarint()
	s := f.rest[:n]
	f.rest = f.rest[n:]
	if !utf8.ValidString(s) {
		f.fail()
		return ""
	}
	return s
}

func (f *frame) list() []string {
	n := f.uvarint()
	if n == 0 {
		return nil
	}
	out := make([]string, 0, min(n, 64))
	for range n {
		if f.bad {
			return nil
		}
		out = append(out, f.str())
	}
	return out
}

// readFrame reads a question. The strings are parts of text.
func readFrame(text string) (question, error) {
	f := &frame{rest: text}
	q := question{user: f.str(), uid: f.str(), groups: f.list()}
	var seen seenKeys
	for range f.uvarint() {
		if f.bad {
			break
		}
		e := fact{f.str(), f.list()}
		if seen.again(q.extra, e.key) {
			return question{}, errTwice
		}
		q.extra = append(q.extra, e)
	}
	switch f.byte() {
	case askResource:
		q.request = rbac.KubeRequest{Verb: f.str(), APIGroup: f.str(), Resource: f.str(), Subresource: f.str(), Name: f.str(), Namespace: f.str()}
	case askPath:
		q.request = rbac.KubeRequest{NonResource: true, Verb: f.str(), Path: f.str()}
	default:
		f.fail()
	}
	if f.bad || f.rest != "" {
		return question{}, errFrame
	}
	return q, nil
}

// appendAnswer appends an answer's frame.
func appendAnswer(b []byte, id uint32, v verdict, reason string) []byte {
	from := len(b)
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, id)
	b = append(b, lineVerdict(v))
	b = binary.AppendUvarint(b, uint64(len(reason)))
	b = append(b, reason...)
	binary.BigEndian.PutUint32(b[from:], uint32(len(b)-from-4))
	return b
}

func lineVerdict(v verdict) byte {
	switch v {
	case verdictAllow:
		return 1
	case verdictDeny:
		return 2
	case verdictNoOpinion:
		return 3
	case verdictUnknown:
	}
	return 0
}
