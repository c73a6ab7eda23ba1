package directory

import (
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
)

// TestFold pins how names compare where languages disagree.
func TestFold(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		same bool
		why  string
	}{
		{"Alice", "aLICE", true, "ASCII has no case"},
		{"É", "é", true, "nor have other letters"},
		{"Σ", "σ", true, ""},
		{"ẞ", "ß", true, "capital sharp s has a simple lower case"},
		{"\u212b", "å", true, "the Angstrom sign is a letter like any other"},
		{"ǅ", "ǆ", true, "title case"},
		{"\u212a", "k", false, "the Kelvin sign is not ASCII"},
		{"İ", "i", false, "nor is the dotted capital I"},
		{"ı", "I", false, "nor the dotless small one"},
		{"ſ", "s", false, "nor the long s"},
		{"ß", "ss", false, "nothing is expanded"},
		{"ς", "σ", false, "final sigma is a letter of its own"},
		{"e\u0301", "é", false, "nothing is composed"},
		{"ﬁ", "fi", false, "nothing is taken apart"},
	} {
		if got := Fold(tc.a) == Fold(tc.b); got != tc.same {
			t.Errorf("%q and %q: same %t, want %t (%s)", tc.a, tc.b, got, tc.same, tc.why)
		}
	}
}

func TestFoldEveryRune(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		s := string(r)
		f := Fold(s)
		if Fold(f) != f {
			t.Fatalf("%U folds to %q, which folds to %q", r, f, Fold(f))
		}
		if (r < 0x80) != (f[0] < 0x80) {
			t.Fatalf("%U folds across ASCII to %q", r, f)
		}
	}
}

func TestFoldProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.String().Draw(t, "a"), rapid.String().Draw(t, "b")
		if Fold(a+b) != Fold(a)+Fold(b) {
			t.Fatalf("%q and %q fold differently together", a, b) // prefix searches need this
		}
	})
}

func TestCheckUPN(t *testing.T) {
	domains := []string{"contoso.com", "contoso.onmicrosoft.com"}
	for upn, text := range map[string]string{
		"alice@contoso.com":                      "",
		"Alice@CONTOSO.com":                      "",
		"o'brien.x-y_z!#^~@contoso.com":          "",
		"a#EXT#@contoso.onmicrosoft.com":         "",
		strings.Repeat("a", 64) + "@contoso.com": "",
		strings.Repeat("a", 65) + "@contoso.com": "Property userPrincipalName is invalid.",
		"":                                       "Property userPrincipalName is invalid.",
		"alice":                                  "Property userPrincipalName is invalid.",
		"@contoso.com":                           "Property userPrincipalName is invalid.",
		"alice@":                                 "Property userPrincipalName is invalid.",
		"a@b@contoso.com":                        "Property userPrincipalName is invalid.",
		"alice.@contoso.com":                     "Property userPrincipalName is invalid.",
		"al ice@contoso.com":                     "Property userPrincipalName is invalid.",
		"al/ice@contoso.com":                     "Property userPrincipalName is invalid.",
		"\u212aate@contoso.com":                  "Property userPrincipalName is invalid.",
		"alice\x00@contoso.com":                  "Property userPrincipalName is invalid.",
		"a@" + strings.Repeat("x", 49):           "Property userPrincipalName is invalid.",
		"alice@sub.contoso.com":                  "The domain portion of the userPrincipalName property is invalid.",
		"alice@fabrikam.com":                     "The domain portion of the userPrincipalName property is invalid.",
		"alice@contoso.com.":                     "The domain portion of the userPrincipalName property is invalid.",
	} {
		check(t, upn, CheckUPN(upn, domains), text)
	}
}

func check(t *testing.T, what string, err error, text string) {
	t.Helper()
	switch {
	case text == "" && err != nil:
		t.Errorf("%q refused: %v", what, err)
	case text != "" && err == nil:
		t.Errorf("%q let through, want %s", what, text)
	case text != "" && (!strings.HasPrefix(fault.As(err).Public, text) || !fault.Is(err, fault.Invalid)):
		t.Errorf("%q: %v, want %s", what, err, text)
	}
}

func TestCheckPassword(t *testing.T) {
	const refused = "The specified password does not comply with password complexity requirements. Please provide a different password."
	for password, text := range map[string]string{
		"Passw0rd":                "",
		"passw0rd!":               "",
		"PASSW0RD!":               "",
		"pass WORD":               "",
		strings.Repeat("aA1", 85): "",
		strings.Repeat("aA1", 86): refused,
		"":                        refused,
		"Pass0rd":                 refused,
		"password":                refused,
		"passw0rd":                refused,
		"PASSWORD!":               refused,
		"Passw0rd\n":              refused,
		"Pässw0rd":                refused,
	} {
		check(t, password, CheckPassword(password), text)
		if err := CheckPassword(password); err != nil && password != "" && strings.Contains(err.Error(), password) && password != "password" {
			t.Errorf("the error holds the password: %v", err)
		}
	}
}

