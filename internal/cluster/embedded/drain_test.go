package embedded

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/cluster"
	"github.com/keyreeve/keyreeve/internal/pki"
)

// TestDrain empties a node of a real API server: what a disruption budget protects stays until the time is over, and the node
// is open again; without the budget it goes.
func TestDrain(t *testing.T) {
	ca, err := pki.NewAuthority("hooks", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t)
	hook := newHookServer(t, ca)
	keep := cluster.Node{Name: "aks-a-1-vmss000000", Pool: "a", VMSize: "Standard_DS2_v2"}
	leave := cluster.Node{Name: "aks-b-1-vmss000000", Pool: "b", VMSize: "Standard_DS2_v2"}
	r.plan.Desired.Nodes = []cluster.Node{keep, leave}
	s := r.plane(func(s *Supervisor) {
		s.Binary = localkube(t)
		s.Hooks = Hooks{TokenReviewURL: hook.URL + "/tokenreview", AuthorizationURL: hook.URL + "/authorize", CA: ca.CertPEM(), Authority: ca}
	})
	r.up(s)
	c := newCaller(t, r.plan.Desired)
	c.token() // the default service account is there
	create := func(path, body string) {
		t.Helper()
		if code, text := c.do(http.MethodPost, path, body); code != http.StatusCreated {
			t.Fatalf("%s: %d %s", path, code, text)
		}
	}
	create("/api/v1/namespaces/default/pods", `{"metadata":{"name":"web","labels":{"app":"web"}},"spec":{"nodeName":"`+leave.Name+`","containers":[{"name":"c","image":"x"}]}}`)
	create("/apis/policy/v1/namespaces/default/poddisruptionbudgets",
		`{"metadata":{"name":"web"},"spec":{"minAvailable":1,"selector":{"matchLabels":{"app":"web"}}}}`)
	after := r.plan.Desired
	after.Nodes = []cluster.Node{keep}

	short, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	err = s.Drain(short, after)
	left, ok := errors.AsType[*cluster.NotDrainedError](err)
	if !ok || left.Node != leave.Name {
		t.Fatalf("drain: %v", err)
	}
	if diff := cmp.Diff([]string{"default/web"}, left.Pods); diff != "" {
		t.Error(diff)
	}
	if _, body := c.do(http.MethodGet, "/api/v1/nodes/"+leave.Name, ""); strings.Contains(body, `"unschedulable":true`) {
		t.Error("the node stays closed after a drain that failed")
	}
	if code, _ := c.do(http.MethodGet, "/api/v1/namespaces/default/pods/web", ""); code != http.StatusOK {
		t.Errorf("the protected pod: %d", code)
	}

	if code, body := c.do(http.MethodDelete, "/apis/policy/v1/namespaces/default/poddisruptionbudgets/web", ""); code != http.StatusOK {
		t.Fatalf("%d %s", code, body)
	}
	if err := s.Drain(t.Context(), after); err != nil {
		t.Fatal(err)
	}
	if code, _ := c.do(http.MethodGet, "/api/v1/namespaces/default/pods/web", ""); code != http.StatusNotFound {
		t.Errorf("the pod after the drain: %d", code)
	}
	if _, body := c.do(http.MethodGet, "/api/v1/nodes/"+leave.Name, ""); !strings.Contains(body, `"unschedulable":true`) {
		t.Error("an empty node is open to new pods")
	}
	if _, body := c.do(http.MethodGet, "/api/v1/nodes/"+keep.Name, ""); strings.Contains(body, `"unschedulable":true`) {
		t.Error("a node that stays was closed")
	}
	// With nothing to leave, nothing happens.
	if err := s.Drain(t.Context(), r.plan.Desired); err != nil {
		t.Error(err)
	}
	// A stopped cluster is stopped again without harm, and comes back with its data.
	for range 2 {
		if err := s.Stop(t.Context(), r.id); err != nil {
			t.Fatal(err)
		}
	}
	r.plan.Desired.Nodes = after.Nodes
	r.up(s)
	if code, _ := c.do(http.MethodGet, "/apis/policy/v1/namespaces/default/poddisruptionbudgets/web", ""); code != http.StatusNotFound {
		t.Errorf("after stop and start: %d", code)
	}
	if code, _ := c.do(http.MethodGet, "/api/v1/nodes/"+leave.Name, ""); code != http.StatusNotFound {
		t.Errorf("the node that left: %d", code)
	}
}
