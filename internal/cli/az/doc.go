// Package az owns the commands that the keyreeve command shares with az: the same names, the same flags, the same JSON.
//
// Each is an entry in a table: its flags, the requests it makes with the caller's own token, and the form of its result.
package az
