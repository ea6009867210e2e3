package experiment

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/stats"
)

func TestRoundsWithin(t *testing.T) {
	const s = time.Second
	tests := []struct {
		budget, spent, next, rest time.Duration
		want                      int
	}{
		{60 * s, 0, 5 * s, 9 * s, 10},
		{60 * s, 45 * s, 5 * s, 9 * s, 1},
		{60 * s, 46 * s, 5 * s, 9 * s, 0},
		{60 * s, 70 * s, 5 * s, 0, 0},
		{60 * s, 0, 0, 0, 0}, // nothing to be made
	}
	for _, tt := range tests {
		if got := roundsWithin(tt.budget, tt.spent, tt.next, tt.rest); got != tt.want {
			t.Errorf("roundsWithin(%v, %v, %v, %v) = %d; want %d", tt.budget, tt.spent, tt.next, tt.rest, got, tt.want)
		}
	}
}

func TestBudgetOfSettings(t *testing.T) {
	tests := []struct {
		name               string
		s                  Settings
		rounds, max, asked int
		fails              string
	}{
		{name: "alone", s: Settings{Budget: time.Minute}, rounds: mostBudgeted, max: mostBudgeted},
		{name: "with a preset", s: Settings{Budget: time.Minute, Preset: "standard"}, rounds: mostBudgeted, max: mostBudgeted},
		{name: "with rounds", s: Settings{Budget: time.Minute, Rounds: 20}, rounds: 20, max: 40, asked: 20},
		{name: "with precision", s: Settings{Budget: time.Minute, Precision: 0.02}, rounds: stats.MinRounds, max: mostRounds},
		{name: "too short", s: Settings{Budget: time.Millisecond}, fails: "want at least 1s"},
		{name: "negative", s: Settings{Budget: -time.Minute}, fails: "want at least 1s"},
	}
	for _, tt := range tests {
		spec, err := tt.s.Resolve(kinds)
		if tt.fails != "" {
			if err == nil || !strings.Contains(err.Error(), tt.fails) {
				t.Errorf("%s: Resolve() = %v; want an error that says %q", tt.name, err, tt.fails)
			}
			continue
		}
		if err != nil || spec.Rounds != tt.rounds || spec.MaxRounds != tt.max || spec.AskedRounds != tt.asked {
			t.Errorf("%s: Resolve() gives rounds %d, at most %d, asked %d, %v; want %d, %d, %d", tt.name, spec.Rounds, spec.MaxRounds, spec.AskedRounds, err, tt.rounds, tt.max, tt.asked)
		}
	}
}

// alphaOnly takes a second a trial and is profiled; a round of it has four.
func alphaOnly(budget time.Duration, rounds int) Settings {
	return Settings{Workloads: []Choice{{Workload: "alpha"}}, Budget: budget, Rounds: rounds}
}

func TestBudgetOfPlan(t *testing.T) {
	if err := plan(t, alphaOnly(10*time.Second, 0)).CheckBudget(); err == nil || !strings.Contains(err.Error(), "no room for a single round") {
		t.Errorf("CheckBudget() = %v; want an error: the evidence alone takes longer", err)
	}
	one := plan(t, alphaOnly(time.Hour, 1))
	if err := one.CheckBudget(); err != nil {
		t.Errorf("CheckBudget() = %v", err)
	}
	atLeast, _ := one.Estimate(one.Steps, nil)
	for _, budget := range []time.Duration{time.Minute, 2 * time.Minute} {
		p := plan(t, alphaOnly(budget, 0))
		took, _ := p.Estimate(p.Steps, nil)
		if took > budget || took < budget-atLeast {
			t.Errorf("within %v the plan takes %v", budget, took)
		}
	}
	p := plan(t, alphaOnly(time.Hour, 20))
	if got := len(slices.DeleteFunc(p.Steps, func(s Step) bool { return s.Kind != results.Probe })); got != 20 {
		t.Errorf("the plan has %d rounds; want the 20 that were asked for", got)
	}
}

// Rounds are made as long as they fit at the pace of those before them, and what
// is left to be made is known.
func TestFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := plan(t, alphaOnly(time.Minute, 0))
		every := func(string) bool { return true }
		next, _ := p.Estimate(p.round(0, every), nil)
		rest, _ := p.Estimate(p.evidence(), nil)
		for _, pace := range []float64{0.5, 1, 2} {
			r := &runner{plan: p, done: make(map[Step]bool), clock: newClock(nil)}
			rounds := 0
			for r.fits(rounds, p.round(rounds, every)) {
				steps := p.round(rounds, every)
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
			left := time.Minute - time.Since(r.clock.began) - scale(rest, max(1, pace)) - reserve
			if left < 0 || left >= scale(next, pace) {
				t.Errorf("%d rounds at %v times their estimate leave %v of the budget; want less than a round of %v", rounds, pace, left, scale(next, pace))
			}
		}
	})
}

// Where not even the first round fits it is made, and a run that is resumed has
// spent what its trials took.
func TestFitsAtTheEdges(t *testing.T) {
	p := plan(t, alphaOnly(time.Minute, 0))
	every := func(string) bool { return true }
	spent := []results.Trial{{Load: &results.Load{WindowNS: int64(2 * time.Minute)}}}
	r := &runner{plan: p, done: make(map[Step]bool), clock: newClock(spent)}
	if !r.fits(0, p.round(0, every)) || r.fits(1, p.round(1, every)) {
		t.Error("of a budget that is spent, want the first round and no other")
	}
	if len(r.todo) != len(p.evidence()) {
		t.Errorf("then %d trials are left; want the evidence, %d", len(r.todo), len(p.evidence()))
	}
	for _, s := range p.round(1, every) {
		r.done[s] = true
	}
	if !r.fits(1, p.round(1, every)) {
		t.Error("a round that was made before does not fit")
	}
	if got, want := newClock([]results.Trial{{Measured: results.Measured{OpenNS: 1, StartNS: 2, WarmNS: 3, WallNS: 4, CloseNS: 5}}}).before, time.Duration(15); got != want {
		t.Errorf("a trial of 15 ns whose load is not known has taken %v", got)
	}
}
