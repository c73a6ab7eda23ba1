package ident

import (
	"fmt"
	"strings"
)

// ResourceID is a parsed ARM resource id below a resource group:
//
//	/subscriptions/{Subscription}/resourceGroups/{Group}/providers/{Provider}/{Types[0]}/{Names[0]}[/{Types[1]}/{Names[1]}…]
//
// Letter case is kept as written; comparisons of ids ignore it (use Key).
type ResourceID struct {
	Subscription SubscriptionID
	Group        string
	Provider     string
	Types        []string
	Names        []string
}

// ParseResourceID reads an ARM resource id that names a resource in a resource group.
func ParseResourceID(s string) (ResourceID, error) {
	bad := func(why string) (ResourceID, error) {
		return ResourceID{}, fmt.Errorf("resource id %q: %s", cut(s), why)
	}
	if !strings.HasPrefix(s, "/") {
		return bad("does not start with '/'")
	}
	p := strings.Split(strings.TrimSuffix(s[1:], "/"), "/")
	for _, seg := range p {
		if seg == "" || seg == "." || seg == ".." {
			return bad("has an empty or relative segment")
		}
	}
	if len(p) < 8 || len(p)%2 != 0 {
		return bad("has the wrong number of segments")
	}
	if !strings.EqualFold(p[0], "subscriptions") || !strings.EqualFold(p[2], "resourceGroups") || !strings.EqualFold(p[4], "providers") {
		return bad("is not of the form /subscriptions/…/resourceGroups/…/providers/…")
	}
	sub, err := Parse[SubscriptionID](p[1])
	if err != nil {
		return bad("subscription is " + err.Error())
	}
	r := ResourceID{Subscription: sub, Group: p[3], Provider: p[5]}
	for i := 6; i < len(p); i += 2 {
		r.Types = append(r.Types, p[i])
		r.Names = append(r.Names, p[i+1])
	}
	return r, nil
}

// Type returns the resource type with its provider, such as Microsoft.ContainerService/managedClusters.
func (r ResourceID) Type() string { return r.Provider + "/" + strings.Join(r.Types, "/") }

// Name returns the last name.
func (r ResourceID) Name() string {
	if len(r.Names) == 0 {
		return ""
	}
	return r.Names[len(r.Names)-1]
}

// String writes the id in ARM's usual spelling.
func (r ResourceID) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "/subscriptions/%s/resourceGroups/%s/providers/%s", r.Subscription, r.Group, r.Provider)
	for i := range r.Types {
		b.WriteString("/" + r.Types[i] + "/" + r.Names[i])
	}
	return b.String()
}

// Key is the form in which ids are compared: lower case.
func (r ResourceID) Key() string { return strings.ToLower(r.String()) }
