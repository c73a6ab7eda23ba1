// Package pki owns the certificates of a managed cluster: its authorities, the leaf certificates its components use,
// the client certificates handed out to people, and what rotation replaces.
//
// It makes and checks keys and certificates; it neither stores nor serves them, and takes the time as an input.
package pki
