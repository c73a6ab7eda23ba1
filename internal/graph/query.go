package graph

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/keyreeve/keyreeve/internal/fault"
)

// Page sizes: the default and the largest (Microsoft Graph, users and groups).
const (
	defaultPage = 100
	largestPage = 999
)

// options are the OData query options of a request.
type options struct {
	filter *filter
	// filterText, top and so on as they were sent, for the link to the next page.
	filterText string
	search     *search
	searchText string
	selected   []string
	selectText string
	expand     []expansion
	expandText string
	top        int
	topText    string
	count      bool
	orderBy    order
	orderText  string
	// eventual is set by the header ConsistencyLevel: eventual, without which Graph refuses the dearer queries.
	eventual bool
	// skip is the opaque place of the next page: what cursor returned.
	skip []string
}

// order is a $orderby of one property.
type order struct {
	property   string // in lower case; empty for the usual order, by display name
	descending bool
}

// parseOrder reads a $orderby: one property, with asc or desc.
func parseOrder(text string) (order, error) {
	by := strings.Fields(fold(text))
	bad := unsupportedQuery("Sorting is supported for one property at a time, ascending or descending.")
	if len(by) == 0 || len(by) > 2 {
		return order{}, bad
	}
	o := order{property: by[0]}
	if len(by) == 2 {
		if by[1] != "asc" && by[1] != "desc" {
			return order{}, bad
		}
		o.descending = by[1] == "desc"
	}
	if strings.ContainsAny(o.property, ",()'\"/") {
		return order{}, bad
	}
	return o, nil
}

// String writes the order as it stands in a $orderby.
func (o order) String() string {
	if o.descending {
		return o.property + " desc"
	}
	return o.property
}

// parseSelect reads a list of properties; * and what is empty count for nothing, and each name counts once.
func parseSelect(text string) []string {
	var out []string
	seen := map[string]bool{}
	for n := range strings.SplitSeq(text, ",") {
		if n = strings.TrimSpace(n); n != "" && n != "*" && !seen[fold(n)] {
			seen[fold(n)] = true
			out = append(out, n)
		}
	}
	return out
}

func unsupportedQuery(format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, "Request_UnsupportedQuery", format, args...)
}

// parseOptions reads a raw query. Names are taken with and without $, in any case; a plus sign is a space.
func parseOptions(raw string) (options, error) {
	q := options{top: defaultPage}
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		k, v, _ := strings.Cut(pair, "=")
		name, err1 := url.QueryUnescape(k)
		value, err2 := url.QueryUnescape(v)
		if err1 != nil || err2 != nil {
			return options{}, fault.New(fault.Invalid, "BadRequest", "The query string of the request is not valid.")
		}
		name = strings.TrimPrefix(fold(name), "$")
		if isOption(name) && seen[name] {
			return options{}, fault.New(fault.Invalid, "BadRequest", "Query option '$%s' was specified more than once, but it must be specified at most once.", name)
		}
		seen[name] = true
		if err := q.set(name, value); err != nil {
			return options{}, err
		}
	}
	return q, nil
}

func isOption(name string) bool {
	switch name {
	case "filter", "select", "top", "count", "skiptoken", "orderby", "format", "search", "expand", "skip", "apply", "compute", "deltatoken":
		return true
	}
	return false
}

func (q *options) set(name, value string) error {
	var err error
	switch name {
	case "filter":
		q.filterText = value
		q.filter, err = parseFilter(value)
	case "select":
		q.selectText = value
		q.selected = parseSelect(value)
	case "search":
		q.searchText = value
		q.search, err = parseSearch(value)
	case "expand":
		q.expandText = value
		q.expand, err = parseExpand(value)
	case "top":
		q.topText = value
		if q.top, err = strconv.Atoi(value); err != nil || q.top < 1 || q.top > largestPage {
			return unsupportedQuery("Invalid page size specified: '%s'. Must be between 1 and %d inclusive.", printable(value), largestPage)
		}
	case "count":
		switch fold(value) {
		case "true":
			q.count = true
		case "false":
		default:
			return fault.New(fault.Invalid, "BadRequest", "Invalid value '%s' for $count query option found. Valid values are 'true' and 'false'.", printable(value))
		}
	case "skiptoken":
		q.skip, err = parseCursor(value)
	case "orderby":
		q.orderText = value
		q.orderBy, err = parseOrder(value)
	case "skip", "apply", "compute", "deltatoken":
		return unsupportedQuery("Query option '$%s' is not supported.", name)
	}
	return err
}

