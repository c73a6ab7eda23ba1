package login

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/public"
	"rsc.io/qr"
)

func (a *attempt) deviceCode(ctx context.Context, client public.Client, _ *scheme) (public.AuthResult, error) {
	code, err := client.AcquireTokenByDeviceCode(ctx, []string{Scope(a.r.Server)})
	if err != nil {
		return public.AuthResult{}, err
	}
	a.prompt(code.Result.VerificationURL, code.Result.UserCode, code.Result.Message)
	return code.AuthenticationResult(ctx)
}

// prompt tells the person where to go. The link that holds the code already is the first choice.
func (a *attempt) prompt(page, code, message string) {
	link := a.transport.completeLink()
	if u, err := url.Parse(link); err != nil || u.Scheme != "https" && u.Scheme != "http" {
		link = ""
	}
	var b strings.Builder
	switch {
	case link != "":
		fmt.Fprintf(&b, "To sign in, open %s\nor enter the code %s at %s\n", clean(link), clean(code), clean(page))
	case message != "":
		fmt.Fprintln(&b, clean(message))
	default:
		fmt.Fprintf(&b, "To sign in, enter the code %s at %s\n", clean(code), clean(page))
	}
	if link == "" {
		link = page
	}
	if a.Terminal {
		drawQR(&b, link)
	}
	_, _ = io.WriteString(a.Err, b.String())
}

// drawQR draws a link in half blocks, light on dark as most terminals are. What does not fit is left out.
func drawQR(b *strings.Builder, link string) {
	code, err := qr.Encode(link, qr.L)
	if err != nil || code.Size > 60 {
		return
	}
	const quiet = 2
	light := func(x, y int) bool { return !code.Black(x, y) } // outside the code all is light
	for y := -quiet; y < code.Size+quiet; y += 2 {
		for x := -quiet; x < code.Size+quiet; x++ {
			switch top, bottom := light(x, y), light(x, y+1); {
			case top && bottom:
				b.WriteRune('█')
			case top:
				b.WriteRune('▀')
			case bottom:
				b.WriteRune('▄')
			default:
				b.WriteByte(' ')
			}
		}
		b.WriteByte('\n')
	}
}
