package resource_test

import (
	"testing"

	"github.com/keyreeve/keyreeve/internal/resource"
)

func TestLocations(t *testing.T) {
	seen := map[string]bool{}
	for _, l := range resource.Locations() {
		if seen[l.Name] {
			t.Errorf("%s is there twice", l.Name)
		}
		seen[l.Name] = true
		// Clients turn a display name into a name themselves; both must come out the same.
		for _, text := range []string{l.Name, l.DisplayName} {
			if got, ok := resource.FindLocation(text); !ok || got != l {
				t.Errorf("FindLocation(%q) = %v, %v", text, got, ok)
			}
		}
	}
	for _, l := range resource.Locations() {
		if l.Pair != "" && !seen[l.Pair] {
			t.Errorf("%s is paired with %q, which is not in the list", l.Name, l.Pair)
		}
	}
	for _, text := range []string{"", "mars", "east-us"} {
		if got, ok := resource.FindLocation(text); ok {
			t.Errorf("FindLocation(%q) = %v", text, got)
		}
	}
}
