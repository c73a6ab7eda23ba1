package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Parse reads one document and checks it as of now.
func Parse(b []byte, now time.Time) (*Spec, error) {
	var s Spec
	if err := decode(b, &s); err != nil {
		return nil, err
	}
	if err := s.validate(now); err != nil {
		return nil, err
	}
	return &s, nil
}

// decode reads exactly one JSON value into v and refuses fields that v does not have.
func decode(b []byte, v any) error {
	if len(b) > MaxBytes {
		return fmt.Errorf("document is larger than %d bytes", MaxBytes)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("read document: %w", plainJSONError(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("read document: there is more after the first JSON value")
	}
	return nil
}

// plainJSONError says where the document is wrong without repeating its values, which may be keys.
func plainJSONError(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("it is empty")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("it ends early")
	case errors.As(err, &syntax):
		return fmt.Errorf("not JSON at byte %d", syntax.Offset)
	case errors.As(err, &kind):
		return fmt.Errorf("field %q must not be a JSON %s", kind.Field, kind.Value)
	}
	return err
}
