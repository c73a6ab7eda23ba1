package account

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
)

// maxAnswer bounds an answer of the token service in bytes.
const maxAnswer = 1 << 20

// answer is what the token service answers; the forms of all endpoints that are used here in one.
type answer struct {
	Access   string `json:"access_token"`
	Refresh  string `json:"refresh_token"`
	Expires  number `json:"expires_in"`
	Code     string `json:"error"`
	Text     string `json:"error_description"`
	Device   string `json:"device_code"`
	Message  string `json:"message"`
	Interval number `json:"interval"`
}

// number is an integer that some endpoints write as a string.
type number int64

func (n *number) UnmarshalJSON(b []byte) error {
	v, err := strconv.ParseInt(strings.Trim(string(b), `"`), 10, 64)
	*n = number(v)
	return err
}

// Identity is what an access token says of whom it is for. The client reads it to know what it has; services check it.
type Identity struct {
	TenantID string `json:"tid"`
	ObjectID string `json:"oid"`
	UPN      string `json:"upn"`
	Name     string `json:"unique_name"`
	AppID    string `json:"appid"`
}

// Identify reads an access token without checking it.
func Identify(token string) (Identity, error) {
	parts := strings.Split(token, ".")
	var id Identity
	if len(parts) != 3 {
		return id, errors.New("the token service answered with something that is no access token")
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(text, &id)
	}
	if err != nil {
		return id, fmt.Errorf("the access token cannot be read: %w", err)
	}
	return id, nil
}

// WithPassword signs a user in.
func (a *Accounts) WithPassword(ctx context.Context, tenant, user, password, audience string) (SignIn, Token, error) {
	form := url.Values{"grant_type": {"password"}, "client_id": {CLI}, "username": {user}, "password": {password}, "scope": {scope(audience, true)}}
	return a.person(ctx, tenant, form, audience)
}

// WithDeviceCode signs a user in who goes to the page that show is told of.
func (a *Accounts) WithDeviceCode(ctx context.Context, tenant, audience string, show func(message string)) (SignIn, Token, error) {
	start, err := a.post(ctx, a.Login+"/"+tenant+"/oauth2/v2.0/devicecode", url.Values{"client_id": {CLI}, "scope": {scope(audience, true)}})
	if err != nil {
		return SignIn{}, Token{}, err
	}
	show(start.Message)
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "client_id": {CLI}, "device_code": {start.Device}}
	wait := time.Duration(max(start.Interval, 1)) * time.Second
	for {
		select {
		case <-ctx.Done():
			return SignIn{}, Token{}, ctx.Err()
		case <-time.After(wait):
		}
		in, t, err := a.person(ctx, tenant, form, audience)
		var f *fault.Error
		switch {
		case errors.As(err, &f) && f.Code == "authorization_pending":
			continue
		case errors.As(err, &f) && f.Code == "slow_down":
			wait += 5 * time.Second
			continue
		}
		return in, t, err
	}
}

func (a *Accounts) person(ctx context.Context, tenant string, form url.Values, audience string) (SignIn, Token, error) {
	got, err := a.post(ctx, a.Login+"/"+tenant+"/oauth2/v2.0/token", form)
	if err != nil {
		return SignIn{}, Token{}, err
	}
	id, err := Identify(got.Access)
	if err != nil {
		return SignIn{}, Token{}, err
	}
	name := id.UPN
	if name == "" {
		name = id.Name
	}
	in := SignIn{Name: name, Type: User, TenantID: id.TenantID, Refresh: got.Refresh}
	t := a.token(got)
	in.keep(audience, t, a.Now())
	return in, t, nil
}

// AsApplication signs a service principal in, or the machine's managed identity. in says what it shows.
func (a *Accounts) AsApplication(ctx context.Context, in SignIn, audience string) (SignIn, Token, error) {
	t, err := a.renew(ctx, &in, audience)
	if err != nil {
		return in, t, err
	}
	id, err := Identify(t.Access)
	if err != nil {
		return in, t, err
	}
	in.Type, in.TenantID = ServicePrincipal, id.TenantID
	in.keep(audience, t, a.Now())
	return in, t, nil
}

