// Package gatehouse owns the face that gates of attached clusters connect to.
//
//	POST /gate/v1/enroll   one-time token, certificate request ──► client certificate
//	POST /gate/v1/renew    client certificate, request         ──► the next one
//	GET  /gate/v1/stream   ?after=REVISION                     ──► snapshot or changes, then changes as they are made
//	POST /gate/v1/report   the revision that the gate decides by
//
// A gate is known by a client certificate for "gate:" and its cluster's id that is on record and not revoked; that is
// looked at again every second of a stream. It is told what package gatefeed lets through and nothing else.
package gatehouse
