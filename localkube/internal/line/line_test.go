package line

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// far is the other end of the line: it answers by the name of the user.
type far struct {
	t     *testing.T
	path  string
	asked atomic.Int64
	// greeting is what it says when it is connected to.
	greeting string
	answer   func(id uint32, question []byte) []byte

	mu    sync.Mutex
	l     net.Listener
	conns []net.Conn
	all   sync.WaitGroup
}

func newFar(t *testing.T) *far {
	t.Helper()
	f := &far{t: t, path: filepath.Join(t.TempDir(), "g.sock"), greeting: hello}
	f.answer = func(id uint32, question []byte) []byte {
		n := int(question[0])
		name := string(question[1 : 1+n])
		verdict := map[string]byte{"alice": allow, "bob": deny, "carol": noOpinion}[strings.Split(name, "-")[0]]
		return frameOf(id, verdict, "about "+name)
	}
	t.Cleanup(f.down)
	return f
}

func frameOf(id uint32, verdict byte, reason string) []byte {
	b := append(binary.BigEndian.AppendUint32(nil, id), verdict)
	b = append(binary.AppendUvarint(b, uint64(len(reason))), reason...)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

func (f *far) up() {
	f.t.Helper()
	l, err := net.Listen("unix", f.path)
	if err != nil {
		f.t.Fatal(err)
	}
	f.mu.Lock()
	f.l = l
	f.mu.Unlock()
	f.all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns = append(f.conns, c)
			f.mu.Unlock()
			f.all.Go(func() { f.serve(c) })
		}
	})
}

// down ends the listener and every connection.
func (f *far) down() {
	f.mu.Lock()
	if f.l != nil {
		_ = f.l.Close()
	}
	for _, c := range f.conns {
		_ = c.Close()
	}
	f.l, f.conns = nil, nil
	f.mu.Unlock()
	f.all.Wait()
}

func (f *far) serve(c net.Conn) {
	var greeting [len(hello)]byte
	if _, err := io.ReadFull(c, greeting[:]); err != nil || string(greeting[:]) != hello {
		return
	}
	_, _ = io.WriteString(c, f.greeting)
	var writing sync.Mutex
	for {
		var head [8]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return
		}
		question := make([]byte, binary.BigEndian.Uint32(head[:])-4)
		if _, err := io.ReadFull(c, question); err != nil {
			return
		}
		f.asked.Add(1)
		go func() { // in any order
			if a := f.answer(binary.BigEndian.Uint32(head[4:]), question); a != nil {
				writing.Lock()
				defer writing.Unlock()
				_, _ = c.Write(a)
			}
		}()
	}
}

func open(t *testing.T, f *far) *Authorizer {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	return Open(ctx, f.path, slog.New(slog.DiscardHandler))
}

func about(name string) authorizer.Attributes {
	return authorizer.AttributesRecord{User: &user.DefaultInfo{Name: name}, Verb: "get", Resource: "pods", ResourceRequest: true}
}

func TestVerdicts(t *testing.T) {
	f := newFar(t)
	f.up()
	a := open(t, f)
	for name, want := range map[string]authorizer.Decision{
		"alice": authorizer.DecisionAllow, "bob": authorizer.DecisionDeny, "carol": authorizer.DecisionNoOpinion,
	} {
		got, reason, err := a.Authorize(t.Context(), about(name))
		if got != want || reason != "about "+name || err != nil {
			t.Errorf("%s: %v %q %v", name, got, reason, err)
		}
	}
	got, _, err := a.Authorize(t.Context(), about("dave"))
	if got != authorizer.DecisionDeny || !errors.Is(err, errNotKnown) || !strings.Contains(err.Error(), "about dave") {
		t.Errorf("not known: %v %v", got, err)
	}
	before := f.asked.Load()
	for _, name := range []string{"system:node:n1", "system:serviceaccount:a:b", "system:"} {
		if got, _, err := a.Authorize(t.Context(), about(name)); got != authorizer.DecisionNoOpinion || err != nil {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
	if f.asked.Load() != before {
		t.Error("a system user was asked about")
	}
	if _, _, incomplete, err := a.RulesFor(t.Context(), nil, ""); !incomplete || err == nil {
		t.Error("its rules are said to be all")
	}
}

// TestManyAtOnce: answers come in any order, and each goes to whom it is for.
func TestManyAtOnce(t *testing.T) {
	f := newFar(t)
	f.up()
	a := open(t, f)
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			for j := range 100 {
				name := fmt.Sprintf("alice-%d-%d", i, j)
				if got, reason, err := a.Authorize(t.Context(), about(name)); got != authorizer.DecisionAllow || reason != "about "+name || err != nil {
					t.Errorf("%s: %v %q %v", name, got, reason, err)
					return
				}
			}
		})
	}
	all.Wait()
}

