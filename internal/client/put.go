package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// Put makes path what in says and reads the answer into out.
func (c *Client) Put(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	return c.do(ctx, http.MethodPut, path, body, out)
}
