package gatefeed

import (
	"time"

	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
)

// Protocol is the version of the stream's form.
const Protocol = 1

// HeartbeatEvery is how often a stream says where it is when nothing else is said.
const HeartbeatEvery = time.Second

// Frame is one line of a gate's stream; exactly one of its members is set. A stream begins with Hello. Then follow changes,
// or a snapshot when the gate cannot go on from where it was:
//
//	{"hello":…} {"snapshot":{"revision":7}} {"events":[…]} … {"complete":true} {"change":{"revision":9,…}} {"heartbeat":{"revision":12}} …
//
// A heartbeat at a later revision than the last change says that nothing up to there concerns the cluster. Revoked is the last
// word to a gate that is to be told no more: it stops answering.
type Frame struct {
	Hello    *Hello       `json:"hello,omitempty"`
	Snapshot *Mark        `json:"snapshot,omitempty"`
	Events   []feed.Event `json:"events,omitempty"`
	// Complete ends a snapshot.
	Complete  bool         `json:"complete,omitempty"`
	Change    *feed.Change `json:"change,omitempty"`
	Heartbeat *Mark        `json:"heartbeat,omitempty"`
	// Revoked says why.
	Revoked string `json:"revoked,omitempty"`
}

// Hello says who is speaking.
type Hello struct {
	Protocol int             `json:"protocol"`
	Cluster  ident.ClusterID `json:"cluster"`
	// Issuer is the token service's origin, whose tokens count.
	Issuer string `json:"issuer"`
}

// Mark is a place in the feed.
type Mark struct {
	Revision feed.Revision `json:"revision"`
	At       time.Time     `json:"at"`
}

// Report is what a gate says of itself.
type Report struct {
	Revision feed.Revision `json:"revision"`
	// Name is that of the gate's host; Version that of its program.
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Enrollment is what a gate sends to become one of its cluster's, and sends again to renew its certificate.
type Enrollment struct {
	// CSR is a certificate request in PEM form (RFC 2986); only its key counts.
	CSR  string `json:"csr"`
	Name string `json:"name"`
}

// Enrolled is the answer.
type Enrolled struct {
	Cluster     ident.ClusterID `json:"cluster"`
	ResourceID  string          `json:"resourceId"`
	Issuer      string          `json:"issuer"`
	Certificate string          `json:"certificate"` // PEM
	NotAfter    time.Time       `json:"notAfter"`
}

// Chunk is how many events of a snapshot go into one frame.
const Chunk = 500
