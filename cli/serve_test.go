package cli

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/f3f4c0de/harness/internal/results"
)

// aRun makes the folder of a run with a report and a span.
func aRun(t *testing.T, dir string, started time.Time, span string) {
	t.Helper()
	f, err := results.Create(dir, &results.Run{
		Schema: results.Schema, ID: "id", Started: started, Status: results.Completed,
		Workloads: []results.WorkloadInfo{{Label: "sqrt"}}, Backends: []results.BackendInfo{{Name: "gil"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	trace := `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"` + span + `","name":"task"}]}]}]}` + "\n"
	for name, text := range map[string]string{results.HTMLFile: "the report", results.TracesFile: trace} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSite(t *testing.T) {
	dir := t.TempDir()
	day := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	aRun(t, filepath.Join(dir, "first"), day, "00000000000000a1")
	aRun(t, filepath.Join(dir, "50% more"), day.Add(time.Hour), "00000000000000a2")
	for _, err := range []error{
		os.WriteFile(filepath.Join(dir, "secret"), []byte("secret"), 0o666),
		os.Symlink(filepath.Join(dir, "secret"), filepath.Join(dir, "first", "link")),
		os.Symlink("..", filepath.Join(dir, "first", "up")),
		os.MkdirAll(filepath.Join(dir, "other"), 0o777),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	srv := httptest.NewServer(onlyLocal((&site{dir: dir}).handler()))
	defer srv.Close()
	tests := []struct {
		method, path, host string
		code               int
		has                string
	}{
		{path: "/", code: 200, has: `<a href="/runs/50%25%20more/report.html">50% more</a>`},
		{path: "/runs/first/report.html", code: 200, has: "the report"},
		{path: "/runs/50%25%20more/report.html", code: 200, has: "the report"},
		{path: "/runs/first/", code: 200, has: "run.json"},
		{path: "/runs/first/traces.jsonl", code: 200, has: "spanId"},
		{path: "/profiles/50%25%20more/", code: 200, has: `<a href="/profiles/50%25%20more/">All profiles</a> · <a href="/runs/50%25%20more/report.html">Report</a>`},
		{path: "/span/00000000000000a2/", code: 404, has: "of no cell"}, // of the run that has it
		{path: "/span/00000000000000a3/", code: 404, has: "no run here has a span"},
		{path: "/runs/none/", code: 404, has: "there is no run"},
		{path: "/runs/other/", code: 404, has: "there is no run"},
		{path: "/runs/first/none", code: 404},
		{path: "/runs/first/link", code: 500},
		{path: "/runs/first/up/secret", code: 500}, // the link leads out of the folder,
		{path: "/runs/first/..%2fsecret", code: 404},
		{path: "/runs/..%2fsecret", code: 404},
		{path: "/runs/..%2f/secret", code: 404},
		{path: "/secret", code: 404},
		{path: "/", host: "evil.example", code: 403},
		{path: "/", host: "localhost:80", code: 200},
		{path: "/", host: "[::1]:80", code: 200},
		{path: "/", method: http.MethodPost, code: 405},
	}
	for _, tt := range tests {
		req, err := http.NewRequestWithContext(t.Context(), tt.method, srv.URL+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = tt.host
		r, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || r.StatusCode != tt.code || !strings.Contains(string(b), tt.has) || tt.code != 200 && strings.Contains(string(b), "secret\n") {
			t.Errorf("%s %s for %q is %d %q, %v; want %d with %q", tt.method, tt.path, tt.host, r.StatusCode, b, err, tt.code, tt.has)
		}
	}
	latest, err := (&site{dir: dir}).runs()
	if err != nil || len(latest) != 2 || latest[0].Name != "50% more" {
		t.Errorf("runs() = %v, %v; want the latest first", latest, err)
	}
	one, err := (&site{dir: filepath.Join(dir, "first")}).runs()
	if err != nil || len(one) != 1 || one[0].Name != "first" {
		t.Errorf("runs() of a run = %v, %v; want itself", one, err)
	}
}

// Serving ends when its context does, also while somebody is connected.
func TestServeUntilSignal(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	asked := make(chan struct{})
	h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done() // until the server has had enough
	})
	answered := make(chan error, 1)
	go func() { // ends with the server
		r, err := http.Get("http://" + l.Addr().String())
		if err == nil {
			r.Body.Close()
		}
		answered <- err
	}()
	go func() {
		<-asked
		cancel()
	}()
	if err := (&app{stdout: &out}).serveUntilSignal(ctx, l, h, "It: there\n"); err != nil {
		t.Errorf("serveUntilSignal = %v", err)
	}
	if err := <-answered; err == nil {
		t.Error("a request that never ends was answered")
	}
	if got, want := out.String(), "It: there\nCtrl-C ends it.\n"; got != want {
		t.Errorf("it says %q; want %q", got, want)
	}
}
