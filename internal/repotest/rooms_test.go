package repotest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// rule says which rooms a room may import, apart from the standard library and other modules (see outsiders).
// It binds the room's own code, not its tests, which may build worlds with anything.
type rule struct {
	room  string   // folder below internal/
	may   []string // rooms it may import
	never []string // other packages it must not import, with all below them
	why   string
}

// Groups of rooms that stand at the same place in the dependency line.
var (
	words = []string{"ident", "fault", "oauth"}

	// Types, and functions from values to values.
	pure = []string{
		"directory", "proof", "session", "token", "conditional", "pim", "review", "rbac", "resource", "managedcluster", "audit", "template",
	}
	keyed = []string{"keyring", "pki"} // the same, about private keys
	rules = join(pure, keyed)

	// What faces stand on.
	ground = join(words, rules, []string{"feed", "world", "store", "web", "caller", "seal", "throttle", "logon", "consent"})
)

// What a pure room keeps away from: the database, the network, files and the process.
var effects = []string{"database/sql", "net/http", "os", "io/ioutil", "log", "log/slog", "flag"}

var roomRules = join(
	[]rule{
		{"ident", nil, []string{"net/http", "os"}, "ids are words that everything else is written in"},
		{"fault", nil, []string{"net/http", "os"}, "the one error type is known to every room, so it knows none"},
		{"oauth", nil, []string{"net/http", "os"}, "protocol words are shared by rooms that must not know each other"},
	},
	each(pure, rule{
		may: join(words, rules), never: effects,
		why: "rules are pure: time, facts and keys come in, a verdict goes out",
	}),
	each(keyed, rule{
		may: join(words, rules, []string{"seal"}), never: effects,
		why: "private keys leave their room sealed, or not at all; all else about them is a pure rule",
	}),
	[]rule{
		{"feed", join(words, rules), effects, "the form of the change feed is shared by the store and remote gates"},
		{"world", join(words, rules, []string{"feed"}), effects, "a decision is made from memory"},
		{"gatefeed", join(words, rules, []string{"feed"}), effects, "what a gate elsewhere is told is decided from values, and tested as such"},
		{"seal", words, []string{"net/http", "database/sql"}, "sealing knows a key and bytes, and nothing of what they mean"},
		{"store", join(words, rules, []string{"feed", "seal"}), []string{"net/http"}, "the store does not know who is asking, or how"},
		{
			"store/storetest", join(ground, []string{"datadir"}), nil,
			"the behaviour suite is written against the store, for all its engines",
		},
		{"store/postgrestest", nil, nil, "a PostgreSQL server for tests knows nothing of what is kept in it"},
		{"web", words, []string{"database/sql"}, "HTTP plumbing carries every face and means nothing itself"},
		{"caller", join(words, rules, []string{"world", "web"}), []string{"database/sql", "os"}, "who is asking is decided from a token, the keys and the world"},
	},
	[]rule{
		{"throttle", nil, effects, "counting how often something is done needs a key and the time, and nothing of what they mean"},
		{"consent", join(words, rules, []string{"store", "world"}), []string{"net/http", "database/sql"}, "what an application may ask for is the same whichever face it asks at"},
		{"issuer", join(words, []string{"proof"}), []string{"database/sql"}, "whose keys sign is found from an address; what is signed is nobody's concern here"},
		{"page", join(words, []string{"proof", "web"}), []string{"database/sql"}, "how pages look; what they are about is the faces' concern"},
		{"handoff", join(words, []string{"proof", "seal"}), []string{"database/sql"}, "the words between the browser flow and the pages, which do not know each other"},
		{
			"logon", join(words, rules, []string{"store", "world", "throttle"}),
			[]string{"net/http", "database/sql", "os"},
			"signing in means the same whichever face asks: one place checks a password, counts failures and begins a session",
		},
	},
	// The faces. They meet over HTTP and in the store, never in an import.
	face("oauth/discovery"), face("oauth/clusterissuer"), face("metadata"), face("oauth/authorize", "handoff", "page"), face("oauth/device"), face("oauth/grant", "issuer"), face("oauth/manage", "handoff", "page"),
	face("signin", "handoff", "page"), face("graph"), face("arm"), face("kubehook", "mirror"), face("gatehouse", "gatefeed"),
	// One room for each resource provider, mounted on arm's core. They do not know each other either.
	face("arm/resources", "arm"), face("arm/authorization", "arm"), face("arm/containerservice", "arm", "cluster"),
	face("arm/checkaccess", "arm"), face("arm/managementgroups", "arm"),
	face("arm/locks", "arm"), face("arm/insights", "arm"), face("arm/managedidentity", "arm"), face("arm/deployments", "arm"),
	face("onboard"),
	[]rule{
		{"mirror", join(words, rules, []string{"world"}), []string{"database/sql"}, "a cluster's own RBAC objects, followed by watch: decisions read it from memory"},
		{"cluster", join(words, rules, []string{"feed", "world", "store", "seal", "datadir"}), nil, "drivers make a cluster real; how they are asked is the faces' concern"},
		{"cluster/embedded", join(words, rules, []string{"cluster", "datadir", "seal", "store", "world"}), nil, "one driver does not know another, nor any face"},
		{"cluster/attached", join(words, rules, []string{"cluster", "datadir", "seal", "store", "world"}), nil, "one driver does not know another, nor any face"},
		{"upkeep", join(words, rules, []string{"store", "seal"}), []string{"net/http"}, "rotation and clean-up work on the store"},
		{"config", words, []string{"net/http", "database/sql"}, "configuration is a checked value; what it configures reads it, not the reverse"},
		{"memory", nil, []string{"net/http", "database/sql"}, "where memory lies, and nothing of what is in it"},
		{"filelock", nil, []string{"net/http", "database/sql"}, "a lock knows a file, and not what it is for"},
		{"datadir", join(words, []string{"filelock"}), []string{"net/http", "database/sql"}, "which file is where, and nothing of what is in it"},
		{
			"server", join(ground, faces(), []string{
				"mirror", "cluster", "cluster/embedded", "cluster/attached", "upkeep", "config", "datadir", "portal", "memory",
				"page", "handoff", "issuer", "mirror", "cluster", "cluster/embedded", "cluster/attached", "upkeep", "config", "datadir", "portal",
			}),
			[]string{"flag", "github.com/spf13"},
			"everything is built and mounted in one place, which knows neither flags nor the terminal",
		},
		{
			"outpost", join(words, rules, []string{"feed", "gatefeed", "world", "web", "caller", "mirror", "kubehook", "kubewire", "filelock"}),
			[]string{"database/sql", "flag", "github.com/spf13"},
			"the gate away from the control plane decides by the same rooms as the one inside it, and knows no store",
		},
		{"hostagent", words, []string{"database/sql", "flag", "github.com/spf13"}, "an agent on somebody's host knows an address and a secret, and nothing of the control plane"},
		{"kubewire", words, effects, "what an API server is told to ask a gate is text made of values"},
		{"breakglass", join(words, rules, []string{"datadir", "seal", "store"}), []string{"net/http"}, "the way in on the host that holds the data needs no server and no gate"},
		{"client", []string{"ident", "fault"}, []string{"database/sql"}, "a client of our APIs knows what any client may know"},
		{"account", []string{"ident", "fault", "filelock"}, []string{"database/sql"}, "a person's sign-ins on one machine, whoever asks with their tokens"},
		{
			"cli/az",
			[]string{"fault", "client", "account", "workstation", "cli/az/shape", "cli/az/output"},
			[]string{"database/sql"},
			"the commands that az has too are clients of the APIs and nothing else",
		},
		{
			"cli/quick",
			[]string{"cli/az", "datadir", "workstation"},
			[]string{"database/sql", "k8s.io", "github.com/prometheus"},
			"what starts fast links nothing of the server",
		},
		{"cli/az/shape", nil, effects, "the form in which az prints a resource is made of values"},
		{"cli/az/output", nil, []string{"net/http", "os"}, "printing knows a value and a writer"},
		{"workstation", []string{"ident", "fault"}, []string{"net/http", "database/sql"}, "files for the clients on one machine"},
		{"portal", []string{"client", "web", "ident", "fault"}, []string{"database/sql"}, "the portal can do nothing that an API caller could not"},
		{
			"kubelogin",
			[]string{"fault", "kubelogin/ask", "kubelogin/tokencache"},
			[]string{"database/sql", "net/http", "crypto/tls", "k8s.io", "github.com/spf13/cobra"},
			"every kubectl call waits for the way to a cached token: it links nothing of what signing in needs",
		},
		{
			"kubelogin/convert",
			[]string{"kubelogin", "kubelogin/kubeconfig"},
			[]string{"database/sql", "net/http", "crypto/tls", "k8s.io", "github.com/spf13/cobra"},
			"the small program converts as well: it links nothing of what signing in needs",
		},
		{"kubelogin/ask", []string{"fault"}, effects, "words in which a token is asked for"},
		{"kubelogin/handover", nil, []string{"net/http"}, "how one program becomes another, whatever they do"},
		{
			"kubelogin/command",
			[]string{"kubelogin", "kubelogin/ask", "kubelogin/convert", "kubelogin/kubeconfig", "kubelogin/login"},
			[]string{"database/sql", "k8s.io"},
			"the exec plugin runs on people's machines and talks to any authority",
		},
		{"accesstext", []string{"client"}, []string{"database/sql", "net/http", "os"}, "questions and answers about access read the same wherever they are asked"},
		{
			"kubeplugin",
			[]string{"accesstext", "client", "kubelogin", "kubelogin/command", "kubelogin/kubeconfig"},
			[]string{"database/sql", "k8s.io"},
			"kubectl's plugin asks as the person whom the kubeconfig signs in, and links what kubelogin does",
		},
		{"kubelogin/tokencache", []string{"filelock"}, []string{"database/sql", "net/http", "k8s.io"}, "what is remembered is bytes under a name, whatever they mean"},
		{"kubelogin/login", []string{"fault", "kubelogin/ask"}, []string{"database/sql", "github.com/spf13", "k8s.io"}, "getting a token knows neither flags nor files of ours"},
		{"kubelogin/kubeconfig", nil, []string{"database/sql", "net/http", "k8s.io"}, "converting a file needs no cluster and no library of its client"},
		{
			"cli", join(words, []string{
				"accesstext", "client", "config", "datadir", "server", "workstation", "cluster", "cluster/embedded", "breakglass", "outpost", "kubewire", "hostagent",
				"client", "config", "datadir", "server", "workstation", "cluster", "cluster/embedded", "breakglass", "outpost", "kubewire",
				"kubelogin", "kubelogin/command",
				"cli/az", "cli/quick",
			}),
			[]string{"database/sql"},
			"a command asks the APIs with the caller's own token, or starts a server; it never goes round them",
		},
		{
			"servertest", join(ground, faces(), []string{
				"server", "client", "config", "datadir", "workstation", "cluster", "cluster/embedded", "mirror",
			}), nil,
			"the real server on loopback, for tests",
		},
		{"arm/armtest", join(ground, []string{"arm"}), nil, "a world and a caller for tests of arm's rooms"},
		{"keyring/keytest", []string{"keyring", "seal"}, nil, "ready-made keys, for tests: nobody waits for RSA"},
		{"logintest", join(ground, faces(), []string{"keyring/keytest", "page", "handoff", "issuer"}), nil, "the token service on loopback, for tests of its rooms"},
		{"doctest", []string{"client", "servertest"}, nil, "runs what the documents say"},
		{
			"reviews", join(words, rules, []string{"feed", "world", "kubehook", "mirror"}),
			[]string{"database/sql"},
			"the oracle puts the gate beside a model of its own: of the program it knows the gate, and what the gate is made from",
		},
		{"repotest", nil, nil, "tests of the repository"},
	},
)

