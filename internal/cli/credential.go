package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/cli/az"
	"github.com/keyreeve/keyreeve/internal/cli/quick"
)

// credential finds out as whom a command asks that az does not have: as $KEYREEVE_TOKEN says, as whoever signed in with
// `keyreeve login`, or as whoever az is signed in as.
type credential struct {
	// arm is the origin that the token will be shown to; a sign-in to another server is of no use there.
	arm string
	now func() time.Time
}

// get returns a token for Resource Manager, and the subscription that goes with it.
func (c credential) get(ctx context.Context) (token, subscription string, err error) {
	if t := os.Getenv("KEYREEVE_TOKEN"); t != "" {
		return t, os.Getenv("KEYREEVE_SUBSCRIPTION"), nil
	}
	token, subscription, err = az.Credential(ctx, az.Deps{Now: c.now, Workstation: quick.Workstation}, c.arm)
	if !errors.Is(err, az.ErrSignedOut) {
		return token, subscription, err
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "az", "account", "get-access-token", "--output", "json")
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		return "", "", fmt.Errorf("nobody is signed in: use `keyreeve login`, or sign in with az (%w: %s)", err, strings.TrimSpace(stderr.String()))
	}
	var out struct {
		AccessToken  string `json:"accessToken"`
		Subscription string `json:"subscription"`
	}
	if err := json.Unmarshal(text, &out); err != nil || out.AccessToken == "" {
		return "", "", errors.New("az account get-access-token gave no token: sign in with az login, or with keyreeve login")
	}
	return out.AccessToken, out.Subscription, nil
}
