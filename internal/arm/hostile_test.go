package arm_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/arm/armtest"
)

// readsNoBody says that an operation has no body: whatever is sent with it is left unread.
func readsNoBody(pattern string) bool {
	return slices.Contains([]string{
		"register", "unregister", "rotateClusterCertificates", "rotateServiceAccountSigningKeys", "listClusterAdminCredential", "listClusterUserCredential",
		"start", "stop", "abort", "listAssociatedResources", "revokeTokens", "newSecret",
	}, pattern[strings.LastIndexByte(pattern, '/')+1:])
}

// Every operation that reads a body refuses what is none, in few words and without changing anything: whatever an owner sends.
func TestEveryRouteWithHostileBodies(t *testing.T) {
	r := everyRoute(t)
	bodies := map[string]string{
		"10 MB":             `{"location":"` + strings.Repeat("x", 10<<20) + `"}`,
		"10 MB of brackets": strings.Repeat("[", 10<<20),
		"deep":              strings.Repeat(`{"properties":`, 100_000) + "1" + strings.Repeat("}", 100_000),
		"half":              `{"properties":{"`,
		"not UTF-8":         "{\"\xff\xfe\":\"\xff\"",
		"a NUL":             "\x00",
	}
	asked := 0
	for _, route := range r.Face.Routes() {
		writes := slices.Contains([]string{http.MethodPut, http.MethodPatch, http.MethodPost}, route.Method)
		if route.Public || !writes || readsNoBody(route.Pattern) {
			continue
		}
		path := strings.ReplaceAll(routePath(route.Pattern, thereGroup), "//", "/")
		for name, body := range bodies {
			asked++
			before := r.DB.Head()
			a := r.Do(route.Method, path, armtest.Owner, body)
			if a.Status < 400 || a.Status > 413 || a.Code() == "" || len(a.Body) > 4<<10 {
				t.Errorf("%s %s, %s: %d %.200s", route.Method, route.Pattern, name, a.Status, a.Body)
			}
			if r.DB.Head() != before {
				t.Errorf("%s %s, %s: something changed", route.Method, route.Pattern, name)
			}
		}
	}
	if asked < 100 {
		t.Errorf("%d questions", asked)
	}
}