// outsider keeps another module's packages, with all below them, to the rooms that are meant to know them.
type outsider struct {
	packages string
	rooms    []string // prefixes of folders from the repository's root
	why      string
}

var outsiders = []outsider{
	{"modernc.org/sqlite", []string{"internal/store"}, "one room speaks SQL"},
	{"github.com/jackc/pgx", []string{"internal/store"}, "one room speaks SQL"},
	{"database/sql", []string{"internal/store", "internal/ident"}, "one room speaks SQL; ids may say how they are stored"},
	{
		"k8s.io/client-go",
		[]string{"internal/cli", "internal/kubelogin", "internal/mirror", "internal/cluster", "internal/servertest"},
		"webhooks speak in k8s.io/api types only",
	},
	{"github.com/prometheus", []string{"internal/server"}, "one room counts; the others are counted"},
	{"github.com/spf13", []string{"internal/cli", "internal/kubelogin", "internal/kubeplugin", "cmd"}, "flags stop at the command line"},
	{"github.com/go-webauthn", []string{"internal/proof", "internal/signin"}, "a library before 1.0 stays where it can be replaced"},
	{"github.com/chromedp", []string{"internal/servertest", "test"}, "a browser is for tests"},
}

func face(room string, more ...string) []rule {
	return []rule{{
		room, join(ground, more),
		[]string{"database/sql", "flag", "os/exec"},
		"a face parses, asks and answers; faces know neither each other nor the process",
	}}
}

