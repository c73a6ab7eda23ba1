package ident

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	const text = "0b4c1a2d-9e8f-4a3b-8c7d-112233445566"
	id, err := Parse[ObjectID](text)
	if err != nil || id.String() != text || id.Compact() != strings.ReplaceAll(text, "-", "") {
		t.Fatalf("%v, %v", id, err)
	}
	if upper, err := Parse[ObjectID](strings.ToUpper(text)); err != nil || upper != id {
		t.Errorf("upper case: %v, %v", upper, err)
	}
	for _, bad := range []string{
		"", text[:35], text + "0", "{" + text + "}", "urn:uuid:" + text, strings.ReplaceAll(text, "-", ""), strings.Replace(text, "a", "g", 1),
		strings.Replace(text, "-", "_", 1), " " + text[1:], text[:35] + "\x00", strings.Repeat("é", 18),
	} {
		if id, err := Parse[ObjectID](bad); !errors.Is(err, ErrInvalid) || IsGUID(bad) || !id.IsZero() {
			t.Errorf("%q: %v, %v", bad, id, err)
		}
	}
	if _, err := Parse[ObjectID](strings.Repeat("x", 10_000)); len(err.Error()) > 200 {
		t.Errorf("the error repeats all of a long text: %d bytes", len(err.Error()))
	}
}

func FuzzParse(f *testing.F) {
	f.Add("0b4c1a2d-9e8f-4a3b-8c7d-112233445566")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := Parse[GUID](s)
		if (err == nil) != IsGUID(s) {
			t.Fatalf("%q: Parse and IsGUID disagree", s)
		}
		if err == nil && id.String() != strings.ToLower(s) {
			t.Fatalf("%q reads as %s", s, id)
		}
	})
}

func TestNew(t *testing.T) {
	seen := map[GUID]bool{}
	for range 1000 {
		id := New[GUID]()
		if s := id.String(); s[14] != '4' || !strings.ContainsRune("89ab", rune(s[19])) || seen[id] {
			t.Fatalf("%s is no fresh version 4", s)
		}
		seen[id] = true
	}
}

func TestDerive(t *testing.T) {
	// These ids are written into databases: they may never change.
	if got := Derive[ObjectID]("space", "name").String(); got != "73837c3a-8542-84d8-a286-f074adfa774e" {
		t.Errorf("got %s", got)
	}
	all := map[ObjectID][]string{}
	for _, parts := range [][]string{{"a"}, {"a", ""}, {"", "a"}, {"a", "b"}, {"ab"}, {"ab", ""}, {"a", "b", ""}, {"1:a"}, {"a1:b"}} {
		id := Derive[ObjectID](parts[0], parts[1:]...)
		if other, ok := all[id]; ok {
			t.Errorf("%q and %q are one", parts, other)
		}
		all[id] = parts
		if s := id.String(); s[14] != '8' {
			t.Errorf("%s is not of version 8", s)
		}
	}
}

func TestForms(t *testing.T) {
	type doc struct {
		A ObjectID            `json:"a"`
		B ObjectID            `json:"b"`
		C []ClientID          `json:"c"`
		D map[ObjectID]string `json:"d"`
	}
	in := doc{A: New[ObjectID](), C: []ClientID{New[ClientID]()}, D: map[ObjectID]string{New[ObjectID](): "x"}}
	raw, err := json.Marshal(in)
	if err != nil || !strings.Contains(string(raw), `"b":""`) {
		t.Fatalf("%s, %v", raw, err)
	}
	var out doc
	if err := json.Unmarshal(raw, &out); err != nil || !cmp.Equal(in, out) {
		t.Errorf("%v, %v", out, err)
	}
	if err := json.Unmarshal([]byte(`{"a":"x"}`), &out); !errors.Is(err, ErrInvalid) {
		t.Errorf("got %v", err)
	}
	for _, id := range []ObjectID{{}, New[ObjectID]()} {
		v, err := id.Value()
		if err != nil {
			t.Fatal(err)
		}
		scanned := New[ObjectID]()
		if err := scanned.Scan(v); err != nil || scanned != id {
			t.Errorf("%v scans as %v, %v", v, scanned, err)
		}
	}
	var id ObjectID
	if err := id.Scan([]byte("0b4c1a2d-9e8f-4a3b-8c7d-112233445566")); err != nil || id.IsZero() {
		t.Error(err)
	}
	if err := id.Scan(7); !errors.Is(err, ErrInvalid) {
		t.Errorf("got %v", err)
	}
}

const aResource = "/subscriptions/0b4c1a2d-9e8f-4a3b-8c7d-112233445566/resourceGroups/RG/providers/Microsoft.ContainerService/managedClusters/C1"

func TestParseResourceID(t *testing.T) {
	for in, want := range map[string]string{
		aResource:                   "Microsoft.ContainerService/managedClusters C1",
		aResource + "/":             "Microsoft.ContainerService/managedClusters C1",
		aResource + "/agentPools/a": "Microsoft.ContainerService/managedClusters/agentPools a",
		strings.ToUpper(aResource):  "MICROSOFT.CONTAINERSERVICE/MANAGEDCLUSTERS C1",
	} {
		r, err := ParseResourceID(in)
		if err != nil || r.Type()+" "+r.Name() != want {
			t.Errorf("%s: %+v, %v", in, r, err)
		}
		if again, err := ParseResourceID(r.String()); err != nil || !cmp.Equal(r, again) {
			t.Errorf("%s prints as %s", in, r)
		}
	}
	for _, bad := range []string{
		"", "/", aResource[1:], aResource + "/agentPools", aResource + "//", strings.Replace(aResource, "RG", "..", 1), strings.Replace(aResource, "RG", ".", 1),
		strings.Replace(aResource, "RG", "", 1), strings.Replace(aResource, "0b4c", "xxxx", 1), strings.Replace(aResource, "/providers", "/provider", 1),
		"/subscriptions/0b4c1a2d-9e8f-4a3b-8c7d-112233445566/resourceGroups/RG",
	} {
		if r, err := ParseResourceID(bad); err == nil {
			t.Errorf("%q reads as %+v", bad, r)
		}
	}
	if (ResourceID{}).Name() != "" {
		t.Error("the zero id has a name")
	}
}

func FuzzParseResourceID(f *testing.F) {
	f.Add(aResource)
	f.Add(aResource + "/a/b/")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseResourceID(s)
		if err != nil {
			return
		}
		again, err := ParseResourceID(r.String())
		if err != nil || !cmp.Equal(r, again) {
			t.Fatalf("%q reads as %+v, prints as %q and reads as %+v, %v", s, r, r, again, err)
		}
		if !strings.EqualFold(strings.TrimSuffix(s, "/"), r.String()) {
			t.Fatalf("%q prints as %q", s, r)
		}
		if folded, err := ParseResourceID(r.Key()); err != nil || folded.Key() != r.Key() {
			t.Fatalf("the key %q is not its own key", r.Key())
		}
	})
}
