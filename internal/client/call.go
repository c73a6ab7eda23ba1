package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
)

// maxPages bounds how many pages of a list are read.
const maxPages = 10_000

// Answer is what the service answered.
type Answer struct {
	Status int
	Header http.Header
	// Text is the body as it came; Body the same decoded, nil if it is empty.
	Text []byte
	Body any
}

// Call makes a request of any kind. where is a path with its query below the client's origin, or an address there that
// the service gave. What the service refuses is a fault with its code and text.
func (c *Client) Call(ctx context.Context, method, where string, body any) (Answer, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return Answer{}, fmt.Errorf("client: %w", err)
		}
	}
	return c.Raw(ctx, method, where, text, nil)
}

// Raw is Call with a body that is sent as it is, and headers in addition.
func (c *Client) Raw(ctx context.Context, method, where string, body []byte, header http.Header) (Answer, error) {
	address := where
	if strings.HasPrefix(where, "/") {
		address = c.BaseURL + where
	}
	// The token is for this service alone, wherever an answer points.
	if !strings.HasPrefix(address, c.BaseURL+"/") {
		return Answer{}, fmt.Errorf("client: %s is not below %s, and gets no token for it", address, c.BaseURL)
	}
	token, err := c.Token(ctx)
	if err != nil {
		return Answer{}, err
	}
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return Answer{}, fmt.Errorf("client: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	maps.Copy(req.Header, header)
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return Answer{}, fmt.Errorf("client: %w", err)
	}
	got, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return Answer{}, fmt.Errorf("client: %w", err)
	}
	a := Answer{Status: resp.StatusCode, Header: resp.Header, Text: got}
	if resp.StatusCode >= http.StatusBadRequest {
		return a, refusal(resp.StatusCode, got)
	}
	if len(bytes.TrimSpace(got)) > 0 && strings.Contains(resp.Header.Get("Content-Type"), "json") {
		if err := json.Unmarshal(got, &a.Body); err != nil {
			return a, fmt.Errorf("client: the answer of %s is not JSON: %w", address, err)
		}
	}
	return a, nil
}

// All reads a list with all its pages.
func (c *Client) All(ctx context.Context, where string) ([]any, error) {
	all := []any{}
	for range maxPages {
		a, err := c.Call(ctx, http.MethodGet, where, nil)
		if err != nil {
			return nil, err
		}
		body, _ := a.Body.(map[string]any)
		page, ok := body["value"].([]any)
		if !ok {
			return nil, fmt.Errorf("client: the answer of %s is no list", where)
		}
		all = append(all, page...)
		next, _ := body["nextLink"].(string)
		if next == "" {
			next, _ = body["@odata.nextLink"].(string)
		}
		if next == "" {
			return all, nil
		}
		where = next
	}
	return nil, errors.New("client: the list has no end")
}

// Await follows a long-running operation to its end. waiting is told of each look at it.
func (c *Client) Await(ctx context.Context, a Answer, waiting func(status string)) error {
	operation := a.Header.Get("Azure-AsyncOperation")
	where := operation
	if where == "" {
		where = a.Header.Get("Location")
	}
	for where != "" {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(retryAfter(a.Header)):
		}
		next, err := c.Call(ctx, http.MethodGet, where, nil)
		if err != nil {
			return err
		}
		a = next
		if operation == "" {
			if a.Status != http.StatusAccepted {
				return nil
			}
			waiting("InProgress")
			continue
		}
		body, _ := a.Body.(map[string]any)
		status, _ := body["status"].(string)
		switch {
		case strings.EqualFold(status, "Succeeded"):
			return nil
		case strings.EqualFold(status, "Failed"), strings.EqualFold(status, "Canceled"), status == "":
			return failure(body, status)
		}
		waiting(status)
	}
	return nil
}

// failure is the error of an operation that ended badly.
func failure(body map[string]any, status string) error {
	e, _ := body["error"].(map[string]any)
	code, _ := e["code"].(string)
	message, _ := e["message"].(string)
	if message == "" {
		message = "the operation ended with status " + strconv.Quote(status)
	}
	return fault.New(fault.Conflict, code, "%s", message)
}

// retryAfter is when the service wants to be asked again.
func retryAfter(h http.Header) time.Duration {
	if n, err := strconv.Atoi(h.Get("Retry-After")); err == nil && n >= 0 && n <= 60 {
		return time.Duration(n) * time.Second
	}
	return time.Second
}