func faces() []string {
	return []string{
		"oauth/discovery", "oauth/clusterissuer", "metadata", "oauth/authorize", "oauth/device", "oauth/grant", "oauth/manage", "signin", "graph", "kubehook", "gatehouse",
		"arm", "arm/resources", "arm/authorization", "arm/containerservice", "arm/checkaccess", "arm/managementgroups",
		"arm/locks", "arm/insights", "arm/managedidentity", "arm/deployments", "onboard",
	}
}

func each(rooms []string, r rule) []rule {
	var list []rule
	for _, room := range rooms {
		r.room = room
		list = append(list, r)
	}
	return list
}

func join[T any](lists ...[]T) []T { return slices.Concat(lists...) }

// below reports whether an import path is a package or lies below it.
func below(path, parent string) bool { return path == parent || strings.HasPrefix(path, parent+"/") }

func TestRooms(t *testing.T) {
	report(t, checkRooms(goFiles(t, repository())))
}

// commands are the rooms that a command is made of.
var commands = []string{"cli", "cli/quick", "cli/az", "kubelogin", "kubelogin/command", "kubelogin/convert", "kubelogin/handover", "kubeplugin", "reviews"}

// checkRooms holds the files of internal/ and cmd/ against the rules.
func checkRooms(files []file) []string {
	byRoom := make(map[string]rule)
	for _, r := range roomRules {
		byRoom[r.room] = r
	}
	unknown := make(map[string]bool)
	var violations []string
	fail := func(f file, format string, args ...any) {
		violations = append(violations, f.path+": "+fmt.Sprintf(format, args...))
	}
	for _, f := range files {
		if f.isTest() {
			continue
		}
		room, isRoom := strings.CutPrefix(f.dir(), "internal/")
		r, known := byRoom[room]
		if isRoom && !known {
			if !unknown[room] {
				fail(f, "new room %q: add a rule to internal/repotest/rooms_test.go that says what it may import, and why", room)
			}
			unknown[room] = true
			continue
		}
		for _, imported := range f.imports() {
			other, ours := strings.CutPrefix(imported, modulePath+"/internal/")
			switch {
			case ours && strings.HasSuffix(other, "test") && !strings.HasSuffix(f.dir(), "test") && !below(f.dir(), "test"):
				fail(f, "%s is for tests; the program may not import it", other)
			case isRoom && ours && !slices.Contains(r.may, other):
				fail(f, "%s may not import %s: %s", room, other, r.why)
			case isRoom && slices.ContainsFunc(r.never, func(p string) bool { return below(imported, p) }):
				fail(f, "%s may not import %s: %s", room, imported, r.why)
			case strings.HasPrefix(f.path, "cmd/") && ours && !slices.Contains(commands, other):
				fail(f, "a command is a dozen lines and imports cli, kubelogin, kubeplugin or reviews, not %s", other)
			case strings.HasPrefix(f.path, "localkube/") && below(imported, modulePath) && !below(imported, modulePath+"/localkube"):
				fail(f, "localkube knows our webhook's address, and none of our packages: not %s", imported)
			}
			if strings.HasPrefix(f.path, "localkube/") || strings.HasPrefix(f.path, "tools/") {
				continue
			}
			for _, o := range outsiders {
				allowed := slices.ContainsFunc(o.rooms, func(prefix string) bool { return below(f.dir(), prefix) })
				if below(imported, o.packages) && !allowed {
					fail(f, "%s is imported only in %s: %s", imported, strings.Join(o.rooms, ", "), o.why)
				}
			}
		}
	}
	return violations
}

