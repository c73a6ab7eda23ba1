package authorization_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/arm/armtest"
)

func TestRoleAssignmentEvents(t *testing.T) {
	r := newRig(t)
	ask := func(filter, as string) armtest.Answer {
		t.Helper()
		return r.Do("GET", sub+"/providers/Microsoft.Insights/eventtypes/management/values?api-version=2015-04-01&$filter="+url.QueryEscape(filter), as, "")
	}
	at := func(d time.Duration) string { return r.Clock.Now().Add(d).Format(time.RFC3339Nano) }
	hour := "resourceProvider eq Microsoft.Authorization and eventTimestamp ge " + at(-time.Hour) + " and eventTimestamp le "
	r.Do("PUT", rg+assignments+"/"+guid(1), armtest.Owner, give(armtest.ReaderRole, armtest.Nobody, "")).Want(201, "")
	r.Clock.Move(time.Minute)
	r.Do("DELETE", rg+assignments+"/"+guid(1), armtest.Owner, "").Want(200, "")
	var list struct {
		Value []struct {
			Caller, OperationID, EventTimestamp string
			Status, OperationName               struct{ Value string }
			Authorization                       struct{ Scope string }
			Properties                          map[string]string
		}
	}
	ask(hour+at(time.Hour), armtest.Reader).Want(200, "").JSON(&list)
	if len(list.Value) != 4 {
		t.Fatalf("%d events", len(list.Value))
	}
	given, taken := list.Value[1], list.Value[2]
	if given.Status.Value != "Started" || given.Caller != "owner@contoso.test" || !strings.Contains(given.Properties["requestbody"], armtest.Nobody) ||
		given.OperationID != list.Value[0].OperationID || given.Authorization.Scope != rg+assignments+"/"+guid(1) {
		t.Errorf("%+v", given)
	}
	if taken.Status.Value != "Succeeded" || !strings.Contains(taken.Properties["responseBody"], armtest.ReaderRole) || !strings.HasSuffix(taken.OperationName.Value, "/delete") {
		t.Errorf("%+v", taken)
	}
	ask(hour+at(-time.Second), armtest.Reader).Want(200, "").JSON(&list)
	if len(list.Value) != 2 {
		t.Errorf("%d events before the deletion", len(list.Value))
	}
	ask(hour+at(0), armtest.Nobody).Want(403, "AuthorizationFailed")
	for _, filter := range []string{
		"", "x", "eventTimestamp ge " + at(-time.Hour), "resourceProvider eq Microsoft.Authorization", hour + "never", hour + at(-2*time.Hour),
		"resourceProvider eq Microsoft.Compute and eventTimestamp ge " + at(-time.Hour), hour + at(0) + " and resourceUri eq x",
	} {
		ask(filter, armtest.Owner).Want(400, "UnsupportedFilter")
	}
	ask("resourceProvider eq 'Microsoft.Authorization' and eventTimestamp ge '"+at(-100*24*time.Hour)+"'", armtest.Owner).Want(400, "InvalidTimeRange")
}
