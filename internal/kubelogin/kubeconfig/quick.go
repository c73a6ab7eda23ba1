package kubeconfig

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// Reading and writing without the YAML library, for the plain block style that kubectl and kubelogin write: a thousand contexts
// in a tenth of the time. Whatever is not plainly plain goes the long way, and tests hold the two ways together.

// reserved are words that YAML reads as something else than text.
func reserved(s string) bool {
	if len(s) > len("undefined") {
		return false
	}
	switch strings.ToLower(s) {
	case "true", "false", "yes", "no", "on", "off", "y", "n", "null", "nil", "inf", "nan", "infinity", "undefined":
		return true
	}
	return false
}

func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func digit(c byte) bool  { return c >= '0' && c <= '9' }

// plain reports whether text stands for itself, unquoted, in reading and in writing.
func plain(s string) bool {
	if s == "" || reserved(s) || s[len(s)-1] == ':' {
		return false
	}
	switch {
	case letter(s[0]) || s[0] == '/':
	case strings.HasPrefix(s, "--") && len(s) > 2 && letter(s[2]):
	case len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-': // a GUID is no number and no date
		return !strings.ContainsFunc(s, func(r rune) bool { return r > 'f' || !letter(byte(r)) && !digit(byte(r)) && r != '-' })
	default:
		return false
	}
	for i := range len(s) {
		if !plainByte(s[i]) {
			return false
		}
	}
	return true
}

// plainByte reports whether a byte is a letter, a digit or one of /_.@:=+-: one bit of two words for each, since a certificate has thousands.
func plainByte(c byte) bool {
	const low, high = 0x27ffe80000000000, 0x07fffffe87ffffff
	switch {
	case c < 64:
		return low>>c&1 == 1
	case c < 128:
		return uint64(high)>>(c-64)&1 == 1
	}
	return false
}

type quickLine struct {
	indent int
	text   string
}

// quickReader turns plain YAML into JSON; ok goes false at the first thing that is not plain.
type quickReader struct {
	lines []quickLine
	at    int
	out   []byte
	ok    bool
}

// quickJSON returns a plain YAML text as JSON, or nothing.
func quickJSON(data []byte) ([]byte, bool) {
	r := &quickReader{ok: true, out: make([]byte, 0, len(data)+len(data)/4), lines: make([]quickLine, 0, bytes.Count(data, []byte("\n"))+1)}
	for text := range strings.Lines(string(data)) {
		text = strings.TrimSuffix(text, "\n")
		body := strings.TrimLeft(text, " ")
		r.lines = append(r.lines, quickLine{len(text) - len(body), body})
	}
	if len(r.lines) == 0 || data[len(data)-1] != '\n' || r.lines[0].indent != 0 || strings.HasPrefix(r.lines[0].text, "-") {
		return nil, false
	}
	r.block(0, 0)
	return r.out, r.ok && r.at == len(r.lines)
}

func (r *quickReader) fail() { r.ok = false }

func (r *quickReader) block(indent, depth int) {
	if depth > 20 {
		r.fail()
		return
	}
	if l := r.lines[r.at].text; l == "-" || strings.HasPrefix(l, "- ") {
		r.sequence(indent, depth)
		return
	}
	r.mapping(indent, depth)
}

func (r *quickReader) sequence(indent, depth int) {
	r.out = append(r.out, '[')
	for n := 0; r.ok && r.at < len(r.lines); n++ {
		l := &r.lines[r.at]
		if l.indent != indent || !strings.HasPrefix(l.text, "- ") {
			break
		}
		if n > 0 {
			r.out = append(r.out, ',')
		}
		rest := l.text[2:]
		if key, _, ok := keyOf(rest); ok && key != "" {
			*l = quickLine{indent + 2, rest}
			r.block(indent+2, depth+1)
			continue
		}
		r.at++
		r.scalar(rest)
	}
	r.out = append(r.out, ']')
}

// keyOf splits a line of a mapping.
func keyOf(s string) (key, value string, ok bool) {
	key, value, ok = strings.Cut(s, ":")
	if !ok || key == "" || !letter(key[0]) || reserved(key) || value != "" && value[0] != ' ' {
		return "", "", false
	}
	for i := range len(key) {
		if c := key[i]; !letter(c) && !digit(c) && c != '-' && c != '_' {
			return "", "", false
		}
	}
	return key, strings.TrimPrefix(value, " "), true
}

