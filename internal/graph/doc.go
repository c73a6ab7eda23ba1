// Package graph owns the Graph-shaped REST face of the directory (Microsoft Graph v1.0 and beta): users, groups, their
// members, service principals to read, and what az asks about memberships.
//
//	request ──► who asks (Auth) ──► path, query, body parsed ──► rule of package directory ──► one transaction ──► answer
//
// Bodies, headers and errors have the form the real service gives them, down to the order of keys and explicit nulls. It
// decides nothing about tokens, and it never answers a filter it does not understand.
package graph
