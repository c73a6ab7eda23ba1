package managedcluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/fault"
)

// object is a JSON object that keeps the order of its members and the text of their values: an ARM body of which only
// some members are interpreted.
type object struct {
	keys   []string
	values map[string]json.RawMessage
}

func newObject() *object { return &object{values: map[string]json.RawMessage{}} }

// errNotObject says that a JSON value is not an object.
var errNotObject = errors.New("not a JSON object")

// parseObject reads one JSON object. Members that differ from a known name only in letter case get the known spelling,
// as the real service takes them; two members of one name are refused.
func parseObject(raw []byte, known []string) (*object, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	tok, err := dec.Token()
	if err != nil {
		return nil, err
	}
	if tok != json.Delim('{') {
		return nil, errNotObject
	}
	o := newObject()
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return nil, err
		}
		key, _ := tok.(string) // a member's name is a string
		for _, k := range known {
			if strings.EqualFold(k, key) {
				key = k
			}
		}
		if o.has(key) {
			return nil, fmt.Errorf("member %q is there twice", cut(key))
		}
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			return nil, err
		}
		o.putRaw(key, v)
	}
	if _, err := dec.Token(); err != nil { // the closing brace
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one value")
	}
	return o, nil
}

func cut(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

func (o *object) has(key string) bool { _, ok := o.values[key]; return ok }

// isNull reports whether a member is missing or null: ARM bodies do not tell these apart.
func (o *object) isNull(key string) bool {
	v, ok := o.values[key]
	return !ok || string(v) == "null"
}

func (o *object) putRaw(key string, v json.RawMessage) {
	if !o.has(key) {
		o.keys = append(o.keys, key)
	}
	o.values[key] = v
}

// put sets a member to a value of our own, which always has a JSON form.
func (o *object) put(key string, v any) { o.putRaw(key, encode(v)) }

func (o *object) remove(keys ...string) {
	for _, key := range keys {
		if o.has(key) {
			delete(o.values, key)
			o.keys = slices.DeleteFunc(o.keys, func(k string) bool { return k == key })
		}
	}
}

// defaultTo sets a member that is missing or null.
func (o *object) defaultTo(key string, v any) {
	if o.isNull(key) {
		o.put(key, v)
	}
}

// order puts the named members first, in the order of the names; the others keep theirs.
func (o *object) order(names []string) {
	rest := slices.Clone(o.keys)
	o.keys = o.keys[:0:0]
	for _, n := range names {
		if i := slices.Index(rest, n); i >= 0 {
			o.keys = append(o.keys, n)
			rest = slices.Delete(rest, i, i+1)
		}
	}
	o.keys = append(o.keys, rest...)
}

// MarshalJSON writes the members in their order.
func (o *object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, k := range o.keys {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(encode(k))
		b.WriteByte(':')
		b.Write(o.values[k])
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// encode writes a value of ours; HTML is not escaped, as the real service does not.
func encode(v any) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("managedcluster: %T has no JSON form: %v", v, err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// invalidParameter is the cluster service's answer to a value it does not take.
func invalidParameter(field, format string, args ...any) error {
	return fault.New(fault.Invalid, "InvalidParameter", "The value of parameter %s is invalid. Error details: %s", field, fmt.Sprintf(format, args...)).At(field)
}

// reader reads typed members of an object and keeps the first thing wrong with one. path names the object in texts.
type reader struct {
	o    *object
	path string
	err  error
}

func (r *reader) field(key string) string {
	if r.path == "" {
		return key
	}
	return r.path + "." + key
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// read decodes a member into v, a pointer, and reports whether it was there. kind names the type wanted.
func (r *reader) read(key, kind string, v any) bool {
	if r.o.isNull(key) {
		return false
	}
	if err := json.Unmarshal(r.o.values[key], v); err != nil {
		r.fail(invalidParameter(r.field(key), "It must be %s.", kind))
		return false
	}
	return true
}

func (r *reader) text(key string) (s string, given bool) {
	given = r.read(key, "a string", &s)
	return s, given
}

func (r *reader) flag(key string) *bool {
	var b bool
	if !r.read(key, "true or false", &b) {
		return nil
	}
	return &b
}

func (r *reader) number(key string) (n int64, given bool) {
	given = r.read(key, "a whole number", &n)
	return n, given
}

func (r *reader) texts(key string) (list []string, given bool) {
	given = r.read(key, "a list of strings", &list)
	return list, given
}

// object reads a member that is an object; nil if it is missing or null.
func (r *reader) object(key string, known []string) *object {
	if r.o.isNull(key) {
		return nil
	}
	o, err := parseObject(r.o.values[key], known)
	if err != nil {
		if errors.Is(err, errNotObject) {
			r.fail(invalidParameter(r.field(key), "It must be an object."))
		} else {
			r.fail(invalidParameter(r.field(key), "%s.", err))
		}
		return nil
	}
	return o
}

// pools reads agentPoolProfiles, a list of objects.
func (r *reader) pools() (list []*object, given bool) {
	const key = "agentPoolProfiles"
	var raw []json.RawMessage
	if !r.read(key, "a list of objects", &raw) {
		return nil, false
	}
	for i, v := range raw {
		o, err := parseObject(v, poolKeys())
		if err != nil {
			r.fail(invalidParameter(fmt.Sprintf("%s[%d]", r.field(key), i), "It must be an object with every member once."))
			return nil, false
		}
		list = append(list, o)
	}
	return list, true
}
