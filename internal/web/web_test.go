package web

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestCheckAddr(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:0": "", "localhost:80": "", "[::1]:80": "", "127.9.9.9:1": "",
		"nonsense": `"nonsense" is not an address`, "": "is not an address", "[::1": "is not an address",
		"0.0.0.0:80": `"0.0.0.0:80" can be reached from elsewhere; want a loopback address such as 127.0.0.1:7171`,
		":80":        "can be reached from elsewhere", "[::]:80": "can be reached from elsewhere", "192.0.2.1:80": "can be reached from elsewhere",
		"example.org:80": "can be reached from elsewhere", "localhost.example.org:80": "can be reached from elsewhere",
	} {
		if err := CheckAddr(addr); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("CheckAddr(%q) = %v; want %q", addr, err, want)
		}
	}
	if _, err := Open(t.Context(), "0.0.0.0:0", http.NotFoundHandler()); err == nil {
		t.Error("Open listens at 0.0.0.0:0")
	}
}

// Only requests for loopback hosts are answered.
func TestHost(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "secret") })
	for host, code := range map[string]int{
		"127.0.0.1:7171": 200, "localhost": 200, "localhost:80": 200, "[::1]": 200, "[::1]:80": 200, "127.0.0.2": 200,
		"evil.example": 403, "evil.example:7171": 403, "localhost.evil.example": 403, "127.0.0.1.evil.example": 403, "192.0.2.1:7171": 403, "0.0.0.0": 403,
	} {
		tt := want{path: "/", host: host, code: code, has: "secret"}
		if code == 403 {
			tt.has = "this is for localhost only\n"
		}
		if body := tt.check(t, h); code == 403 && strings.Contains(body, "secret") {
			t.Errorf("a request for %s is answered with %q", host, body)
		}
	}
}

// The hash of the stylesheet in the page is that of the policy.
func TestStylesheet(t *testing.T) {
	body := want{path: "/", code: 200}.check(t, NewRuns(runsFolder(t), "").Handler())
	_, rest, _ := strings.Cut(body, "<style>")
	style, _, ok := strings.Cut(rest, "</style>")
	if !ok || !strings.Contains(pagePolicy, hash(style)) {
		t.Errorf("the policy %q does not allow the style %q", pagePolicy, style)
	}
	for _, not := range []string{"style=", "<script", "<link", "<img", "javascript:", "onclick"} {
		if strings.Contains(rest, not) {
			t.Errorf("the page has %q, which its policy does not allow", not)
		}
	}
}

func get(t *testing.T, url string) (header http.Header, body string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.Header, string(b)
}

func TestMetrics(t *testing.T) {
	var m Metrics
	s, err := Open(t.Context(), "127.0.0.1:0", m.Handler())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	url := s.URL() + MetricsPath
	for _, text := range []string{"# EOF\n", "a 1\n# EOF\n", "a 2\n# EOF\n"} {
		if !strings.HasPrefix(text, "#") {
			m.Set([]byte(text))
		}
		header, body := get(t, url)
		if got, want := header.Get("Content-Type"), "application/openmetrics-text; version=1.0.0; charset=utf-8"; body != text || got != want {
			t.Errorf("%s is %q of the type %q; want %q of %q", url, body, got, text, want)
		}
	}
	want{path: "/metrics", code: 405, method: http.MethodPost}.check(t, m.Handler())
	want{path: "/", code: 404}.check(t, m.Handler())
}

// serving counts the goroutines of servers and of their connections.
func serving() int {
	b := make([]byte, 1<<20)
	b = b[:runtime.Stack(b, true)]
	n := 0
	for g := range strings.SplitSeq(string(b), "\n\n") {
		if strings.Contains(g, "net/http.(*conn).serve") || strings.Contains(g, "net/http.(*Server).Serve") || strings.Contains(g, "net/http.(*connReader)") {
			n++
		}
	}
	return n
}

// A server ends with its context, also while a client is connected and while an
// answer is under way. Then nothing of it runs.
func TestWait(t *testing.T) {
	before := serving()
	ctx, cancel := context.WithCancel(t.Context())
	asked, ended := make(chan struct{}), make(chan struct{})
	s, err := Open(t.Context(), "localhost:0", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done() // until the server has had enough
		close(ended)
	}))
	if err != nil {
		t.Fatal(err)
	}
	idle, err := net.Dial("tcp", s.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	answered := make(chan error, 1)
	go func() { // ends with the server
		r, err := http.Get(s.URL())
		if err == nil {
			r.Body.Close()
		}
		answered <- err
	}()
	go func() {
		<-asked
		cancel()
	}()
	if err := s.Wait(ctx); err != nil {
		t.Errorf("Wait = %v", err)
	}
	select {
	case <-ended:
	default:
		t.Error("a handler runs after Wait has returned")
	}
	if n := serving(); n != before {
		t.Errorf("%d goroutines serve after Wait has returned; there were %d", n, before)
	}
	if err := <-answered; err == nil {
		t.Error("a request that never ends was answered")
	}
	if _, err := net.DialTimeout("tcp", s.addr.String(), waitFor); err == nil {
		t.Error("the server listens after Wait has returned")
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close after Wait = %v", err)
	}
}

// Close waits for answers under way.
func TestCloseWaitsForAnswers(t *testing.T) {
	asked, closing := make(chan struct{}), make(chan struct{})
	s, err := Open(t.Context(), "127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-closing
		_, _ = io.WriteString(w, "all of it")
	}))
	if err != nil {
		t.Fatal(err)
	}
	s.http.RegisterOnShutdown(func() { close(closing) })
	body := make(chan string, 1)
	go func() { // ends with the server
		r, err := http.Get(s.URL())
		if err != nil {
			body <- err.Error()
			return
		}
		defer r.Body.Close()
		b, _ := io.ReadAll(r.Body)
		body <- string(b)
	}()
	<-asked
	if err := s.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	if got := <-body; got != "all of it" {
		t.Errorf("the answer under way is %q; want all of it", got)
	}
}

// Close returns the error of a server that has failed.
func TestFails(t *testing.T) {
	s, err := Open(t.Context(), "127.0.0.1:0", http.NotFoundHandler())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), s.addr.String(), http.NotFoundHandler()); err == nil {
		t.Error("a second server listens at the same address")
	}
	s.err = errors.New("no more connections")
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "no more connections") {
		t.Errorf("Close = %v; want why the server failed", err)
	}
}

// The deadlines are set: a client that stalls is cut off.
func TestDeadlines(t *testing.T) {
	s, err := Open(t.Context(), "127.0.0.1:0", http.NotFoundHandler())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	h := s.http
	for name, d := range map[string]time.Duration{"read": h.ReadTimeout, "header": h.ReadHeaderTimeout, "write": h.WriteTimeout, "idle": h.IdleTimeout} {
		if d <= 0 || d > 5*time.Minute {
			t.Errorf("the deadline for %s is %v", name, d)
		}
	}
	if h.MaxHeaderBytes <= 0 {
		t.Error("headers are not bounded")
	}
}
