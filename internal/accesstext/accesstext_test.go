package accesstext_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/accesstext"
	"github.com/keyreeve/keyreeve/internal/client"
)

func TestQuestion(t *testing.T) {
	for text, want := range map[string]client.Question{
		"get pods":                      {Verb: "get", Resource: "pods"},
		"get pods/log web":              {Verb: "get", Resource: "pods", Subresource: "log", Name: "web"},
		"update deployments.apps/scale": {Verb: "update", Resource: "deployments", Group: "apps", Subresource: "scale"},
		"list widgets.example.com":      {Verb: "list", Resource: "widgets", Group: "example.com"},
		"get /metrics":                  {Verb: "get", Path: "/metrics"},
	} {
		got, err := accesstext.Question(strings.Fields(text), "")
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", text, err, diff)
		}
	}
	if _, err := accesstext.Question([]string{"get", "/metrics"}, "dev"); err == nil {
		t.Error("a path in a namespace is let through")
	}
	if _, err := accesstext.Question([]string{"get", "/metrics", "x"}, ""); err == nil {
		t.Error("a path with a name is let through")
	}
}
