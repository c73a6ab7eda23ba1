package graph

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/web"
)

// body is the JSON object of a request. Each property is taken once; what is left over is looked at by rest.
type body struct {
	fields map[string]json.RawMessage
}

const maxBody = 1 << 20

// body reads the request's body.
func (rq *request) body() (*body, error) {
	raw, err := web.ReadBody(rq.w, rq.r, maxBody)
	if err != nil {
		return nil, err
	}
	return parseBody(raw)
}

func parseBody(raw []byte) (*body, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil, badRequest("An unexpected 'EndOfInput' node was found when reading from the JSON reader. A 'StartObject' node was expected.")
	}
	bad := fault.New(fault.Invalid, "BadRequest",
		"Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format.")
	dec := json.NewDecoder(bytes.NewReader(raw))
	var fields map[string]json.RawMessage
	if err := dec.Decode(&fields); err != nil || fields == nil {
		return nil, bad
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, bad
	}
	return &body{fields}, nil
}

// clone copies a body, to read it twice.
func (b *body) clone() *body { return &body{maps.Clone(b.fields)} }

func (b *body) take(name string) (json.RawMessage, bool) {
	raw, ok := b.fields[name]
	delete(b.fields, name)
	return raw, ok
}

func isNull(raw json.RawMessage) bool { return string(raw) == "null" }

func wrongType(name, want string) error {
	return fault.New(fault.Invalid, "RequestBodyRead", "The value of property '%s' cannot be converted to the expected type '%s'.", name, want).At(name)
}

// text reads a text into dst, if the property was sent; null is the empty text.
func (b *body) text(name string, dst *string) (sent bool, err error) {
	raw, ok := b.take(name)
	if !ok {
		return false, nil
	}
	var v string
	if !isNull(raw) && json.Unmarshal(raw, &v) != nil {
		return true, wrongType(name, "Edm.String")
	}
	*dst = v
	return true, nil
}

// boolean reads a truth value into dst, if the property was sent; null counts as not sent.
func (b *body) boolean(name string, dst *bool) (sent bool, err error) {
	raw, ok := b.take(name)
	if !ok || isNull(raw) {
		return false, nil
	}
	if json.Unmarshal(raw, dst) != nil {
		return true, wrongType(name, "Edm.Boolean")
	}
	return true, nil
}

// texts reads a list of texts into dst, if the property was sent; null is the empty list.
func (b *body) texts(name string, dst *[]string) (sent bool, err error) {
	raw, ok := b.take(name)
	if !ok {
		return false, nil
	}
	var v []*string
	if json.Unmarshal(raw, &v) != nil {
		return true, wrongType(name, "Collection(Edm.String)")
	}
	out := make([]string, len(v))
	for i, s := range v {
		if s == nil {
			return true, wrongType(name, "Collection(Edm.String)")
		}
		out[i] = *s
	}
	*dst = out
	return true, nil
}

// object reads an object; nil if the property was not sent, or null.
func (b *body) object(name, typ string) (*body, error) {
	raw, ok := b.take(name)
	if !ok || isNull(raw) {
		return nil, nil
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return nil, wrongType(name, typ)
	}
	return &body{fields}, nil
}

// rest refuses what was sent and not taken: what typ does not have, and values for what cannot be written. A property
// that typ has may be sent with its empty value, which changes nothing.
func (b *body) rest(typ string, has func(name string) bool) error {
	for name, raw := range b.fields {
		switch {
		case strings.HasPrefix(name, "@odata."):
			continue
		case !has(name):
			return fault.New(fault.Invalid, "RequestBodyRead",
				"The property '%s' does not exist on type '%s'. Make sure to only use property names that are defined by the type.", printable(name), typ).At(name)
		}
		switch string(raw) {
		case "null", "[]", `""`:
			continue
		}
		return badRequest("Property '%s' is read-only and cannot be set.", name).At(name)
	}
	return nil
}

func nothing(string) bool { return false }

// list reads a list of objects; sent is false if the property was not sent, and null is the empty list.
func (b *body) list(name, typ string) (items []*body, sent bool, err error) {
	raw, ok := b.take(name)
	if !ok {
		return nil, false, nil
	}
	var v []map[string]json.RawMessage
	if json.Unmarshal(raw, &v) != nil {
		return nil, true, wrongType(name, "Collection("+typ+")")
	}
	for _, fields := range v {
		if fields == nil {
			return nil, true, wrongType(name, "Collection("+typ+")")
		}
		items = append(items, &body{fields})
	}
	return items, true, nil
}

// instant reads a time into dst, if the property was sent; null is the zero time.
func (b *body) instant(name string, dst *time.Time) (sent bool, err error) {
	var text string
	if sent, err = b.text(name, &text); !sent || err != nil {
		return sent, err
	}
	*dst = time.Time{}
	if text == "" {
		return true, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.UTC().Year() < 1 || t.UTC().Year() > 9999 {
		return true, wrongType(name, "Edm.DateTimeOffset")
	}
	*dst = t.UTC()
	return true, nil
}

// guid reads an id into dst, if the property was sent; null is the zero id.
func guid[K any](b *body, name string, dst *ident.ID[K]) (sent bool, err error) {
	var text string
	if sent, err = b.text(name, &text); !sent || err != nil {
		return sent, err
	}
	*dst = ident.ID[K]{}
	if text == "" {
		return true, nil
	}
	if *dst, err = ident.Parse[ident.ID[K]](text); err != nil {
		return true, wrongType(name, "Edm.Guid")
	}
	return true, nil
}

// guidList reads a list of ids into dst, if the property was sent.
func guidList[K any](b *body, name string, dst *[]ident.ID[K]) (sent bool, err error) {
	var texts []string
	if sent, err = b.texts(name, &texts); !sent || err != nil {
		return sent, err
	}
	*dst = nil
	for _, s := range texts {
		id, err := ident.Parse[ident.ID[K]](s)
		if err != nil {
			return true, wrongType(name, "Collection(Edm.Guid)")
		}
		*dst = append(*dst, id)
	}
	return true, nil
}

// fieldOf is one property of an object, and where it is read into.
type fieldOf struct {
	name string
	dst  any
}

// fieldsInto reads properties by the type of what they are read into, and returns those that were sent.
func (b *body) fieldsInto(list []fieldOf) (sent []string, err error) {
	for _, f := range list {
		var was bool
		switch dst := f.dst.(type) {
		case *string:
			was, err = b.text(f.name, dst)
		case *bool:
			was, err = b.boolean(f.name, dst)
		case *[]string:
			was, err = b.texts(f.name, dst)
		case *time.Time:
			was, err = b.instant(f.name, dst)
		case *ident.PermissionID:
			was, err = guid(b, f.name, dst)
		case *ident.ClientID:
			was, err = guid(b, f.name, dst)
		case *ident.ObjectID:
			was, err = guid(b, f.name, dst)
		case *ident.CredentialID:
			was, err = guid(b, f.name, dst)
		case *ident.DirectoryRoleID:
			was, err = guid(b, f.name, dst)
		case *[]ident.ClientID:
			was, err = guidList(b, f.name, dst)
		case *[]ident.PermissionID:
			was, err = guidList(b, f.name, dst)
		default:
			return nil, fault.Wrap(fmt.Errorf("%T", f.dst), "graph: property %s", f.name)
		}
		if err != nil {
			return nil, err
		}
		if was {
			sent = append(sent, f.name)
		}
	}
	return sent, nil
}
