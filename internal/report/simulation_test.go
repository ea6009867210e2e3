package report_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/experiment/plan"
	"github.com/f3f4c0de/harness/internal/experiment/spec"
	"github.com/f3f4c0de/harness/internal/report"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/stats"
)

// A simulated machine. Its speed drifts, so that successive trials are correlated,
// and jumps at times: a first-order autoregressive process with spikes. On the
// real machines for which the protocol was made, the times of successive identical
// trials had an autocorrelation of 0.28 to 0.56, and noise of 13 to 59 %.
type simulated struct {
	rng   *rand.Rand
	level float64
	quiet bool

	// skewed is a machine that delays three trials of ten, by half of their time on
	// average. No trial is faster than an undisturbed one.
	skewed bool
}

// trial returns the time of a trial that takes that long on an undisturbed machine.
func (m *simulated) trial(rest float64) int64 {
	const keep, noise = 0.9, 0.1
	m.level = keep*m.level + math.Sqrt(1-keep*keep)*noise*m.rng.NormFloat64()
	log := m.level + 0.04*m.rng.NormFloat64()
	if m.rng.Float64() < 0.03 {
		log += m.rng.Float64()
	}
	switch {
	case m.quiet:
		log = 0.02 * m.rng.NormFloat64()
	case m.skewed:
		log = 0.02 * m.rng.NormFloat64()
		if m.rng.Float64() < 0.3 {
			log += 0.5 * m.rng.ExpFloat64()
		}
	}
	return int64(rest * 1e8 * math.Exp(log))
}

// run simulates a run of a plan on the machine. The goroutines take that share of the
// time of all other models.
func (m *simulated) run(t *testing.T, seed uint64, faster float64, order func([]plan.Step) []plan.Step) *report.Report {
	t.Helper()
	task := core.NewTask("none", func(context.Context, int) (int, error) { return 0, nil })
	kinds := spec.Kinds{
		Workloads: []*harness.Workload{{Name: "w", Tasks: []executor.AnyTask{task}}},
		Backends:  []*core.Backend{{Name: "sequential", MaxWorkers: 1}, {Name: "goroutines"}, {Name: "processes"}, {Name: "threads"}},
	}
	spec, err := spec.Settings{Preset: "standard", Seed: &seed, Workers: 2}.Resolve(kinds)
	if err != nil {
		t.Fatal(err)
	}
	spec.Cores = 2 // whatever this machine has
	p, err := plan.New(spec)
	if err != nil {
		t.Fatal(err)
	}
	return m.play(p, faster, order)
}

func (m *simulated) play(p *plan.Plan, faster float64, order func([]plan.Step) []plan.Step) *report.Report {
	d := &results.Data{Run: p.Run}
	now := p.Run.Started
	for _, s := range order(p.Steps) {
		if s.Kind != results.Timed {
			continue
		}
		rest := 1.0
		if s.Cell == "w-goroutines-w2" {
			rest = 1 / faster
		}
		wall := m.trial(rest)
		d.Trials = append(d.Trials, results.Trial{
			Cell: s.Cell, Kind: s.Kind, Round: s.Round, Replicate: s.Copy, Order: s.Order, Started: now,
			Load:     &results.Load{WindowNS: wall, BusyNS: wall, OwnNS: wall},
			Measured: results.Measured{WallNS: wall, Usage: results.Usage{UserNS: wall / 100}, Digest: "d"}, // waiting, so that the limit is not reached
		})
		now = now.Add(time.Duration(wall))
	}
	return report.Build(d)
}

// shipped is the order of the plan.
func shipped(steps []plan.Step) []plan.Step { return steps }

// inBlocks orders all trials of one cell before all trials of the next, like separate
// benchmarks of each program.
func inBlocks(steps []plan.Step) []plan.Step {
	var sorted []plan.Step
	for _, again := range []bool{false, true} {
		seen := make(map[string]bool)
		for _, first := range steps {
			if seen[first.Cell] || first.Copy != again {
				continue
			}
			seen[first.Cell] = true
			for _, s := range steps {
				if s.Cell == first.Cell && s.Copy == again {
					sorted = append(sorted, s)
				}
			}
		}
	}
	return sorted
}

