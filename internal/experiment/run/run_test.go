package run

import (
	"maps"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/f3f4c0de/harness/internal/experiment/plan"
	"github.com/f3f4c0de/harness/internal/experiment/spec"
	"github.com/f3f4c0de/harness/internal/experiment/spec/spectest"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/stats"
)

var kinds = spec.Kinds{Workloads: spectest.Workloads, Backends: spectest.Backends, Observers: []results.ObserverInfo{{Name: "spans"}, {Name: "cpu"}}}

var alpha, beta = spectest.Workloads[0], spectest.Workloads[1]

func planned(t *testing.T, s spec.Settings) *plan.Plan {
	t.Helper()
	wanted, err := s.Resolve(kinds)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.New(wanted)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func alphaOnly(budget time.Duration, rounds int) spec.Settings {
	return spec.Settings{Programs: []spec.Program{{Workload: alpha}}, Budget: budget, Rounds: rounds}
}

func TestWantedCosts(t *testing.T) {
	rounds := 12
	p := planned(t, spec.Settings{Programs: []spec.Program{{Workload: alpha}}, Rounds: 1, ObserverRounds: &rounds})
	made := func(n int, busy func(cell string) bool) *runner {
		r := &runner{plan: p, done: make(map[plan.Step]bool)}
		for round := range n {
			for _, s := range p.Costs(round, func(string) bool { return true }) {
				load := &results.Load{WindowNS: 1000, BusyNS: 1000, OwnNS: 1000}
				if busy(s.Cell) {
					load.BusyNS = 1e9
				}
				r.made = append(r.made, results.Trial{Cell: s.Cell, Kind: s.Kind, Observer: s.Observer, Round: round, Load: load, Measured: results.Measured{WallNS: 1}})
			}
		}
		return r
	}
	never := func(string) bool { return false }
	baseline := func(cell string) bool { return strings.Contains(cell, "sequential") }
	for _, tt := range []struct {
		round int
		busy  func(string) bool
		want  int
	}{{0, never, 3}, {11, never, 3}, {12, never, 0}, {12, baseline, 1}, {23, baseline, 1}, {24, baseline, 0}} {
		if got := made(tt.round, tt.busy).wantedCosts(tt.round); len(got) != tt.want {
			t.Errorf("after %d rounds %v need another; want %d", tt.round, got, tt.want)
		}
	}
}

func played(p *plan.Plan, rounds int, others func(workload string, round int) float64) *runner {
	r := &runner{plan: p, opts: Options{}, done: make(map[plan.Step]bool)}
	for round := range rounds {
		for _, s := range p.Round(round, func(string) bool { return true }) {
			if s.Kind != results.Timed {
				continue
			}
			cell, _, _ := p.Cell(s.Cell)
			label := cell.Workload
			wall := int64(1000 + (7*round+3*s.Order)%20)
			r.made = append(r.made, results.Trial{
				Cell: s.Cell, Kind: s.Kind, Round: s.Round, Replicate: s.Copy, Order: s.Order,
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
		s      spec.Settings
		made   int
		others func(string, int) float64
		want   string // workloads that need the next round
	}{
		{"begins", spec.Settings{Rounds: 20}, 0, quiet, "alpha beta"},
		{"goes on", spec.Settings{Rounds: 20}, 19, quiet, "alpha beta"},
		{"is done", spec.Settings{Rounds: 20}, 20, quiet, ""},
		{"makes up for what was disturbed", spec.Settings{Rounds: 20}, 20, betaTwice, "beta"},
		{"has made up", spec.Settings{Rounds: 20}, 22, betaTwice, ""},
		{"hopes for twelve", spec.Settings{Rounds: 20}, 28, busy, "alpha beta"},
		{"has no hope", spec.Settings{Rounds: 20}, 29, busy, ""},
		{"makes up for every second", spec.Settings{Rounds: 22}, 41, halfBusy, "alpha beta"},
		{"has enough of every second", spec.Settings{Rounds: 22}, 43, halfBusy, ""},
		{"gives up", spec.Settings{Rounds: 22}, 44, halfBusy, ""},
		{"a look around takes what there is", spec.Settings{Rounds: 7}, 7, busy, ""},
		{"precise", spec.Settings{Precision: 0.05}, 12, quiet, ""},
		{"not yet enough rounds", spec.Settings{Precision: 0.05}, 11, quiet, "alpha beta"},
		{"not precise", spec.Settings{Precision: 0.001}, 12, quiet, "alpha beta"},
		{"never precise", spec.Settings{Precision: 0.001}, 60, quiet, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			seed := uint64(3)
			tt.s.Seed = &seed
			r := played(planned(t, tt.s), tt.made, tt.others)
			got := strings.Join(slices.Sorted(maps.Keys(r.wanted(tt.made))), " ")
			if got != tt.want {
				t.Errorf("after %d rounds %q need another; want %q", tt.made, got, tt.want)
			}
		})
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

func TestStoppingOnPrecisionIsFair(t *testing.T) {
	if testing.Short() {
		t.Skip("simulates hundreds of runs")
	}
	const runs = 400
	rng := rand.New(rand.NewPCG(1, 1))
	found, rounds := 0, 0
	for range runs {
		seed := rng.Uint64()
		p := planned(t, spec.Settings{Programs: []spec.Program{{Workload: beta}}, Backends: kinds.Backends[:2], Precision: 0.03, Seed: &seed})
		r := played(p, 0, nil)
		level := 0.0
		for round := 0; len(r.wanted(round)) > 0; round++ {
			for _, s := range p.Round(round, func(string) bool { return true }) {
				if s.Kind != results.Timed {
					continue
				}
				level = 0.9*level + 0.03*rng.NormFloat64() // the machine drifts
				wall := int64(1e8 * math.Exp(level+0.05*rng.NormFloat64()))
				r.made = append(r.made, results.Trial{Cell: s.Cell, Kind: s.Kind, Round: s.Round, Replicate: s.Copy, Order: s.Order, Measured: results.Measured{WallNS: wall}})
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

func TestFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := planned(t, alphaOnly(time.Minute, 0))
		every := func(string) bool { return true }
		next, _ := p.Estimate(p.Round(0, every), nil)
		rest, _ := p.Estimate(p.Evidence(), nil)
		for _, pace := range []float64{0.5, 1, 2} {
			r := &runner{plan: p, done: make(map[plan.Step]bool), clock: newClock(nil)}
			rounds := 0
			for r.fits(rounds, p.Round(rounds, every)) {
				steps := p.Round(rounds, every)
				planned := 0
				for _, s := range r.todo {
					if s.Kind == results.Probe {
						planned++
					}
				}
				if planned < 1 || r.todo[len(r.todo)-1].Kind != results.Profiled {
					t.Fatalf("before round %d there are %d rounds to be made, then %v", rounds, planned, r.todo[len(r.todo)-1])
				}
				_ = r.timed(steps, func() error {
					<-time.After(scale(next, pace)) // in the bubble
					return nil
				})
				rounds++
			}
			left := time.Minute - time.Since(r.clock.began) - scale(rest, max(1, pace)) - time.Second
			if left < 0 || left >= scale(next, pace) {
				t.Errorf("%d rounds at %v times their estimate leave %v of the budget; want less than a round of %v", rounds, pace, left, scale(next, pace))
			}
		}
	})
}

func TestFitsAtTheEdges(t *testing.T) {
	p := planned(t, alphaOnly(time.Minute, 0))
	every := func(string) bool { return true }
	spent := []results.Trial{{Load: &results.Load{WindowNS: int64(2 * time.Minute)}}}
	r := &runner{plan: p, done: make(map[plan.Step]bool), clock: newClock(spent)}
	if !r.fits(0, p.Round(0, every)) || r.fits(1, p.Round(1, every)) {
		t.Error("of a budget that is spent, want the first round and no other")
	}
	if len(r.todo) != len(p.Evidence()) {
		t.Errorf("then %d trials are left; want the evidence, %d", len(r.todo), len(p.Evidence()))
	}
	for _, s := range p.Round(1, every) {
		r.done[s] = true
	}
	if !r.fits(1, p.Round(1, every)) {
		t.Error("a round that was made before does not fit")
	}
	if got, want := newClock([]results.Trial{{Measured: results.Measured{OpenNS: 1, StartNS: 2, WarmNS: 3, WallNS: 4, CloseNS: 5}}}).before, time.Duration(15); got != want {
		t.Errorf("a trial of 15 ns whose load is not known has taken %v", got)
	}
}
