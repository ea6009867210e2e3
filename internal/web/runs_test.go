package web

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/f3f4c0de/harness/internal/results"
)

func TestRuns(t *testing.T) {
	dir := runsFolder(t)
	write(t, filepath.Join(dir, "secret"), "secret\n")
	for _, err := range []error{
		os.Symlink(filepath.Join(dir, "secret"), filepath.Join(dir, "first", "link")),
		os.Symlink("..", filepath.Join(dir, "first", "up")),
		os.MkdirAll(filepath.Join(dir, "other"), 0o777),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	h := NewRuns(dir, jaegers).Handler()
	for _, tt := range []want{
		{path: "/", code: 200, has: `<a href="/runs/50%25%20more/report.html">50% more</a>`},
		{path: "/", code: 200, has: `<a href="/profiles/first/">profiles</a> · <a href="/runs/first/">files</a>`},
		{path: "/runs/first/report.html", code: 200, has: "the report", policy: filePolicy},
		{path: "/runs/50%25%20more/report.html", code: 200, has: "the report", policy: filePolicy},
		{path: "/runs/published/report.html", code: 200, has: "</html>", policy: filePolicy},
		{path: "/runs/published/charts/ledger.svg", code: 200, has: "<svg", policy: filePolicy},
		{path: "/runs/first/", code: 200, has: "run.json", policy: filePolicy},
		{path: "/runs/first/traces.jsonl", code: 200, has: "spanId", policy: filePolicy},
		{path: "/runs/first/", method: http.MethodHead, code: 200, policy: filePolicy},
		{path: "/profiles/first/", code: 200, has: "<h1>Profiles</h1>"},
		{path: "/profiles/50%25%20more/", code: 200, has: `<a href="/profiles/50%25%20more/">All profiles</a> · <a href="/runs/50%25%20more/report.html">Report</a> · <a href="/">All runs</a>`},
		{path: "/profiles/50%25%20more/cell/" + processes, code: 307, has: `/profiles/50%25%20more/cell/` + processes + "/"},
		{path: "/profiles/published/", code: 200, has: "<h1>Profiles</h1>"}, // it has none
		{path: "/span/b000000000000012/", code: 302, has: "/profiles/50%25%20more/span/b000000000000012/"},
		{path: "/span/f000000000000012/", code: 302, has: "/profiles/first/span/f000000000000012/"}, // which the other has not
		{path: "/favicon.ico", code: 204},

		{path: "/span/00000000000000a3/", code: 404, has: "no run here has a span"},
		{path: "/span/..%2f..%2fx/", code: 404, has: "no run here has a span"},
		{path: "/runs/none/", code: 404, has: "there is no run &#34;none&#34;"},
		{path: "/runs/other/", code: 404, has: "there is no run"},
		{path: "/runs/..%2fsecret", code: 307, has: `href="/secret/"`}, // where nothing is
		{path: "/runs/..%2f/secret", code: 404, has: "there is no run"},
		{path: "/runs/first/none", code: 404, policy: filePolicy},
		{path: "/runs/first/link", code: 500, policy: filePolicy},
		{path: "/runs/first/up/secret", code: 500, policy: filePolicy}, // the link leads out of the folder
		{path: "/runs/first/..%2fsecret", code: 404, policy: filePolicy},
		{path: "/profiles/none/", code: 404, has: `<a href="/">All runs</a>`},
		{path: "/profiles/first/none", code: 404},
		{path: "/runs/first/../../secret", code: 307, has: `href="/secret"`}, // where nothing is
		{path: "/secret", code: 404},
		{path: "/", method: http.MethodPost, code: 405},
		{path: "/runs/first/report.html", method: http.MethodDelete, code: 405},
	} {
		if body := tt.check(t, h); strings.Contains(body, "secret\n") {
			t.Errorf("GET %s gives the secret away", tt.path)
		}
	}
}

func TestList(t *testing.T) {
	dir := runsFolder(t)
	if err := os.Mkdir(filepath.Join(dir, ".hidden"), 0o777); err != nil {
		t.Fatal(err)
	}
	names := func(dir string) (names []string) {
		t.Helper()
		all, err := NewRuns(dir, "").List()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range all {
			names = append(names, r.Name)
		}
		return names
	}
	if got, want := strings.Join(names(dir), " | "), "50% more | first | published"; got != want {
		t.Errorf("List() = %s; want %s, the latest first", got, want)
	}
	if got := strings.Join(names(filepath.Join(dir, "first")), " | "); got != "first" {
		t.Errorf("List() of a run = %s; want itself", got)
	}
	t.Chdir(filepath.Join(dir, "first"))
	if got := strings.Join(names("."), " | "); got != "first" {
		t.Errorf(`List() in the folder of a run = %s; want its name`, got)
	}
	if _, err := NewRuns(filepath.Join(dir, "none"), "").List(); err == nil {
		t.Error("List() of no folder succeeds")
	}
	write(t, results.RunFile, "{")
	if _, err := NewRuns(".", "").List(); err == nil {
		t.Error("List() of a broken run succeeds, which is all that was asked for")
	}
	if got, want := strings.Join(names(dir), " | "), "50% more | published"; got != want {
		t.Errorf("List() beside a broken run = %s; want %s", got, want)
	}
}

// A run that is added appears when the page is loaded again, and a run under way is
// read again.
func TestRunsChange(t *testing.T) {
	dir := runsFolder(t)
	h := NewRuns(dir, jaegers).Handler()
	want{path: "/runs/more/", code: 404}.check(t, h)
	if err := os.CopyFS(filepath.Join(dir, "more"), os.DirFS(canned)); err != nil {
		t.Fatal(err)
	}
	want{path: "/runs/more/", code: 200, has: "run.json", policy: filePolicy}.check(t, h)
	want{path: "/", code: 200, has: `<td>more</td>`}.check(t, h) // without a report

	run := filepath.Join(dir, "more", results.RunFile)
	edit(t, run, `"completed"`, `"running"`)
	want{path: "/profiles/more/", code: 200, has: baseline}.check(t, h)
	edit(t, run, baseline, "renamed")
	if body := (want{path: "/profiles/more/", code: 200}).check(t, h); strings.Contains(body, baseline) {
		t.Errorf("the profiles of a run that goes on are not read again:\n%s", body)
	}
}