// With the order of the plan, the statistics of the report find a difference between
// equal models in at most five runs of a hundred, as they promise. With trials in
// blocks they do so several times as often, which shows that this test can fail.
func TestFalsePositives(t *testing.T) {
	if testing.Short() {
		t.Skip("simulates a thousand runs")
	}
	const runs, few = 1000, 200
	rate := func(runs int, order func([]plan.Step) []plan.Step) (found, words int) {
		m := &simulated{rng: rand.New(rand.NewPCG(1, 2))}
		for i := range runs {
			r := m.run(t, uint64(i), 1, order)
			for _, row := range r.Rows {
				if row.Backend == "sequential" && (*row.Speedup.Low > 1 || *row.Speedup.High < 1) {
					found++
				}
				if row.Verdict != nil && (row.Verdict.Word == stats.Faster || row.Verdict.Word == stats.Slower) {
					words++
				}
			}
		}
		return found, words
	}
	found, words := rate(runs, shipped)
	if found < runs*3/100 || found > runs*7/100 {
		t.Errorf("the baseline differed from itself in %d of %d runs; want 3 to 7 %%", found, runs)
	}
	if words > 2 { // of three comparisons a run
		t.Errorf("%d comparisons of equals in %d runs were called faster or slower; want hardly any", words, runs)
	}
	blocks, _ := rate(few, inBlocks)
	if blocks < few*15/100 {
		t.Errorf("in blocks the baseline differed from itself in %d of %d runs; want at least 15 %%", blocks, few)
	}
	t.Logf("of %d runs: %.1f %% false in the order of the plan, %.1f %% in blocks; %d called faster or slower", runs, float64(found)*100/runs, float64(blocks)*100/few, words)
}

// The same holds for noise that only makes trials slower: it delays a model and the
// baseline with equal probability, so their difference is symmetric.
func TestFalsePositivesOfSkewedNoise(t *testing.T) {
	if testing.Short() {
		t.Skip("simulates a thousand runs")
	}
	const runs = 1000
	found := 0
	m := &simulated{rng: rand.New(rand.NewPCG(5, 6)), skewed: true}
	for i := range runs {
		for _, row := range m.run(t, uint64(i), 1, shipped).Rows {
			if row.Backend == "goroutines" && (*row.Speedup.Low > 1 || *row.Speedup.High < 1) {
				found++
			}
		}
	}
	if found < runs*3/100 || found > runs*7/100 {
		t.Errorf("a model differed from its equal in %d of %d runs; want 3 to 7 %%", found, runs)
	}
	t.Logf("of %d runs: %.1f %% false", runs, float64(found)*100/runs)
}

// Real differences are found: one of 10 % on a quiet machine nearly always, one of
// 20 % on a noisy machine mostly, and never with a wrong verdict.
func TestPower(t *testing.T) {
	const runs = 100
	for _, tt := range []struct {
		name   string
		quiet  bool
		faster float64
		least  int // called faster
	}{{"quiet", true, 1.1, 99}, {"noisy", false, 1.2, 80}} {
		t.Run(tt.name, func(t *testing.T) {
			m := &simulated{rng: rand.New(rand.NewPCG(3, 4)), quiet: tt.quiet}
			words := make(map[stats.Word]int)
			for i := range runs {
				for _, row := range m.run(t, uint64(i), tt.faster, shipped).Rows {
					if row.Backend == "goroutines" {
						words[row.Verdict.Word]++
					}
				}
			}
			if words[stats.Faster] < tt.least || words[stats.Slower]+words[stats.SlightlySlower]+words[stats.Same] > 0 {
				t.Errorf("verdicts on a program that is %v times faster are %v; want at least %d of %d right, and none wrong", tt.faster, words, tt.least, runs)
			}
		})
	}
}
