package az

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/keyreeve/keyreeve/internal/client"
)

func restCommand() command {
	return command{
		path: "rest", short: "Make a request of Resource Manager or Graph", run: rest,
		example: "keyreeve rest --method get --url /subscriptions?api-version=2022-12-01\n" +
			"keyreeve rest --method get --url \"$KEYREEVE_GRAPH_URL/v1.0/me\"",
		flags: []flag{
			{name: "url", short: "u", help: "address, or a path of Resource Manager; {subscriptionId} stands for the subscription", must: true, also: []string{"uri"}},
			{name: "method", short: "m", help: "get, put, post, patch, delete, head or options (default get)"},
			{name: "body", short: "b", help: "body, or @ and a file with it"},
			{name: "headers", kind: words, help: "headers, NAME=VALUE with spaces between, or a JSON object"},
			{name: "url-parameters", kind: words, also: []string{"uri-parameters"}, help: "query, NAME=VALUE with spaces between"},
			{name: "resource", help: "taken for az's sake: the token is the service's own"},
			{name: "output-file", help: "file for the answer"},
		},
	}
}

func rest(x *call) (any, error) {
	s, err := x.subscription()
	if err != nil {
		return nil, err
	}
	where := strings.ReplaceAll(x.word("url"), "{subscriptionId}", s.ID)
	c, where, err := x.serviceAt(where)
	if err != nil {
		return nil, err
	}
	if more, err := pairs(x.words("url-parameters")); err != nil {
		return nil, err
	} else if len(more) > 0 {
		q := url.Values{}
		for name, value := range more {
			q.Set(name, value)
		}
		mark := "?"
		if strings.Contains(where, "?") {
			mark = "&"
		}
		where += mark + q.Encode()
	}
	given, err := pairs(x.words("headers"))
	if err != nil {
		return nil, err
	}
	header := http.Header{}
	for name, value := range given {
		header.Set(name, value)
	}
	body := []byte(x.word("body"))
	if file, ok := strings.CutPrefix(x.word("body"), "@"); ok {
		if body, err = os.ReadFile(file); err != nil {
			return nil, fmt.Errorf("--body: %w", err)
		}
	}
	method := "GET"
	if x.given("method") {
		method = strings.ToUpper(x.word("method"))
	}
	a, err := c.Raw(x, method, where, body, header)
	if err != nil {
		return nil, err
	}
	if file := x.word("output-file"); file != "" {
		return nil, os.WriteFile(file, a.Text, 0o600)
	}
	return a.Body, nil
}

// serviceAt finds the service that an address is at.
func (x *call) serviceAt(where string) (*client.Client, string, error) {
	h, err := x.open()
	if err != nil {
		return nil, "", err
	}
	switch {
	case strings.HasPrefix(where, "/"), strings.HasPrefix(where, h.server.ARM+"/"):
		c, err := x.arm()
		return c, where, err
	case strings.HasPrefix(where, h.server.Graph+"/"):
		c, err := x.graph()
		return c, where, err
	}
	return nil, "", fmt.Errorf("--url %q is neither at %s nor at %s, and gets no token", where, h.server.ARM, h.server.Graph)
}

// pairs reads NAME=VALUE values, or one JSON object.
func pairs(list []string) (map[string]string, error) {
	out := map[string]string{}
	for _, p := range list {
		if strings.HasPrefix(p, "{") {
			if err := json.Unmarshal([]byte(p), &out); err != nil {
				return nil, fmt.Errorf("%q is no JSON object of strings: %w", p, err)
			}
			continue
		}
		name, value, ok := strings.Cut(p, "=")
		if !ok {
			return nil, errors.New(p + " is not NAME=VALUE")
		}
		out[name] = value
	}
	return out, nil
}
