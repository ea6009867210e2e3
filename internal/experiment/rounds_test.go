package experiment

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/stats"
)

func TestVary(t *testing.T) {
	s := Settings{Workers: 3}
	if err := s.SetVary("alpha.wait=2ms,1s,0.5", kinds); err == nil {
		t.Error("a value of another type was accepted")
	}
	if err := s.SetVary("alpha.wait=2ms,1s", kinds); err != nil {
		t.Fatal(err)
	}
	spec, err := s.Resolve(kinds)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range spec.Programs {
		got = append(got, p.Label+" "+p.Params.(*testParams).Wait.String())
	}
	if want := []string{"alpha_wait_2ms 2ms", "alpha_wait_1s 1s"}; !slices.Equal(got, want) {
		t.Errorf("the programs are %v; want %v", got, want)
	}
	workers := Settings{Workloads: []Choice{{Workload: "alpha", Label: "w", Vary: map[string][]any{"workers": {uint64(1), uint64(4)}}}, {Workload: "beta"}}}
	if spec, err = workers.Resolve(kinds); err != nil {
		t.Fatal(err)
	}
	if p := spec.Programs; len(p) != 3 || p[1].Label != "w_workers_4" || p[1].Workers != 4 {
		t.Errorf("the programs are %+v; want two of alpha and one of beta", p)
	}
	for arg, want := range map[string]string{
		"alpha.n":             "want workload.name=value,value",
		"alpah.n=1,2":         "did you mean alpha",
		"alpha.m=1,2":         "did you mean n",
		"alpha.n=1":           "at least two values",
		"alpha.n=1,x":         "want a whole number",
		"alpha.workers=1,0":   "want 1 to 4096",
		"alpha.workers=1,two": "want 1 to 4096",
	} {
		if err := new(Settings).SetVary(arg, kinds); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("SetVary(%q) = %v; want an error that says %q", arg, err, want)
		}
	}
	two := Choice{Workload: "alpha", Vary: map[string][]any{"n": {1, 2}, "wait": {"1s", "2s"}}}
	if _, err := two.expand(kinds.Workloads[0]); err == nil {
		t.Error("two parameters were varied at once")
	}
}

// played is a runner that has made the first rounds of a plan, other programs
// having taken that many processors in a round of a workload.
func played(p *Plan, rounds int, others func(workload string, round int) float64) *runner {
	r := &runner{plan: p, opts: Options{}, done: make(map[Step]bool)}
	for round := range rounds {
		for _, s := range p.round(round, func(string) bool { return true }) {
			if s.Kind != results.Timed {
				continue
			}
			label := p.cells[s.Cell].Workload
			wall := int64(1000 + (7*round+3*s.Order)%20)
			r.made = append(r.made, results.Trial{
				Cell: s.Cell, Kind: s.Kind, Round: s.Round, Copy: s.Copy, Order: s.Order,
				Load:     &results.Load{WindowNS: 1000, BusyNS: 1000 + int64(1000*others(label, round)), OwnNS: 1000},
				Measured: results.Measured{WallNS: wall},
			})
		}
	}
	return r
}

func TestWantedRounds(t *testing.T) {
	quiet := func(string, int) float64 { return 0 }
	busy := func(string, int) float64 { return 1e6 }
	halfBusy := func(_ string, round int) float64 { return 1e6 * float64(round%2) }
	betaTwice := func(workload string, round int) float64 {
		if workload == "beta" && round < 2 {
			return 1e6
		}
		return 0
	}
	tests := []struct {
		name   string
		s      Settings
		made   int
		others func(string, int) float64
		want   string // workloads that need the next round
	}{
		{"begins", Settings{Rounds: 20}, 0, quiet, "alpha beta"},
		{"goes on", Settings{Rounds: 20}, 19, quiet, "alpha beta"},
		{"is done", Settings{Rounds: 20}, 20, quiet, ""},
		{"makes up for what was disturbed", Settings{Rounds: 20}, 20, betaTwice, "beta"},
		{"has made up", Settings{Rounds: 20}, 22, betaTwice, ""},
		{"hopes for twelve", Settings{Rounds: 20}, 28, busy, "alpha beta"},
		{"has no hope", Settings{Rounds: 20}, 29, busy, ""},
		{"makes up for every second", Settings{Rounds: 22}, 41, halfBusy, "alpha beta"},
		{"has enough of every second", Settings{Rounds: 22}, 43, halfBusy, ""},
		{"gives up", Settings{Rounds: 22}, 44, halfBusy, ""},
		{"a look around takes what there is", Settings{Rounds: 7}, 7, busy, ""},
		{"precise", Settings{Precision: 0.05}, 12, quiet, ""},
		{"not yet enough rounds", Settings{Precision: 0.05}, 11, quiet, "alpha beta"},
		{"not precise", Settings{Precision: 0.001}, 12, quiet, "alpha beta"},
		{"never precise", Settings{Precision: 0.001}, 60, quiet, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			seed := uint64(3)
			tt.s.Seed = &seed
			r := played(plan(t, tt.s), tt.made, tt.others)
			got := strings.Join(slices.Sorted(maps.Keys(r.wanted(tt.made))), " ")
			if got != tt.want {
				t.Errorf("after %d rounds %q need another; want %q", tt.made, got, tt.want)
			}
		})
	}
}

