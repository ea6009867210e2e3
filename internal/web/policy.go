package web

import (
	"crypto/sha256"
	"encoding/base64"
	"net"
	"net/http"
	"strings"
)

// A Content-Security-Policy says what a page may load and run. None of ours may
// be framed, send a form, connect to anything, or load what is on another server.
var (
	// pagePolicy is that of the pages of this package, which have a stylesheet of
	// their own, no script and no other style, and of all errors.
	pagePolicy = policy("style-src "+hash(stylesheet), "img-src 'self'")

	// filePolicy is that of the files of a run. A report and a chart have their
	// styles in them. Scripts do not run: a run may be from somebody else.
	filePolicy = policy("style-src 'unsafe-inline'", "img-src 'self' data:")

	// pprofPolicy is that of the pages of pprof, which has its scripts and styles
	// in the page. They connect to nothing.
	pprofPolicy = policy("script-src 'unsafe-inline'", "style-src 'unsafe-inline'", "img-src 'self' data:")
)

// policy returns a Content-Security-Policy that allows nothing else.
func policy(allow ...string) string {
	return strings.Join(append([]string{"default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"}, allow...), "; ")
}

// hash names a stylesheet in a policy.
func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// setPolicy gives an answer another policy than pagePolicy.
func setPolicy(w http.ResponseWriter, policy string) {
	w.Header().Set("Content-Security-Policy", policy)
}

// withPolicy gives the answers of h another policy than pagePolicy.
func withPolicy(policy string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setPolicy(w, policy)
		h.ServeHTTP(w, r)
	})
}

// guard sets the headers that every answer has, and refuses requests for other
// hosts: by a name of its own that leads to this machine, a page from elsewhere
// could read what is served here (DNS rebinding).
func guard(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", pagePolicy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if !isLoopback(strings.Trim(host, "[]")) {
			http.Error(w, "this is for localhost only", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}
