package locks_test

import (
	"context"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/arm/armtest"
	"github.com/keyreeve/keyreeve/internal/arm/locks"
	"github.com/keyreeve/keyreeve/internal/arm/resources"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

const (
	sub   = "/subscriptions/" + armtest.Sub
	rg    = sub + "/resourceGroups/rg1"
	thing = rg + "/providers/N.N/things/t1"
	lock  = "/providers/Microsoft.Authorization/locks/keep"
)

// oneThing is a room with one resource.
type oneThing struct{}

func (oneThing) Resources(*store.Tx, ident.SubscriptionID, string) ([]arm.GenericResource, error) {
	return nil, nil
}

func (oneThing) Exists(_ *store.Tx, id ident.ResourceID) (exists, known bool, err error) {
	return strings.EqualFold(id.String(), thing), strings.EqualFold(id.Type(), "N.N/things"), nil
}

func (oneThing) DeleteAll(context.Context, ident.SubscriptionID, string) error { return nil }

func newRig(t *testing.T) *armtest.Rig {
	r := armtest.New(t)
	contents := []arm.Contents{oneThing{}}
	groups := &resources.Handler{DB: r.DB, World: r.World, Contents: contents}
	groups.Mount(r.Face)
	runner := &arm.Runner{DB: r.DB, Now: r.Clock.Now, Log: r.Log()}
	groups.RegisterWorkers(runner)
	r.Run(runner)
	(&locks.Handler{DB: r.DB, Contents: contents}).Mount(r.Face)
	r.Do("PUT", rg, armtest.Owner, `{"location":"eastus"}`).Want(201, "")
	return r
}

func TestLocks(t *testing.T) {
	r := newRig(t)
	a := r.Do("PUT", rg+lock, armtest.Owner, `{"properties":{"level":"cannotdelete","notes":"n"}}`).Want(201, "")
	if want := `{"properties":{"level":"CanNotDelete","notes":"n"},"id":"` + rg + lock + `","type":"Microsoft.Authorization/locks","name":"keep"}`; a.Body != want {
		t.Errorf("%s\nwant %s", a.Body, want)
	}
	gone := r.Do("DELETE", rg, armtest.Owner, "").Want(409, "ScopeLocked")
	if want := "The scope '" + rg + "' cannot perform delete operation because following scope(s) are locked: '" + rg + "'. Please remove the lock and try again."; gone.Message() != want {
		t.Errorf("%s", gone.Message())
	}
	r.Do("PATCH", rg, armtest.Owner, `{"tags":{"a":"b"}}`).Want(200, "")
	r.Do("PUT", rg+lock, armtest.Owner, `{"properties":{"level":"ReadOnly"}}`).Want(200, "")
	r.Do("PATCH", rg, armtest.Owner, `{"tags":{"a":"c"}}`).Want(409, "ScopeLocked")
	r.Do("PUT", strings.ToUpper(rg), armtest.Owner, `{"location":"eastus"}`).Want(409, "ScopeLocked")
	r.Do("GET", rg, armtest.Owner, "").Want(200, "")
	r.Do("PUT", rg+"2", armtest.Owner, `{"location":"eastus"}`).Want(201, "")
	var list struct{ Value []struct{ Name string } }
	for _, path := range []string{rg, sub} {
		r.Do("GET", path+"/providers/Microsoft.Authorization/locks", armtest.Reader, "").Want(200, "").JSON(&list)
		if len(list.Value) != 1 {
			t.Errorf("%s: %v", path, list)
		}
	}
	r.Do("GET", sub+"/providers/Microsoft.Authorization/locks?api-version=2016-09-01&$filter=atScope()", armtest.Reader, "").Want(200, "").JSON(&list)
	if len(list.Value) != 0 {
		t.Errorf("atScope: %v", list)
	}
	r.Do("DELETE", rg+lock, armtest.Owner, "").Want(200, "")
	r.Do("DELETE", rg+lock, armtest.Owner, "").Want(204, "")
	r.Do("GET", rg+lock, armtest.Owner, "").Want(404, "LockNotFound")

	// One on what is inside keeps the group from being deleted, and from nothing else.
	r.Do("PUT", thing+lock, armtest.Owner, `{"properties":{"level":"ReadOnly"}}`).Want(201, "")
	r.Do("DELETE", rg, armtest.Owner, "").Want(409, "ScopeLocked")
	r.Do("PATCH", rg, armtest.Owner, `{"tags":{"a":"c"}}`).Want(200, "")
	r.Do("DELETE", thing+lock, armtest.Owner, "").Want(200, "")
	// One on the subscription locks all of it.
	r.Do("PUT", sub+lock, armtest.Owner, `{"properties":{"level":"CanNotDelete"}}`).Want(201, "")
	r.Do("DELETE", rg, armtest.Owner, "").Want(409, "ScopeLocked")
	r.Do("DELETE", sub+lock, armtest.Owner, "").Want(200, "")
	op := r.Do("DELETE", rg, armtest.Owner, "").Want(202, "")
	r.Ended(op.Header.Get("Location"))
}

func TestRefusedLocks(t *testing.T) {
	r := newRig(t)
	r.Grant(armtest.Nobody, rbac.PrincipalUser, armtest.ContributorRole, sub)
	for name, tt := range map[string]struct {
		path, as, body string
		status         int
		code           string
	}{
		"level":        {rg + lock, armtest.Owner, `{"properties":{"level":"NotSpecified"}}`, 400, "InvalidLockLevel"},
		"no level":     {rg + lock, armtest.Owner, `{}`, 400, "InvalidLockLevel"},
		"type":         {rg + lock, armtest.Owner, `{"properties":{"level":1}}`, 400, "InvalidRequestContent"},
		"name":         {rg + lock + "%3C", armtest.Owner, `{"properties":{"level":"ReadOnly"}}`, 400, "InvalidLockName"},
		"long notes":   {rg + lock, armtest.Owner, `{"properties":{"level":"ReadOnly","notes":"` + strings.Repeat("x", 513) + `"}}`, 400, "InvalidLockNotes"},
		"tenant":       {lock, armtest.Owner, `{"properties":{"level":"ReadOnly"}}`, 403, "AuthorizationFailed"},
		"no group":     {sub + "/resourceGroups/gone" + lock, armtest.Owner, `{"properties":{"level":"ReadOnly"}}`, 404, "ResourceGroupNotFound"},
		"no resource":  {rg + "/providers/N.N/things/t2" + lock, armtest.Owner, `{"properties":{"level":"ReadOnly"}}`, 404, "ResourceNotFound"},
		"odd scope":    {rg + "/providers/N.N" + lock, armtest.Owner, `{"properties":{"level":"ReadOnly"}}`, 400, "InvalidLockScope"},
		"contributor":  {rg + lock, armtest.Nobody, `{"properties":{"level":"ReadOnly"}}`, 403, "AuthorizationFailed"},
		"reader":       {rg + lock, armtest.Reader, `{"properties":{"level":"ReadOnly"}}`, 403, "AuthorizationFailed"},
		"unknown kind": {rg + "/providers/X.X/things/t1" + lock, armtest.Owner, `{"properties":{"level":"ReadOnly"}}`, 404, "ResourceNotFound"},
	} {
		t.Run(name, func(t *testing.T) {
			before := r.DB.Head()
			r.Do("PUT", tt.path, tt.as, tt.body).Want(tt.status, tt.code)
			if r.DB.Head() != before {
				t.Error("something was changed")
			}
		})
	}
}

// TestForbids: a lock forbids by whole segments, without case, and a deletion also for what is inside.
func TestForbids(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		segment := rapid.SampledFrom([]string{"a", "A", "ab", "b"})
		path := func(name string) []string { return rapid.SliceOfN(segment, 1, 4).Draw(rt, name) }
		at, asked := path("lock"), path("asked")
		level := rapid.SampledFrom([]resource.LockLevel{resource.CanNotDelete, resource.ReadOnly}).Draw(rt, "level")
		deletion := rapid.Bool().Draw(rt, "deletion")
		starts := func(s, prefix []string) bool {
			if len(prefix) > len(s) {
				return false
			}
			for i := range prefix {
				if !strings.EqualFold(s[i], prefix[i]) {
					return false
				}
			}
			return true
		}
		want := starts(asked, at) && (deletion || level == resource.ReadOnly) || deletion && starts(at, asked)
		l := resource.Lock{Scope: "/" + strings.Join(at, "/"), Level: level}
		if got := l.Forbids("/"+strings.Join(asked, "/"), deletion); got != want {
			rt.Fatalf("%s of %v by %s at %v: %t, want %t", map[bool]string{true: "deletion", false: "change"}[deletion], asked, level, at, got, want)
		}
	})
}
