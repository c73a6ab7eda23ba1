package arm

import (
	"slices"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
)

// Supported are the api-versions that a resource type is told to have. Others from the same span are taken too: clients are
// newer, or older, than any list.
type Supported struct {
	Versions  []string
	Locations []string
	// Since is the first version of the type.
	Since string
}

// checkVersion refuses an api-version that cannot be: a date that is none, one that lies ahead, or one from before the
// resource type was there.
func (f *Face) checkVersion(r *Request) error {
	day, err := time.Parse(time.DateOnly, r.APIVersion[:len(time.DateOnly)])
	namespace, kind := typeOf(r.segments)
	var s Supported
	known := false
	if f.Supports != nil {
		s, known = f.Supports(namespace, kind)
	}
	if err == nil && day.Before(f.Now().AddDate(1, 0, 0)) && (s.Since == "" || r.APIVersion >= s.Since) {
		return nil
	}
	versions := slices.Clone(s.Versions)
	slices.Sort(versions)
	supported := strings.Join(versions, ", ")
	if !known || supported == "" {
		return fault.New(fault.Invalid, "InvalidApiVersionParameter",
			"The api-version '%s' is invalid. The supported versions are dates of the form YYYY-MM-DD, optionally followed by '-preview'.", r.APIVersion)
	}
	if len(s.Locations) > 0 {
		return GatewayError(fault.New(fault.Invalid, "NoRegisteredProviderFound",
			"No registered resource provider found for location '%s' and API version '%s' for type '%s'. The supported api-versions are '%s'. "+
				"The supported locations are '%s'.", s.Locations[0], r.APIVersion, kind, supported, strings.Join(s.Locations, ", ")))
	}
	return GatewayError(fault.New(fault.Invalid, "InvalidApiVersionParameter", "The api-version '%s' is invalid. The supported versions are '%s'.",
		r.APIVersion, supported))
}

// typeOf returns the provider and the resource type that a path speaks of.
func typeOf(segments []string) (namespace, kind string) {
	at := -1
	for i := 0; i+1 < len(segments); i += 2 {
		if strings.EqualFold(segments[i], "providers") {
			at = i
		}
	}
	if at < 0 {
		kind := "subscriptions"
		if len(segments) > 2 && strings.EqualFold(segments[2], "resourceGroups") {
			kind = "subscriptions/resourceGroups"
		}
		return "Microsoft.Resources", kind
	}
	var types []string
	for i := at + 2; i < len(segments); i += 2 {
		types = append(types, segments[i])
	}
	if len(segments) > at+3 && (len(segments)-at)%2 == 1 && len(types) > 1 {
		types = types[:len(types)-1] // an action at the end, or a collection: what it is of is known
	}
	return segments[at+1], strings.Join(types, "/")
}
