// Package proof owns what shows who somebody is: passwords and client secrets.
//
// It makes and checks proofs; secrets are kept only as hashes (argon2id for what people choose, SHA-256 for what is
// random), and compared in constant time. It knows no storage and no protocol.
package proof
