package insights

import (
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/ident"
)

// localized is a word of the log, which says the same twice.
type localized struct {
	Value     string `json:"value"`
	Localized string `json:"localizedValue"`
}

func word(s string) localized { return localized{s, s} }

// event is an activity in the form of the management event schema.
type event struct {
	Authorization        authorization     `json:"authorization"`
	Caller               string            `json:"caller"`
	Channels             string            `json:"channels"`
	Claims               map[string]string `json:"claims"`
	CorrelationID        string            `json:"correlationId"`
	Description          string            `json:"description"`
	EventDataID          string            `json:"eventDataId"`
	EventName            localized         `json:"eventName"`
	Category             localized         `json:"category"`
	HTTPRequest          *httpRequest      `json:"httpRequest,omitempty"`
	ID                   string            `json:"id"`
	Level                string            `json:"level"`
	ResourceGroupName    string            `json:"resourceGroupName"`
	ResourceProviderName localized         `json:"resourceProviderName"`
	ResourceID           string            `json:"resourceId"`
	ResourceType         localized         `json:"resourceType"`
	OperationID          string            `json:"operationId"`
	OperationName        localized         `json:"operationName"`
	Properties           map[string]string `json:"properties"`
	Status               localized         `json:"status"`
	SubStatus            localized         `json:"subStatus"`
	EventTimestamp       string            `json:"eventTimestamp"`
	SubmissionTimestamp  string            `json:"submissionTimestamp"`
	SubscriptionID       string            `json:"subscriptionId"`
	TenantID             string            `json:"tenantId"`
}

type authorization struct {
	Action string `json:"action"`
	Scope  string `json:"scope"`
}

type httpRequest struct {
	ClientRequestID string `json:"clientRequestId"`
	ClientIPAddress string `json:"clientIpAddress"`
	Method          string `json:"method"`
}

// eventTime is the form of times in the log: always seven digits.
const eventTime = "2006-01-02T15:04:05.0000000Z"

// render writes an activity as events, newest first. It is one, but for what was done to a role assignment: that is also said
// to have begun, since `az role assignment list-changelogs` reads who was given what from the beginning of a PUT, and who lost
// what from the end of a DELETE.
func render(seq int64, a audit.Activity) []event {
	ended := renderEnd(seq, a)
	if a.Body == "" {
		return []event{ended}
	}
	begun := ended
	begun.EventName, begun.Status = localized{"BeginRequest", "Begin request"}, word("Started")
	begun.EventDataID = ident.Derive[ident.GUID]("activity begun", a.ID.String()).String()
	begun.ID = a.Resource + "/events/" + begun.EventDataID + "/ticks/" + ticks(a.At)
	begun.Properties = maps.Clone(ended.Properties)
	if a.Method == http.MethodDelete {
		ended.Properties["responseBody"] = a.Body
	} else {
		begun.Properties["requestbody"] = a.Body // in the real service's spelling
	}
	return []event{ended, begun}
}

func renderEnd(seq int64, a audit.Activity) event {
	place := locate(a.Resource)
	at := a.At.UTC().Format(eventTime)
	e := event{
		Authorization: authorization{Action: a.Action, Scope: a.Resource}, Caller: a.CallerName, Channels: "Operation",
		Claims:        map[string]string{"http://schemas.microsoft.com/identity/claims/objectidentifier": a.Caller.String()},
		CorrelationID: a.Correlation, EventDataID: a.ID.String(), EventName: localized{"EndRequest", "End request"}, Category: word("Administrative"),
		ID: a.Resource + "/events/" + a.ID.String() + "/ticks/" + ticks(a.At), Level: "Informational", ResourceGroupName: place.group,
		ResourceProviderName: word(place.provider), ResourceID: a.Resource, ResourceType: word(place.kind), OperationID: a.Operation,
		OperationName: word(a.Action), Properties: map[string]string{"eventCategory": "Administrative", "entity": a.Resource, "message": a.Action},
		Status: word(string(a.Status)), EventTimestamp: at, SubmissionTimestamp: at, TenantID: a.Tenant.String(),
	}
	if !a.Subscription.IsZero() {
		e.SubscriptionID = a.Subscription.String()
	}
	if e.OperationID == "" {
		e.OperationID = a.Correlation
	}
	if a.Method != "" {
		e.HTTPRequest = &httpRequest{ClientRequestID: a.ClientRequest, ClientIPAddress: a.Address, Method: a.Method}
	} else {
		e.EventName = localized{"EndOperation", "End operation"}
	}
	if a.Status == audit.ActivityFailed {
		e.Level = "Error"
		e.Properties["statusCode"] = a.Code
		e.Properties["statusMessage"] = a.Message
		if a.HTTPStatus != 0 {
			text := http.StatusText(a.HTTPStatus)
			e.SubStatus = localized{strings.ReplaceAll(text, " ", ""), text + " (HTTP Status Code: " + strconv.Itoa(a.HTTPStatus) + ")"}
		}
	}
	e.Properties["sequence"] = strconv.FormatInt(seq, 10)
	return e
}

// ticks is a time in .NET's counting, as the ids of events end.
func ticks(t time.Time) string {
	const epoch = 621355968000000000 // of 1970, in ticks of 100 ns since the year 1
	return strconv.FormatInt(epoch+t.UnixNano()/100, 10)
}

// place is where a resource is.
type place struct{ group, provider, kind string }

// locate reads the parts of an id; what it lacks is empty. The provider is the last one, as for roles at a resource.
func locate(id string) place {
	var p place
	s := strings.Split(strings.Trim(id, "/"), "/")
	if len(s) >= 2 && strings.EqualFold(s[0], "subscriptions") {
		p.provider, p.kind = "Microsoft.Resources", "Microsoft.Resources/subscriptions"
		if len(s) >= 4 && strings.EqualFold(s[2], "resourceGroups") {
			p.group, p.kind = s[3], "Microsoft.Resources/subscriptions/resourceGroups"
		}
	}
	at := -1
	for i := 0; i+1 < len(s); i += 2 {
		if strings.EqualFold(s[i], "providers") {
			at = i
		}
	}
	if at < 0 {
		return p
	}
	p.provider = s[at+1]
	var types []string
	for i := at + 2; i < len(s); i += 2 {
		types = append(types, s[i])
	}
	p.kind = p.provider + "/" + strings.Join(types, "/")
	return p
}
