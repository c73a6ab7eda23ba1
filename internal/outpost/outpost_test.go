package outpost

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/gatefeed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/kubewire"
	"github.com/keyreeve/keyreeve/internal/pki"
	"github.com/keyreeve/keyreeve/internal/world"
)

func noon() time.Time { return time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func tenant() ident.TenantID { return ident.Derive[ident.TenantID]("outpost") }
func theID() ident.ClusterID { return ident.Derive[ident.ClusterID]("outpost") }
func user(n int) feed.Event  { return put(n, fmt.Sprintf("user%d@x", n)) }
func gone(n int) feed.Event {
	return feed.Event{Kind: feed.User, Op: feed.Delete, Key: userID(n).String()}
}
func userID(n int) (id userT) { return ident.Derive[userT]("outpost", fmt.Sprint(n)) }

type userT = ident.ObjectID

func put(n int, name string) feed.Event {
	raw, err := json.Marshal(directory.User{ID: userID(n), Tenant: tenant(), UserPrincipalName: name, AccountEnabled: true})
	if err != nil {
		panic(err)
	}
	return feed.Event{Kind: feed.User, Op: feed.Put, Key: userID(n).String(), Value: raw}
}

// TestConfig: what is missing or wrong is said, all of it at once, and a field that is not known is refused.
func TestConfig(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"ca.pem", "kubeconfig"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good := map[string]string{
		"controlPlane": "https://k.test:8446/", "controlPlaneCA": "ca.pem", "cluster": theID().String(), "kubeconfig": "kubeconfig", "kubernetesVersion": "\"1.33\"",
	}
	for _, tt := range []struct {
		name   string
		change map[string]string
		want   []string // parts of the error; none: it is good
	}{
		{"good", nil, nil},
		{"with all", map[string]string{"maxStaleness": "5s", "listen": "10.0.0.4:9443", "health": "'[::1]:1'", "logLevel": "debug", "name": "n"}, nil},
		{"empty", map[string]string{"controlPlane": "", "controlPlaneCA": "", "cluster": "", "kubeconfig": "", "kubernetesVersion": ""}, []string{
			"controlPlane", "controlPlaneCA is missing", "cluster is not", "kubeconfig is missing", "kubernetesVersion",
		}},
		{"unknown field", map[string]string{"maxStalenes": "5s"}, []string{"maxStalenes"}},
		{"plain HTTP", map[string]string{"controlPlane": "http://k.test"}, []string{"https://HOST:PORT"}},
		{"with a path", map[string]string{"controlPlane": "https://k.test/x"}, []string{"https://HOST:PORT"}},
		{"too impatient", map[string]string{"maxStaleness": "1s"}, []string{"at least 2s"}},
		{"no duration", map[string]string{"maxStaleness": "15"}, []string{"maxStaleness"}},
		{"negative", map[string]string{"maxStaleness": "-15m"}, []string{"maxStaleness"}},
		{"an old cluster", map[string]string{"kubernetesVersion": "'1.29'"}, []string{"1.30 is the oldest"}},
		{"listening everywhere", map[string]string{"listen": "0.0.0.0:9443"}, []string{"listen"}},
		{"health for everybody", map[string]string{"health": "10.0.0.4:80"}, []string{"loopback"}},
		{"files that are not there", map[string]string{"kubeconfig": "nope"}, []string{"nope"}},
		{"log level", map[string]string{"logLevel": "loud"}, []string{"loud"}},
		{"not YAML", map[string]string{"listen": "{"}, []string{"gate.yaml"}},
	} {
		values := maps.Clone(good)
		maps.Copy(values, tt.change)
		var text strings.Builder
		for _, k := range slices.Sorted(maps.Keys(values)) {
			fmt.Fprintf(&text, "%s: %s\n", k, values[k])
		}
		path := filepath.Join(dir, "gate.yaml")
		if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(path)
		if (err == nil) != (tt.want == nil) {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		for _, w := range tt.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: the error lacks %q: %v", tt.name, w, err)
			}
		}
		if err == nil && c.Kubeconfig != filepath.Join(dir, "kubeconfig") {
			t.Errorf("%s: kubeconfig %s", tt.name, c.Kubeconfig)
		}
	}
}

// newFollower is a follower over a state folder; the worlds it makes are returned through the pointer.
func newFollower(t testing.TB, dir string, now func() time.Time) (*follower, **world.World) {
	t.Helper()
	current := new(*world.World)
	f := &follower{
		link: &link{cluster: theID()}, journal: &journal{state: state(dir)}, now: now, log: quiet(), moved: make(chan struct{}, 1),
		replaced:  func(w *world.World, _ string) error { *current = w; return nil },
		withdrawn: func() { *current = nil },
	}
	t.Cleanup(func() { _ = f.journal.close() })
	return f, current
}

