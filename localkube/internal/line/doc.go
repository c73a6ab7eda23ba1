// Package line owns the line to the authorizer: a few connections to a Unix socket, over which questions go out and answers
// come back in any order. It is the webhook without TLS, HTTP and JSON, and answers as the webhook would:
//
//   - system: users are not asked about (no opinion);
//   - what cannot be answered within the timeout is a denial with an error, and nothing is remembered;
//   - no opinion falls through to Node and RBAC.
//
// The socket stands for this cluster towards whoever listens. Both sides check that the other is a process of the same user.
//
// # Wire
//
// Numbers are big-endian, "uvarint" is encoding/binary's, a string is a uvarint of its bytes and those, in UTF-8.
//
//	hello     8 bytes "krline/1", first from here, then back; anything else ends the connection
//	frame     u32 length of what follows, at most 4 MiB; then u32 id, chosen here; then
//	question  string user, uid; list of strings groups; list of (string key, list of strings) extra; u8 what:
//	            1  string verb, API group, resource, subresource, name, namespace
//	            2  string verb, path
//	answer    u8 verdict: 1 allow, 2 deny, 3 no opinion, 0 not known; string reason, or what is wrong
//
// A list is a uvarint of its length and the elements. Nothing follows the last field.
package line
