// Package spec owns the document that describes one cluster: its fields, how it is read and what makes it valid.
//
// It reads bytes and answers with a complete Spec or an error that names the field; it opens no file, starts
// nothing, and its errors never contain key material.
package spec