// A round of some workloads is in the order of the round of all.
func TestRoundOfSome(t *testing.T) {
	seed := uint64(5)
	p := plan(t, Settings{Rounds: 20, Seed: &seed})
	var all, some []string
	for _, s := range p.round(25, func(string) bool { return true }) {
		if p.cells[s.Cell].Workload == "beta" {
			all = append(all, s.Cell)
		}
	}
	for i, s := range p.round(25, func(w string) bool { return w == "beta" }) {
		if s.Kind == results.Timed {
			some = append(some, s.Cell)
			if s.Order != i-1 || s.Round != 25 {
				t.Errorf("step %d is %+v", i, s)
			}
		}
	}
	if !slices.Equal(all, some) || len(some) == 0 {
		t.Errorf("the round of beta alone is %v; in the round of all it is %v", some, all)
	}
}

func TestParsePrecision(t *testing.T) {
	for in, want := range map[string]float64{"2%": 0.02, "0.5 %": 0.005} {
		if got, err := ParsePrecision(in); err != nil || got != want {
			t.Errorf("ParsePrecision(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "2", "0%", "51%", "x%", "NaN%"} {
		if got, err := ParsePrecision(in); err == nil {
			t.Errorf("ParsePrecision(%q) = %v; want an error", in, got)
		}
	}
}

func TestWatchLoad(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("what other programs do is known on Linux only")
	}
	load := watchLoad()
	for deadline := time.Now().Add(20 * time.Millisecond); time.Now().Before(deadline); { // work of our own
		continue
	}
	if l := load(); l == nil || l.WindowNS <= 0 || l.OwnNS <= 0 {
		t.Errorf("after some work the load is %+v; want some of our own", l)
	}
}

// An axis has the same name for every workload, and values of its own unit.
func TestVaryAlongAnAxis(t *testing.T) {
	dial := *kinds.Workloads[0]
	dial.Name = "dial"
	scale := func(params any, value float64) { params.(*testParams).Scale = value }
	dial.Axes = []harness.Axis{
		{Name: "size", Doc: "how long", Unit: "ns", Values: []float64{1e6, 2e6}, Set: func(params any, value float64) { params.(*testParams).Wait = time.Duration(value) }},
		{Name: "wait", Doc: "a share", Unit: "1", Values: []float64{0, 0.5}, Set: scale},
		{Name: "payload", Doc: "bytes", Unit: "B", Values: []float64{512, 1 << 10, 3 << 20}, Set: scale},
	}
	kinds := kinds
	kinds.Workloads = append([]*harness.Workload{&dial}, kinds.Workloads...)
	value := func(v float64) string { return fmt.Sprint(v) }
	tests := []struct {
		arg    string
		listed []string // workloads
		want   []string // label and value on the axis
	}{
		{"size", nil, []string{"dial_size_1ms " + value(1e6), "dial_size_2ms " + value(2e6)}},
		{"wait", nil, []string{"dial_wait_0 0", "dial_wait_50 0.5"}},
		{"payload", nil, []string{"dial_payload_512 512", "dial_payload_1kib 1024", "dial_payload_3mib " + value(3<<20)}},
		{"size=3ms,4ms", []string{"beta", "dial"}, []string{"beta ", "dial_size_3ms " + value(3e6), "dial_size_4ms " + value(4e6)}},
		{"dial.wait=12.5%,99%", nil, []string{"dial_wait_12_5 0.125", "dial_wait_99 0.99"}},
		{"dial.wait=1ms,2ms", nil, []string{"dial_wait_1ms ", "dial_wait_2ms "}}, // the parameter
		{"dial.payload=7,2KiB", nil, []string{"dial_payload_7 7", "dial_payload_2kib 2048"}},
		{"workers=2,3", nil, []string{"dial_workers_2 ", "dial_workers_3 "}},
		{"workers=2,3", []string{"beta"}, []string{"beta_workers_2 ", "beta_workers_3 "}},
	}
	for _, tt := range tests {
		var s Settings
		if err := s.Select(tt.listed, kinds); err != nil {
			t.Fatal(err)
		}
		if err := s.SetVary(tt.arg, kinds); err != nil {
			t.Errorf("SetVary(%q): %v", tt.arg, err)
			continue
		}
		spec, err := s.Resolve(kinds)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range spec.Programs {
			at := ""
			if p.Axis != nil {
				at = value(p.Axis.Value)
			}
			got = append(got, p.Label+" "+at)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("SetVary(%q) of %v gives %q; want %q", tt.arg, tt.listed, got, tt.want)
		}
	}
	for arg, want := range map[string]string{
		"sise":            "did you mean size",
		"n=1,2":           "for a parameter: workload.name=value,value",
		"size=1ms":        "at least two values",
		"size=1,2":        "want a duration such as 5ms",
		"wait=50%,100%":   "want a share of 0% up to less than 100%",
		"payload=1,2.5":   "want bytes, such as 4096 or 64KiB",
		"dial.sise=1,2":   "unknown parameter or axis of dial",
		"workers=1,x":     "want 1 to 4096",
		"alpha.size=1,2":  "unknown parameter of alpha",
		"dial.wait=50%,x": "want a duration such as 5ms",
	} {
		if err := new(Settings).SetVary(arg, kinds); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("SetVary(%q) = %v; want an error that says %q", arg, err, want)
		}
	}
	if err := (&Settings{Workloads: []Choice{{Workload: "beta"}}}).SetVary("size", kinds); err == nil || !strings.Contains(err.Error(), "no workload of this run has that axis") {
		t.Errorf("an axis that no workload has gives %v", err)
	}
}

