package authorization

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/store"
)

// The part of the activity log (Microsoft.Insights) that tells who gave and took which role, as
// `az role assignment list-changelogs` reads it. It is made from the audit log.

const readEvents = "Microsoft.Insights/eventtypes/values/read"

// logReach is how far back the activity log goes.
const logReach = 90 * 24 * time.Hour

// maxEvents bounds an answer; who asks for more must narrow the time.
const maxEvents = 5000

// localizable is the activity log's form of a word.
type localizable struct {
	Value          string `json:"value"`
	LocalizedValue string `json:"localizedValue"`
}

func word(s string) localizable { return localizable{s, s} }

type eventBody struct {
	Authorization struct {
		Action string `json:"action"`
		Scope  string `json:"scope"`
	} `json:"authorization"`
	Caller       string      `json:"caller"`
	CorrelatesTo string      `json:"correlationId"`
	EventName    localizable `json:"eventName"`
	Category     localizable `json:"category"`
	HTTPRequest  struct {
		Method string `json:"method"`
	} `json:"httpRequest"`
	Level            string            `json:"level"`
	ResourceProvider localizable       `json:"resourceProviderName"`
	ResourceID       string            `json:"resourceId"`
	OperationID      string            `json:"operationId"`
	OperationName    localizable       `json:"operationName"`
	Properties       map[string]string `json:"properties"`
	Status           localizable       `json:"status"`
	EventTimestamp   string            `json:"eventTimestamp"`
	SubscriptionID   string            `json:"subscriptionId"`
	TenantID         string            `json:"tenantId"`
}

// eventFilter is the time that a $filter asks for.
type eventFilter struct{ from, to time.Time }

// parseEventFilter reads "eventTimestamp ge T and eventTimestamp le T and resourceProvider eq Microsoft.Authorization", in any
// order, with or without quotes round the values. The provider must be named: events of others are not kept in this form.
func parseEventFilter(text string, now time.Time) (eventFilter, error) {
	bad := fault.New(fault.Invalid, "UnsupportedFilter",
		"The filter '%s' is not supported: 'eventTimestamp ge {time} and eventTimestamp le {time} and resourceProvider eq Microsoft.Authorization' is.", text)
	f := eventFilter{to: now}
	provider := false
	for clause := range strings.SplitSeq(text, " and ") {
		w := strings.Fields(clause)
		if len(w) != 3 {
			return eventFilter{}, bad
		}
		value := strings.Trim(w[2], "'")
		at, err := time.Parse(time.RFC3339, value)
		switch name := strings.ToLower(w[0] + " " + w[1]); {
		case name == "eventtimestamp ge" && err == nil && f.from.IsZero():
			f.from = at
		case name == "eventtimestamp le" && err == nil:
			f.to = at
		case (name == "resourceprovider eq" || name == "resourceprovidername eq") && strings.EqualFold(value, "Microsoft.Authorization"):
			provider = true
		default:
			return eventFilter{}, bad
		}
	}
	if !provider || f.from.IsZero() || f.to.Before(f.from) {
		return eventFilter{}, bad
	}
	if f.from.Before(now.Add(-logReach)) {
		return eventFilter{}, fault.New(fault.Invalid, "InvalidTimeRange", "The start time cannot be more than 90 days in the past.")
	}
	return f, nil
}

// errEnough ends the reading of a log that is too long.
var errEnough = errors.New("too many events")

func (h *Handler) listEvents(_ http.ResponseWriter, r *arm.Request) error {
	text, _, err := r.Query("$filter")
	if err != nil {
		return err
	}
	f, err := parseEventFilter(text, r.Now())
	if err != nil {
		return err
	}
	out := list[eventBody]{Value: []eventBody{}}
	subscription := "/subscriptions/" + r.SubscriptionID().String()
	err = h.DB.View(r.Context(), func(tx *store.Tx) error {
		return tx.AuditBetween(f.from, f.to, func(x audit.Record) error {
			if x.Tenant != r.Caller.Tenant || x.Event != audit.RoleAssigned && x.Event != audit.RoleUnassigned || !below(x.Target, subscription) {
				return nil
			}
			if len(out.Value) >= maxEvents {
				return errEnough
			}
			out.Value = append(out.Value, events(x, r)...)
			return nil
		})
	})
	if errors.Is(err, errEnough) {
		return fault.New(fault.Invalid, "TooManyEvents", "There are more than %d events in that time: ask for a shorter one.", maxEvents)
	}
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, out)
}

// below reports whether a resource is in a subscription.
func below(target, scope string) bool {
	return len(target) > len(scope) && strings.EqualFold(target[:len(scope)], scope) && target[len(scope)] == '/'
}

// events writes a record as the activity log does: what was asked for, and that it succeeded.
func events(x audit.Record, r *arm.Request) []eventBody {
	action, method, key := writeAssignment, http.MethodPut, "requestbody"
	if x.Event == audit.RoleUnassigned {
		action, method, key = deleteAssignment, http.MethodDelete, "responseBody"
	}
	payload, _ := json.Marshal(map[string]any{"properties": map[string]string{ // texts always can be
		"principalId": x.Detail["principalId"], "principalType": x.Detail["principalType"], "scope": x.Detail["scope"],
		"roleDefinitionId": objectID("/subscriptions/"+r.SubscriptionID().String(), "roleDefinitions", x.Detail["roleDefinitionId"]),
	}})
	caller := x.ActorName
	if caller == "" {
		caller = x.Actor.String()
	}
	e := eventBody{
		Caller: caller, CorrelatesTo: x.Correlation, Category: word("Administrative"), Level: "Informational", ResourceProvider: word("Microsoft.Authorization"),
		ResourceID: x.Target, OperationID: x.Correlation, OperationName: word(action), EventTimestamp: *stamp(x.At),
		SubscriptionID: r.SubscriptionID().String(), TenantID: x.Tenant.String(), Properties: map[string]string{},
	}
	e.Authorization.Action, e.Authorization.Scope, e.HTTPRequest.Method = action, x.Target, method
	begun, ended := e, e
	begun.EventName, begun.Status = word("BeginRequest"), word("Started")
	ended.EventName, ended.Status = word("EndRequest"), word("Succeeded")
	if method == http.MethodPut {
		begun.Properties = map[string]string{key: string(payload)}
	} else {
		ended.Properties = map[string]string{key: string(payload)}
	}
	return []eventBody{ended, begun}
}
