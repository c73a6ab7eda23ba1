package pki

// Issued reports whether a certificate was issued by this authority.
func (a *Authority) Issued(p KeyPair) bool {
	cert, err := parseCert(p.Cert)
	return err == nil && cert.CheckSignatureFrom(a.cert) == nil
}
