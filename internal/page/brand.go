package page

import (
	"bytes"
	"fmt"
	"math"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// Brand is how the pages show whose they are. What is empty is Keyreeve's own.
type Brand struct {
	// Name stands on every page and in its title.
	Name string `json:"name,omitempty"`
	// Logo is a picture, LogoType its media type: SVG, PNG, JPEG or WebP.
	Logo     []byte `json:"logo,omitempty"`
	LogoType string `json:"logoType,omitempty"`
	// Accent is the colour of buttons and outlines by day, AccentDark by night: #rrggbb.
	Accent     string `json:"accent,omitempty"`
	AccentDark string `json:"accentDark,omitempty"`
	// HelpURL is where people find help, HelpText what the link says.
	HelpURL  string `json:"helpUrl,omitempty"`
	HelpText string `json:"helpText,omitempty"`
}

// The pages' own colours behind buttons and outlines, which an accent must stand out from.
const (
	cardLight = "#ffffff"
	cardDark  = "#1b222c"
)

// maxLogo is the largest picture, in bytes.
const maxLogo = 256 << 10

var colour = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

// Check reports what is wrong with a brand.
func (b Brand) Check() error {
	_, err := b.withDefaults()
	return err
}

func (b Brand) withDefaults() (Brand, error) {
	if b.Name == "" {
		b.Name = "Keyreeve"
	}
	if len([]rune(b.Name)) > 64 || strings.ContainsAny(b.Name, "\r\n") {
		return b, fmt.Errorf("brand: the name is longer than 64 characters or has several lines")
	}
	if len(b.Logo) == 0 {
		icon, err := files.ReadFile("pages/icon.svg")
		if err != nil {
			return b, fmt.Errorf("brand: %w", err)
		}
		b.Logo, b.LogoType = icon, "image/svg+xml"
	}
	switch b.LogoType {
	case "image/svg+xml", "image/png", "image/jpeg", "image/webp":
	default:
		return b, fmt.Errorf("brand: the logo's type is %q: use SVG, PNG, JPEG or WebP", b.LogoType)
	}
	if len(b.Logo) > maxLogo {
		return b, fmt.Errorf("brand: the logo has %d bytes, more than %d", len(b.Logo), maxLogo)
	}
	for _, c := range []struct{ name, value, on string }{{"accent", b.Accent, cardLight}, {"accentDark", b.AccentDark, cardDark}} {
		if c.value == "" {
			continue
		}
		if !colour.MatchString(c.value) {
			return b, fmt.Errorf("brand: %s is %q: write it as #rrggbb", c.name, c.value)
		}
		// WCAG 2.2 1.4.11: what shows where a control is must stand out by 3 to 1.
		if r := contrast(c.value, c.on); r < 3 {
			return b, fmt.Errorf("brand: %s %s can hardly be seen on the page (contrast %.1f to 1, at least 3 to 1 is needed)", c.name, c.value, r)
		}
	}
	if b.HelpURL != "" {
		u, err := url.Parse(b.HelpURL)
		if err != nil || u.Scheme != "https" && u.Scheme != "mailto" {
			return b, fmt.Errorf("brand: the help link %q must begin with https: or mailto: to be followed", b.HelpURL)
		}
		if b.HelpText == "" {
			b.HelpText = "Get help"
		}
	}
	return b, nil
}

// css sets the colours. What stands on an accent is black or white, whichever is read better.
func (b Brand) css() []byte {
	var out bytes.Buffer
	rule := func(accent string) {
		fmt.Fprintf(&out, ":root { --accent: %s; --accent-strong: %s; --on-accent: %s; }", accent, accent, readable(accent))
	}
	if b.Accent != "" {
		out.WriteString("\n")
		rule(b.Accent)
	}
	if b.AccentDark != "" {
		out.WriteString("\n@media (prefers-color-scheme: dark) { ")
		rule(b.AccentDark)
		out.WriteString(" }")
	} else if b.Accent != "" {
		// Without one for the night, Keyreeve's own stays.
		out.WriteString("\n@media (prefers-color-scheme: dark) { :root { --accent: #8ab6ff; --accent-strong: #aaccff; --on-accent: #0b1a30; } }")
	}
	return out.Bytes()
}

func readable(on string) string {
	if contrast("#ffffff", on) >= contrast("#000000", on) {
		return "#ffffff"
	}
	return "#000000"
}

// contrast is the ratio of WCAG 2.2.
func contrast(a, b string) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func luminance(hex string) float64 {
	var sum float64
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(hex[1+2*i:3+2*i], 16, 8)
		if err != nil {
			return 0
		}
		c := float64(n) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}