func TestRoomRulesAreWhole(t *testing.T) {
	known := make(map[string]bool)
	for _, r := range roomRules {
		if known[r.room] {
			t.Errorf("%s has two rules", r.room)
		}
		if r.why == "" {
			t.Errorf("%s has no reason", r.room)
		}
		known[r.room] = true
	}
	for _, r := range roomRules {
		for _, room := range r.may {
			if !known[room] {
				t.Errorf("the rule for %s names %s, which has no rule", r.room, room)
			}
		}
	}
}

func TestRoomsAreGuarded(t *testing.T) {
	for _, test := range []struct{ name, file, imported, want string }{
		{"unknown room", "internal/helpers/a.go", "fmt", `new room "helpers": add a rule`},
		{"rule reads files", "internal/rbac/a.go", "os", "rbac may not import os"},
		{"rule speaks SQL through a driver", "internal/token/a.go", "modernc.org/sqlite", "modernc.org/sqlite is imported only in internal/store"},
		{"rule knows the store", "internal/pki/a.go", modulePath + "/internal/store", "pki may not import store"},
		{"ident knows another room", "internal/ident/a.go", modulePath + "/internal/fault", "ident may not import fault"},
		{"store speaks HTTP", "internal/store/a.go", "net/http/httputil", "store may not import net/http/httputil"},
		{"faces know each other", "internal/arm/a.go", modulePath + "/internal/graph", "arm may not import graph"},
		{"the program needs a room for tests", "internal/server/a.go", modulePath + "/internal/keyring/keytest", "is for tests"},
		{"client-go in a webhook", "internal/kubehook/a.go", "k8s.io/client-go/rest", "k8s.io/client-go/rest is imported only in"},
		{"fat command", "cmd/keyreeve/main.go", modulePath + "/internal/store", "a command is a dozen lines"},
		{"localkube knows us", "localkube/main.go", modulePath + "/internal/ident", "none of our packages"},
	} {
		t.Run(test.name, func(t *testing.T) {
			source := fmt.Sprintf("// Package a is.\npackage a\n\nimport _ %q\n", test.imported)
			files := goFiles(t, fstest.MapFS{test.file: {Data: []byte(source)}})
			wantOne(t, checkRooms(files), test.want)
		})
	}
}