func TestCheckUser(t *testing.T) {
	good := User{UserPrincipalName: "a@contoso.com", DisplayName: "A", MailNickname: "a", UserType: "Member"}
	for _, tc := range []struct {
		name   string
		change func(*User)
		text   string
	}{
		{"as it is", func(*User) {}, ""},
		{"Unicode name", func(u *User) { u.DisplayName = "Ἀλίκη 👩‍💻" }, ""},
		{"longest name", func(u *User) { u.DisplayName = strings.Repeat("é", 256) }, ""},
		{"longer name", func(u *User) { u.DisplayName = strings.Repeat("é", 257) }, "Invalid value specified for property 'displayName' of resource 'User'."},
		{"blank name", func(u *User) { u.DisplayName = " \u00a0" }, "A value is required for property 'displayName' of resource 'User'."},
		{"name with a line feed", func(u *User) { u.DisplayName = "a\nb" }, "Invalid value specified for property 'displayName' of resource 'User'."},
		{"name that is no UTF-8", func(u *User) { u.DisplayName = "a\xff" }, "Invalid value specified for property 'displayName' of resource 'User'."},
		{"no nickname", func(u *User) { u.MailNickname = "" }, "A value is required for property 'mailNickname' of resource 'User'."},
		{"nickname with @", func(u *User) { u.MailNickname = "a@b" }, "Invalid value specified for property 'mailNickname' of resource 'User'."},
		{"mail", func(u *User) { u.Mail = "a@x.org" }, ""},
		{"bad mail", func(u *User) { u.Mail = "a b@x.org" }, "Invalid value specified for property 'mail' of resource 'User'."},
		{"country", func(u *User) { u.UsageLocation = "CH" }, ""},
		{"bad country", func(u *User) { u.UsageLocation = "Switzerland" }, "Invalid value specified for property 'usageLocation' of resource 'User'."},
		{"guest", func(u *User) { u.UserType = "Guest" }, ""},
		{"no type", func(u *User) { u.UserType = "" }, "Invalid value specified for property 'userType' of resource 'User'."},
		{"phone", func(u *User) { u.BusinessPhones = []string{"+41 1"} }, ""},
		{"two phones", func(u *User) { u.BusinessPhones = []string{"1", "2"} }, "Invalid value specified for property 'businessPhones' of resource 'User'."},
		{"empty phone", func(u *User) { u.BusinessPhones = []string{""} }, "Invalid value specified for property 'businessPhones' of resource 'User'."},
	} {
		u := good
		tc.change(&u)
		check(t, tc.name, CheckUser(u, []string{"contoso.com"}), tc.text)
	}
}

func TestCheckGroupAndMember(t *testing.T) {
	good := Group{ID: ident.New[ident.ObjectID](), DisplayName: "G", MailNickname: "g", SecurityEnabled: true}
	for _, tc := range []struct {
		name   string
		change func(*Group)
		text   string
	}{
		{"as it is", func(*Group) {}, ""},
		{"lines in the description", func(g *Group) { g.Description = "a\nb" }, ""},
		{"long description", func(g *Group) { g.Description = strings.Repeat("x", 1025) }, "Invalid value specified for property 'description' of resource 'Group'."},
		{"no name", func(g *Group) { g.DisplayName = "" }, "A value is required for property 'displayName' of resource 'Group'."},
		{"long nickname", func(g *Group) { g.MailNickname = strings.Repeat("x", 65) }, "Invalid value specified for property 'mailNickname' of resource 'Group'."},
		{"no security group", func(g *Group) { g.SecurityEnabled = false }, "The service supports security groups only"},
	} {
		g := good
		tc.change(&g)
		check(t, tc.name, CheckGroup(g), tc.text)
	}
	other := ident.New[ident.ObjectID]()
	role := good
	role.IsAssignableToRole = true
	check(t, "a member", CheckMember(good, other, false), "")
	check(t, "a group", CheckMember(good, other, true), "")
	check(t, "itself", CheckMember(good, good.ID, true), "A group cannot be added as a member of itself.")
	check(t, "a member of a role group", CheckMember(role, other, false), "")
	check(t, "a group in a role group", CheckMember(role, other, true), "A group that is assignable to roles cannot have groups as members.")
}
