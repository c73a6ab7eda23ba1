// Package graph owns the Graph-shaped REST face of the directory (Microsoft Graph v1.0 and beta): users, groups,
// applications, service principals, their credentials, owners and memberships, consent, app roles, directory roles, what
// was deleted, and batches of all that.
//
//	request ──► who asks (Auth) ──► path, query, body parsed ──► rule of package directory ──► one transaction ──► answer
//
// An entity type is a schema: its properties, in the order the service writes them, with what $filter may do with each. A
// list is a source: rows of the store in their order, narrowed by an index where the query says how, and then matched one
// by one. Bodies, headers and errors have the form the real service gives them, down to the order of keys and explicit
// nulls. It decides nothing about tokens, and it never answers a query it does not understand.
package graph
