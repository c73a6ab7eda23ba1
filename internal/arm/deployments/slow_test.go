package deployments

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/arm/armtest"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

// slow mounts a type whose making takes until the test releases it.
func (r *rig) slow(runner *arm.Runner) {
	const of = "Slow.Test/things"
	r.Face.Handle(arm.Route{
		Method: http.MethodPut, Pattern: "/subscriptions/{subscription}/resourceGroups/{group}/providers/" + of + "/{name}", Action: of + "/write",
		Handle: func(_ http.ResponseWriter, req *arm.Request) error {
			var op resource.Operation
			_, err := r.DB.Update(req.Context(), func(tx *store.Tx) (err error) {
				op, err = req.StartOperation(tx, arm.NewOperation{
					Resource: group + "/providers/" + of + "/" + req.Param("name"), Verb: "Creating", Location: "westus2", Final: http.StatusOK,
				})
				return err
			})
			if err != nil {
				return err
			}
			req.AsyncHeader("Slow.Test", op)
			return req.WriteJSON(http.StatusCreated, map[string]any{"id": op.ResourceKey})
		},
	})
	runner.Register(of, "Creating", arm.Worker{Do: func(ctx context.Context, op resource.Operation) error {
		r.begun <- op.ResourceKey
		select {
		case <-r.release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}})
}

func thing(name string, dependsOn ...string) string {
	on := ""
	if len(dependsOn) > 0 {
		on = `"dependsOn":["` + strings.Join(dependsOn, `","`) + `"],`
	}
	return `{"type":"Slow.Test/things","apiVersion":"2022-04-01",` + on + `"name":"` + name + `"}`
}

// Who cancels a running deployment ends it at once: what had begun goes on by itself, nothing else is begun, also not by the
// deployments in it, and the name is free for the next.
func TestCancel(t *testing.T) {
	r := newRig(t)
	r.start()
	inner := `{"type":"Microsoft.Resources/deployments","apiVersion":"2022-09-01","name":"inner","properties":{"mode":"Incremental","template":{` + head +
		`"resources":[` + thing("deep") + `,` + identity("never-in", `,"dependsOn":["deep"]`) + `]}}}`
	text := body(`{}`, `"resources":[`+identity("done", "")+`,`+thing("slow", "done")+`,`+identity("never", `,"dependsOn":["slow"]`)+`,`+inner+`]`)
	a := r.Do(http.MethodPut, base+"c", armtest.Owner, text).Want(http.StatusCreated, "")
	<-r.begun
	<-r.begun
	r.Do(http.MethodPut, base+"c", armtest.Owner, text).Want(http.StatusConflict, "DeploymentActive")
	r.Do(http.MethodDelete, base+"c", armtest.Owner, "").Want(http.StatusConflict, "DeploymentActive")
	r.Do(http.MethodPost, base+"c/cancel", armtest.Reader, "").Want(http.StatusForbidden, "AuthorizationFailed")
	r.Do(http.MethodPost, base+"c/cancel", armtest.Owner, "").Want(http.StatusNoContent, "")
	if op := r.Ended(a.Header.Get("Azure-AsyncOperation")); op.Status != resource.Canceled {
		t.Errorf("%+v", op)
	}
	for _, name := range []string{"c", "inner"} {
		if d := r.get(name); d.Properties.ProvisioningState != canceled || d.Properties.Error == nil || d.Properties.Error.Code != "DeploymentCanceled" {
			t.Errorf("%s %+v", name, d)
		}
	}
	path, _, _ := strings.Cut(strings.TrimPrefix(a.Header.Get("Azure-AsyncOperation"), armtest.BaseURL), "?")
	if s := r.Do(http.MethodGet, path, armtest.Owner, ""); !strings.HasPrefix(s.Body, `{"status":"Canceled"`) {
		t.Errorf("status %s", s.Body)
	}
	close(r.release)
	r.Do(http.MethodPost, base+"c/cancel", armtest.Owner, "").Want(http.StatusConflict, "DeploymentCannotBeCancelled")
	if did, want := r.did("c"), []string{"Create done Succeeded", "Create inner Canceled", "Create slow Canceled"}; !slices.Equal(did, want) {
		t.Errorf("did %v, want %v", did, want)
	}
	// Another deployment of the name runs to its end, and so it is shown that nothing is left of the first.
	if op := r.put("c", armtest.Owner, body(`{}`, `"resources":[`+thing("slow")+`]`)); op.Status != resource.Succeeded {
		t.Errorf("%+v", op)
	}
	r.wantHeld("done")
}

// A program that ends after any commit of a deployment goes on with it when it is started again, and what is on record of it
// then is as if nothing had happened.
func TestRestartAnywhere(t *testing.T) {
	text := completely(identity("one", ""), thing("slow", "one"), identity("two", `,"dependsOn":["slow"]`),
		`{"type":"Microsoft.Resources/deployments","apiVersion":"2022-09-01","name":"inner","dependsOn":["two"],"properties":{"mode":"Incremental","template":{`+head+
			`"resources":[`+identity("three", "")+`]}}}`)
	for n, more := 0, true; more; n++ {
		more = func() bool {
			r := newRig(t)
			close(r.release)
			stop := r.start()
			r.make("extra")
			a := r.Do(http.MethodPut, base+"c", armtest.Owner, text)
			ended := r.cut(n, stop)
			if !ended {
				r.Open()
				r.start()
			}
			if op := r.Ended(a.Header.Get("Azure-AsyncOperation")); op.Status != resource.Succeeded {
				t.Errorf("cut after %d: %+v", n, op)
			}
			r.wantHeld("one", "three", "two")
			want := []string{"Create inner Succeeded", "Create one Succeeded", "Create slow Succeeded", "Create two Succeeded", "Delete extra Succeeded"}
			if did := r.did("c"); !slices.Equal(did, want) {
				t.Errorf("cut after %d: did %v, want %v", n, did, want)
			}
			if d := r.get("c"); d.Properties.ProvisioningState != succeeded || len(d.Properties.OutputResources) != 4 {
				t.Errorf("cut after %d: %+v", n, d)
			}
			return !ended
		}()
		if n > 200 {
			t.Fatal("the deployment never ends")
		}
	}
}

// A removal that was done when the program ended, and not yet on record, is on record in the end.
func TestRestartAfterRemoval(t *testing.T) {
	r := newRig(t)
	stop := r.start()
	stop()
	r.make("extra")
	a := r.Do(http.MethodPut, base+"c", armtest.Owner, completely(identity("one", ""))).Want(http.StatusCreated, "")
	r.Update(func(tx *store.Tx) error {
		d, err := tx.Deployment(base + "c")
		d.State, d.Steps = running, []resource.DeploymentStep{{
			ID: "0123456789ABCDEF", Action: "Delete", Resource: identities + "extra", Type: resource.IdentityType, Name: "extra", State: running, StartedAt: r.Clock.Now(),
		}}
		return errors.Join(err, tx.PutDeployment(d))
	})
	r.Do(http.MethodDelete, identities+"extra", armtest.Owner, "").Want(http.StatusOK, "")
	r.Open()
	r.start()
	r.Ended(a.Header.Get("Azure-AsyncOperation"))
	if did, want := r.did("c"), []string{"Create one Succeeded", "Delete extra Succeeded"}; !slices.Equal(did, want) {
		t.Errorf("did %v, want %v", did, want)
	}
}

// cut stops the work after n more commits; it reports true if the deployment has ended by then.
func (r *rig) cut(n int, stop func()) (ended bool) {
	r.T.Helper()
	seen := make(chan struct{}, 1000)
	err := r.DB.Follow(r.T.Context(), func(feed.Change) {
		select {
		case seen <- struct{}{}:
		default:
		}
	})
	if err != nil {
		r.T.Fatal(err)
	}
	active := func() (active bool) {
		err := r.DB.View(r.T.Context(), func(tx *store.Tx) error {
			d, err := tx.Deployment(base + "c")
			active = d.Active()
			return err
		})
		if err != nil {
			r.T.Fatal(err)
		}
		return active
	}
	<-seen // what is there already
	for range n {
		if !active() {
			return true
		}
		<-seen
	}
	stop()
	return !active()
}
