package kubehook

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/web"
)

const (
	reviewKind, reviewVersion = "SubjectAccessReview", "authorization.k8s.io/v1"
	tokenKind, tokenVersion   = "TokenReview", "authentication.k8s.io/v1"
)

var (
	errTwice = errors.New("a field is given twice")
	errKind  = errors.New("kind and apiVersion are others")
)

// head is what every review begins with.
type head struct{ kind, version string }

// once notes that a field of an object was seen, and refuses it the second time: two answers to one question are none.
type once uint32

func (o *once) see(field int) error {
	if *o&(1<<field) != 0 {
		return errTwice
	}
	*o |= 1 << field
	return nil
}

// fields reads an object by the names of its fields, which count with their case, as Kubernetes reads them. The fields it
// does not know are passed over.
func (s *scanner) fields(names []string, read func(field int) error) error {
	var seen once
	return s.object(func(key string) error {
		for i, name := range names {
			if key == name {
				if err := seen.see(i); err != nil {
					return err
				}
				return read(i)
			}
		}
		return s.skip()
	})
}

// review reads the envelope of a review, and its spec by a function.
func (s *scanner) review(kind, version string, spec func() error) error {
	var h head
	err := s.fields([]string{"kind", "apiVersion", "spec"}, func(field int) (err error) {
		switch field {
		case 0:
			h.kind, err = s.optional()
		case 1:
			h.version, err = s.optional()
		default:
			err = spec()
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := s.end(); err != nil {
		return err
	}
	if h.kind != kind || h.version != version {
		return errKind
	}
	return nil
}

// readQuestion reads a SubjectAccessReview.
func readQuestion(text string) (question, error) {
	s := &scanner{text: text}
	r := questionReader{scanner: s}
	if err := s.review(reviewKind, reviewVersion, r.spec); err != nil {
		return question{}, notReview(reviewKind, reviewVersion, err)
	}
	if r.resource == r.path {
		return question{}, fault.New(fault.Invalid, "", "Exactly one of resourceAttributes and nonResourceAttributes must be given.")
	}
	return r.q, nil
}

func notReview(kind, version string, err error) error {
	return fault.New(fault.Invalid, "", "The body is not a %s of %s.", kind, version).Because(err)
}

type questionReader struct {
	*scanner
	q              question
	resource, path bool // which of the two kinds of attributes was given
}

func (r *questionReader) spec() error {
	return r.fields([]string{"resourceAttributes", "nonResourceAttributes", "user", "groups", "extra", "uid"}, func(field int) (err error) {
		q := &r.q
		switch field {
		case 0:
			r.resource = !r.null()
			return r.resourceAttributes()
		case 1:
			r.path = !r.null()
			return r.nonResourceAttributes()
		case 2:
			q.user, err = r.optional()
		case 3:
			q.groups, err = r.strings()
		case 4:
			q.extra, err = r.extra()
		default:
			q.uid, err = r.optional()
		}
		return err
	})
}

func (r *questionReader) resourceAttributes() error {
	if !r.resource {
		return nil
	}
	into := &r.q.request
	return r.fields([]string{"namespace", "verb", "group", "version", "resource", "subresource", "name"}, func(field int) error {
		v, err := r.optional()
		switch field {
		case 0:
			into.Namespace = v
		case 1:
			into.Verb = v
		case 2:
			into.APIGroup = v
		case 4:
			into.Resource = v
		case 5:
			into.Subresource = v
		case 6:
			into.Name = v
		}
		return err
	})
}

func (r *questionReader) nonResourceAttributes() error {
	if !r.path {
		return nil
	}
	r.q.request = rbac.KubeRequest{NonResource: true}
	return r.fields([]string{"path", "verb"}, func(field int) error {
		v, err := r.optional()
		if field == 0 {
			r.q.request.Path = v
		} else {
			r.q.request.Verb = v
		}
		return err
	})
}

// strings reads a list of strings.
func (s *scanner) strings() ([]string, error) {
	var out []string
	err := s.array(func() error {
		v, err := s.optional()
		if out == nil {
			out = make([]string, 0, 8)
		}
		out = append(out, v)
		return err
	})
	return out, err
}

// manyExtras is from how many keys on they are looked up instead of compared.
const manyExtras = 16

// seenKeys finds keys that are given twice, in a list that grows.
type seenKeys map[string]bool

// again reports whether a key is in the list already; it is about to be added to it.
func (seen *seenKeys) again(list []fact, key string) bool {
	if len(list) < manyExtras {
		return slices.ContainsFunc(list, func(e fact) bool { return e.key == key })
	}
	if *seen == nil {
		*seen = make(seenKeys, 2*manyExtras)
		for _, e := range list {
			(*seen)[e.key] = true
		}
	}
	if (*seen)[key] {
		return true
	}
	(*seen)[key] = true
	return false
}

// extra reads a map of lists of strings.
func (s *scanner) extra() ([]fact, error) {
	var out []fact
	var seen seenKeys
	err := s.object(func(key string) error {
		if seen.again(out, key) {
			return errTwice
		}
		values, err := s.strings()
		if out == nil {
			out = make([]fact, 0, 4)
		}
		out = append(out, fact{key, values})
		return err
	})
	return out, err
}

// readToken reads a TokenReview. Audiences are the API server's own and not looked at.
func readToken(text string) (token string, err error) {
	s := &scanner{text: text}
	err = s.review(tokenKind, tokenVersion, func() error {
		return s.fields([]string{"token", "audiences"}, func(field int) (err error) {
			if field == 0 {
				token, err = s.optional()
				return err
			}
			_, err = s.strings()
			return err
		})
	})
	if err != nil {
		return "", notReview(tokenKind, tokenVersion, err)
	}
	return token, nil
}

// buffers are reused between requests. What is in one is copied before it is given back.
type buffers struct{ pool sync.Pool }

// largestKept is the largest buffer that is kept for another request.
const largestKept = 64 << 10

func (p *buffers) get() *[]byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 0, 2<<10)
	return &b
}

func (p *buffers) put(b *[]byte) {
	if cap(*b) <= largestKept {
		*b = (*b)[:0]
		p.pool.Put(b)
	}
}

// body reads a request's body as text.
func (h *Handler) body(w http.ResponseWriter, r *http.Request) (string, error) {
	b := h.buffers.get()
	defer h.buffers.put(b)
	got, err := web.AppendBody(*b, w, r, web.MaxBody)
	if err != nil {
		return "", err
	}
	*b = got
	return string(got), nil
}

// fact is a key of what is known of a user beside name and groups, with its values.
type fact struct {
	key    string
	values []string
}

// extras returns the values of a key in any letter case. Two spellings of one key are two values.
func (q *question) extras(key string) []string {
	var out []string
	found := 0
	for i := range q.extra {
		if e := &q.extra[i]; strings.EqualFold(e.key, key) {
			if found++; found == 1 {
				out = e.values
			} else {
				out = append(slices.Clip(out), e.values...)
			}
		}
	}
	return out
}
