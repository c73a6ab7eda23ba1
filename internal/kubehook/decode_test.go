package kubehook

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	authzv1 "k8s.io/api/authorization/v1"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	kjson "sigs.k8s.io/json"

	"github.com/keyreeve/keyreeve/internal/rbac"
)

// slowReview is what readQuestion reads, as types for Kubernetes' own decoder. What decides nothing is not looked into.
type slowReview struct {
	Kind       string `json:"kind"`
	APIVersion string `json:"apiVersion"`
	Spec       struct {
		User     string                        `json:"user"`
		UID      string                        `json:"uid"`
		Groups   []string                      `json:"groups"`
		Extra    map[string]authzv1.ExtraValue `json:"extra"`
		Resource *struct {
			Namespace   string `json:"namespace"`
			Verb        string `json:"verb"`
			Group       string `json:"group"`
			Version     string `json:"version"`
			Resource    string `json:"resource"`
			Subresource string `json:"subresource"`
			Name        string `json:"name"`
		} `json:"resourceAttributes"`
		Path *struct {
			Path string `json:"path"`
			Verb string `json:"verb"`
		} `json:"nonResourceAttributes"`
	} `json:"spec"`
}

// slowRead reads with Kubernetes' own decoder, strict about fields that are given twice.
func slowRead(body []byte, into any) bool {
	twice, err := kjson.UnmarshalStrict(body, into, kjson.DisallowDuplicateFields)
	return err == nil && len(twice) == 0
}

// slowQuestion reads a review the obvious way.
func slowQuestion(body []byte) (question, bool) {
	var in slowReview
	if !slowRead(body, &in) || in.Kind != "SubjectAccessReview" || in.APIVersion != "authorization.k8s.io/v1" {
		return question{}, false
	}
	s := &in.Spec
	if (s.Resource == nil) == (s.Path == nil) {
		return question{}, false
	}
	q := question{user: s.User, uid: s.UID, groups: s.Groups}
	for key, values := range s.Extra {
		q.extra = append(q.extra, fact{key, values})
	}
	if s.Path != nil {
		q.request = rbac.KubeRequest{NonResource: true, Verb: s.Path.Verb, Path: s.Path.Path}
		return q, true
	}
	a := s.Resource
	q.request = rbac.KubeRequest{
		Verb: a.Verb, APIGroup: a.Group, Resource: a.Resource, Subresource: a.Subresource, Name: a.Name, Namespace: a.Namespace,
	}
	return q, true
}

// checkRead reads a body both ways.
func checkRead(t tb, body []byte) {
	t.Helper()
	got, err := readQuestion(string(body))
	want, ok := slowQuestion(body)
	if (err == nil) != ok {
		t.Fatalf("read: %v; Kubernetes' decoder says %v: %q", err, ok, body)
	}
	if ok {
		if diff := cmp.Diff(viewOf(want), viewOf(got)); diff != "" {
			t.Fatalf("%q reads otherwise (-want +got):\n%s", body, diff)
		}
		return
	}
	// What is refused as given twice, Kubernetes would have read one way or the other; all else it refuses too.
	var whole authzv1.SubjectAccessReview
	if utiljson.Unmarshal(body, &whole) == nil && slowRead(body, &whole) && whole.Kind == "SubjectAccessReview" &&
		whole.APIVersion == "authorization.k8s.io/v1" && (whole.Spec.ResourceAttributes == nil) != (whole.Spec.NonResourceAttributes == nil) {
		t.Fatalf("refused, but Kubernetes' type takes it: %v: %q", err, body)
	}
}

// viewOf is a question as text, the extras in order.
func viewOf(q question) string {
	slices.SortFunc(q.extra, func(a, b fact) int { return strings.Compare(a.key, b.key) })
	return fmt.Sprintf("%q %q %q %+q %+q", q.user, q.uid, q.groups, q.extra, fmt.Sprintf("%#v", q.request))
}

