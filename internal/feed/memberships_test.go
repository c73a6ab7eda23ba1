package feed_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
)

func TestMembers(t *testing.T) {
	member, a, b := ident.New[ident.ObjectID](), ident.New[ident.ObjectID](), ident.New[ident.ObjectID]()
	e := feed.Event{Kind: feed.Memberships, Op: feed.Put, Key: member.String(), Value: []byte(`["` + a.String() + `","` + b.String() + `"]`)}
	got, err := e.Members()
	if err != nil || len(got) != 2 {
		t.Fatal(got, err)
	}
	for i, g := range []ident.ObjectID{a, b} {
		if got[i].Kind != feed.Member || got[i].Op != feed.Put || got[i].Key != g.String()+"/"+member.String() {
			t.Errorf("%+v", got[i])
		}
	}
	e.Key = "x"
	if _, err := e.Members(); err == nil {
		t.Error("a member that has no id is let through")
	}
}

// FuzzGroups holds the reader of lists against the one of encoding/json: what it takes, that one reads alike.
func FuzzGroups(f *testing.F) {
	id := `"0b4c1a2d-9e8f-4a3b-8c7d-112233445566"`
	for _, s := range []string{"[]", "[" + id + "]", "[" + id + "," + id + "]", "[" + id + ",]", "[" + id + " ," + id + "]", "[" + id + id + "]", "[", "]", "", "[\"\"]", "[" + id, id + "]"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e := feed.Event{Kind: feed.Memberships, Value: b}
		got, err := e.Groups(nil)
		var want []ident.ObjectID
		slow := json.Unmarshal(b, &want)
		if err == nil && (slow != nil || !slices.Equal(got, want)) {
			t.Fatalf("reads %q as %v, encoding/json as %v, %v", b, got, want, slow)
		}
		// What encoding/json would write itself is read.
		if slow == nil && !slices.ContainsFunc(want, ident.ObjectID.IsZero) && len(want) > 0 {
			again, err := json.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			e.Value = again
			if got, err := e.Groups(nil); err != nil || !slices.Equal(got, want) {
				t.Fatalf("does not read %s: %v", again, err)
			}
		}
	})
}
