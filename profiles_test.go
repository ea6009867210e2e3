package harness_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
	"github.com/rogpeppe/go-internal/testscript"
)

// tagged checks the profiles of a cell, as pprof reads them: each kind is there
// for all processes together and for each of the named ones, and every sample
// of the former says which of them it is from, and of which worker, as far as
// that can be known: tagged DIR CELL PROCESS …
func tagged(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: tagged DIR CELL PROCESS …")
	}
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
			if strings.HasSuffix(l.Line[0].Function.Name, "/internal/experiment.check") {
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
