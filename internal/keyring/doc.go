// Package keyring owns the token signing keys: their life from announced to retired, and the key set that is published.
//
// Private keys leave it only sealed. It takes the time as an input and knows neither storage nor HTTP.
package keyring
