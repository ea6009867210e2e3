package inspect

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/f3f4c0de/harness/internal/results"
)

var update = flag.Bool("update", false, "write the profiles of the canned run again")

const (
	canned    = "../../testdata/runs/exact"
	baseline  = "sum-sequential-w1"
	processes = "sum-processes-w2"
)

// of are the processes of the cells that computed.
var of = map[string][]string{baseline: {"trial"}, processes: {"worker-0", "worker-1"}}

// TestUpdate writes the profiles of the canned run, with -update.
func TestUpdate(t *testing.T) {
	if !*update {
		t.SkipNow()
	}
	for cell, of := range of {
		dir := filepath.Join(canned, results.ProfilesDir, cell)
		if err := os.MkdirAll(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		for _, kind := range Profiles {
			write(t, filepath.Join(dir, kind+extension), made(cell, kind, of...))
			for _, process := range of {
				write(t, filepath.Join(dir, kind+"."+process+extension), made(cell, kind, process))
			}
		}
		write(t, filepath.Join(dir, "nothing.pb.gz"), made(cell, "cpu")) // of a kind that there is not
	}
}

func write(t *testing.T, path string, p *profile.Profile) {
	t.Helper()
	f, err := os.Create(path)
	if err == nil {
		err = p.Write(f)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// made makes a profile of some processes of a cell: 100 samples of each, or in the
// traced trial 40 of the first task and 10 of the second.
func made(cell, kind string, processes ...string) *profile.Profile {
	period := map[string]string{"cpu": "cpu nanoseconds", tracedCPU: "cpu nanoseconds", "allocs": "alloc_space bytes", "heap": "inuse_space bytes", "goroutine": ""}
	p := &profile.Profile{SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}}}
	value, unit, ok := strings.Cut(period[kind], " ")
	if !ok && kind != "goroutine" {
		value, unit = "delay", "nanoseconds"
	}
	if value != "" {
		p.SampleType = append(p.SampleType, &profile.ValueType{Type: value, Unit: unit})
	}
	for i, name := range []string{"example.org/sum.add", "example.org/sum.task"} {
		f := &profile.Function{ID: uint64(i + 1), Name: name, Filename: "sum.go"}
		p.Function = append(p.Function, f)
		p.Location = append(p.Location, &profile.Location{ID: uint64(i + 1), Line: []profile.Line{{Function: f, Line: int64(10 * (i + 1))}}})
	}
	add := func(process, span string, worker, n int64) {
		s := &profile.Sample{Location: p.Location, Value: []int64{n}, Label: map[string][]string{
			"cell": {cell}, "process": {process}, "worker": {fmt.Sprint(worker)}, "task": {"sum"},
		}}
		if value != "" {
			s.Value = append(s.Value, n*10_000_000)
		}
		if span != "" {
			s.Label["span_id"], s.Label["trace_id"] = []string{span}, []string{strings.Repeat("0", 28) + "c0de"}
			if cell != baseline {
				s.Label["trace_id"] = []string{strings.Repeat("0", 28) + "f00d"}
			}
		}
		p.Sample = append(p.Sample, s)
	}
	for i, process := range processes {
		if kind != tracedCPU {
			add(process, "", int64(i), 100)
			continue
		}
		letter := "a"
		if cell != baseline {
			letter = "b"
		}
		first := letter + strings.Repeat("0", 13) + "1"
		switch {
		case len(of[cell]) == 1:
			add(process, first+"1", 0, 40)
			add(process, first+"2", 0, 10)
		case process == "worker-0":
			add(process, first+"1", 0, 40)
		default:
			add(process, first+"2", 1, 10)
		}
	}
	return p
}
