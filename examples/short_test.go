package examples_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/f3f4c0de/harness/executor"
)

// The three programs that a new user writes first stay short, and print the same on
// every backend.
func TestShortExamples(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the examples")
	}
	dir := build(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "<html><title>all about %s</title></html>", r.URL.Path)
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	var squares []string
	for i := range 10 {
		squares = append(squares, fmt.Sprintf("^%d <nil>$", i*i))
	}
	tests := []struct {
		name  string
		most  int // lines that are not blank: those of the Go pools' users, and three
		args  []string
		lines []string // patterns, in any order
	}{
		{"hashfiles", 22 + 3, []string{file, "missing"}, []string{fmt.Sprintf("^%x  %s  <nil>$", sha256.Sum256([]byte("content")), file), "^0{64}  missing  task sum: .*no such file"}},
		{"scrape", 35 + 3, []string{server.URL + "/a", server.URL + "/b", "http://127.0.0.1:1"}, []string{"/a <title>all about /a</title> <nil>$", "/b <title>all about /b</title> <nil>$", "^http://127.0.0.1:1  task fetch: .*refused"}},
		{"pipeline", 24 + 3, nil, squares},
	}
	for _, tt := range tests {
		source, err := os.ReadFile(filepath.Join(tt.name, "main.go"))
		if err != nil {
			t.Fatal(err)
		}
		if n := len(regexp.MustCompile(`(?m)^.*\S.*$`).FindAll(source, -1)); n > tt.most {
			t.Errorf("%s has %d lines; want at most %d", tt.name, n, tt.most)
		}
		for _, b := range executor.Backends() {
			cmd := exec.CommandContext(t.Context(), filepath.Join(dir, tt.name), tt.args...)
			cmd.Env = append(os.Environ(), executor.EnvBackend+"="+b.Name)
			out := run(t, cmd)
			if n := strings.Count(out, "\n"); n != len(tt.lines) {
				t.Errorf("%s on %s printed %d lines; want %d:\n%s", tt.name, b.Name, n, len(tt.lines), out)
			}
			for _, want := range tt.lines {
				if !regexp.MustCompile("(?m)" + want).MatchString(out) {
					t.Errorf("%s on %s printed no line like %q:\n%s", tt.name, b.Name, want, out)
				}
			}
		}
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "pipeline"))
	cmd.Env = append(os.Environ(), executor.EnvBackend+"=mistaken")
	if out, err := cmd.CombinedOutput(); err == nil || !bytes.Contains(out, []byte(`no backend is named "mistaken"`)) {
		t.Errorf("with a backend that is not known pipeline ended with %v and printed %s", err, out)
	}
}