// say feeds frames to a follower as a stream would.
func say(t testing.TB, f *follower, frames ...gatefeed.Frame) error {
	t.Helper()
	var building *feed.Change
	var err error
	for _, frame := range frames {
		if building, err = f.take(frame, building); err != nil {
			return err
		}
	}
	return nil
}

func snapshot(at feed.Revision, events ...feed.Event) []gatefeed.Frame {
	return []gatefeed.Frame{
		{Hello: &gatefeed.Hello{Protocol: gatefeed.Protocol, Cluster: theID(), Issuer: "https://login.test"}},
		{Snapshot: &gatefeed.Mark{Revision: at, At: noon()}},
		{Events: events},
		{Complete: true},
	}
}

func change(at feed.Revision, events ...feed.Event) gatefeed.Frame {
	return gatefeed.Frame{Change: &feed.Change{Revision: at, At: noon(), Events: events}}
}

func heartbeat(at feed.Revision) gatefeed.Frame {
	return gatefeed.Frame{Heartbeat: &gatefeed.Mark{Revision: at, At: noon()}}
}

// TestFollow: revisions that concern others are passed over, and what makes no sense ends the stream.
func TestFollow(t *testing.T) {
	f, w := newFollower(t, t.TempDir(), noon)
	if err := say(t, f, append(snapshot(7, user(1)), change(9, user(2)), heartbeat(12), heartbeat(12), change(13, gone(1)))...); err != nil {
		t.Fatal(err)
	}
	rev, _, err := (*w).Status()
	_, one := (*w).Principal(userID(1))
	_, two := (*w).Principal(userID(2))
	if rev != 13 || err != nil || one || !two || f.at != 13 {
		t.Errorf("at %d (%v), users %v %v", rev, err, one, two)
	}
	for name, frames := range map[string][]gatefeed.Frame{
		"a change that is past":      {change(13, user(3))},
		"events outside a snapshot":  {{Events: []feed.Event{user(3)}}},
		"the end of no snapshot":     {{Complete: true}},
		"a change within a snapshot": {{Snapshot: &gatefeed.Mark{Revision: 20}}, change(21)},
		"another cluster":            {{Hello: &gatefeed.Hello{Protocol: gatefeed.Protocol, Issuer: "https://login.test"}}},
		"another protocol":           {{Hello: &gatefeed.Hello{Protocol: 99, Cluster: theID()}}},
	} {
		if err := say(t, f, frames...); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if err := say(t, f, change(14, feed.Event{Kind: feed.User, Op: feed.Put, Key: "x"})); err == nil || f.at != 0 {
		t.Errorf("a change that cannot be applied: %v, at %d", err, f.at)
	}
	if _, _, err := (*w).Status(); err == nil {
		t.Error("the world still knows")
	}
	if err := say(t, f, snapshot(20, user(4))...); err != nil {
		t.Errorf("a new snapshot: %v", err)
	}
}

// TestRestart: what was known and how old it is come back; a clock that was set back, or a journal that lost its end, never
// makes it younger.
func TestRestart(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		later  time.Duration
		want   time.Time // heard
		users  int
	}{
		{name: "as it was", later: time.Minute, want: noon(), users: 2},
		{name: "a clock that was set back an hour", later: -time.Hour, want: time.Time{}, users: 2},
		{name: "a line that was cut off", later: time.Minute, want: noon().Add(-time.Hour), users: 1, damage: func(t *testing.T, dir string) {
			path := filepath.Join(dir, journalFile)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, text[:len(text)-20], 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "not heard of", later: time.Minute, users: 2, damage: func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, heardFile)); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "no journal", later: time.Minute, damage: func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, journalFile)); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "a journal of something else", later: time.Minute, damage: func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, journalFile), []byte("{]"), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			f, _ := newFollower(t, dir, noon)
			first := snapshot(7, user(1))
			first[1].Snapshot.At = noon().Add(-time.Hour)
			f.issuer = "https://login.test"
			if err := say(t, f, append(first, change(9, user(2)))...); err != nil {
				t.Fatal(err)
			}
			// The second frame came within the second of the first: say when it was heard once more.
			if err := f.journal.state.write(heardFile, heard{Revision: 9, Clock: noon()}, false); err != nil {
				t.Fatal(err)
			}
			_ = f.journal.close()
			if tt.damage != nil {
				tt.damage(t, dir)
			}
			again, w := newFollower(t, dir, func() time.Time { return noon().Add(tt.later) })
			if err := again.restore("https://login.test"); err != nil {
				t.Fatal(err)
			}
			users := 0
			if *w != nil {
				for n := range 3 {
					if _, ok := (*w).Principal(userID(n)); ok {
						users++
					}
				}
			}
			if got := again.Heard(); !got.Equal(tt.want) || users != tt.users {
				t.Errorf("heard %s, want %s; %d users, want %d", got, tt.want, users, tt.users)
			}
		})
	}
}

