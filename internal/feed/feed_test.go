package feed

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestForm pins the JSON of a change: gates of another version read it.
func TestForm(t *testing.T) {
	c := Change{Revision: 7, At: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Events: []Event{
		{Kind: User, Op: Put, Key: "k", Value: json.RawMessage(`{"a":1}`)}, {Kind: Member, Op: Delete, Key: "g/m"},
	}}
	const want = `{"revision":7,"at":"2026-01-02T03:04:05.000000006Z","events":[{"kind":"user","op":"put","key":"k","value":{"a":1}},{"kind":"member","op":"delete","key":"g/m"}]}`
	raw, err := json.Marshal(c)
	if err != nil || string(raw) != want {
		t.Errorf("%s, %v", raw, err)
	}
	var again Change
	if err := json.Unmarshal(raw, &again); err != nil || !cmp.Equal(c, again) {
		t.Errorf("%+v, %v", again, err)
	}
}
