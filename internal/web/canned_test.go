package web

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/f3f4c0de/harness/internal/results"
)

const (
	canned    = "../../testdata/runs/exact"
	published = "../../results/2026-11-21-two-cores"
	baseline  = "sum-sequential-w1"
	processes = "sum-processes-w2"

	jaegers = "http://jaeger.example:1/ui"
)

// runsFolder makes a folder of runs: two with profiles, one of them with a name that
// URLs escape, and one that was published.
func runsFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, from := range map[string]string{"first": canned, "50% more": canned, "published": published} {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "first", results.HTMLFile), "the report")
	write(t, filepath.Join(dir, "50% more", results.HTMLFile), "the report")
	now := filepath.Join(dir, "50% more", results.RunFile) // is the latest
	edit(t, now, `"started": "2026-11-29T12:00:00Z"`, `"started": "2026-11-30T12:00:00Z"`)
	edit(t, filepath.Join(dir, "first", results.TracesFile), `"spanId":"a00000000000001`, `"spanId":"f00000000000001`)
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func edit(t *testing.T, path, old, now string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), old) {
		t.Fatalf("%s has no %s", path, old)
	}
	write(t, path, strings.ReplaceAll(string(b), old, now))
}

// A want is an expected answer.
type want struct {
	method, host string // GET and that of the server, if they are empty
	path         string
	code         int
	has          string // what is in it
	policy       string // its Content-Security-Policy; pagePolicy if it is empty
}

// check makes a request, checks the answer and the headers that every answer has, and
// returns the answer.
func (w want) check(t *testing.T, h http.Handler) string {
	t.Helper()
	method := w.method
	if method == "" {
		method = http.MethodGet
	}
	r := httptest.NewRequestWithContext(t.Context(), method, w.path, nil)
	if r.Host = w.host; w.host == "" {
		r.Host = "127.0.0.1:7171"
	}
	got := httptest.NewRecorder()
	guard(h).ServeHTTP(got, r)
	body := got.Body.String()
	if got.Code != w.code || !strings.Contains(body, w.has) {
		t.Errorf("%s %s for %q is %d %q; want %d with %q", method, w.path, r.Host, got.Code, body, w.code, w.has)
	}
	policy := w.policy
	if policy == "" {
		policy = pagePolicy
	}
	for name, value := range map[string]string{
		"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		"Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
	} {
		if got := got.Header().Get(name); got != value {
			t.Errorf("%s %s for %q has the header %s: %q; want %q", method, w.path, r.Host, name, got, value)
		}
	}
	return body
}

// waitFor bounds the wait for what ends at once, unless something is wrong.
const waitFor = 20 * time.Second
