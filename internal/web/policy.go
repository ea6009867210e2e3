package web

import (
	"crypto/sha256"
	"encoding/base64"
	"net"
	"net/http"
	"strings"
)

// A Content-Security-Policy says what a page may load and run. With these policies a
// page cannot be framed, send a form, connect to anything, or load anything from
// another server.
var (
	// pagePolicy is for the pages of this package and for all errors. It allows
	// their stylesheet, no other style and no script.
	pagePolicy = policy("style-src "+hash(stylesheet), "img-src 'self'")

	// filePolicy is for the files of a run. Reports and charts contain their styles.
	// Scripts do not run, since a run may be from somebody else.
	filePolicy = policy("style-src 'unsafe-inline'", "img-src 'self' data:")

	// pprofPolicy is for the pages of pprof, which contain their scripts and styles.
	pprofPolicy = policy("script-src 'unsafe-inline'", "style-src 'unsafe-inline'", "img-src 'self' data:")
)

// policy returns a Content-Security-Policy that allows only what allow says.
func policy(allow ...string) string {
	return strings.Join(append([]string{"default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"}, allow...), "; ")
}

// hash returns the source expression of a policy that allows a stylesheet.
func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// setPolicy sets the policy of an answer, which is pagePolicy by default.
func setPolicy(w http.ResponseWriter, policy string) {
	w.Header().Set("Content-Security-Policy", policy)
}

// withPolicy sets the policy of all answers of h.
func withPolicy(policy string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setPolicy(w, policy)
		h.ServeHTTP(w, r)
	})
}

// guard sets the headers that every answer has, and refuses requests whose host is
// not loopback. Otherwise a page from elsewhere could read what is served here, by
// a host name of its own that resolves to this machine (DNS rebinding).
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
