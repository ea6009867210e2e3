package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/f3f4c0de/harness/internal/experiment/spec"
	"github.com/f3f4c0de/harness/internal/experiment/spec/spectest"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/stats"
)

var kinds = spec.Kinds{Workloads: spectest.Workloads, Backends: spectest.Backends, Observers: []results.ObserverInfo{{Name: "spans"}, {Name: "cpu"}}}

var alpha = spectest.Workloads[0]

func TestPlan(t *testing.T) {
	seed := uint64(11)
	p := planned(t, spec.Settings{Rounds: 20, Seed: &seed})
	var cells []string
	for _, c := range p.Run.Cells {
		cells = append(cells, c.ID)
	}
	cores := p.Run.Machine.Cores
	want := []string{
		"alpha-sequential-w1", fmt.Sprintf("alpha-many-w%d", 4*cores), fmt.Sprintf("alpha-apart-w%d", 4*cores),
		"beta-sequential-w1", fmt.Sprintf("beta-many-w%d", cores), fmt.Sprintf("beta-apart-w%d", cores),
	}
	if !slices.Equal(cells, want) {
		t.Errorf("cells are %v; want %v", cells, want)
	}
	if why := p.Run.Cells[5].NotApplicable; why == "" {
		t.Error("a workload that needs shared memory is planned on a backend without it")
	}
	if p.Steps[0].Kind != results.Pilot || p.Steps[1].Kind != results.Pilot || p.Steps[2].Kind != results.Probe || p.Steps[3].Kind != results.Timed {
		t.Errorf("the first steps are %+v; want a pilot of each workload, a probe and the rounds", p.Steps[:4])
	}
	// Every round has every cell once and the baselines twice, and the orders
	// differ.
	orders := make(map[string]bool)
	for round := range 20 {
		count := make(map[string]int)
		var order []string
		for _, s := range p.Steps {
			if s.Kind == results.Timed && s.Round == round {
				if s.Order != len(order) {
					t.Errorf("step %+v comes as number %d of its round", s, len(order))
				}
				count[s.Cell]++
				order = append(order, s.Cell)
			}
		}
		if len(order) != 7 || count["alpha-sequential-w1"] != 2 || count["beta-sequential-w1"] != 2 || count[want[1]] != 1 || count[want[5]] != 0 {
			t.Fatalf("round %d runs %v", round, count)
		}
		orders[strings.Join(order, " ")] = true
	}
	if len(orders) < 15 {
		t.Errorf("20 rounds have only %d different orders", len(orders))
	}
	again := planned(t, spec.Settings{Rounds: 20, Seed: &seed})
	if d := cmp.Diff(p.Steps, again.Steps); d != "" {
		t.Errorf("the same seed gives other steps:\n%s", d)
	}
	other := uint64(12)
	if cmp.Equal(p.Steps, planned(t, spec.Settings{Rounds: 20, Seed: &other}).Steps) {
		t.Error("another seed gives the same steps")
	}
}

func TestOnly(t *testing.T) {
	tests := []struct {
		only []string
		want string // the cells of the plan, or what the error says
	}{
		{nil, "alpha-sequential-w1 alpha-many-w3 alpha-apart-w3 beta-sequential-w1 beta-many-w3 beta-apart-w3"},
		{[]string{"alpha/apart"}, "alpha-sequential-w1 alpha-apart-w3"},
		{[]string{"beta-many-w3", "alpha/apart"}, "alpha-sequential-w1 alpha-apart-w3 beta-sequential-w1 beta-many-w3"},
		{[]string{"alpha/sequential"}, "alpha-sequential-w1"},
		{[]string{"beta/apart"}, `only: cell "beta/apart" cannot be run: the workload's tasks share memory, which this backend does not`},
		{[]string{"alpha/many", "alpha/mny"}, `only: cell "alpha/mny": unknown backend "mny"; did you mean many?`},
		{[]string{"alph/many"}, `only: cell "alph/many": unknown workload "alph"; did you mean alpha?`},
		{[]string{"alpha"}, `only: cell "alpha"; want workload/backend, such as alpha/apart`},
	}
	for _, tt := range tests {
		spec, err := spec.Settings{Workers: 3, Only: tt.only}.Resolve(kinds)
		if err != nil {
			if err.Error() != tt.want {
				t.Errorf("Resolve with only %v: %v; want %s", tt.only, err, tt.want)
			}
			continue
		}
		plan, err := New(spec)
		if err != nil {
			t.Fatal(err)
		}
		var cells []string
		for _, c := range plan.Run.Cells {
			cells = append(cells, c.ID)
		}
		if got := strings.Join(cells, " "); got != tt.want {
			t.Errorf("with only %v the plan has the cells %s; want %s", tt.only, got, tt.want)
		}
	}
}