// oddBodies are bodies that readers of JSON have been known to disagree about.
func oddBodies() map[string]string {
	review := func(spec string) string {
		return `{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","spec":` + spec + `}`
	}
	const attributes = `"resourceAttributes":{"verb":"get","resource":"pods"}`
	spec := func(rest string) string { return review("{" + attributes + "," + rest + "}") }
	return map[string]string{
		"plain":                 spec(`"user":"a"`),
		"user twice":            spec(`"user":"a","user":"b"`),
		"user twice, escaped":   spec(`"user":"a","us\u0065r":"b"`),
		"user in another case":  spec(`"user":"a","USER":"b"`),
		"spec twice":            strings.Replace(spec(`"user":"a"`), `{`, `{"spec":{"user":"b"},`, 1),
		"kind twice":            strings.Replace(spec(`"user":"a"`), `{`, `{"kind":"SubjectAccessReview",`, 1),
		"unknown twice":         spec(`"user":"a","x":1,"x":[2,{"x":1,"x":2}]`),
		"extra twice":           spec(`"extra":{"a":["b"],"a":["c"]}`),
		"extra in two cases":    spec(`"extra":{"a":["b"],"A":["c"]}`),
		"extra null":            spec(`"extra":null`),
		"extra of null":         spec(`"extra":{"a":null,"b":[null,"x"]}`),
		"extra of string":       spec(`"extra":{"a":"b"}`),
		"extra as list":         spec(`"extra":[]`),
		"extra, many":           spec(`"extra":{` + many(40, -1) + `}`),
		"extra, many, one late": spec(`"extra":{` + many(40, 3) + `}`),
		"extra, many, one twin": spec(`"extra":{` + many(40, 30) + `}`),
		"extra, at the bound":   spec(`"extra":{` + many(manyExtras, 15) + `}`),
		"null user":             spec(`"user":null,"uid":null,"groups":null`),
		"null groups":           spec(`"groups":[null,"a",null]`),
		"groups of numbers":     spec(`"groups":[1]`),
		"empty groups":          spec(`"groups":[]`),
		"escapes":               spec(`"user":"\"\\\/\b\f\n\r\t\u0041\u00e9\u20ac"`),
		"surrogates":            spec(`"user":"\ud83d\ude00 \ud83d \ude00 \ud83d\ud83d\ude00 \ud83dx \ud83d\u0041"`),
		"cut surrogate":         spec(`"user":"\ud83d\u00"`),
		"bad escape":            spec(`"user":"\x"`),
		"bad UTF-8":             spec("\"user\":\"a\xff\xc3\x28\xe2\x82\xed\xa0\x80\""),
		"bad UTF-8 in a key":    spec("\"us\xff\":\"a\",\"extra\":{\"\xff\":[],\"\\ufffd\":[]}"),
		"control":               spec("\"user\":\"a\tb\""),
		"zero byte":             spec("\"user\":\"a\x00b\""),
		"delete":                spec("\"user\":\"a\x7fb\""),
		"byte order mark":       "\xef\xbb\xbf" + spec(`"user":"a"`),
		"trailing brace":        spec(`"user":"a"`) + "}",
		"trailing zero":         spec(`"user":"a"`) + "\x00",
		"trailing space":        " \r\n\t" + spec(`"user":"a"`) + " \r\n\t",
		"trailing comma":        spec(`"user":"a",`),
		"list comma":            spec(`"groups":["a",]`),
		"single quotes":         spec(`'user':'a'`),
		"comment":               spec(`/**/"user":"a"`),
		"spec null":             review("null"),
		"spec list":             review("[]"),
		"spec string":           review(`"x"`),
		"null":                  "null",
		"cut":                   spec(`"user":"a"`)[:60],
		"one null":              review(`{` + attributes + `,"nonResourceAttributes":null}`),
		"both":                  review(`{` + attributes + `,"nonResourceAttributes":{}}`),
		"both, other order":     review(`{"nonResourceAttributes":{"path":"/x"},` + attributes + `}`),
		"neither":               review(`{"resourceAttributes":null}`),
		"attributes twice":      review(`{` + attributes + `,"resourceAttributes":{"namespace":"x"}}`),
		"null after":            review(`{` + attributes + `,"resourceAttributes":null}`),
		"verb a number":         review(`{"resourceAttributes":{"verb":1}}`),
		"version a number":      review(`{"resourceAttributes":{"verb":"get","version":1}}`),
		"selectors":             review(`{"resourceAttributes":{"verb":"get","fieldSelector":{"rawSelector":"a=b"},"labelSelector":{"requirements":[]}}}`),
		"numbers":               spec(`"x":[0,-0,1.5,-1e9,1E+2,0.0e-1,12345678901234567890]`),
		"leading zero":          spec(`"x":01`),
		"bare minus":            spec(`"x":-`),
		"no fraction":           spec(`"x":1.`),
		"no exponent":           spec(`"x":1e`),
		"plus":                  spec(`"x":+1`),
		"NaN":                   spec(`"x":NaN`),
		"true":                  spec(`"x":[true,false,null]`),
		"tru":                   spec(`"x":tru`),
		"nul":                   spec(`"user":nul`),
		"nully":                 spec(`"user":nully`),
		"mixed brackets":        spec(`"x":[1}`),
		"deep":                  spec(`"x":` + strings.Repeat("[", maxDepth-2) + strings.Repeat("]", maxDepth-2)),
		"too deep":              spec(`"x":` + strings.Repeat("[", maxDepth-1) + strings.Repeat("]", maxDepth-1)),
		"deep objects":          spec(`"x":` + strings.Repeat(`{"":`, maxDepth-1) + "1" + strings.Repeat("}", maxDepth-1)),
		"status":                spec(`"user":"a"`)[:1] + `"status":{"allowed":true},"metadata":{"name":"x"},` + spec(`"user":"a"`)[1:],
	}
}

