package e2e

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/test/harness"
)

// BenchmarkClusterCreate creates clusters of three nodes with the real az, from the command's start to its end, at which
// all nodes are Ready. server-s is what of it the server took, from the operation's begin to its end.
func BenchmarkClusterCreate(b *testing.B) {
	k := harness.Up(b)
	env := k.Env(b.TempDir())
	harness.Must(b, env, "clients/az", "login", "-u", k.Admin.UserPrincipalName, "-p", k.Admin.Password, "-o", "none")
	harness.Must(b, env, "clients/az", "group", "create", "-n", "rg", "-l", "eastus", "-o", "none")
	harness.Must(b, env, "clients/az", "aks", "list", "-o", "none") // generates nothing, loads az's modules
	n := 0
	for b.Loop() {
		name := fmt.Sprintf("c%d", n)
		harness.Must(b, env, "clients/az", "aks", "create", "-g", "rg", "-n", name, "--generate-ssh-keys", "-o", "none")
		n++
		b.StopTimer()
		if n == 1 {
			// At rest, half a minute after it was made.
			<-time.After(30 * time.Second)
			b.ReportMetric(rss(b, k.Pid()), "control-plane-MB")
			pids := localkubes(b, k)
			if len(pids) != 1 {
				b.Fatalf("%d processes for one cluster", len(pids))
			}
			b.ReportMetric(rss(b, pids[0]), "cluster-MB")
		}
		harness.Must(b, env, "clients/az", "aks", "delete", "-g", "rg", "-n", name, "--yes")
		b.StartTimer()
	}
	var total time.Duration
	took := operationTimes(b, k.All(), "Creating")
	for _, d := range took {
		total += d
	}
	if len(took) == 0 {
		b.Fatal("no operation was logged")
	}
	b.ReportMetric(total.Seconds()/float64(len(took)), "server-s")
}

// BenchmarkUpOnExistingData starts Keyreeve on data with a directory and a cluster on record, to the line `ready`.
func BenchmarkUpOnExistingData(b *testing.B) {
	k := harness.Up(b)
	env := k.Env(b.TempDir())
	harness.Must(b, env, "clients/az", "login", "-u", k.Admin.UserPrincipalName, "-p", k.Admin.Password, "-o", "none")
	harness.Must(b, env, "clients/az", "group", "create", "-n", "rg", "-l", "eastus", "-o", "none")
	harness.Must(b, env, "clients/az", "aks", "create", "-g", "rg", "-n", "c1", "--node-count", "1", "--generate-ssh-keys", "-o", "none")
	var total time.Duration
	n := 0
	for b.Loop() {
		k.Stop()
		k.Start()
		total += k.ReadyAfter
		n++
	}
	b.ReportMetric(total.Seconds()/float64(n), "ready-s")
}

// rss returns the resident memory of a process in MB.
func rss(b *testing.B, pid int) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(text)
	if m == nil {
		b.Fatal("no VmRSS")
	}
	kb, err := strconv.Atoi(string(m[1]))
	if err != nil {
		b.Fatal(err)
	}
	return float64(kb) / 1024
}

// operationTimes reads from the log how long each operation of a verb took.
func operationTimes(b *testing.B, log, verb string) []time.Duration {
	b.Helper()
	line := regexp.MustCompile(`(?m)^time=(\S+) .*msg="operation (begins|done)" operation=(\S+) verb=` + verb + ` `)
	begun := map[string]time.Time{}
	var out []time.Duration
	for _, m := range line.FindAllStringSubmatch(log, -1) {
		at, err := time.Parse(time.RFC3339Nano, m[1])
		if err != nil {
			b.Fatal(err)
		}
		switch strings.TrimSpace(m[2]) {
		case "begins":
			begun[m[3]] = at
		case "done":
			out = append(out, at.Sub(begun[m[3]]))
		}
	}
	return out
}
