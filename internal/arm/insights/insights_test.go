package insights

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/arm/armtest"
	roles "github.com/keyreeve/keyreeve/internal/arm/authorization"
	"github.com/keyreeve/keyreeve/internal/arm/resources"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/store"
)

const (
	sub    = "/subscriptions/" + armtest.Sub
	rg     = sub + "/resourcegroups/rg1"
	values = sub + "/providers/Microsoft.Insights/eventtypes/management/values"
)

type rig struct{ *armtest.Rig }

func newRig(t *testing.T) rig {
	r := rig{armtest.New(t)}
	r.mount()
	return r
}

func (r rig) mount() {
	groups := &resources.Handler{DB: r.DB, World: r.World}
	groups.Mount(r.Face)
	runner := &arm.Runner{DB: r.DB, Now: r.Clock.Now, Log: r.Log()}
	groups.RegisterWorkers(runner)
	r.Run(runner)
	(&Handler{DB: r.DB}).Mount(r.Face)
}

type page struct {
	Value    []event
	NextLink string
}

func (r rig) log(filter, as string) page {
	r.T.Helper()
	path := values + "?api-version=2015-04-01"
	if filter != "" {
		path += "&$filter=" + url.QueryEscape(filter)
	}
	var p page
	r.Do("GET", path, as, "").Want(200, "").JSON(&p)
	return p
}

// brief is an event in one line.
func brief(e event) string {
	return strings.Join([]string{e.Caller, e.OperationName.Value, e.Status.Value, e.Properties["statusCode"]}, " ")
}

