package service

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page
	"encoding/base64"
	"fmt"
	"html/template"
	"mime"
	"net"
	"net/http"
	"strings"
	"unicode/utf8"
)

//go:embed welcome.html
var welcomeHTML string

//go:embed welcome.css
var welcomeCSS string

var welcomePage = template.Must(template.New("welcome").Parse(welcomeHTML))

// welcomePolicy lets the page use its own style and nothing else.
var welcomePolicy = fmt.Sprintf(
	"default-src 'none'; style-src 'sha256-%s'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	hash64(welcomeCSS))

func hash64(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// welcome tells visitors about their own connection: a page for browsers, text for everything else.
func welcome(w http.ResponseWriter, r *http.Request) {
	facts := describe(visitOf(r).Conn)
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept")
	h.Set("X-Content-Type-Options", "nosniff")
	if !wantsHTML(r.Header.Values("Accept")) {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write(welcomeText(facts))
		return
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", welcomePolicy)
	h.Set("Referrer-Policy", "no-referrer")
	_ = welcomePage.Execute(w, struct {
		Style template.CSS
		Facts [][2]string
	}{template.CSS(welcomeCSS), facts}) // fails only with the connection
}

// describe returns what conn says about itself, or else its addresses.
func describe(conn net.Conn) [][2]string {
	if d, ok := conn.(describer); ok {
		return d.Describe()
	}
	return [][2]string{{"your address", conn.RemoteAddr().String()}, {"our address", conn.LocalAddr().String()}}
}

func welcomeText(facts [][2]string) []byte {
	width := 0
	for _, f := range facts {
		width = max(width, utf8.RuneCountInString(f[0]))
	}
	var b bytes.Buffer
	b.WriteString("Hello from tcpd. This answer came through a TCP that runs outside the kernel.\n\nYour connection\n\n")
	for _, f := range facts {
		fmt.Fprintf(&b, "  %-*s  %s\n", width, f[0], f[1])
	}
	b.WriteString("\nAsk again and the numbers change.\n")
	return b.Bytes()
}

// wantsHTML reports whether an Accept header names HTML. curl sends */*, which does not.
func wantsHTML(accept []string) bool {
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		kind, params, err := mime.ParseMediaType(part)
		if err == nil && (kind == "text/html" || kind == "application/xhtml+xml") && !refused(params["q"]) {
			return true
		}
	}
	return false
}

// refused reports whether the weight q is zero (RFC 9110, 12.4.2).
func refused(q string) bool {
	return q != "" && strings.Trim(q, "0.") == ""
}