// renew gets an access token by what a sign-in holds.
func (a *Accounts) renew(ctx context.Context, in *SignIn, audience string) (Token, error) {
	if in.Managed != nil {
		return a.managed(ctx, *in.Managed, audience)
	}
	endpoint := a.Login + "/" + in.TenantID + "/oauth2/v2.0/token"
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {in.Name}, "scope": {scope(audience, false)}}
	switch {
	case in.Refresh != "":
		form = url.Values{"grant_type": {"refresh_token"}, "client_id": {CLI}, "refresh_token": {in.Refresh}, "scope": {scope(audience, true)}}
	case in.Secret != "":
		form.Set("client_secret", in.Secret)
	case in.Certificate != "":
		signed, err := certificateAssertion(in.Certificate, in.Name, endpoint, a.Now())
		if err != nil {
			return Token{}, err
		}
		setAssertion(form, signed)
	case in.Assertion != "":
		setAssertion(form, in.Assertion)
	default:
		return Token{}, ErrSignedOut
	}
	got, err := a.post(ctx, endpoint, form)
	if err != nil {
		return Token{}, fmt.Errorf("%w\nSign in again with `keyreeve login`", err)
	}
	if got.Refresh != "" {
		in.Refresh = got.Refresh
	}
	return a.token(got), nil
}

func setAssertion(form url.Values, assertion string) {
	form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	form.Set("client_assertion", assertion)
}

// managed asks the machine's endpoint for managed identities: the one that the environment names, or that of a virtual machine.
func (a *Accounts) managed(ctx context.Context, clientID, audience string) (Token, error) {
	endpoint, header, version, value := "http://169.254.169.254/metadata/identity/oauth2/token", "Metadata", "2018-02-01", "true"
	if e := os.Getenv("IDENTITY_ENDPOINT"); e != "" {
		endpoint, header, version, value = e, "X-IDENTITY-HEADER", "2019-08-01", os.Getenv("IDENTITY_HEADER")
	}
	q := url.Values{"api-version": {version}, "resource": {audience}}
	if clientID != "" {
		q.Set("client_id", clientID)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"?"+q.Encode(), nil) //nolint:gosec // the address is what the environment of the process names
	if err != nil {
		return Token{}, fmt.Errorf("managed identity: %w", err)
	}
	req.Header.Set(header, value)
	got, err := a.send(req)
	if err != nil {
		return Token{}, fmt.Errorf("managed identity: %w", err)
	}
	return a.token(got), nil
}

func (a *Accounts) token(got answer) Token {
	return Token{Access: got.Access, Expires: a.Now().Add(time.Duration(got.Expires) * time.Second).Truncate(time.Second)}
}

// scope asks for all that a client may do with an audience.
func scope(audience string, person bool) string {
	if person {
		return audience + "/.default offline_access openid profile"
	}
	return audience + "/.default"
}

func (a *Accounts) post(ctx context.Context, endpoint string, form url.Values) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return answer{}, fmt.Errorf("sign-in: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return a.send(req)
}

func (a *Accounts) send(req *http.Request) (answer, error) {
	resp, err := a.HTTP.Do(req) //nolint:gosec // to the server this machine is connected to, or the endpoint its environment names
	if err != nil {
		return answer{}, fmt.Errorf("sign-in: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return answer{}, fmt.Errorf("sign-in: %w", err)
	}
	var got answer
	err = json.Unmarshal(text, &got)
	switch {
	case got.Code != "":
		return got, fault.New(fault.Unauthenticated, got.Code, "%s", got.Text)
	case resp.StatusCode >= http.StatusBadRequest || err != nil:
		return got, fault.New(fault.Unavailable, "", "%s answered %d %s", req.URL.Host, resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	return got, nil
}