func (r *quickReader) mapping(indent, depth int) {
	r.out = append(r.out, '{')
	var seen []string
	for r.ok && r.at < len(r.lines) {
		l := r.lines[r.at]
		if l.indent != indent || strings.HasPrefix(l.text, "- ") {
			break
		}
		key, value, ok := keyOf(l.text)
		if !ok || slices.Contains(seen, key) {
			r.fail()
			return
		}
		if len(seen) > 0 {
			r.out = append(r.out, ',')
		}
		seen = append(seen, key)
		r.out = append(append(append(r.out, '"'), key...), '"', ':')
		r.at++
		switch {
		case value == "|" || value == "|2":
			r.literal(indent, value == "|2")
		case value != "":
			r.scalar(value)
		case r.at < len(r.lines) && (r.lines[r.at].indent > indent || r.lines[r.at].indent == indent && strings.HasPrefix(r.lines[r.at].text, "- ")):
			r.block(r.lines[r.at].indent, depth+1)
		default:
			r.fail()
			return
		}
	}
	if len(seen) == 0 {
		r.fail()
	}
	r.out = append(r.out, '}')
}

// literal reads a block of lines as they are, with one line break at its end.
func (r *quickReader) literal(indent int, two bool) {
	var text strings.Builder
	at, blank := indent+2, 0
	for ; r.at < len(r.lines); r.at++ {
		l := r.lines[r.at]
		if l.text == "" && l.indent == 0 {
			blank++
			continue
		}
		if l.text == "" { // blanks alone: whether they count is a question for the library
			r.fail()
			return
		}
		if l.indent < at {
			break
		}
		if l.indent > at && !two && text.Len() == 0 { // the first line decides how far in the block is
			r.fail()
			return
		}
		for ; blank > 0; blank-- {
			text.WriteByte('\n')
		}
		text.WriteString(strings.Repeat(" ", l.indent-at))
		text.WriteString(l.text)
		text.WriteByte('\n')
	}
	if text.Len() == 0 || blank > 0 || r.at == len(r.lines) && !strings.HasSuffix(text.String(), "\n") || !printable(text.String()) {
		r.fail()
		return
	}
	r.text(text.String())
}

func printable(s string) bool {
	for i := range len(s) {
		if c := s[i]; c > '~' || c < ' ' && c != '\n' {
			return false
		}
	}
	return true
}

func (r *quickReader) scalar(s string) {
	switch {
	case s == "null" || s == "true" || s == "false" || s == "{}" || s == "[]":
		r.out = append(r.out, s...)
	case plain(s):
		r.text(s)
	case len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] && !strings.ContainsAny(s[1:len(s)-1], "\"'\\") && printable(s):
		r.text(s[1 : len(s)-1])
	default:
		r.fail()
	}
}

func (r *quickReader) text(s string) {
	if strings.ContainsAny(s, "\"\\\n<>&") || !printable(s) {
		data, err := json.Marshal(s)
		if err != nil {
			r.fail()
			return
		}
		r.out = append(r.out, data...)
		return
	}
	r.out = append(append(append(r.out, '"'), s...), '"')
}

// quickWriter writes a kubeconfig; ok goes false at the first thing that takes more thought.
type quickWriter struct {
	out []byte
	ok  bool
	odd map[string]string // strings that are not plain, as the library writes them
}

func (w *quickWriter) key(prefix, key string) {
	w.out = append(append(append(w.out, prefix...), key...), ':')
}

// str writes a value after its key, at a depth.
func (w *quickWriter) str(s string, indent int) {
	w.out = append(w.out, ' ')
	if plain(s) {
		w.out = append(append(w.out, s...), '\n')
		return
	}
	text, ok := w.odd[s]
	if !ok {
		// Where a line is folded depends on where it begins: such text goes the long way.
		if len(s) > 40 && !strings.Contains(s, "\n") || strings.ContainsFunc(s, func(c rune) bool { return c > '~' || c < ' ' && c != '\n' }) {
			w.ok = false
			return
		}
		data, err := yaml.Marshal(map[string]string{"k": s})
		if err != nil || strings.Contains(s, "\n") && !strings.HasPrefix(string(data), "k: |") {
			w.ok = false
			return
		}
		text = strings.TrimPrefix(string(data), "k: ")
		w.odd[s] = text
	}
	pad := strings.Repeat(" ", indent)
	for i, l := range strings.SplitAfter(text, "\n") {
		if i > 0 && l != "\n" && l != "" {
			w.out = append(w.out, pad...)
		}
		w.out = append(w.out, l...)
	}
}

func (w *quickWriter) opt(indent int, key, s string) {
	if s != "" {
		w.key(strings.Repeat(" ", indent), key)
		w.str(s, indent)
	}
}

func (w *quickWriter) data(indent int, key string, data []byte) {
	if len(data) == 0 {
		return
	}
	w.key(strings.Repeat(" ", indent), key)
	w.out = append(w.out, ' ')
	at := len(w.out)
	w.out = base64.StdEncoding.AppendEncode(w.out, data)
	// What is base64 is plain but for its beginning, where it may look like a number.
	w.ok = w.ok && (letter(w.out[at]) || w.out[at] == '/') && !reserved(string(w.out[at:]))
	w.out = append(w.out, '\n')
}