func TestPlanOfCosts(t *testing.T) {
	seed, rounds := uint64(11), 3
	p := planned(t, spec.Settings{Rounds: 1, Seed: &seed, ObserverRounds: &rounds})
	orders := make(map[string]bool)
	for round := range rounds {
		arms := make(map[string]map[string]int)
		var order, cells []string
		for _, s := range p.Steps {
			if s.Kind != results.ObserverTrial || s.Round != round {
				continue
			}
			if s.Order != len(order) {
				t.Errorf("step %+v comes as number %d of its round", s, len(order))
			}
			if arms[s.Cell] == nil {
				arms[s.Cell] = make(map[string]int)
				cells = append(cells, s.Cell)
			} else if cells[len(cells)-1] != s.Cell {
				t.Errorf("round %d: other cells come between the trials of %s", round, s.Cell)
			}
			arms[s.Cell][s.Observer]++
			order = append(order, s.Cell+" "+s.Observer)
		}
		if len(cells) != 3 {
			t.Errorf("round %d is of the cells %v; want the three of alpha", round, cells)
		}
		for cell, got := range arms {
			for _, o := range append([]results.ObserverInfo{{}}, p.Run.Observers...) {
				if got[o.Name] != 1 || !strings.HasPrefix(cell, "alpha-") {
					t.Errorf("round %d runs %s %d times with observer %q; want once, and alpha only", round, cell, got[o.Name], o.Name)
				}
			}
		}
		orders[strings.Join(order, ",")] = true
	}
	if len(orders) != rounds {
		t.Errorf("%d rounds have %d orders", rounds, len(orders))
	}
	again, err := Resume(p.Run, kinds)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(p.Steps, again.Steps); d != "" {
		t.Errorf("resumed, the plan has other steps:\n%s", d)
	}
	for _, s := range planned(t, spec.Settings{}).Steps {
		if s.Kind == results.ObserverTrial {
			t.Fatalf("the preset quick has step %+v", s)
		}
	}
	if p := planned(t, spec.Settings{Preset: "standard"}); p.Run.ObserverRounds < stats.MinRounds {
		t.Errorf("the preset standard has %d rounds for the cost of observing; a verdict takes %d", p.Run.ObserverRounds, stats.MinRounds)
	}
	many := 1001
	if _, err := (spec.Settings{ObserverRounds: &many}).Resolve(kinds); err == nil {
		t.Error("1,001 rounds for the cost of observing were accepted")
	}
}

func TestResume(t *testing.T) {
	seed := uint64(11)
	s := spec.Settings{Seed: &seed}
	if err := s.SetParam("alpha.big=18446744073709551615", kinds); err != nil {
		t.Fatal(err)
	}
	p := planned(t, s)
	again, err := Resume(p.Run, kinds)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(p.Steps, again.Steps); d != "" {
		t.Errorf("resumed, the plan has other steps:\n%s", d)
	}
	if d := cmp.Diff(p.programs["alpha"].Params, again.programs["alpha"].Params); d != "" {
		t.Errorf("resumed, the parameters differ:\n%s", d)
	}
	run := p.Run
	run.Version.Executable = "another"
	if _, err := Resume(run, kinds); err == nil || !strings.Contains(err.Error(), "another build") {
		t.Errorf("resuming with another build = %v; want it refused", err)
	}
	run = p.Run
	run.Machine.Cores++
	if _, err := Resume(run, kinds); err == nil || !strings.Contains(err.Error(), "another machine") {
		t.Errorf("resuming on another machine = %v; want it refused", err)
	}
}

func TestEstimate(t *testing.T) {
	p := planned(t, spec.Settings{Trial: 10 * time.Millisecond})
	total, known := p.Estimate(p.Steps, nil)
	if known || total < 10*time.Second {
		t.Errorf("Estimate() = %v, %v; want ten seconds and more, and that beta is not known", total, known)
	}
	total, known = p.Estimate(p.Steps, map[string]time.Duration{"alpha": time.Millisecond, "beta": time.Millisecond})
	if !known || total > 10*time.Second {
		t.Errorf("Estimate() with pilots of a millisecond = %v, %v; want less than ten seconds", total, known)
	}
}

func TestRoundOfSome(t *testing.T) {
	seed := uint64(5)
	p := planned(t, spec.Settings{Rounds: 20, Seed: &seed})
	var all, some []string
	for _, s := range p.Round(25, func(string) bool { return true }) {
		if p.cells[s.Cell].Workload == "beta" {
			all = append(all, s.Cell)
		}
	}
	for i, s := range p.Round(25, func(w string) bool { return w == "beta" }) {
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
		if got := RoundsWithin(tt.budget, tt.spent, tt.next, tt.rest); got != tt.want {
			t.Errorf("RoundsWithin(%v, %v, %v, %v) = %d; want %d", tt.budget, tt.spent, tt.next, tt.rest, got, tt.want)
		}
	}
}

func alphaOnly(budget time.Duration, rounds int) spec.Settings {
	return spec.Settings{Programs: []spec.Program{{Workload: alpha}}, Budget: budget, Rounds: rounds}
}

func TestBudgetOfPlan(t *testing.T) {
	if err := planned(t, alphaOnly(10*time.Second, 0)).CheckBudget(); err == nil || !strings.Contains(err.Error(), "no room for a single round") {
		t.Errorf("CheckBudget() = %v; want an error: the evidence alone takes longer", err)
	}
	one := planned(t, alphaOnly(time.Hour, 1))
	if err := one.CheckBudget(); err != nil {
		t.Errorf("CheckBudget() = %v", err)
	}
	atLeast, _ := one.Estimate(one.Steps, nil)
	for _, budget := range []time.Duration{time.Minute, 2 * time.Minute} {
		p := planned(t, alphaOnly(budget, 0))
		took, _ := p.Estimate(p.Steps, nil)
		if took > budget || took < budget-atLeast {
			t.Errorf("within %v the plan takes %v", budget, took)
		}
	}
	p := planned(t, alphaOnly(time.Hour, 20))
	if got := len(slices.DeleteFunc(p.Steps, func(s Step) bool { return s.Kind != results.Probe })); got != 20 {
		t.Errorf("the plan has %d rounds; want the 20 that were asked for", got)
	}
}

func planned(t *testing.T, s spec.Settings) *Plan {
	t.Helper()
	wanted, err := s.Resolve(kinds)
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(wanted)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
