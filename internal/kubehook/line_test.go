package kubehook

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	authzv1 "k8s.io/api/authorization/v1"
	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/internal/rbac"
)

// plug is the API server's side of a line, written down from the text of the protocol, one byte after the other.
type plug struct {
	t  tb
	c  net.Conn
	in *bufio.Reader
}

// dialLine serves a cluster's line until the test ends.
func dialLine(t *testing.T, g *gate, cluster string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "g.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.ServeLine(ctx, clusterID(cluster), l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return path
}

func newPlug(t tb, path string) *plug {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	p := &plug{t, c, bufio.NewReader(c)}
	p.write([]byte("krline/1"))
	back := make([]byte, 8)
	if _, err := io.ReadFull(p.in, back); err != nil || string(back) != "krline/1" {
		t.Fatalf("greeted with %q, %v", back, err)
	}
	return p
}

func (p *plug) write(b []byte) {
	p.t.Helper()
	if _, err := p.c.Write(b); err != nil {
		p.t.Fatal(err)
	}
}

// asFrame is a question as the protocol has it.
func asFrame(s *authzv1.SubjectAccessReviewSpec) []byte {
	var b []byte
	str := func(v string) { b = append(binary.AppendUvarint(b, uint64(len(v))), v...) }
	list := func(v []string) {
		b = binary.AppendUvarint(b, uint64(len(v)))
		for _, e := range v {
			str(e)
		}
	}
	str(s.User)
	str(s.UID)
	list(s.Groups)
	b = binary.AppendUvarint(b, uint64(len(s.Extra)))
	for k, v := range s.Extra {
		str(k)
		list(v)
	}
	if a := s.ResourceAttributes; a != nil {
		b = append(b, 1)
		for _, v := range []string{a.Verb, a.Group, a.Resource, a.Subresource, a.Name, a.Namespace} {
			str(v)
		}
	} else {
		b = append(b, 2)
		str(s.NonResourceAttributes.Verb)
		str(s.NonResourceAttributes.Path)
	}
	return b
}

func frameOf(id uint32, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)+4))
	return append(binary.BigEndian.AppendUint32(b, id), body...)
}

// read reads an answer.
func (p *plug) read() (id uint32, verdict byte, reason string) {
	p.t.Helper()
	var n uint32
	if err := binary.Read(p.in, binary.BigEndian, &n); err != nil {
		p.t.Fatalf("no answer: %v", err)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(p.in, b); err != nil {
		p.t.Fatalf("half an answer: %v", err)
	}
	size, used := binary.Uvarint(b[5:])
	if int(size) != len(b)-5-used {
		p.t.Fatalf("the answer's length is wrong: %q", b)
	}
	return binary.BigEndian.Uint32(b), b[4], string(b[5+used:])
}

// TestLineAgreesWithWebhook asks every row of the table both ways.
func TestLineAgreesWithWebhook(t *testing.T) {
	for _, r := range rows() {
		t.Run(r.name, func(t *testing.T) {
			g := newGate(t)
			g.mirror.known = r.mirror != "unknown"
			p := newPlug(t, dialLine(t, g, r.in()))
			defer func() { _ = p.c.Close() }()
			spec := r.spec()
			p.write(frameOf(7, asFrame(&spec)))
			id, v, reason := p.read()
			if id != 7 || v != lineVerdict(r.want) {
				t.Fatalf("answer %d is %d %q, want %v", id, v, reason, r.want)
			}
			_, st := g.review(t, r.in(), spec)
			if st == nil {
				if reason != unknown().Public {
					t.Errorf("reason %q", reason)
				}
				return
			}
			cut := func(s string) string { before, _, _ := strings.Cut(s, "(reference "); return before }
			if cut(reason) != cut(st.Reason) {
				t.Errorf("the line says %q, the webhook %q", reason, st.Reason)
			}
		})
	}
}

// TestLineTakesManyAtOnce sends many questions before it reads the first answer, cut anywhere.
func TestLineTakesManyAtOnce(t *testing.T) {
	g := newGate(t)
	path := dialLine(t, g, "one")
	rapid.Check(t, func(t *rapid.T) {
		p := newPlug(t, path)
		defer func() { _ = p.c.Close() }()
		all := rapid.SliceOfN(rapid.SampledFrom(rows()), 1, 40).Draw(t, "questions")
		all = slices.DeleteFunc(all, func(r row) bool { return r.in() != "one" || r.mirror != "" })
		var sent []byte
		for i, r := range all {
			spec := r.spec()
			sent = append(sent, frameOf(uint32(i), asFrame(&spec))...)
		}
		go func() {
			for rest := sent; len(rest) > 0; {
				n := min(len(rest), 777)
				if _, err := p.c.Write(rest[:n]); err != nil {
					return
				}
				rest = rest[n:]
			}
		}()
		for range all {
			id, v, reason := p.read()
			if want := lineVerdict(all[id].want); v != want {
				t.Fatalf("%s: %d %q, want %d", all[id].name, v, reason, want)
			}
		}
	})
}

// TestLineRefuses: what is no question is not known, and the next one is answered; what is no frame ends the connection.
func TestLineRefuses(t *testing.T) {
	g := newGate(t)
	path := dialLine(t, g, "one")
	spec := ask("list pods @dev")
	token("alice", "alice")(&spec)
	good := asFrame(&spec)
	bare := func(user string) []byte { s := ask("list pods"); s.User = user; return asFrame(&s) }
	for name, body := range map[string][]byte{
		"empty":           {},
		"cut":             good[:len(good)-1],
		"more":            append(slices.Clone(good), 0),
		"other kind":      append(bare("a")[:5], 9),
		"bad UTF-8":       bare("alice\xff"),
		"long length":     {0xff, 0xff, 0xff, 0xff, 0x0f},
		"endless length":  {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00},
		"padded length":   append([]byte{0x80, 0x00}, bare("")[1:]...),
		"a million lists": {1, 'a', 0, 0, 0xc0, 0x84, 0x3d},
		"extra twice":     {1, 'a', 0, 0, 2, 1, 'k', 0, 1, 'k', 0, 2, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlug(t, path)
			defer func() { _ = p.c.Close() }()
			p.write(frameOf(1, body))
			if id, v, reason := p.read(); id != 1 || v != 0 || reason != "The question cannot be read." {
				t.Errorf("%d %d %q", id, v, reason)
			}
			p.write(frameOf(2, good))
			if id, v, _ := p.read(); id != 2 || v != 1 {
				t.Errorf("after it: %d %d", id, v)
			}
		})
	}
	for name, sent := range map[string]string{
		"frame without an id": "krline/1\x00\x00\x00\x03abc",
		"frame too long":      "krline/1\x7f\xff\xff\xff",
		"another version":     "krline/2",
		"HTTP":                "POST / HTTP/1.1\r\n\r\n",
	} {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, sent); err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(c)
		if len(strings.TrimPrefix(string(got), "krline/1")) > 0 {
			t.Errorf("%s: %q", name, got)
		}
		_ = c.Close()
	}
}

