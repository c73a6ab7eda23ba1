package arm

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestActionNames: a route that decides by itself who may still says in the log what was asked for.
func TestActionNames(t *testing.T) {
	for _, tt := range [][3]string{
		{"POST", "/providers/Microsoft.Authorization/elevateAccess", "Microsoft.Authorization/elevateAccess/action"},
		{"POST", "/subscriptions/s/providers/Microsoft.Network/register", "Microsoft.Network/register/action"},
		{"PUT", "/providers/Microsoft.Management/managementGroups/g", "Microsoft.Management/managementGroups/write"},
		{"DELETE", "/providers/Microsoft.Management/managementGroups/g/subscriptions/s", "Microsoft.Management/managementGroups/subscriptions/delete"},
		{"PUT", "/subscriptions/s/resourceGroups/g", "Microsoft.Resources/subscriptions/resourceGroups/write"},
		{"POST", "/subscriptions/s/resourceGroups/g/providers/N/t/n/listKeys", "N/t/listKeys/action"},
	} {
		r := &Request{
			HTTP: httptest.NewRequestWithContext(t.Context(), tt[0], "https://arm.test"+tt[1], http.NoBody), route: &Route{Action: Self},
			segments: strings.Split(tt[1][1:], "/"),
		}
		if got := r.action(); got != tt[2] {
			t.Errorf("%s %s: %s, want %s", tt[0], tt[1], got, tt[2])
		}
	}
}