// TestNobodyListens: while nobody listens the answer is no, soon; when somebody does again, requests that came in between
// are answered.
func TestNobodyListens(t *testing.T) {
	f := newFar(t)
	a := open(t, f)
	start := time.Now()
	got, _, err := a.Authorize(t.Context(), about("alice"))
	if got != authorizer.DecisionDeny || !errors.Is(err, errNobody) || time.Since(start) > Timeout {
		t.Fatalf("%v %v after %s", got, err, time.Since(start))
	}
	f.up()
	// The wait between attempts may be as long as that for a connection.
	for got != authorizer.DecisionAllow && time.Since(start) < 10*time.Second {
		got, _, err = a.Authorize(t.Context(), about("alice"))
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 5 { // the other end starts anew
		f.down()
		f.up()
		if got, _, err := a.Authorize(t.Context(), about("alice")); got != authorizer.DecisionAllow || err != nil {
			t.Fatalf("after a restart: %v %v", got, err)
		}
	}
}

// TestLostAnswers: a question whose connection ends is asked again, and then denied.
func TestLostAnswers(t *testing.T) {
	f := newFar(t)
	var lost atomic.Int64
	f.answer = func(uint32, []byte) []byte {
		lost.Add(1)
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, c := range f.conns {
			_ = c.Close()
		}
		return nil
	}
	f.up()
	a := open(t, f)
	if got, _, err := a.Authorize(t.Context(), about("alice")); got != authorizer.DecisionDeny || !errors.Is(err, errLost) {
		t.Errorf("%v %v", got, err)
	}
	if n := lost.Load(); n < 1 || n > attempts {
		t.Errorf("asked %d times", n)
	}
}

func TestNoAnswer(t *testing.T) {
	f := newFar(t)
	f.answer = func(uint32, []byte) []byte { return nil }
	f.up()
	a := open(t, f)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if got, _, err := a.Authorize(ctx, about("alice")); got != authorizer.DecisionDeny || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the request's end: %v %v", got, err)
	}
	start := time.Now()
	got, _, err := a.Authorize(t.Context(), about("alice"))
	if took := time.Since(start); got != authorizer.DecisionDeny || !errors.Is(err, errTimeout) || took < Timeout || took > Timeout+2*time.Second {
		t.Errorf("the timeout: %v %v after %s", got, err, took)
	}
}

// TestBadAnswers: an answer that is none ends the connection, and is no for all who wait on it.
func TestBadAnswers(t *testing.T) {
	for name, raw := range map[string]func(id uint32) []byte{
		"verdict":  func(id uint32) []byte { return frameOf(id, 9, "") },
		"short":    func(uint32) []byte { return []byte{0, 0, 0, 2, 0, 0} },
		"too long": func(uint32) []byte { return []byte{0x7f, 0xff, 0xff, 0xff} },
		"length":   func(id uint32) []byte { b := frameOf(id, allow, "abc"); b[9] = 200; return b },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFar(t)
			f.answer = func(id uint32, _ []byte) []byte { return raw(id) }
			f.up()
			if got, _, err := open(t, f).Authorize(t.Context(), about("alice")); got != authorizer.DecisionDeny || err == nil {
				t.Errorf("%v %v", got, err)
			}
		})
	}
	t.Run("another's id", func(t *testing.T) {
		f := newFar(t)
		f.answer = func(id uint32, _ []byte) []byte { return frameOf(id+1000, allow, "") }
		f.up()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if got, _, err := open(t, f).Authorize(ctx, about("alice")); got != authorizer.DecisionDeny || err == nil {
			t.Errorf("%v %v", got, err)
		}
	})
	t.Run("another version", func(t *testing.T) {
		f := newFar(t)
		f.greeting = "krline/9"
		f.up()
		if got, _, err := open(t, f).Authorize(t.Context(), about("alice")); got != authorizer.DecisionDeny || !errors.Is(err, errNobody) {
			t.Errorf("%v %v", got, err)
		}
	})
}