// checkAdvanced refuses what Graph answers only for a client that sent ConsistencyLevel: eventual, and $count=true with
// a filter. The answer is never out of date here; a client that works here works there.
func (q options) checkAdvanced() error {
	if q.search != nil && !q.eventual {
		return unsupportedQuery("Request with $search query parameter only works through MSGraph with a special request header: 'ConsistencyLevel: eventual'")
	}
	if op, ok := q.filter.advanced(); ok && (!q.eventual || !q.count) {
		return unsupportedQuery("Unsupported property filter clause operator '%s'. Operator '%s' is not supported because the required parameters might be missing. "+
			"Try adding $count=true query parameter and ConsistencyLevel:eventual header.", op, op)
	}
	return nil
}

// selectSuffix is what a $select adds to the context: (id,displayName).
func (q options) selectSuffix() string {
	if len(q.selected) == 0 {
		return ""
	}
	return "(" + strings.Join(q.selected, ",") + ")"
}

// cursor makes an opaque place of some texts.
func cursor(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(strconv.Itoa(len(p)) + ":" + p)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(b.String()))
}

// parseCursor reads what cursor made.
func parseCursor(s string) ([]string, error) {
	bad := badRequest("The specified page token value is not valid.")
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return nil, bad
	}
	var out []string
	for rest := string(raw); rest != ""; {
		n, tail, ok := strings.Cut(rest, ":")
		size, err := strconv.Atoi(n)
		if !ok || err != nil || size < 0 || size > len(tail) {
			return nil, bad
		}
		out = append(out, tail[:size])
		rest = tail[size:]
	}
	if len(out) == 0 || cursor(out...) != s { // one spelling for each place
		return nil, bad
	}
	return out, nil
}

// nextLink is the absolute address of the page after this one.
func (rq *request) nextLink(token string) string {
	var link strings.Builder
	link.WriteString(rq.h.BaseURL + "/" + rq.version + rq.path + "?")
	for _, p := range []struct{ name, value string }{
		{"$filter", rq.query.filterText},
		{"$select", rq.query.selectText},
		{"$top", rq.query.topText},
		{"$orderby", rq.query.orderText},
		{"$search", rq.query.searchText},
		{"$expand", rq.query.expandText},
	} {
		if p.value != "" {
			link.WriteString(p.name + "=" + strings.ReplaceAll(url.QueryEscape(p.value), "+", "%20") + "&")
		}
	}
	if rq.query.count {
		link.WriteString("$count=true&")
	}
	return link.String() + "$skiptoken=" + token
}

// collection is a page of a list.
type collection struct {
	set   string // users, directoryObjects
	items []object
	// next is the token of the page after this one; empty on the last.
	next string
	// count is the number of all items, if it was asked for.
	count int64
}

// collection answers a page of a list.
func (rq *request) collection(c collection) error {
	out := object{rq.context(c.set + rq.query.selectSuffix())}
	if rq.query.count {
		out = append(out, field{"@odata.count", c.count})
	}
	if c.next != "" {
		out = append(out, field{"@odata.nextLink", rq.nextLink(c.next)})
	}
	if c.items == nil {
		c.items = []object{}
	}
	return rq.write(http.StatusOK, append(out, field{"value", c.items}))
}

// number answers a $count segment.
func (rq *request) number(n int64) error {
	rq.w.Header().Set("Odata-Version", "4.0")
	rq.w.Header().Set("Content-Type", "text/plain")
	rq.w.WriteHeader(http.StatusOK)
	_, _ = rq.w.Write([]byte(strconv.FormatInt(n, 10))) // the client is gone: nobody to tell
	return nil
}
