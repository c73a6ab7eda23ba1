package authorization_test

import (
	"net/http"
	"sync"
	"testing"

	"github.com/keyreeve/keyreeve/internal/arm/armtest"
)

// A custom role that is deleted while it is assigned is either kept or not assigned: an assignment of a role that is gone would
// give whatever somebody later makes under its id. Writes that come together share a commit, and memory learns of it afterwards.
func TestRoleGoesWhileItIsAssigned(t *testing.T) {
	r := newRig(t)
	both := 0
	for i := range 150 {
		definition, assignment := sub+definitions+"/"+guid(1), rg+assignments+"/"+guid(1000+i)
		r.Do("PUT", definition, armtest.Owner, custom("fleeting", `"*/read"`, sub)).Want(201, "")
		var gone, given armtest.Answer
		var wg sync.WaitGroup
		wg.Go(func() { gone = r.Do("DELETE", definition, armtest.Owner, "") })
		wg.Go(func() { given = r.Do("PUT", assignment, armtest.Owner, give(guid(1), armtest.App, "")) })
		for j := range 3 { // company, so that they share a commit
			wg.Go(func() {
				r.Do("PUT", rg+assignments+"/"+guid(10_000+10*i+j), armtest.Owner, give(armtest.ReaderRole, armtest.Group, `,"description":"company"`))
			})
		}
		wg.Wait()
		if gone.Status == http.StatusOK && given.Status == http.StatusCreated {
			t.Fatalf("round %d: the role is deleted and assigned", i)
		}
		if given.Status == http.StatusCreated {
			both++
			r.Do("DELETE", assignment, armtest.Owner, "").Want(200, "")
		} else {
			given.Want(404, "RoleDefinitionDoesNotExist")
		}
	}
	t.Logf("the assignment came first %d times", both)
}
