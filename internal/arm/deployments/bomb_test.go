package deployments

import (
	"net/http"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/arm/armtest"
)

// nested is a template of deployments in deployments, each of them many times.
func nested(deep int, filling string) string {
	inner := `"variables":{"v":"` + filling + `"},"resources":[]`
	for range deep {
		inner = `"resources":[{"type":"Microsoft.Resources/deployments","apiVersion":"2022-09-01","name":"[format('d{0}',copyIndex())]",
			"copy":{"name":"c","count":800},"properties":{"mode":"Incremental","expressionEvaluationOptions":{"scope":"inner"},"template":{` + head + inner + `}}}]`
	}
	return body("{}", inner)
}

// A template of a few lines that unfolds into millions of deployments in deployments is refused before they are unfolded.
func TestNestedBomb(t *testing.T) {
	r := newRig(t)
	r.start()
	for _, row := range []struct {
		deep    int
		filling string
	}{{2, ""}, {3, ""}, {5, ""}, {9, ""}, {1, strings.Repeat("x", 2<<20)}, {2, strings.Repeat("x", 2<<20)}} {
		a := r.Do(http.MethodPost, base+"bomb/validate", armtest.Owner, nested(row.deep, row.filling))
		if a.Status != http.StatusBadRequest || !strings.Contains(a.Body, "InvalidTemplate") {
			t.Errorf("%d deep, %d bytes: %d %.300s", row.deep, len(row.filling), a.Status, a.Body)
		}
	}
}
