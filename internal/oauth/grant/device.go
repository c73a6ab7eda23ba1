package grant

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/keyreeve/keyreeve/internal/logon"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/session"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/web"
)

// deviceStart serves the device authorization endpoint (RFC 8628 3.1).
func (h Handler) deviceStart(w http.ResponseWriter, r *http.Request, v1 bool) error {
	req, err := h.parse(w, r, v1)
	if err != nil {
		return err
	}
	if !h.starts.Allow(req.origin.RemoteAddr, req.now) {
		return oauth.TooMany()
	}
	if err := h.identify(r.Context(), req); err != nil {
		return err
	}
	web.EventOf(r).Add("client", req.client.ID.String())
	if err := h.resolve(req, true); err != nil {
		return err
	}
	if _, err := req.target.Named(req.scopes); err != nil {
		return err
	}
	code := proof.NewToken("krd_")
	d := session.DeviceCode{
		Hash: proof.HashToken(code), Client: req.client.ID, TenantHint: req.tenant.ID, Scope: req.scopes.Raw, V1: v1,
		State: session.DevicePending, CreatedAt: req.now.UTC(), ExpiresAt: req.now.UTC().Add(deviceLife),
		RemoteAddr: req.origin.RemoteAddr, ResourceName: req.target.Name,
	}
	if err := h.keepDevice(r.Context(), &d); err != nil {
		return err
	}
	return h.answerDevice(w, r, req, d, code)
}

// keepDevice stores a device sign-in under a user code that is free.
func (h Handler) keepDevice(ctx context.Context, d *session.DeviceCode) error {
	const tries = 5
	var err error
	for range tries {
		d.UserCode = proof.NewUserCode()
		_, err = h.DB.Update(ctx, func(tx *store.Tx) error { return tx.PutDeviceCode(*d) })
		if !store.IsExists(err) {
			return err
		}
	}
	return errors.Join(errors.New("no free user code"), err)
}

func (h Handler) answerDevice(w http.ResponseWriter, r *http.Request, req *request, d session.DeviceCode, code string) error {
	web.NoStore(w)
	w.Header().Set("x-ms-request-id", web.EventOf(r).RequestID.String())
	page := h.BaseURL + "/device"
	shown := proof.ShowUserCode(d.UserCode)
	message := fmt.Sprintf("To sign in, use a web browser to open the page %s and enter the code %s to authenticate.", page, shown)
	life, interval := int(deviceLife/time.Second), max(1, int(h.DeviceInterval/time.Second))
	if req.v1 {
		return web.WriteJSON(w, http.StatusOK, "application/json; charset=utf-8", oauth.DeviceV1{
			UserCode: shown, DeviceCode: code, VerificationURL: page, ExpiresIn: strconv.Itoa(life), Interval: strconv.Itoa(interval),
			Message: message,
		})
	}
	return web.WriteJSON(w, http.StatusOK, "application/json; charset=utf-8", oauth.Device{
		UserCode: shown, DeviceCode: code, VerificationURI: page, VerificationURIComplete: page + "?user_code=" + shown,
		ExpiresIn: life, Interval: interval, Message: message,
	})
}

// prepareDevice finds the device sign-in that a poll is about and says how far it is (RFC 8628 3.5). Only one that a
// person approved goes on.
func (h Handler) prepareDevice(ctx context.Context, req *request) error {
	text := req.form[oauth.ParamDeviceCode]
	if code := req.form[oauth.ParamCode]; text == "" {
		text = code // ADAL's name for it
	} else if code != "" && code != text {
		return oauth.Malformed("code and device_code differ")
	}
	if text == "" {
		return oauth.MissingParameter(oauth.ParamDeviceCode)
	}
	err := h.DB.View(ctx, func(tx *store.Tx) (err error) {
		req.device, err = tx.DeviceCode(proof.HashToken(text))
		return err
	})
	if store.IsNotFound(err) {
		return oauth.BadDeviceCode()
	}
	if err != nil {
		return err
	}
	req.asked = req.device.Scope
	return h.deviceState(req)
}

// deviceState holds a poll against the device sign-in it names.
func (h Handler) deviceState(req *request) error {
	d := req.device
	switch {
	case d.Client != req.client.ID, d.TenantHint != req.tenant.ID, d.V1 != req.v1:
		return oauth.BadDeviceCode()
	case !req.now.Before(d.ExpiresAt):
		return oauth.DeviceExpired(req.v1)
	case d.State == session.DeviceDeclined:
		return oauth.DeviceDeclined()
	case d.State == session.DeviceApproved:
		return nil
	case !h.polls.Allow(d.Hash, req.now):
		return oauth.DeviceTooFast()
	}
	return oauth.DevicePending()
}

// redeemDevice uses an approved device sign-in up. It is read again here, so that of two polls at the same time one
// gets the tokens.
func (h Handler) redeemDevice(tx *store.Tx, req *request) (subject, error) {
	d, err := tx.DeviceCode(req.device.Hash)
	if store.IsNotFound(err) {
		return subject{}, oauth.BadDeviceCode()
	}
	if err != nil {
		return subject{}, err
	}
	req.device = d
	if err := h.deviceState(req); err != nil {
		return subject{}, err
	}
	if err := tx.DeleteDeviceCode(d.Hash); err != nil {
		return subject{}, err
	}
	s, user, err := logon.Resume(tx, d.Session, req.now)
	if err != nil {
		return subject{}, err
	}
	if s.User != d.User || s.Client != d.Client {
		return subject{}, oauth.BadDeviceCode()
	}
	return subject{user: user, session: s}, nil
}