func TestActivityLog(t *testing.T) {
	r := newRig(t)
	r.Do("PUT", rg, armtest.Owner, `{"location":"eastus"}`).Want(201, "")
	r.Clock.Move(time.Minute)
	r.Do("PUT", rg, armtest.Reader, `{"location":"eastus"}`).Want(403, "AuthorizationFailed")
	r.Clock.Move(time.Minute)
	r.Do("PUT", rg, armtest.Owner, `{"location":"westus"}`).Want(409, "InvalidResourceGroupLocation")
	r.Clock.Move(time.Minute)
	r.Do("GET", rg, armtest.Owner, "").Want(200, "")
	r.Do("PUT", rg, "", `{}`).Want(401, "AuthenticationFailed")
	r.Do("PUT", rg, armtest.Stranger, `{}`).Want(401, "InvalidAuthenticationTokenTenant")
	gone := r.Do("DELETE", rg, armtest.Owner, "").Want(202, "")
	op := r.Ended(gone.Header.Get("Location"))
	r.Clock.Move(time.Minute)

	const write, remove = "Microsoft.Resources/subscriptions/resourceGroups/write", "Microsoft.Resources/subscriptions/resourceGroups/delete"
	want := []string{
		"owner@contoso.test " + remove + " Succeeded ",
		"owner@contoso.test " + remove + " Accepted ",
		"owner@contoso.test " + write + " Failed InvalidResourceGroupLocation",
		"reader@contoso.test " + write + " Failed AuthorizationFailed",
		"owner@contoso.test " + write + " Succeeded ",
	}
	p := r.log("", armtest.Reader)
	var got []string
	for _, e := range p.Value {
		got = append(got, brief(e))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	for _, e := range p.Value {
		if e.ResourceID != rg || e.ResourceGroupName != "rg1" || e.SubscriptionID != armtest.Sub || e.TenantID != armtest.Tenant || e.CorrelationID == "" ||
			e.ResourceProviderName.Value != "Microsoft.Resources" || e.EventDataID == "" || len(e.EventTimestamp) != len("2025-05-16T06:50:42.1991607Z") {
			t.Errorf("event %+v", e)
		}
		if e.OperationName.Value == remove && (e.OperationID != op.ID.String() || e.CorrelationID != gone.Header.Get("X-Ms-Correlation-Request-Id")) {
			t.Errorf("the parts of a deletion do not belong together: %+v", e)
		}
		if e.Status.Value == "Failed" && (e.Level != "Error" || e.SubStatus.Value == "" || e.Properties["statusMessage"] == "") {
			t.Errorf("failed event %+v", e)
		}
	}
	start := time.Date(2025, 5, 16, 6, 50, 42, 0, time.UTC)
	at := func(d time.Duration) string { return start.Add(d).Format(time.RFC3339) }
	for filter, n := range map[string]int{
		"status eq 'Failed'":                                                        2,
		"caller eq 'READER@contoso.test'":                                           1,
		"resourceGroupName eq 'RG1'":                                                5,
		"resourceGroupName eq 'rg'":                                                 0,
		"resourceProvider eq 'Microsoft.Resources'":                                 5,
		"resourceUri eq '" + rg + "'":                                               5,
		"resourceId eq '" + sub + "/resourceGroups/rg'":                             0,
		"correlationId eq '" + gone.Header.Get("X-Ms-Correlation-Request-Id") + "'": 2,
		"eventTimestamp ge '" + at(150*time.Second) + "'":                           2,
		"eventTimestamp ge " + at(0) + " and eventTimestamp le " + at(30e9):         1,
		"eventTimestamp ge '" + at(0) + "' and eventTimestamp le '" + at(time.Hour) + "' and eventChannels eq 'Admin, Operation'": 5,
	} {
		if got := r.log(filter, armtest.Owner); len(got.Value) != n {
			t.Errorf("%s: %d, want %d", filter, len(got.Value), n)
		}
	}
}

func TestRefusedQueries(t *testing.T) {
	r := newRig(t)
	for _, filter := range []string{
		"status gt 'Failed'", "status ge 'Failed'", "x eq 'y'", "eventTimestamp ge 'yesterday'", "status eq 'a' and status eq 'b'", "status() eq 'a'",
		"eventChannels eq 'Admin'", "status eq 'a' or status eq 'b'", "eq", "'", strings.Repeat("a", 3000),
	} {
		a := r.Do("GET", values+"?api-version=2015-04-01&$filter="+url.QueryEscape(filter), armtest.Owner, "")
		if a.Status != 400 {
			t.Errorf("%q: %d", filter, a.Status)
		}
	}
	r.Do("GET", values+"?api-version=2015-04-01&$skipToken=x", armtest.Owner, "").Want(400, "BadRequest")
	r.Do("GET", values, armtest.Nobody, "").Want(403, "AuthorizationFailed")
	r.Do("GET", "/providers/Microsoft.Insights/eventtypes/management/values", armtest.Owner, "").Want(403, "AuthorizationFailed")
}

// TestNarrowReaders: who may read one group sees what was done to that group, and by no trick more.
func TestNarrowReaders(t *testing.T) {
	r := newRig(t)
	for _, g := range []string{"rg1", "rg2"} {
		r.Do("PUT", sub+"/resourceGroups/"+g, armtest.Owner, `{"location":"eastus"}`).Want(201, "")
	}
	r.Grant(armtest.Nobody, rbac.PrincipalUser, armtest.ReaderRole, sub+"/resourceGroups/rg1")
	if got := r.log("resourceGroupName eq 'rg1'", armtest.Nobody); len(got.Value) != 1 {
		t.Errorf("%d events", len(got.Value))
	}
	if got := r.log("resourceUri eq '"+sub+"/resourceGroups/rg1'", armtest.Nobody); len(got.Value) != 1 {
		t.Errorf("%d events", len(got.Value))
	}
	for _, filter := range []string{
		"resourceGroupName eq 'rg2'", "resourceUri eq '" + sub + "/resourceGroups/rg2'", "resourceUri eq '" + sub + "'",
		"resourceUri eq '" + sub + "/resourceGroups/rg1/../rg2'", "resourceGroupName eq 'rg1/../rg2'", "resourceUri eq '/'", "resourceUri eq ''",
	} {
		r.Do("GET", values+"?api-version=2015-04-01&$filter="+url.QueryEscape(filter), armtest.Nobody, "").Want(403, "AuthorizationFailed")
	}
}

func TestPages(t *testing.T) {
	r := newRig(t)
	r.Update(func(tx *store.Tx) error {
		for n := range 450 {
			a := audit.Activity{At: r.Clock.Now().Add(time.Duration(n)), Action: "a/b/write", Resource: rg, Status: audit.ActivitySucceeded}
			if n%3 == 0 {
				a.Status = audit.ActivityFailed
			}
			a.Tenant, a.Subscription = ident.MustParse[ident.TenantID](armtest.Tenant), ident.MustParse[ident.SubscriptionID](armtest.Sub)
			if err := tx.PutActivity(a); err != nil {
				return err
			}
		}
		return nil
	})
	for filter, want := range map[string]int{"": 450, "status eq 'Failed'": 150, "status eq 'Succeeded'": 300} {
		p := r.log(filter, armtest.Owner)
		n, pages := len(p.Value), 1
		for p.NextLink != "" {
			next := p.NextLink
			p = page{}
			r.Do("GET", strings.TrimPrefix(next, armtest.BaseURL), armtest.Owner, "").Want(200, "").JSON(&p)
			n += len(p.Value)
			pages++
		}
		if n != want || pages != (want+pageSize-1)/pageSize {
			t.Errorf("%q: %d events on %d pages, want %d", filter, n, pages, want)
		}
	}
}

// TestRefusalsAreBounded: whoever asks again and again for what they may not have fills the log only so far.
func TestRefusalsAreBounded(t *testing.T) {
	r := newRig(t)
	for range 1200 {
		r.Do("PUT", rg, armtest.Reader, `{"location":"eastus"}`).Want(403, "AuthorizationFailed")
	}
	n := 0
	p := r.log("", armtest.Owner)
	for {
		n += len(p.Value)
		if p.NextLink == "" {
			break
		}
		next := p.NextLink
		p = page{}
		r.Do("GET", strings.TrimPrefix(next, armtest.BaseURL), armtest.Owner, "").JSON(&p)
	}
	if n != 1000 {
		t.Errorf("%d events", n)
	}
}

// TestRefusalsAreKept: a refusal is written down right after it, without anybody reading the log, and when the database does
// not take it, it waits.
func TestRefusalsAreKept(t *testing.T) {
	r := newRig(t)
	written := make(chan struct{}, 100)
	if err := r.DB.Follow(t.Context(), func(c feed.Change) { written <- struct{}{} }); err != nil {
		t.Fatal(err)
	}
	for len(written) > 0 { // the snapshot
		<-written
	}
	ctx, cancel := context.WithCancel(t.Context())
	r.Do("PUT", rg, armtest.Reader, `{"location":"eastus"}`).Want(403, "AuthorizationFailed")
	if err := r.Face.WriteActivity(canceled()); err == nil {
		t.Error("it was written in no time")
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.Face.KeepActivity(ctx); err != nil {
			t.Error(err)
		}
	})
	<-written // or the test runs out of time
	r.Do("PUT", rg, armtest.Reader, `{"location":"eastus"}`).Want(403, "AuthorizationFailed")
	cancel() // which writes down what waits
	wg.Wait()
	n := 0
	if err := r.DB.View(t.Context(), func(tx *store.Tx) error {
		return tx.Activities(ident.MustParse[ident.TenantID](armtest.Tenant), ident.MustParse[ident.SubscriptionID](armtest.Sub),
			r.Clock.Now().Add(-time.Hour), r.Clock.Now().Add(time.Hour), store.ActivityPlace{},
			func(store.ActivityPlace, audit.Activity) bool { n++; return true })
	}); err != nil || n != 2 {
		t.Errorf("%d activities, %v", n, err)
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// TestRoleAssignmentEvents: who was given a role, and who lost it, is in the events as az looks for it.
func TestRoleAssignmentEvents(t *testing.T) {
	r := newRig(t)
	(&roles.Handler{DB: r.DB, World: r.World}).Mount(r.Face)
	id := rg + "/providers/Microsoft.Authorization/roleAssignments/22222222-3333-4444-8555-666666666666"
	r.Do("PUT", rg, armtest.Owner, `{"location":"eastus"}`).Want(201, "")
	role := sub + "/providers/Microsoft.Authorization/roleDefinitions/" + armtest.ReaderRole
	body := `{"properties":{"roleDefinitionId":"` + role + `","principalId":"` + armtest.Nobody + `"}}`
	r.Do("PUT", id, armtest.Owner, body).Want(201, "")
	r.Do("PUT", id, armtest.Reader, body).Want(403, "AuthorizationFailed")
	r.Clock.Move(time.Minute)
	r.Do("DELETE", id, armtest.Owner, "").Want(200, "")
	r.Clock.Move(time.Minute)

	p := r.log("resourceProvider eq Microsoft.Authorization", armtest.Reader)
	if len(p.Value) != 5 {
		t.Fatalf("%d events: %+v", len(p.Value), p.Value)
	}
	lost, losing, refused, given, giving := p.Value[0], p.Value[1], p.Value[2], p.Value[3], p.Value[4]
	if refused.Status.Value != "Failed" || given.OperationID == lost.OperationID {
		t.Errorf("%+v", p.Value)
	}
	for _, x := range []struct {
		begun, ended, tells event
		key                 string
	}{{giving, given, giving, "requestbody"}, {losing, lost, lost, "responseBody"}} {
		if x.begun.Status.Value != "Started" || x.ended.Status.Value != "Succeeded" || x.begun.OperationID != x.ended.OperationID ||
			x.begun.EventDataID == x.ended.EventDataID || x.begun.ID == x.ended.ID || x.begun.Authorization.Scope != id {
			t.Errorf("begun %+v\nended %+v", x.begun, x.ended)
		}
		var said struct {
			Properties struct{ PrincipalID, RoleDefinitionID, Scope string }
		}
		if err := json.Unmarshal([]byte(x.tells.Properties[x.key]), &said); err != nil {
			t.Fatal(err)
		}
		if got := said.Properties; got.PrincipalID != armtest.Nobody || got.RoleDefinitionID != role || got.Scope != rg {
			t.Errorf("%s says %+v", x.key, got)
		}
	}
	for status, want := range map[string]int{"Started": 2, "Succeeded": 2, "Failed": 1} {
		if p := r.log("resourceProvider eq Microsoft.Authorization and status eq "+status, armtest.Owner); len(p.Value) != want {
			t.Errorf("%s: %d", status, len(p.Value))
		}
	}
}
