package directory

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
)

// Length bounds of properties, in characters (Microsoft Graph, resources user and group).
const (
	maxDisplayName  = 256
	maxNickname     = 64
	maxDescription  = 1024
	maxText         = 128
	maxMail         = 256
	maxUPN          = 113
	maxUPNLocal     = 64
	maxUPNDomain    = 48
	minPassword     = 8
	maxPassword     = 256
	maxPhones       = 1
	passwordClasses = 3
)

func badRequest(target, format string, args ...any) error {
	return fault.New(fault.Invalid, "Request_BadRequest", format, args...).At(target)
}

func invalid(property, resource string) error {
	return badRequest(property, "Invalid value specified for property '%s' of resource '%s'.", property, resource)
}

func missing(property, resource string) error {
	return badRequest(property, "A value is required for property '%s' of resource '%s'.", property, resource)
}

// CheckUser refuses a user that is against the rules. domains are the verified domains of its tenant.
func CheckUser(u User, domains []string) error {
	const resource = "User"
	for _, f := range []struct {
		name, value string
		max         int
		required    bool
	}{
		{"displayName", u.DisplayName, maxDisplayName, true},
		{"userPrincipalName", u.UserPrincipalName, maxUPN, true},
		{"givenName", u.GivenName, maxNickname, false},
		{"surname", u.Surname, maxNickname, false},
		{"jobTitle", u.JobTitle, maxText, false},
		{"department", u.Department, maxNickname, false},
		{"mobilePhone", u.MobilePhone, maxNickname, false},
		{"officeLocation", u.OfficeLocation, maxText, false},
		{"preferredLanguage", u.PreferredLanguage, maxNickname, false},
		{"onPremisesImmutableId", u.ImmutableID, maxText, false},
		{"mail", u.Mail, maxMail, false},
	} {
		if err := checkText(f.name, resource, f.value, f.max, f.required); err != nil {
			return err
		}
	}
	if err := checkNickname(u.MailNickname, resource); err != nil {
		return err
	}
	if err := CheckUPN(u.UserPrincipalName, domains); err != nil {
		return err
	}
	if u.Mail != "" && !looksLikeMail(u.Mail) {
		return invalid("mail", resource)
	}
	if u.UsageLocation != "" && !isCountry(u.UsageLocation) {
		return invalid("usageLocation", resource)
	}
	if len(u.BusinessPhones) > maxPhones {
		return invalid("businessPhones", resource)
	}
	for _, p := range u.BusinessPhones {
		if checkText("businessPhones", resource, p, maxNickname, true) != nil {
			return invalid("businessPhones", resource)
		}
	}
	if u.UserType != "Member" && u.UserType != "Guest" {
		return invalid("userType", resource)
	}
	return nil
}

// CheckUPN refuses a user principal name that is malformed or whose domain is not one of the verified domains.
func CheckUPN(upn string, domains []string) error {
	bad := badRequest("userPrincipalName", "Property userPrincipalName is invalid.")
	local, domain, ok := strings.Cut(upn, "@")
	if !ok || local == "" || domain == "" || strings.Contains(domain, "@") {
		return bad
	}
	if len(upn) > maxUPN || len(local) > maxUPNLocal || len(domain) > maxUPNDomain || strings.HasSuffix(local, ".") {
		return bad
	}
	for i := range len(local) {
		if c := local[i]; !isAlnum(c) && !strings.ContainsRune("'.-_!#^~", rune(c)) {
			return bad
		}
	}
	verified := slices.ContainsFunc(domains, func(d string) bool { return Fold(d) == Fold(domain) })
	if !verified {
		return badRequest("userPrincipalName", "The domain portion of the userPrincipalName property is invalid. "+
			"You must use one of the verified domain names in your organization.")
	}
	return nil
}

// CheckGroup refuses a group that is against the rules.
func CheckGroup(g Group) error {
	const resource = "Group"
	if err := checkText("displayName", resource, g.DisplayName, maxDisplayName, true); err != nil {
		return err
	}
	if err := checkNickname(g.MailNickname, resource); err != nil {
		return err
	}
	if utf8.RuneCountInString(g.Description) > maxDescription || !utf8.ValidString(g.Description) || hasControl(g.Description, "\t\r\n") {
		return invalid("description", resource)
	}
	if !g.SecurityEnabled {
		return badRequest("securityEnabled", "The service supports security groups only: property securityEnabled of resource 'Group' must be true.")
	}
	return nil
}

// CheckPassword refuses a password against the policy of cloud accounts: 8 to 256 characters of printable ASCII, with
// three of lower case, upper case, digits and symbols (Microsoft Entra password policy). The text never goes into the error.
func CheckPassword(password string) error {
	bad := badRequest("password", "The specified password does not comply with password complexity requirements. Please provide a different password.")
	if len(password) < minPassword || len(password) > maxPassword {
		return bad
	}
	var lower, upper, digit, symbol int
	for i := range len(password) {
		switch c := password[i]; {
		case c < ' ' || c > '~':
			return bad
		case 'a' <= c && c <= 'z':
			lower = 1
		case 'A' <= c && c <= 'Z':
			upper = 1
		case '0' <= c && c <= '9':
			digit = 1
		default:
			symbol = 1
		}
	}
	if lower+upper+digit+symbol < passwordClasses {
		return bad
	}
	return nil
}

// CheckMember refuses a member that a group cannot have: itself, and in a group that may hold roles another group.
// Cycles through other groups are let through, as the real directory does; who follows membership must bear them.
func CheckMember(g Group, member ident.ObjectID, memberIsGroup bool) error {
	if g.ID == member {
		return badRequest("members", "A group cannot be added as a member of itself.")
	}
	if g.IsAssignableToRole && memberIsGroup {
		return badRequest("members", "A group that is assignable to roles cannot have groups as members.")
	}
	return nil
}

func checkText(property, resource, value string, limit int, required bool) error {
	if required && strings.TrimSpace(value) == "" {
		return missing(property, resource)
	}
	if !utf8.ValidString(value) || utf8.RuneCountInString(value) > limit || hasControl(value, "") {
		return invalid(property, resource)
	}
	return nil
}

// checkNickname checks a mail alias: ASCII without space, control characters and @()\[]";:<>, (Microsoft Graph, mailNickname).
func checkNickname(value, resource string) error {
	if value == "" {
		return missing("mailNickname", resource)
	}
	if len(value) > maxNickname {
		return invalid("mailNickname", resource)
	}
	for i := range len(value) {
		if c := value[i]; c <= ' ' || c > '~' || strings.IndexByte("@()\\[]\";:<>,", c) >= 0 {
			return invalid("mailNickname", resource)
		}
	}
	return nil
}

func hasControl(s, except string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune(except, r) })
}

func looksLikeMail(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && local != "" && domain != "" && !strings.Contains(domain, "@") && !strings.ContainsFunc(s, unicode.IsSpace)
}

func isCountry(s string) bool {
	return len(s) == 2 && 'A' <= s[0] && s[0] <= 'Z' && 'A' <= s[1] && s[1] <= 'Z'
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
