package web

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/f3f4c0de/harness/internal/inspect"
	"github.com/f3f4c0de/harness/internal/results"
)

func openRun(t *testing.T, dir string) *inspect.Run {
	t.Helper()
	r, err := inspect.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestProfiles(t *testing.T) {
	h := Profiles(openRun(t, canned), jaegers)
	cell := "/cell/" + processes
	for _, tt := range []want{
		{path: "/", code: 200, has: `<a href="/cell/sum-processes-w2/cpu/" title="200 samples in `},
		{path: "/", code: 200, has: `<td>200ms</td><td>10</td><td>200</td>`}, // of processor time a task, tasks, samples
		{path: "/", code: 200, has: `<td class="muted">worker-1</td>`},
		{path: "/", code: 200, has: `<a href="` + jaegers + `/trace/0000000000000000000000000000f00d">Jaeger</a>`},
		{path: cell + "/", code: 200, has: "sum on processes, 2 workers; 200ms of processor time a task, from 10 tasks."},
		{path: cell + "/", code: 200, has: `<a href="/diff/sum-sequential-w1/sum-processes-w2/cpu/">CPU a task against sum-sequential-w1</a>`},
		{path: cell + "/", code: 200, has: `<a href="/span/b000000000000011/"><code>b000000000000011</code></a></td><td>sum</td><td>0</td><td>worker-0</td><td>40</td><td>400ms</td>`},
		{path: cell + "/", code: 200, has: `<td>10</td><td><span class="muted">too few</span></td><td><a href="` + jaegers + `/trace/0000000000000000000000000000f00d?uiFind=b000000000000012">Jaeger</a>`},
		{path: cell + "/", code: 200, has: `; by process: <a href="/cell/sum-processes-w2/cpu/by/process/">cpu</a>`},
		{path: cell + "/cpu/flamegraph", code: 200, has: "stackViewer(", policy: pprofPolicy},
		{path: cell + "/cpu.worker-1/top", code: 200, has: "makeTopTable(", policy: pprofPolicy},
		{path: cell + "/cpu/peek", code: 200, has: "example.org/sum.add", policy: pprofPolicy},
		{path: cell + "/cpu/download", code: 200, policy: pprofPolicy},
		{path: cell + "/cpu/by/worker/flamegraph", code: 200, has: "worker 1", policy: pprofPolicy},
		{path: cell + "/traced-cpu/flamegraph", code: 200, has: `href="` + jaegers + `/trace/0000000000000000000000000000f00d"`, policy: pprofPolicy},
		{path: "/diff/" + baseline + "/" + processes + "/cpu/flamegraph", code: 200, has: `href="/cell/sum-processes-w2/"`, policy: pprofPolicy},
		{path: "/span/b000000000000011/flamegraph", code: 200, has: `href="` + jaegers + `/trace/0000000000000000000000000000f00d?uiFind=b000000000000011"`, policy: pprofPolicy},
		{path: "/span/b000000000000012/", code: 200, has: "has 10 CPU samples; fewer than 30 say nothing"},
		{path: "/span/b000000000000012/", code: 200, has: "200 ms from submission to result"}, // its ledger
		{path: "/favicon.ico", code: 204},

		{path: "/nothing", code: 404},
		{path: "/runs/", code: 404},
		{path: "/cell/none/", code: 404, has: "there are no profiles of cell &#34;none&#34;"},
		{path: "/cell/none/cpu/", code: 404, has: "there are no profiles of cell &#34;none&#34;"},
		{path: "/cell/..%2f" + baseline + "/", code: 404, has: "there are no profiles of cell"},
		{path: cell + "/none/", code: 404, has: "has no profile &#34;none&#34;"},
		{path: cell + "/..%2f..%2fsecret/", code: 404, has: "has no profile"},
		{path: cell + "/cpu/by/none/", code: 404, has: "a profile is not divided by &#34;none&#34;; want process, worker, task"},
		{path: cell + "/cpu/source", code: 404, policy: pprofPolicy},     // pprof would read files that the profile names,
		{path: cell + "/cpu/saveconfig", code: 404, policy: pprofPolicy}, // and write the user's configuration
		{path: "/diff/" + baseline + "/" + processes + "/none/", code: 404, has: "there are no profiles of kind &#34;none&#34;"},
		{path: "/diff/none/" + processes + "/cpu/", code: 404, has: "there are no profiles of cell"},
		{path: "/span/c000000000000001/", code: 404, has: "is of no cell, so it has no profile"},
		{path: "/span/xyz/", code: 404, has: "is not the id of a span"},
		{path: "/span/e000000000000001/", code: 404, has: `<a href="/">All profiles</a>`},
		{path: cell + "/", method: http.MethodPost, code: 405},
	} {
		tt.check(t, h)
	}
}

// The status distinguishes what cannot be read from what does not exist.
func TestBrokenProfile(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(canned)); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, results.ProfilesDir, baseline, "heap.pb.gz"), "broken")
	h := Profiles(openRun(t, dir), jaegers)
	for _, path := range []string{"/", "/cell/" + baseline + "/", "/cell/" + baseline + "/heap/"} {
		want{path: path, code: 500, has: "<h1>Cannot be read</h1>"}.check(t, h)
	}
	want{path: "/cell/" + processes + "/", code: 200}.check(t, h)
}

// Every link leads to a page that exists, also below a path with escapes.
func TestLinks(t *testing.T) {
	const start = "/profiles/50%25%20more/"
	h := NewRuns(runsFolder(t), jaegers).Handler()
	link := regexp.MustCompile(`href="(/[^"]*)"`)
	ours := regexp.MustCompile(`^(cell/[^/]*/)?$|^span/.*12/$`) // the others are pprof's
	like := regexp.MustCompile(`allocs|heap|block|mutex`)       // cpu and goroutine, and pprof takes its time for each
	pprofs := 0
	seen := []string{start}
	for i := 0; i < len(seen); i++ {
		tt := want{path: seen[i], code: 200}
		below, ok := strings.CutPrefix(tt.path, start)
		switch {
		case !ok && tt.path != "/":
			tt.policy = filePolicy // the report
		case ok && !ours.MatchString(below):
			pprofs++
			if like.MatchString(below) {
				continue
			}
			tt.code, tt.policy = 301, pprofPolicy // to the flame graph, which TestProfiles looks at
		}
		for _, m := range link.FindAllStringSubmatch(tt.check(t, h), -1) {
			if to := m[1]; ok && !slices.Contains(seen, to) {
				seen = append(seen, to)
			}
		}
	}
	// Two cells have seven profiles each of all processes, which are divided by
	// worker, and one of them of each process, too. There are a difference, and two spans.
	if want := 14 + 14 + 14 + 7 + 1 + 2; pprofs != want || !slices.Contains(seen, "/") || !slices.Contains(seen, "/runs/50%25%20more/report.html") {
		t.Errorf("there are links to %d pages of pprof; want %d, and the list of runs, and the report: %q", pprofs, want, seen)
	}
}

// The number of cached handlers is bounded.
func TestHandlersAreBounded(t *testing.T) {
	var kept handlers
	for i := range 3 * mostHandlers {
		prefix := "/" + strings.Repeat("x", i)
		if _, err := kept.get(prefix, func() (http.Handler, error) { return http.NotFoundHandler(), nil }); err != nil {
			t.Fatal(err)
		}
		if len(kept.by) > mostHandlers {
			t.Fatalf("after %d there are %d handlers; want at most %d", i+1, len(kept.by), mostHandlers)
		}
		if _, err := kept.get(prefix, nil); err != nil { // it is there
			t.Fatal(err)
		}
	}
}
