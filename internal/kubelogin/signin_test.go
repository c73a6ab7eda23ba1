package kubelogin

import (
	"encoding/base64"
	"encoding/json"
	"testing"
)

func FuzzReadClaims(f *testing.F) {
	part := base64.RawURLEncoding.EncodeToString
	inner := "e30." + part([]byte(`{"oid":"o","tid":"t","upn":"alice@contoso.test","exp":1,"groups":["g"],"appid":"a"}`)) + ".s"
	f.Add(inner)
	f.Add("e30." + part([]byte(`{"at":"`+inner+`"}`)) + ".s")
	f.Add("e30." + part([]byte(`{"oid":"o","azp":"a","exp":99999999999999999}`)) + ".s")
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		c := ReadClaims(token)
		if c.Person && (c.Name == "" || c.Name == c.ObjectID && c.ObjectID == "") || !c.Person && c.Name != c.ObjectID {
			t.Fatalf("%+v", c)
		}
		// What comes of a token does not depend on an envelope around it.
		envelope, err := json.Marshal(map[string]string{"at": token})
		if err != nil {
			t.Fatal(err)
		}
		if got := ReadClaims("e30." + part(envelope) + ".s"); c.ObjectID != "" && got.ObjectID != c.ObjectID {
			t.Fatalf("%+v, and in an envelope %+v", c, got)
		}
	})
}
