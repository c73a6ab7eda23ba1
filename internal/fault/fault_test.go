package fault

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestFault(t *testing.T) {
	base := New(Conflict, "Code", "%s is taken", "x")
	err := fmt.Errorf("outer: %w", base.Because(io.EOF).At("name"))
	f := As(err)
	if f.Kind != Conflict || f.Code != "Code" || f.Public != "x is taken" || f.Target != "name" || !errors.Is(err, io.EOF) {
		t.Errorf("got %+v", f)
	}
	if base.Target != "" || base.Unwrap() != nil {
		t.Error("At or Because changed the fault they were called on")
	}
	if !Is(err, Conflict) || Is(err, Invalid) || Is(io.EOF, Internal) || Is(nil, Internal) {
		t.Error("Is")
	}
	if As(nil) != nil {
		t.Error("nil became a fault")
	}
	if New(Invalid, "", "x").Error() != "x" || base.Error() != "Code: x is taken" {
		t.Error("Error is not the public half")
	}
}

// TestCauseIsHidden holds that no text of a fault repeats its cause, however it was made.
func TestCauseIsHidden(t *testing.T) {
	secret := errors.New("password=hunter2")
	for _, f := range []*Error{
		Wrap(secret, "open %s", "db"), As(secret), New(NotFound, "", "It is not there.").Because(secret), As(fmt.Errorf("more: %w", secret)),
	} {
		if strings.Contains(f.Error(), "hunter2") || strings.Contains(f.Public, "hunter2") || strings.Contains(fmt.Sprint(f), "hunter2") {
			t.Errorf("%v shows its cause", f)
		}
		if !errors.Is(f, secret) {
			t.Errorf("%v lost its cause", f)
		}
	}
	if w := Wrap(secret, "open %s", "db"); w.Kind != Internal || !strings.Contains(w.Unwrap().Error(), "open db: ") {
		t.Errorf("got %v", w.Unwrap())
	}
}

func TestKindNames(t *testing.T) {
	seen := map[string]Kind{}
	for k := Internal; k <= Precondition; k++ {
		if other, ok := seen[k.String()]; ok {
			t.Errorf("%d and %d are both %q", k, other, k)
		}
		seen[k.String()] = k
	}
	if Kind(-1).String() != "internal" || (Precondition+1).String() != "internal" {
		t.Error("an unknown kind is not internal")
	}
	var zero Error
	if zero.Kind != Internal {
		t.Error("a forgotten kind is not internal")
	}
}
