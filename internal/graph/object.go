package graph

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/web"
)

// object is a JSON object whose keys keep their order.
type object []field

type field struct {
	name  string
	value any
}

// MarshalJSON writes the fields in their order, without escaping HTML.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	put := func(v any) error {
		if err := enc.Encode(v); err != nil {
			return err
		}
		b.Truncate(b.Len() - 1) // the encoder ends each value with a line feed
		return nil
	}
	b.WriteByte('{')
	for i, f := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := put(f.name); err != nil {
			return nil, err
		}
		b.WriteByte(':')
		if err := put(f.value); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// property is one property of an entity: how it is read, and where it may be used.
type property[T any] struct {
	name string
	// value is a string, a bool, []string, an object or nil, which is null.
	value func(T) any
	// extra properties are answered only when $select asks for them.
	extra bool
	// kind says what $filter may do with it; the zero kind is nothing.
	kind filterKind
}

type filterKind uint8

const (
	notFilterable filterKind = iota
	filterText
	filterBool
	filterTexts // by any()
	filterTime
)

// schema is an entity type: its names, and its properties in the order the service writes them.
type schema[T any] struct {
	entity   string // microsoft.graph.user, without the namespace
	set      string // users
	resource string // User, as errors name it
	kind     objectType
	area     directory.Area
	id       func(T) ident.ObjectID
	// orders are the properties of $orderby, in lower case.
	orders []string
	props  []property[T]
}

func (s schema[T]) find(name string) (property[T], bool) {
	for _, p := range s.props {
		if fold(p.name) == fold(name) {
			return p, true
		}
	}
	return property[T]{}, false
}

// checkSelect refuses a $select that names what the entity does not have.
func (s schema[T]) checkSelect(names []string) error {
	for _, n := range names {
		if _, ok := s.find(n); !ok {
			return fault.New(fault.Invalid, "BadRequest",
				"Parsing OData Select and Expand failed: Could not find a property named '%s' on type 'microsoft.graph.%s'.", printable(n), s.entity)
		}
	}
	return nil
}

// render makes the answer for v: the properties asked for, or the usual ones. idFirst moves the id to the front, as the
// service does in some answers.
func (s schema[T]) render(v T, names []string, idFirst bool) object {
	out := make(object, 0, len(s.props))
	for _, p := range s.props {
		if !p.wanted(names) {
			continue
		}
		f := field{p.name, p.value(v)}
		if idFirst && p.name == "id" {
			out = append(object{f}, out...)
			continue
		}
		out = append(out, f)
	}
	return out
}

func (p property[T]) wanted(names []string) bool {
	if len(names) == 0 {
		return !p.extra
	}
	for _, n := range names {
		if fold(n) == fold(p.name) {
			return true
		}
	}
	return false
}

// typed puts the type annotation before the other fields.
func typed(entity string, o object) object {
	return append(object{{"@odata.type", "#microsoft.graph." + entity}}, o...)
}

func null[T any](T) any { return nil }
func none[T any](T) any { return []string{} }

// textOrNull answers an empty text with null.
func textOrNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func textsOrEmpty(s []string) any {
	if s == nil {
		return []string{}
	}
	return s
}

// instant writes times as Graph does: whole seconds, UTC; the zero time is null.
func instant(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

const jsonType = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"

func (rq *request) write(status int, v any) error {
	rq.w.Header().Set("Odata-Version", "4.0")
	return web.WriteJSON(rq.w, status, jsonType, v)
}

func (rq *request) noContent() error {
	rq.w.WriteHeader(http.StatusNoContent)
	return nil
}

// context returns the @odata.context of an answer, such as …/$metadata#users(id)/$entity.
func (rq *request) context(fragment string) field {
	return field{"@odata.context", rq.h.BaseURL + "/" + rq.version + "/$metadata#" + fragment}
}

// entity answers one object.
func (rq *request) entity(status int, set string, o object) error {
	return rq.write(status, append(object{rq.context(set + rq.query.selectSuffix() + "/$entity")}, o...))
}

// action answers an action: a value of a simple or collection type, with the location header these answers carry.
func (rq *request) action(fragment string, value any) error {
	rq.w.Header().Set("Location", rq.h.BaseURL)
	return rq.write(http.StatusOK, object{rq.context(fragment), {"value", value}})
}

// createdAt sets the location header of an object that was made.
func (rq *request) createdAt(id, class string) {
	rq.w.Header().Set("Location", rq.h.BaseURL+"/v2/"+rq.caller.Tenant.String()+"/directoryObjects/"+id+"/Microsoft.DirectoryServices."+class)
}
