// Package client owns calls to the Resource Manager API as any client may make them, with the caller's own token.
//
// It knows what goes over the wire and nothing of what is behind it.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/keyreeve/keyreeve/internal/fault"
)

// APIVersion is the api-version that the client asks with.
const APIVersion = "2024-05-01"

// maxAnswer bounds an answer in bytes.
const maxAnswer = 64 << 20

// Client calls one Resource Manager.
type Client struct {
	// BaseURL is its origin, such as https://localhost:8444.
	BaseURL string
	// Token returns an access token for it.
	Token func(context.Context) (string, error)
	HTTP  *http.Client
}

// Get reads path into out.
func (c *Client) Get(ctx context.Context, path string, out any) error {
	return c.do(ctx, http.MethodGet, path, nil, out)
}

// Post sends in to path and reads the answer into out.
func (c *Client) Post(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	return c.do(ctx, http.MethodPost, path, body, out)
}

// do makes a request. What the service refuses is a fault with its code and text.
func (c *Client) do(ctx context.Context, method, path string, body []byte, out any) error {
	token, err := c.Token(ctx)
	if err != nil {
		return err
	}
	u, err := url.JoinPath(c.BaseURL, strings.TrimPrefix(path, "/"))
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, u+"?api-version="+APIVersion, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return refusal(resp.StatusCode, text)
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("client: the answer of %s is not what was expected: %w", u, err)
	}
	return nil
}

// refusal reads an error answer.
func refusal(status int, text []byte) error {
	type object struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	var body struct {
		object        // the cluster service's own errors are not wrapped
		Error  object `json:"error"`
	}
	err := json.Unmarshal(text, &body)
	if body.Error.Code == "" {
		body.Error = body.object
	}
	if err != nil || body.Error.Code == "" {
		return fault.New(kind(status), "", "the service answered %d %s", status, http.StatusText(status))
	}
	return fault.New(kind(status), body.Error.Code, "%s", body.Error.Message)
}

func kind(status int) fault.Kind {
	switch status {
	case http.StatusBadRequest:
		return fault.Invalid
	case http.StatusUnauthorized:
		return fault.Unauthenticated
	case http.StatusForbidden:
		return fault.Forbidden
	case http.StatusNotFound:
		return fault.NotFound
	case http.StatusConflict:
		return fault.Conflict
	case http.StatusTooManyRequests:
		return fault.TooMany
	case http.StatusServiceUnavailable:
		return fault.Unavailable
	}
	return fault.Internal
}

// Clusters returns the resource ids of the clusters that the caller sees.
func (c *Client) Clusters(ctx context.Context) ([]string, error) {
	type list struct {
		Value []struct {
			ID string `json:"id"`
		} `json:"value"`
	}
	var subs list
	if err := c.Get(ctx, "/subscriptions", &subs); err != nil {
		return nil, err
	}
	var out []string
	for _, s := range subs.Value {
		var clusters list
		err := c.Get(ctx, s.ID+"/providers/Microsoft.ContainerService/managedClusters", &clusters)
		if fault.Is(err, fault.Forbidden) {
			continue // sees something of the subscription, but not its clusters
		}
		if err != nil {
			return nil, err
		}
		for _, x := range clusters.Value {
			out = append(out, x.ID)
		}
	}
	return out, nil
}