// Several numbers of workers are varied, by every workload that is run.
func TestSetWorkers(t *testing.T) {
	var s Settings
	if err := s.SetWorkers([]int{1, 4}, kinds); err != nil {
		t.Fatal(err)
	}
	spec, err := s.Resolve(kinds)
	if err != nil || len(spec.Programs) != 4 || spec.Programs[3].Label != "beta_workers_4" || spec.Programs[3].Workers != 4 {
		t.Errorf("the programs are %+v, %v; want two of each workload", spec.Programs, err)
	}
	for _, numbers := range [][]int{{-1}, {1, 0}, {5000}} {
		if err := new(Settings).SetWorkers(numbers, kinds); err == nil {
			t.Errorf("SetWorkers(%v) was accepted", numbers)
		}
	}
}

// A run that stops when it is precise, and so looks at its figures many times,
// finds a difference between equals no more often than one of fixed length: it
// looks at the width of the intervals only.
func TestStoppingOnPrecisionIsFair(t *testing.T) {
	if testing.Short() {
		t.Skip("simulates hundreds of runs")
	}
	const runs = 400
	rng := rand.New(rand.NewPCG(1, 1))
	found, rounds := 0, 0
	for range runs {
		seed := rng.Uint64()
		p := plan(t, Settings{Workloads: []Choice{{Workload: "beta"}}, Backends: []string{"many"}, Precision: 0.03, Seed: &seed})
		r := played(p, 0, nil)
		level := 0.0
		for round := 0; len(r.wanted(round)) > 0; round++ {
			for _, s := range p.round(round, func(string) bool { return true }) {
				if s.Kind != results.Timed {
					continue
				}
				level = 0.9*level + 0.03*rng.NormFloat64() // the machine drifts
				wall := int64(1e8 * math.Exp(level+0.05*rng.NormFloat64()))
				r.made = append(r.made, results.Trial{Cell: s.Cell, Kind: s.Kind, Round: s.Round, Copy: s.Copy, Order: s.Order, Measured: results.Measured{WallNS: wall}})
			}
			rounds++
		}
		var num, den []float64
		for _, b := range results.Blocks(&p.Run, r.made) {
			x, y, _ := b.Pair(p.Run.Cells[1], results.Wall)
			num, den = append(num, x), append(den, y)
		}
		if e := stats.Ratio(num, den, 0.95); e.Low > 1 || e.High < 1 {
			found++
		}
	}
	if found < runs*2/100 || found > runs*75/1000 {
		t.Errorf("%d of %d comparisons of equals found a difference; want about 5 %%", found, runs)
	}
	if mean := float64(rounds) / runs; mean < 13 || mean > 59 {
		t.Errorf("runs took %.1f rounds on average; the test wants them to stop somewhere between", mean)
	}
	t.Logf("%.1f %% of %d runs, of %.1f rounds on average", float64(found)*100/runs, runs, float64(rounds)/runs)
}