// TestTooLong: what the other side would not read is not sent.
func TestTooLong(t *testing.T) {
	f := newFar(t)
	f.up()
	a := open(t, f)
	if got, _, err := a.Authorize(t.Context(), about(strings.Repeat("x", largestQuestion))); got != authorizer.DecisionDeny || err == nil {
		t.Errorf("%v %v", got, err)
	}
	if got, _, err := a.Authorize(t.Context(), about("alice")); got != authorizer.DecisionAllow || err != nil {
		t.Errorf("after it: %v %v", got, err)
	}
}

// TestWire holds the bytes that Keyreeve's side has in its test too.
func TestWire(t *testing.T) {
	q, err := appendQuestion(nil, authorizer.AttributesRecord{
		User: &user.DefaultInfo{Name: "alice@contoso.com", UID: "u", Groups: []string{"g1", "g\xff"}, Extra: map[string][]string{"oid": {"1", "2"}}},
		Verb: "get", APIGroup: "apps", APIVersion: "v1", Resource: "deployments", Subresource: "scale", Name: "web", Namespace: "dev", ResourceRequest: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	setID(q, 258)
	const want = "0000004f00000102" + "11616c69636540636f6e746f736f2e636f6d" + "0175" + "02026731" + "0467efbfbd" + "01036f6964" + "0201310132" +
		"01" + "03676574" + "0461707073" + "0b6465706c6f796d656e7473" + "057363616c65" + "03776562" + "03646576"
	if got := hex.EncodeToString(q); got != want {
		t.Errorf("question\n%s, want\n%s", got, want)
	}
	q, _ = appendQuestion(nil, authorizer.AttributesRecord{User: &user.DefaultInfo{Name: "a"}, Verb: "get", Path: "/version"})
	if got, want := hex.EncodeToString(q), "00000017"+"00000000"+"0161"+"00"+"00"+"00"+"02"+"03676574"+"082f76657273696f6e"; got != want {
		t.Errorf("question\n%s, want\n%s", got, want)
	}
	raw, _ := hex.DecodeString("00000102" + "01" + "03796573")
	if id, a, err := readAnswer(raw); id != 258 || a.verdict != allow || a.reason != "yes" || err != nil {
		t.Errorf("answer %d %+v %v", id, a, err)
	}
}

// TestStrangerListens needs another user to listen as.
func TestStrangerListens(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	c, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := peerOf(c, os.Getuid()); err != nil {
		t.Errorf("this user: %v", err)
	}
	if err := peerOf(c, os.Getuid()+1); err == nil {
		t.Error("another user was taken")
	}
}

// FuzzReadAnswer holds that an answer is read the one way that it is written.
func FuzzReadAnswer(f *testing.F) {
	f.Add(frameOf(1, allow, "yes")[4:])
	f.Add(frameOf(1<<31, noOpinion, "")[4:])
	f.Fuzz(func(t *testing.T, frame []byte) {
		id, a, err := readAnswer(frame)
		if err == nil && a.verdict > noOpinion {
			t.Fatalf("%d %+v", id, a)
		}
		if err == nil && len(frame) != 5+len(binary.AppendUvarint(nil, uint64(len(a.reason))))+len(a.reason) {
			t.Skip("a padded length")
		}
		if err == nil && string(frameOf(id, a.verdict, a.reason)[4:]) != string(frame) {
			t.Fatalf("%q reads %d %+v", frame, id, a)
		}
	})
}
