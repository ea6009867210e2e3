package jaeger

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/f3f4c0de/harness/internal/machine"
)

func TestPage(t *testing.T) {
	for _, s := range []string{"", "localhost:16686", "ftp://localhost", "http://", "http://x/?a=b", "http://x/#a", "javascript:alert(1)"} {
		if p, ok := ParsePage(s); ok {
			t.Errorf("ParsePage(%q) = %q; want nothing", s, p)
		}
	}
	p, _ := ParsePage("http://jaeger.example:1/ui/")
	if got, want := p.Trace("0a"), "http://jaeger.example:1/ui/trace/0a"; got != want {
		t.Errorf("Trace = %q; want %q", got, want)
	}
	if got, want := p.Span("0a", "0b"), "http://jaeger.example:1/ui/trace/0a?uiFind=0b"; got != want {
		t.Errorf("Span = %q; want %q", got, want)
	}
}

// Note distinguishes a Jaeger without its page from one that has it.
func TestNote(t *testing.T) {
	for body, want := range map[string]string{
		"<h1>Not it</h1><p>This is a placeholder for the Jaeger UI home page.": "built without its page",
		"<title>Jaeger UI</title>": "",
	} {
		s := httptest.NewServer(answer(http.StatusOK, body))
		if got := (&Server{Page: Page(s.URL)}).Note(t.Context()); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("of %q the note is %q; want %q in it", body, got, want)
		}
		s.Close()
	}
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// serve starts a server and changes a port to its port. It returns its address.
func serve(t *testing.T, p port, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(p.variable, u.Port())
	return u.Host
}

func TestReceivers(t *testing.T) {
	// Nobody can listen at port 0.
	t.Setenv(grpcPort.variable, "0")
	tests := []struct {
		name         string
		otlp, jaeger http.Handler
		want         [2]machine.Receiver
	}{
		{
			"both", answer(http.StatusMethodNotAllowed, ""), answer(http.StatusOK, `JAEGER_VERSION = {"gitCommit":"","gitVersion":"v2.1.0"}`),
			[2]machine.Receiver{{Running: true}, {Running: true, Says: "running, v2.1.0"}},
		},
		{
			"a build without a version", answer(http.StatusMethodNotAllowed, ""), answer(http.StatusOK, `JAEGER_VERSION = {"gitVersion":""}`),
			[2]machine.Receiver{{Running: true}, {Running: true, Says: "running, a build that does not tell its version"}},
		},
		{
			"others", answer(http.StatusOK, "hello"), answer(http.StatusOK, "hello"),
			[2]machine.Receiver{
				{Running: true, Wrong: "it answers a request for /v1/traces with 200; a receiver answers with 405"},
				{Running: true, Wrong: "its page is not Jaeger's"},
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.want[0].Name, tt.want[0].Addr = "OTLP over HTTP", serve(t, httpPort, tt.otlp)
			tt.want[1].Name, tt.want[1].Addr = "Jaeger", serve(t, queryPort, tt.jaeger)
			want := append([]machine.Receiver{{Name: "OTLP over gRPC", Addr: "127.0.0.1:0"}}, tt.want[:]...)
			if diff := cmp.Diff(want, Receivers(t.Context())); diff != "" {
				t.Errorf("Receivers() (-want +got):\n%s", diff)
			}
		})
	}
}

// fake puts a program on the PATH instead of Jaeger, and serves a health page that
// answers when the program has made the file $READY.
func fake(t *testing.T, script string) (ready string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "jaeger"), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	ready = filepath.Join(dir, "ready")
	t.Setenv("READY", ready)
	serve(t, healthPort, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, err := os.Stat(ready); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	return ready
}

func TestStart(t *testing.T) {
	ready := fake(t, `cat "$2" "$JAEGER_UI_CONFIG" >"$READY.new"; mv "$READY.new" "$READY"; exec sleep 600`)
	s, err := Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(ready); err != nil || !strings.Contains(string(b), "extensions:") || !strings.Contains(string(b), "linkPatterns") {
		t.Errorf("its configuration is %q, %v; want Jaeger's with the links of its page", b, err)
	}
	if _, err := Start(t.Context()); err == nil || !strings.Contains(err.Error(), "a Jaeger is running") {
		t.Errorf("a second Start = %v; want that one is running", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Wait(ctx); err != nil {
		t.Errorf("Wait = %v", err)
	}
	if _, err := os.Stat(s.dir); err == nil {
		t.Errorf("%s was left behind", s.dir)
	}
}

func TestStartFails(t *testing.T) {
	fake(t, "echo no memory >&2; exit 3")
	if _, err := Start(t.Context()); err == nil || !strings.Contains(err.Error(), "it ended at once (exit status 3):\nno memory") {
		t.Errorf("Start = %v; want how it ended and what it said", err)
	}
}

func TestEndsByItself(t *testing.T) {
	fake(t, `touch "$READY"; read line; echo gone >&2; exit 4`) // its input is empty
	s, err := Start(t.Context())
	if err == nil {
		err = s.Wait(t.Context())
	}
	if err == nil || !strings.Contains(err.Error(), "(exit status 4):\ngone") {
		t.Errorf("%v; want how it ended and what it said", err)
	}
}