// TestFullDisk: a journal that cannot be kept does not hold up what was told, and is not there at the next start.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	f, w := newFollower(t, dir, noon)
	if err := say(t, f, snapshot(7, user(1))...); err != nil {
		t.Fatal(err)
	}
	_ = f.journal.file.Close() // writing fails from now on
	if err := say(t, f, change(8, gone(1)), change(9, user(2))); err != nil {
		t.Fatal(err)
	}
	if _, ok := (*w).Principal(userID(1)); ok || f.at != 9 {
		t.Errorf("the removal is not in force, at %d", f.at)
	}
	if _, err := os.Stat(filepath.Join(dir, journalFile)); !os.IsNotExist(err) {
		t.Errorf("the journal is there: %v", err)
	}
}

// TestFolding: a folded journal makes the same world as the changes one by one.
func TestFolding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fold := newFolding()
		plain := map[string]string{}
		revision := feed.Revision(0)
		for range rapid.IntRange(1, 20).Draw(t, "lines") {
			revision += feed.Revision(rapid.IntRange(1, 3).Draw(t, "gap"))
			l := line{Revision: revision}
			for range rapid.IntRange(0, 6).Draw(t, "events") {
				n := rapid.IntRange(0, 5).Draw(t, "user")
				if rapid.Bool().Draw(t, "put") {
					name := fmt.Sprint(rapid.IntRange(0, 9).Draw(t, "name"))
					l.Events = append(l.Events, put(n, name))
					plain[userID(n).String()] = name
				} else {
					l.Events = append(l.Events, gone(n))
					delete(plain, userID(n).String())
				}
			}
			fold.add(l)
		}
		got := map[string]string{}
		out := fold.change()
		for _, e := range out.Events {
			var u directory.User
			if err := json.Unmarshal(e.Value, &u); err != nil || e.Op != feed.Put {
				t.Fatal(err, e)
			}
			if _, twice := got[e.Key]; twice {
				t.Fatal("twice", e.Key)
			}
			got[e.Key] = u.UserPrincipalName
		}
		if diff := cmp.Diff(plain, got); diff != "" || out.Revision != revision {
			t.Fatal(diff, out.Revision)
		}
	})
}

// TestLocalFiles: the API server's files are whole, belong together, and are renewed in time and in place.
func TestLocalFiles(t *testing.T) {
	now := noon()
	dir := t.TempDir()
	s := settings{Config: Config{APIServerDir: filepath.Join(dir, "apiserver"), Listen: "127.0.0.1:9443"}, cluster: theID(), minor: 34}
	l := &local{settings: s, state: state(dir), now: func() time.Time { return now }}
	if err := l.open(); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		path := filepath.Join(s.APIServerDir, name)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", name, info.Mode(), err)
		}
		return string(text)
	}
	pair := pki.KeyPair{Cert: read(kubewire.ClientCert), Key: read(kubewire.ClientKey)}
	if !l.authority.Issued(pair) || read(kubewire.GateCA) != l.authority.CertPEM() || pki.NeedsRenewal(pair, nil, now) {
		t.Error("the API server's certificate is not of the gate's authority")
	}
	if !strings.Contains(read(kubewire.AuthorizationKubeconfig), "https://127.0.0.1:9443/clusters/"+theID().String()+"/subjectaccessreview") {
		t.Error("the kubeconfig names another place")
	}
	again := &local{settings: s, state: state(dir), now: func() time.Time { return now }}
	if err := again.open(); err != nil {
		t.Fatal(err)
	}
	if read(kubewire.ClientCert) != pair.Cert || again.authority.CertPEM() != l.authority.CertPEM() {
		t.Error("a restart makes other keys")
	}
	now = now.Add(pki.ComponentLife * 3 / 4)
	serving := again.serving.Load()
	if err := again.refresh(); err != nil {
		t.Fatal(err)
	}
	if read(kubewire.ClientCert) == pair.Cert || again.serving.Load() == serving || string(again.serving.Load().Certificate[0]) == string(serving.Certificate[0]) {
		t.Error("nothing was renewed")
	}
}
