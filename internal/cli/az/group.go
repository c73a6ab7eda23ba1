package az

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	jmespath "github.com/jmespath-community/go-jmespath"

	"github.com/keyreeve/keyreeve/internal/cli/az/shape"
	"github.com/keyreeve/keyreeve/internal/fault"
)

const (
	resourcesAPI = "?api-version=2024-11-01"
	groupPath    = "/subscriptions/{sub}/resourcegroups/{name}" + resourcesAPI
)

// groupName is a resource group's own name, which az writes in three ways.
func groupName() flag {
	return flag{name: "name", short: "n", help: "name of the resource group", must: true, also: []string{"resource-group", "g"}}
}

// waitFlags say what to wait for, and how long.
func waitFlags() []flag {
	return []flag{
		{name: "created", kind: toggle, help: "until it is there and ready"},
		{name: "updated", kind: toggle, help: "until it is ready again"},
		{name: "deleted", kind: toggle, help: "until it is gone"},
		{name: "exists", kind: toggle, help: "until it is there"},
		{name: "custom", help: "until this JMESPath expression is true of it"},
		{name: "interval", help: "seconds between two looks (default 30)"},
		{name: "timeout", help: "seconds after which to give up (default 3600)"},
	}
}

func groupCommands() []command {
	tags := flag{name: "tags", kind: words, help: "tags, NAME=VALUE with spaces between"}
	return []command{
		{
			path: "group create", short: "Make a resource group, or bring it up to date", kind: "ResourceGroup",
			example: "keyreeve group create --name dev --location centralus",
			flags: []flag{
				groupName(),
				{name: "location", short: "l", help: "location", must: true},
				tags,
				{name: "managed-by", help: "id of the resource that manages the group"},
			},
			run: func(x *call) (any, error) {
				body := map[string]any{"location": x.word("location")}
				if x.given("tags") {
					body["tags"] = tagMap(x.words("tags"))
				}
				if x.given("managed-by") {
					body["managedBy"] = x.word("managed-by")
				}
				return x.do(http.MethodPut, groupPath, body)
			},
		},
		{path: "group show", short: "Show a resource group", kind: "ResourceGroup", flags: []flag{groupName()}, get: groupPath},
		{
			path: "group list", short: "List the resource groups", kind: "ResourceGroup",
			flags: []flag{{name: "tag", help: "only those with a tag, NAME or NAME=VALUE"}},
			table: "[].{Name:name, Location:location, Status:properties.provisioningState}",
			run: func(x *call) (any, error) {
				query := ""
				if tag := x.word("tag"); tag != "" {
					name, value, hasValue := strings.Cut(tag, "=")
					query = "tagname eq " + quoted(name)
					if hasValue {
						query += " and tagvalue eq " + quoted(value)
					}
					query = strings.Replace(filter(query), "?", "&", 1)
				}
				return x.list("/subscriptions/{sub}/resourcegroups" + resourcesAPI + query)
			},
		},
		{
			path: "group exists", short: "Say whether there is a resource group", flags: []flag{groupName()},
			run: func(x *call) (any, error) {
				_, err := x.do(http.MethodHead, groupPath, nil)
				if fault.Is(err, fault.NotFound) {
					return false, nil
				}
				return true, err
			},
		},
		{
			path: "group delete", short: "Delete a resource group with all that is in it", flags: []flag{groupName()}, long: true,
			confirm: "Are you sure you want to perform this operation?",
			run:     func(x *call) (any, error) { return x.operate(http.MethodDelete, groupPath, nil, "") },
		},
		{
			path: "group wait", short: "Wait until something is so of a resource group", flags: append([]flag{groupName()}, waitFlags()...),
			run: func(x *call) (any, error) { return nil, x.wait(groupPath, "ResourceGroup") },
		},
	}
}

// tagMap reads tags as they are written after --tags.
func tagMap(list []string) map[string]any {
	tags := map[string]any{}
	for _, t := range list {
		if t == "" {
			continue // "" takes the tags away
		}
		name, value, _ := strings.Cut(t, "=")
		tags[name] = value
	}
	return tags
}

// seconds reads a flag of whole seconds.
func (x *call) seconds(name string, otherwise int) (time.Duration, error) {
	if !x.given(name) {
		return time.Duration(otherwise) * time.Second, nil
	}
	n, err := strconv.Atoi(x.word(name))
	if err != nil || n < 1 {
		return 0, fmt.Errorf("--%s %q is not a number of seconds", name, x.word(name))
	}
	return time.Duration(n) * time.Second, nil
}

// wait looks at something until what the flags say is so.
func (x *call) wait(path, kind string) error {
	interval, err := x.seconds("interval", 30)
	if err != nil {
		return err
	}
	limit, err := x.seconds("timeout", 3600)
	if err != nil {
		return err
	}
	if !x.on("created") && !x.on("updated") && !x.on("deleted") && !x.on("exists") && !x.given("custom") {
		return fmt.Errorf("say what to wait for: --created, --updated, --deleted, --exists or --custom JMESPATH")
	}
	for end := x.d.Now().Add(limit); ; {
		done, err := x.reached(path, kind)
		if err != nil || done {
			return err
		}
		if x.d.Now().Add(interval).After(end) {
			return fmt.Errorf("it was not so within %s", limit)
		}
		select {
		case <-x.Done():
			return x.Err()
		case <-time.After(interval):
		}
	}
}

func (x *call) reached(path, kind string) (bool, error) {
	v, err := x.read(path)
	if fault.Is(err, fault.NotFound) {
		return x.on("deleted"), nil
	}
	if err != nil || x.on("deleted") {
		return false, err
	}
	if x.on("exists") {
		return true, nil
	}
	v = shape.Of(kind, v)
	if x.given("custom") {
		got, err := jmespath.Search(x.word("custom"), v)
		if err != nil {
			return false, fmt.Errorf("--custom: %w", err)
		}
		return got != nil && got != false, nil
	}
	state, err := jmespath.Search("provisioningState || properties.provisioningState", v)
	if err != nil {
		return false, fmt.Errorf("wait: %w", err)
	}
	if state == "Failed" {
		return false, fmt.Errorf("the operation failed")
	}
	return state == "Succeeded", nil
}
