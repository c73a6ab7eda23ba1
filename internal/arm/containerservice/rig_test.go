package containerservice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/arm/armtest"
	"github.com/keyreeve/keyreeve/internal/arm/resources"
	"github.com/keyreeve/keyreeve/internal/cluster"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/seal"
	"github.com/keyreeve/keyreeve/internal/store"
)

const (
	groupPath = "/subscriptions/" + armtest.Sub + "/resourceGroups/Group-1"
	path      = groupPath + "/providers/Microsoft.ContainerService/managedClusters/c1"
	admins    = "55555555-0000-4000-8000-000000000001"
)

// driver is a driver that runs nothing: it keeps what it was told, and its clusters are ready when the test says so.
type driver struct {
	mu      sync.Mutex
	desired map[ident.ClusterID]cluster.Desired
	deleted []ident.ClusterID
	drained []int // how many nodes were wanted at each drain
	stuck   error // what a drain ends with
	fail    error
	// hold, if set, keeps WaitReady and Delete waiting until it is closed.
	hold  chan struct{}
	waits chan struct{} // one for each wait begun
}

func newDriver() *driver {
	return &driver{desired: map[ident.ClusterID]cluster.Desired{}, waits: make(chan struct{}, 100)}
}

func (d *driver) Endpoint(_ context.Context, taken func(string) bool) (string, error) {
	for port := 10440; port < 10443; port++ {
		if e := fmt.Sprintf("127.0.0.1:%d", port); !taken(e) {
			return e, nil
		}
	}
	return "", errors.New("none is free")
}

func (d *driver) Ensure(_ context.Context, want cluster.Desired) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.desired[want.ID] = want
	return nil
}

func (d *driver) wait(ctx context.Context) error {
	d.mu.Lock()
	hold, fail := d.hold, d.fail
	d.mu.Unlock()
	d.waits <- struct{}{}
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fail
}

func (d *driver) WaitReady(ctx context.Context, _ ident.ClusterID) error { return d.wait(ctx) }

func (d *driver) Drain(_ context.Context, want cluster.Desired) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drained = append(d.drained, len(want.Nodes))
	return d.stuck
}

func (d *driver) Stop(ctx context.Context, id ident.ClusterID) error {
	if err := d.wait(ctx); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.desired, id)
	return nil
}

func (d *driver) Delete(ctx context.Context, id ident.ClusterID) error {
	if err := d.wait(ctx); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.deleted = append(d.deleted, id)
	delete(d.desired, id)
	return nil
}

func (d *driver) want(id ident.ClusterID) (cluster.Desired, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w, ok := d.desired[id]
	return w, ok
}

func (d *driver) set(change func(*driver)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d)
}

// rig is the face of managed clusters over a real store, with one resource group.
type rig struct {
	*armtest.Rig
	h      *Handler
	driver *driver
	runner *arm.Runner
	stop   func()
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{Rig: armtest.New(t), driver: newDriver()}
	sealer, err := seal.New(make([]byte, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	r.start(sealer)
	r.Do("PUT", groupPath, armtest.Owner, `{"location":"westeurope"}`).Want(201, "")
	return r
}

// start builds the face and runs its workers, as a control plane that starts does.
func (r *rig) start(sealer *seal.Sealer) {
	r.T.Helper()
	r.h = &Handler{
		DB: r.DB, World: r.World, Sealer: sealer, Driver: r.driver, LoginURL: armtest.LoginURL, Now: r.Clock.Now, Log: r.Log(),
	}
	r.runner = &arm.Runner{DB: r.DB, Now: r.Clock.Now, Log: r.Log()}
	groups := &resources.Handler{DB: r.DB, World: r.World, Contents: []arm.Contents{r.h}}
	groups.Mount(r.Face)
	groups.RegisterWorkers(r.runner)
	r.h.Mount(r.Face, r.runner)
	r.stop = r.Run(r.runner)
}

// restart kills what runs, as kill -9 does, and starts a new control plane on the same data.
func (r *rig) restart() {
	r.T.Helper()
	r.stop()
	if err := r.DB.Close(); err != nil {
		r.T.Fatal(err)
	}
	r.Open()
	r.start(r.h.Sealer)
}

// create makes a cluster and waits until it is there.
func (r *rig) create(body string) managedcluster.Cluster {
	r.T.Helper()
	a := r.Do("PUT", path, armtest.Owner, body).Want(201, "")
	r.ended(a, resource.Succeeded)
	return r.cluster()
}

func (r *rig) ended(a armtest.Answer, want resource.OperationStatus) resource.Operation {
	r.T.Helper()
	op := r.Ended(a.Header.Get("Azure-AsyncOperation"))
	if op.Status != want {
		r.T.Fatalf("operation is %s (%s: %s), want %s", op.Status, op.ErrorCode, op.ErrorMessage, want)
	}
	return op
}

func (r *rig) cluster() managedcluster.Cluster {
	r.T.Helper()
	c, ok := r.World.ClusterByResource(path)
	if !ok {
		r.T.Fatal("the world has no cluster")
	}
	return c
}

// body is the body of a PUT with members of properties set, or taken out by null.
func body(t testing.TB, properties string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/create.json")
	if err != nil {
		t.Fatal(err)
	}
	return with(t, string(text), properties)
}

// with returns a body with members of its properties replaced.
func with(t testing.TB, text, properties string) string {
	t.Helper()
	var doc map[string]json.RawMessage
	var props, more map[string]json.RawMessage
	for _, step := range []struct {
		from string
		to   any
	}{{text, &doc}, {properties, &more}} {
		if err := json.Unmarshal([]byte(step.from), step.to); err != nil {
			t.Fatal(err)
		}
	}
	if err := json.Unmarshal(doc["properties"], &props); err != nil {
		t.Fatal(err)
	}
	maps.Copy(props, more)
	raw, err := json.Marshal(props)
	if err != nil {
		t.Fatal(err)
	}
	doc["properties"] = raw
	out, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

const entra = `{"aadProfile":{"managed":true,"adminGroupObjectIDs":["` + admins + `"]}}`

// audited returns the audit log's events about a target, oldest first.
func (r *rig) audited(target string) []string {
	r.T.Helper()
	var out []string
	err := r.DB.View(r.T.Context(), func(tx *store.Tx) error {
		records, err := tx.AuditRecords(1000)
		for _, rec := range slices.Backward(records) {
			if strings.EqualFold(rec.Target, target) {
				out = append(out, string(rec.Event))
			}
		}
		return err
	})
	if err != nil {
		r.T.Fatal(err)
	}
	return out
}
