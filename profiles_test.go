package harness_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/f3f4c0de/harness/internal/results"
)

// sampled puts the id of the span that most CPU samples of a worker process name
// into $SPAN.
func sampled(ts *testscript.TestScript, _ bool, args []string) {
	b, err := os.ReadFile(filepath.Join(ts.MkAbs(args[0]), "profiles", args[1], "traced-cpu.pb.gz"))
	ts.Check(err)
	p, err := profile.ParseData(b)
	ts.Check(err)
	n, most := make(map[string]int64), ""
	for _, s := range p.Sample {
		if id := s.Label["span_id"]; len(id) == 1 && strings.HasPrefix(strings.Join(s.Label["process"], " "), "worker-") {
			if n[id[0]] += s.Value[0]; n[id[0]] > n[most] {
				most = id[0]
			}
		}
	}
	if most == "" {
		ts.Fatalf("no sample of a worker names a span")
	}
	ts.Setenv("SPAN", most)
}

// tagged checks the profiles of a cell, as pprof reads them: each kind is there
// for all processes together and for each of the named ones, and every sample
// of the former says which of them it is from, and of which worker, as far as
// that can be known.
func tagged(ts *testscript.TestScript, _ bool, args []string) {
	cell, processes := args[1], args[2:]
	read := func(name string) *profile.Profile {
		b, err := os.ReadFile(filepath.Join(ts.MkAbs(args[0]), "profiles", cell, name+".pb.gz"))
		ts.Check(err)
		p, err := profile.ParseData(b)
		ts.Check(err)
		ts.Check(p.CheckValid())
		return p
	}
	for _, s := range read("traced-cpu").Sample {
		for _, l := range s.Location {
			if strings.HasSuffix(l.Line[0].Function.Name, "/internal/experiment/trial.check") {
				ts.Fatalf("%s: the CPU profile of the traced trial has %d samples of checking the output", cell, s.Value[0])
			}
		}
	}
	for _, kind := range []string{"cpu", "allocs", "heap", "block", "mutex", "goroutine"} {
		merged := read(kind)
		var sum, parts int64
		of := func(p *profile.Profile) (n int64) {
			for _, s := range p.Sample {
				n += s.Value[0]
			}
			return n
		}
		sum = of(merged)
		for _, p := range processes {
			parts += of(read(kind + "." + p))
		}
		if sum != parts {
			ts.Fatalf("%s: %d samples of %s are merged; the processes have %d", cell, sum, kind, parts)
		}
		workers := make(map[string]bool)
		for _, s := range merged.Sample {
			p, w := s.Label["process"], s.Label["worker"]
			if len(p) != 1 || len(w) != 1 || !slices.Equal(s.Label["cell"], []string{cell}) || !slices.Contains(processes, p[0]) {
				ts.Fatalf("%s: a %s sample has the labels %v", cell, kind, s.Label)
			}
			if index, ok := strings.CutPrefix(p[0], "worker-"); ok && index != w[0] {
				ts.Fatalf("%s: a %s sample of %s is of worker %s", cell, kind, p[0], w[0])
			}
			workers[w[0]] = true
		}
		// What labels can tell is told: the goroutines of workers are there
		// when the profiles are taken.
		for i := range 2 {
			if kind == "goroutine" && !workers[string(rune('0'+i))] {
				ts.Fatalf("%s: no %s sample is of worker %d, but of %v", cell, kind, i, workers)
			}
		}
		if unknown := len(processes) == 1 && kind != "cpu" && kind != "goroutine"; workers["unknown"] != (unknown && len(merged.Sample) > 0) {
			ts.Fatalf("%s: the %s samples are of the workers %v", cell, kind, workers)
		}
	}
}

// crawl follows every link of the profile pages at a URL, which may have a path,
// and checks that each leads somewhere, and that what pprof shows of a cell leads
// to the trace of its traced trial in Jaeger.
func crawl(ts *testscript.TestScript, _ bool, args []string) {
	data, err := results.Read(ts.MkAbs(args[2]))
	ts.Check(err)
	traces := make(map[string]string) // of cells
	for _, t := range data.Latest() {
		if t.TraceID != "" {
			traces[t.Cell] = t.TraceID
		}
	}
	link := regexp.MustCompile(`href="(/[^"]*|http[^"]*/trace/[^"]*)"`)
	cellOf := regexp.MustCompile(`^/cell/([^/]+)/`)
	at, err := url.Parse(args[0])
	ts.Check(err)
	base := at.Path
	at.Path = ""
	seen := map[string]bool{base + "/": true}
	kinds := make(map[string]int) // of pages
	todo := []string{base + "/"}
	for _, s := range spansOf(ts, ts.MkAbs(args[2])) {
		if strings.HasPrefix(s.Name, "trial ") { // no task's, and few samples are of it: it may or may not be in the list
			page := base + "/span/" + s.SpanID + "/"
			seen[page] = true
			todo = append(todo, page)
		}
	}
	for len(todo) > 0 {
		path := todo[0]
		todo = todo[1:]
		page, last, err := follow(at.String() + path)
		ts.Check(err)
		if !strings.HasPrefix(path, base+"/") {
			kinds["beside"]++ // it is there
			continue
		}
		path = strings.TrimPrefix(path, base)
		pprofs := strings.HasSuffix(last, "/flamegraph")
		if pprofs != strings.Contains(page, "stackViewer(") {
			ts.Fatalf("%s leads to %s, which is not what it should be", path, last)
		}
		cell, jaeger := cellOf.FindStringSubmatch(path), 0
		for _, m := range link.FindAllStringSubmatch(page, -1) {
			link, local := m[1], strings.HasPrefix(m[1], "/")
			if !local {
				jaeger++
				if want := args[1] + "/trace/"; !strings.HasPrefix(link, want) || cell != nil && !strings.HasPrefix(link, want+traces[cell[1]]) {
					ts.Fatalf("%s has the link %s; want it to lead to the trace of its cell below %s", path, link, want)
				}
			}
			if local && !seen[link] {
				seen[link] = true
				todo = append(todo, link)
			}
		}
		if jaeger == 0 {
			ts.Fatalf("%s does not lead to Jaeger", path)
		}
		kind := "index"
		switch {
		case strings.HasPrefix(path, "/span/") && pprofs:
			kind = "span"
		case strings.HasPrefix(path, "/span/"):
			kind = "ledger"
			if !strings.Contains(page, "from submission to result") {
				ts.Fatalf("%s has no ledger:\n%s", path, page)
			}
		case strings.HasPrefix(path, "/diff/"), strings.Contains(path, "/by/"), pprofs:
			kind = "profile"
		case cell != nil:
			kind = "cell"
		}
		kinds[kind]++
	}
	if beside := kinds["beside"]; (beside > 0) != (base != "") {
		ts.Fatalf("there are links to %d pages beside those below %q", beside, base)
	}
	if kinds["index"] != 1 || kinds["cell"] != len(data.Run.Cells) || kinds["profile"] < 10*len(data.Run.Cells) || kinds["span"]+kinds["ledger"] == 0 {
		ts.Fatalf("there are the pages %v", kinds)
	}
}

// follow returns a page and the URL that it was found at.
func follow(url string) (page, last string, err error) {
	r, err := http.Get(url)
	if err != nil {
		return "", "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, r.Status)
	}
	return string(b), r.Request.URL.String(), err
}