func (w *quickWriter) list(indent int, key string, values []string) {
	w.key(strings.Repeat(" ", indent), key)
	switch {
	case values == nil:
		w.out = append(w.out, " null\n"...)
	case len(values) == 0:
		w.out = append(w.out, " []\n"...)
	default:
		w.out = append(w.out, '\n')
	}
	for _, v := range values {
		if strings.Contains(v, "\n") {
			w.ok = false
			return
		}
		w.out = append(append(w.out, strings.Repeat(" ", indent)...), '-')
		w.str(v, indent)
	}
}

// quickText writes what text would, or nothing. The lists are sorted already.
func (c *config) quickText() ([]byte, bool) {
	if len(c.Extensions)+len(c.Preferences.Extensions) > 0 || c.Preferences.Colors || len(c.Clusters) == 0 || len(c.Contexts) == 0 || len(c.Users) == 0 {
		return nil, false
	}
	w := &quickWriter{ok: true, odd: map[string]string{}, out: make([]byte, 0, c.size+1024*len(c.Users))}
	w.out = append(w.out, "apiVersion: v1\nclusters:\n"...)
	for _, x := range c.Clusters {
		k := x.Cluster
		if len(k.Extensions) > 0 || k.CA == "" && len(k.CAData) == 0 && k.Server == "" {
			return nil, false
		}
		w.out = append(w.out, "- cluster:\n"...)
		w.opt(4, "certificate-authority", k.CA)
		w.data(4, "certificate-authority-data", k.CAData)
		w.flag("disable-compression", k.DisableCompression)
		w.flag("insecure-skip-tls-verify", k.InsecureSkipTLSVerify)
		w.opt(4, "proxy-url", k.ProxyURL)
		w.key("    ", "server")
		w.str(k.Server, 4)
		w.opt(4, "tls-server-name", k.TLSServerName)
		w.key("  ", "name")
		w.str(x.Name, 2)
	}
	w.out = append(w.out, "contexts:\n"...)
	for _, x := range c.Contexts {
		if len(x.Context.Extensions) > 0 {
			return nil, false
		}
		w.out = append(w.out, "- context:\n"...)
		w.key("    ", "cluster")
		w.str(x.Context.Cluster, 4)
		w.opt(4, "namespace", x.Context.Namespace)
		w.key("    ", "user")
		w.str(x.Context.User, 4)
		w.key("  ", "name")
		w.str(x.Name, 2)
	}
	w.key("", "current-context")
	w.str(c.CurrentContext, 0)
	w.out = append(w.out, "kind: Config\npreferences: {}\nusers:\n"...)
	for _, x := range c.Users {
		if !w.user(x) {
			return nil, false
		}
	}
	return w.out, w.ok
}

func (w *quickWriter) flag(key string, on bool) {
	if on {
		w.key("    ", key)
		w.out = append(w.out, " true\n"...)
	}
}

func (w *quickWriter) user(x *namedUser) bool {
	u := x.User
	bare := u.ClientCertificate == "" && len(u.ClientCertificateData) == 0 && u.ClientKey == "" && len(u.ClientKeyData) == 0 &&
		u.Token == "" && u.TokenFile == "" && u.Username == "" && u.Password == "" && u.Exec == nil
	if bare || u.Impersonate != "" || u.ImpersonateUID != "" || len(u.ImpersonateGroups)+len(u.ImpersonateUserExtra)+len(u.Extensions) > 0 || u.AuthProvider != nil {
		return false
	}
	w.out = append(w.out, "- name:"...)
	w.str(x.Name, 2)
	w.out = append(w.out, "  user:\n"...)
	w.opt(4, "client-certificate", u.ClientCertificate)
	w.data(4, "client-certificate-data", u.ClientCertificateData)
	w.opt(4, "client-key", u.ClientKey)
	w.data(4, "client-key-data", u.ClientKeyData)
	if e := u.Exec; e != nil {
		w.out = append(w.out, "    exec:\n"...)
		w.opt(6, "apiVersion", e.APIVersion)
		w.list(6, "args", e.Args)
		w.key("      ", "command")
		w.str(e.Command, 6)
		w.out = append(w.out, "      env:"...)
		switch {
		case e.Env == nil:
			w.out = append(w.out, " null"...)
		case len(e.Env) == 0:
			w.out = append(w.out, " []"...)
		}
		w.out = append(w.out, '\n')
		for _, v := range e.Env {
			w.out = append(w.out, "      - name:"...)
			w.str(v.Name, 8)
			w.out = append(w.out, "        value:"...)
			w.str(v.Value, 8)
		}
		w.opt(6, "installHint", e.InstallHint)
		w.opt(6, "interactiveMode", e.InteractiveMode)
		w.out = append(append(w.out, "      provideClusterInfo: "...), strconv.FormatBool(e.ProvideClusterInfo)+"\n"...)
	}
	w.opt(4, "password", u.Password)
	w.opt(4, "token", u.Token)
	w.opt(4, "tokenFile", u.TokenFile)
	w.opt(4, "username", u.Username)
	return true
}