// many are keys of an extra, k0 to kn, and one of them once more.
func many(n, again int) string {
	parts := make([]string, 0, n+1)
	for i := range n {
		parts = append(parts, fmt.Sprintf(`"k%d":["v"]`, i))
	}
	if again >= 0 {
		parts = append(parts, fmt.Sprintf(`"k%d":["w"]`, again))
	}
	return strings.Join(parts, ",")
}

func TestReadQuestion(t *testing.T) {
	for name, body := range oddBodies() {
		t.Run(name, func(t *testing.T) { checkRead(t, []byte(body)) })
	}
}

// TestReadRefusesTwice: what could be read in two ways is refused, wherever it stands.
func TestReadRefusesTwice(t *testing.T) {
	odd := oddBodies()
	for _, name := range []string{"user twice", "user twice, escaped", "spec twice", "kind twice", "extra twice", "extra, many, one late", "attributes twice"} {
		if _, err := readQuestion(odd[name]); err == nil {
			t.Errorf("%s is read", name)
		}
	}
	if _, err := readToken(`{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","spec":{"token":"a","token":"b"}}`); err == nil {
		t.Error("two tokens are read")
	}
}

// TestReadManyExtras holds that a body of the largest size costs no more than a second.
func TestReadManyExtras(t *testing.T) {
	checkRead(t, []byte(`{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","spec":{"resourceAttributes":{},"extra":{`+many(200_000, -1)+`}}}`))
}

// FuzzReadQuestion holds the decoder against Kubernetes' own: the same fields, or the same refusal.
func FuzzReadQuestion(f *testing.F) {
	for _, name := range slices.Sorted(maps.Keys(oddBodies())) {
		if body := oddBodies()[name]; len(body) < 4<<10 {
			f.Add([]byte(body))
		}
	}
	for _, r := range rows() {
		f.Add(sarJSON(f, r.spec()))
	}
	f.Fuzz(func(t *testing.T, body []byte) { checkRead(t, body) })
}

// FuzzReadToken does the same for token reviews.
func FuzzReadToken(f *testing.F) {
	f.Add([]byte(`{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","spec":{"token":"raw.alice","audiences":["x",null]}}`))
	f.Add([]byte(`{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","spec":{"token":null,"Token":"\u0041"},"status":{}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var in struct {
			Kind       string `json:"kind"`
			APIVersion string `json:"apiVersion"`
			Spec       struct {
				Token     string   `json:"token"`
				Audiences []string `json:"audiences"`
			} `json:"spec"`
		}
		ok := slowRead(body, &in) && in.Kind == "TokenReview" && in.APIVersion == "authentication.k8s.io/v1"
		got, err := readToken(string(body))
		if (err == nil) != ok || ok && got != in.Spec.Token {
			t.Fatalf("%q, %v; Kubernetes' decoder says %q, %v: %q", got, err, in.Spec.Token, ok, body)
		}
	})
}

// FuzzAppendString holds that what is written reads the same everywhere.
func FuzzAppendString(f *testing.F) {
	f.Add("plain")
	f.Add("\"\\\x00\x1f\x7f\xff\u2028 é 😀 \xed\xa0\x80")
	f.Fuzz(func(t *testing.T, s string) {
		raw := appendString(nil, s)
		var back string
		if err := json.Unmarshal(raw, &back); err != nil || back != string([]rune(s)) {
			t.Fatalf("%q is written %q, and read %q, %v", s, raw, back, err)
		}
		scan := &scanner{text: string(raw)}
		if again, err := scan.str(); err != nil || again != back {
			t.Fatalf("%q reads %q, %v", raw, again, err)
		}
	})
}
