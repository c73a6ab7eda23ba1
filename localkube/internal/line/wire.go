package line

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apiserver/pkg/authorization/authorizer"
)

const (
	hello = "krline/1"

	askResource = 1
	askPath     = 2

	largestQuestion = 4 << 20
	largestAnswer   = 1 << 20
)

// Verdicts on the wire.
const (
	notKnown = iota
	allow
	deny
	noOpinion
)

var errAnswer = errors.New("an answer that cannot be read")

// appendQuestion appends the frame of a question, with id 0.
func appendQuestion(b []byte, a authorizer.Attributes) ([]byte, error) {
	from := len(b)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	if u := a.GetUser(); u != nil {
		b = appendStrings(appendString(appendString(b, u.GetName()), u.GetUID()), u.GetGroups())
		extra := u.GetExtra()
		b = binary.AppendUvarint(b, uint64(len(extra)))
		for key, values := range extra {
			b = appendStrings(appendString(b, key), values)
		}
	} else {
		b = append(b, 0, 0, 0, 0)
	}
	if a.IsResourceRequest() {
		b = append(b, askResource)
		for _, s := range [...]string{a.GetVerb(), a.GetAPIGroup(), a.GetResource(), a.GetSubresource(), a.GetName(), a.GetNamespace()} {
			b = appendString(b, s)
		}
	} else {
		b = appendString(appendString(append(b, askPath), a.GetVerb()), a.GetPath())
	}
	n := len(b) - from - 4
	if n > largestQuestion {
		return b[:from], fmt.Errorf("a question of %d bytes is longer than the authorizer takes", n)
	}
	binary.BigEndian.PutUint32(b[from:], uint32(n))
	return b, nil
}

// setID names a question that appendQuestion made.
func setID(question []byte, id uint32) { binary.BigEndian.PutUint32(question[4:], id) }

// appendString appends a string. Bad UTF-8 is replaced, as it would be in JSON.
func appendString(b []byte, s string) []byte {
	s = strings.ToValidUTF8(s, "\ufffd")
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendStrings(b []byte, list []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = appendString(b, s)
	}
	return b
}

// answer is what came back.
type answer struct {
	verdict byte
	reason  string
	err     error // the answer did not come
}

// readAnswer reads what follows a frame's length.
func readAnswer(frame []byte) (id uint32, a answer, err error) {
	if len(frame) < 6 {
		return 0, a, errAnswer
	}
	id = binary.BigEndian.Uint32(frame)
	a.verdict = frame[4]
	n, used := binary.Uvarint(frame[5:])
	text := frame[5+max(used, 0):]
	if used <= 0 || n != uint64(len(text)) || a.verdict > noOpinion {
		return 0, answer{}, errAnswer
	}
	a.reason = string(text)
	return id, a, nil
}
