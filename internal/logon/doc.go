// Package logon owns what signing in means, whichever face it comes through: which tenant is meant, whom a name stands
// for, whether the password is right, how failures are counted, and the session that comes of it.
//
//	name, password ── Password ──► Verified ── Begin (in the caller's transaction) ──► session.Session
//
// It speaks of people and sessions only: it knows no HTTP, no pages and no tokens. Its refusals are oauth errors, since
// those carry the numbers (AADSTS…) that pages and token answers both show.
package logon