// TestLineIsForOneUser: only processes of this user are answered.
func TestLineIsForOneUser(t *testing.T) {
	c, err := net.Dial("unix", dialLine(t, newGate(t), "one"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := peerOf(c, os.Getuid()); err != nil {
		t.Errorf("this user: %v", err)
	}
	if err := peerOf(c, os.Getuid()+1); !errors.Is(err, errStranger) {
		t.Errorf("another user: %v", err)
	}
	here, there := net.Pipe()
	defer func() { _, _ = here.Close(), there.Close() }()
	if err := peerOf(here, os.Getuid()); !errors.Is(err, errStranger) {
		t.Errorf("no socket: %v", err)
	}
}

// TestLineOfNoCluster: a line stands for a cluster; of one that is not there nothing is known.
func TestLineOfNoCluster(t *testing.T) {
	g := newGate(t)
	p := newPlug(t, dialLine(t, g, "no such"))
	spec := ask("list pods")
	token("alice", "alice")(&spec)
	p.write(frameOf(1, asFrame(&spec)))
	if _, v, reason := p.read(); v != 0 {
		t.Errorf("%d %q", v, reason)
	}
}

// FuzzReadFrame holds that a frame is read the one way that it can be written.
func FuzzReadFrame(f *testing.F) {
	for _, r := range rows() {
		spec := r.spec()
		f.Add(asFrame(&spec))
	}
	f.Add([]byte{1, 'a', 0, 0, 0xc0, 0x84, 0x3d})
	f.Fuzz(func(t *testing.T, body []byte) {
		q, err := readFrame(string(body))
		if err != nil {
			return
		}
		spec := authzv1.SubjectAccessReviewSpec{User: q.user, UID: q.uid, Groups: q.groups, Extra: map[string]authzv1.ExtraValue{}}
		for _, e := range q.extra {
			spec.Extra[e.key] = e.values
		}
		if r := q.request; r.NonResource {
			spec.NonResourceAttributes = &authzv1.NonResourceAttributes{Verb: r.Verb, Path: r.Path}
		} else {
			spec.ResourceAttributes = &authzv1.ResourceAttributes{
				Verb: r.Verb, Group: r.APIGroup, Resource: r.Resource, Subresource: r.Subresource, Name: r.Name, Namespace: r.Namespace,
			}
		}
		again, err := readFrame(string(asFrame(&spec)))
		if err != nil || len(asFrame(&spec)) != len(body) {
			t.Fatalf("written again it is %d bytes, not %d: %v", len(asFrame(&spec)), len(body), err)
		}
		if viewOf(q) != viewOf(again) {
			t.Fatalf("%+v, and again %+v", q, again)
		}
	})
}

// TestWire holds the bytes that localkube's side has in its test too.
func TestWire(t *testing.T) {
	unhex := func(s string) string {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	q, err := readFrame(unhex("11616c69636540636f6e746f736f2e636f6d" + "0175" + "02026731" + "0467efbfbd" + "01036f6964" + "0201310132" +
		"01" + "03676574" + "0461707073" + "0b6465706c6f796d656e7473" + "057363616c65" + "03776562" + "03646576"))
	want := question{
		user: "alice@contoso.com", uid: "u", groups: []string{"g1", "g\ufffd"}, extra: []fact{{"oid", []string{"1", "2"}}},
		request: rbac.KubeRequest{Verb: "get", APIGroup: "apps", Resource: "deployments", Subresource: "scale", Name: "web", Namespace: "dev"},
	}
	if err != nil || viewOf(q) != viewOf(want) {
		t.Errorf("%+v %v", q, err)
	}
	q, err = readFrame(unhex("0161" + "00" + "00" + "00" + "02" + "03676574" + "082f76657273696f6e"))
	if want = (question{user: "a", request: rbac.KubeRequest{NonResource: true, Verb: "get", Path: "/version"}}); err != nil || viewOf(q) != viewOf(want) {
		t.Errorf("%+v %v", q, err)
	}
	if got := hex.EncodeToString(appendAnswer(nil, 258, verdictAllow, "yes")); got != "00000009"+"00000102"+"01"+"03796573" {
		t.Errorf("answer %s", got)
	}
}
