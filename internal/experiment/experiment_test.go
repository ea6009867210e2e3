package experiment

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/stats"
)

type testParams struct {
	N     int           `yaml:"n" doc:"things"`
	Wait  time.Duration `yaml:"wait" doc:"time"`
	Scale float64       `yaml:"scale" doc:"factor"`
	Big   uint64        `yaml:"big" doc:"large"`
	Name  string        `yaml:"name" doc:"text"`
	On    bool          `yaml:"on" doc:"switch"`
}

func (p *testParams) Validate() error {
	if p.N > 100 {
		return fmt.Errorf("n is %d; want at most 100", p.N)
	}
	return nil
}

var testTask = core.NewTask("alpha", func(context.Context, int) (int, error) { return 0, nil })

var kinds = Kinds{
	Workloads: []*harness.Workload{
		{
			Name: "alpha", Doc: "first\n\nmore", Params: &testParams{N: 5, Wait: time.Second, Scale: 1, Name: "x"}, Tasks: []executor.AnyTask{testTask},
			Workers: func(cores int) int { return 4 * cores }, Nominal: func(p any) time.Duration { return p.(*testParams).Wait },
		},
		{Name: "beta", Doc: "second", Tasks: []executor.AnyTask{testTask}, NeedsSharedMemory: true},
	},
	Backends: []*core.Backend{
		{Name: "sequential", Doc: "one", Shared: true, Serial: true, MaxWorkers: 1},
		{Name: "many", Doc: "all", Shared: true},
		{Name: "apart", Doc: "far"},
	},
}

func TestTasksOnce(t *testing.T) {
	if got := kinds.Tasks(); len(got) != 1 {
		t.Errorf("Tasks() has %d tasks; want the one that both workloads share, once", len(got))
	}
}

func TestUnknownNames(t *testing.T) {
	tests := []struct{ name, want string }{
		{"manny", `did you mean many?`},
		{"sequentail", `did you mean sequential?`},
		{"zzzzzz", "known are apart, many, sequential"},
		{"", "known are"},
	}
	for _, tt := range tests {
		if _, err := kinds.backend(tt.name); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("backend(%q) = %v; want an error that says %q", tt.name, err, tt.want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}} {
		if got := distance(tt.a, tt.b); got != tt.want || distance(tt.b, tt.a) != tt.want {
			t.Errorf("distance(%q, %q) = %d; want %d both ways", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestParseFile(t *testing.T) {
	seed := uint64(7)
	tests := []struct {
		name, in string
		want     Settings
	}{
		{"empty", "", Settings{}},
		{"all", `
workloads:
  - beta
  - workload: alpha
    label: small
    workers: 3
    params: {n: 2, wait: 5ms, scale: 2, big: 18446744073709551615, name: y, on: true}
backends: [many]
workers: 9
preset: standard
rounds: 30
seed: 7
timeout: 2m
trial: 200ms
precision: 2%
`, Settings{
			Workloads: []Choice{
				{Workload: "beta", Params: map[string]any{}},
				{Workload: "alpha", Label: "small", Workers: 3, Params: map[string]any{
					"n": uint64(2), "wait": "5ms", "scale": uint64(2), "big": uint64(18446744073709551615), "name": "y", "on": true,
				}},
			},
			Backends: []string{"many"}, Workers: 9, Preset: "standard", Rounds: 30, Seed: &seed, Timeout: 2 * time.Minute,
			Trial: 200 * time.Millisecond, Precision: 0.02,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseFile("f.yaml", []byte(tt.in), kinds)
			if d := cmp.Diff(tt.want, got); d != "" || err != nil {
				t.Errorf("ParseFile gave error %v (-want +got):\n%s", err, d)
			}
		})
	}
}

func TestParseFileTellsWhere(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"syntax", "workloads: [alpha\nrounds: 3\n", "f.yaml:2:1: "},
		{"unknown field", "workloads: [alpha]\nround: 3\n", `f.yaml:2:1: unknown field "round"; did you mean rounds?`},
		{"unknown field of a workload", "workloads:\n  - workload: alpha\n    parms: {}\n", `f.yaml:3:5: unknown field "parms"; did you mean params?`},
		{"type", "rounds: many\n", `f.yaml:1:9: "many"; want a whole number`},
		{"duration", "\ntimeout: 5\n", `f.yaml:2:10: "5"; want a duration such as 5ms`},
		{"no duration", "time_budget: soon\n", `f.yaml:1:14: "soon"; want a duration such as 5ms`},
		{"a list of them", "trial: [1s]\n", `f.yaml:1:8: "["; want a duration such as 5ms`},
		{"workload", "workloads:\n  - alpa\n", `f.yaml:2:5: unknown workload "alpa"; did you mean alpha?`},
		{"workload in a map", "workloads:\n  - workload: gamma\n", "f.yaml:2:15: unknown workload"},
		{"no workload", "workloads:\n  - params: {n: 1}\n", "f.yaml:2:"},
		{"backend", "backends: [many, aprt]\n", `f.yaml:1:18: unknown backend "aprt"; did you mean apart?`},
		{"preset", "preset: slow\n", `f.yaml:1:9: unknown preset "slow"`},
		{"parameter", "workloads:\n  - workload: alpha\n    params:\n      n: 1\n      m: 2\n", `f.yaml:5:10: unknown parameter of alpha "m"; did you mean n?`},
		{"parameter's type", "workloads:\n  - workload: alpha\n    params: {n: x}\n", "f.yaml:3:17: parameter n of alpha is x; want a whole number"},
		{"half a thing", "workloads:\n  - workload: alpha\n    params: {n: 1.5}\n", "f.yaml:3:17: parameter n of alpha is 1.5; want a whole number"},
		{"refused by the workload", "workloads:\n  - workload: alpha\n    params: {n: 101}\n", "f.yaml:3:17: parameters of alpha: n is 101; want at most 100"},
		{"precision", "precision: 2\n", `f.yaml:1:12: precision is "2"; want 0.1% to 50%, such as 2%`},
		{"vary", "workloads:\n  - workload: alpha\n    vary: {n: 1}\n", "f.yaml:3:15: n is to vary, but over what? want a list"},
		{"vary over one value", "workloads:\n  - workload: alpha\n    vary: {n: [1]}\n", "f.yaml:3:15: n of alpha is to vary over [1]; want at least two values"},
		{"vary what there is not", "workloads:\n  - workload: alpha\n    vary: {m: [1, 2]}\n", `f.yaml:3:15: unknown parameter of alpha "m"; did you mean n?`},
		{"second document", "rounds: 1\n---\nrounds: 2\n", "f.yaml holds 2 documents"},
		{"not a map", "- a\n", "f.yaml:1:1: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseFile("f.yaml", []byte(tt.in), kinds)
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("ParseFile = %+v, %v; want an error that begins with %q", got, err, tt.want)
			}
		})
	}
}

func FuzzParseFile(f *testing.F) {
	f.Add([]byte("workloads:\n  - workload: alpha\n    params: {n: 1}\nbackends: [many]\n"))
	f.Add([]byte("seed: 1\n---\n"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		s, err := ParseFile("f", b, kinds)
		if err == nil {
			s.Resolve(kinds)
		}
	})
}

func TestSetParam(t *testing.T) {
	var s Settings
	for _, arg := range []string{"alpha.n=3", "alpha.wait=2ms", "alpha.name=a=b"} {
		if err := s.SetParam(arg, kinds); err != nil {
			t.Fatalf("SetParam(%q) = %v", arg, err)
		}
	}
	spec, err := s.Resolve(kinds)
	if err != nil {
		t.Fatal(err)
	}
	want := &testParams{N: 3, Wait: 2 * time.Millisecond, Scale: 1, Name: "a=b"}
	if d := cmp.Diff(want, spec.Programs[0].Params); d != "" {
		t.Errorf("parameters differ (-want +got):\n%s", d)
	}
	if len(spec.Programs) != 2 {
		t.Errorf("%d workloads are run; want all", len(spec.Programs))
	}
	if original := kinds.Workloads[0].Params.(*testParams); original.N != 5 {
		t.Errorf("the workload's own defaults became %+v", original)
	}
	for arg, want := range map[string]string{
		"alpha":       "want workload.name=value",
		"alpha.n":     "want workload.name=value",
		"alpah.n=1":   "did you mean alpha",
		"alpha.m=1":   "did you mean n",
		"alpha.n=x":   "want a whole number",
		"alpha.n=200": "want at most 100",
		"alpha.on=2":  "want true or false",
		"beta.n=1":    "has no parameters",
	} {
		if err := s.SetParam(arg, kinds); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("SetParam(%q) = %v; want an error that says %q", arg, err, want)
		}
	}
	only := Settings{Workloads: []Choice{{Workload: "beta"}}}
	if err := only.SetParam("alpha.n=1", kinds); err == nil || !strings.Contains(err.Error(), "not part of this run") {
		t.Errorf("SetParam of a workload that is not run = %v", err)
	}
}

func TestSelect(t *testing.T) {
	s := Settings{Workloads: []Choice{{Workload: "alpha", Label: "one"}, {Workload: "alpha", Label: "two"}}}
	if err := s.Select([]string{"beta", "alpha"}, kinds); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range s.Workloads {
		got = append(got, c.Workload+"/"+c.Label)
	}
	if want := []string{"beta/", "alpha/one", "alpha/two"}; !slices.Equal(got, want) {
		t.Errorf("selected are %v; want %v", got, want)
	}
	if err := s.Select([]string{"bta"}, kinds); err == nil {
		t.Error("selecting an unknown workload gave no error")
	}
}

func TestResolve(t *testing.T) {
	spec, err := Settings{Workloads: []Choice{{Workload: "alpha"}, {Workload: "alpha"}}, Backends: []string{"apart"}}.Resolve(kinds)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := spec.Programs[0].Label, spec.Programs[1].Label; a != "alpha" || b != "alpha_2" {
		t.Errorf("labels are %q and %q", a, b)
	}
	if len(spec.Backends) != 2 || spec.Backends[0].Name != "sequential" || spec.Backends[1].Name != "apart" {
		t.Errorf("backends are %v; want the baseline and the one chosen", spec.Backends)
	}
	if spec.Preset != "quick" || spec.Rounds != 7 || spec.Timeout != DefaultTimeout {
		t.Errorf("defaults are %+v", spec)
	}
	for name, s := range map[string]Settings{
		"rounds":      {Rounds: -1},
		"timeout":     {Timeout: time.Millisecond},
		"workers":     {Workers: 5000},
		"label":       {Workloads: []Choice{{Workload: "alpha", Label: "Not/good"}}},
		"same label":  {Workloads: []Choice{{Workload: "alpha", Label: "x"}, {Workload: "beta", Label: "x"}}},
		"trial":       {Trial: time.Hour},
		"both":        {Rounds: 5, Precision: 0.02},
		"preset":      {Preset: "fast"},
		"workload":    {Workloads: []Choice{{Workload: "?"}}},
		"own workers": {Workloads: []Choice{{Workload: "alpha", Workers: -3}}},
	} {
		if _, err := s.Resolve(kinds); err == nil {
			t.Errorf("%s: Resolve(%+v) gave no error", name, s)
		}
	}
}

func plan(t *testing.T, s Settings) *Plan {
	t.Helper()
	spec, err := s.Resolve(kinds)
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPlan(spec)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPlan(t *testing.T) {
	seed := uint64(11)
	p := plan(t, Settings{Rounds: 20, Seed: &seed})
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
	again := plan(t, Settings{Rounds: 20, Seed: &seed})
	if d := cmp.Diff(p.Steps, again.Steps); d != "" {
		t.Errorf("the same seed gives other steps:\n%s", d)
	}
	other := uint64(12)
	if cmp.Equal(p.Steps, plan(t, Settings{Rounds: 20, Seed: &other}).Steps) {
		t.Error("another seed gives the same steps")
	}
}

// The rounds by which the cost of observing is measured run every cell of the
// first workload with each observer and with none, a cell's trials together.
func TestOnly(t *testing.T) {
	tests := []struct {
		only []string
		want string // the cells of the plan, or what the error says
	}{
		{nil, "alpha-sequential-w1 alpha-many-w3 alpha-apart-w3 beta-sequential-w1 beta-many-w3 beta-apart-w3"},
		{[]string{"alpha/apart"}, "alpha-sequential-w1 alpha-apart-w3"},
		{[]string{"beta-many-w3", "alpha/apart"}, "alpha-sequential-w1 alpha-apart-w3 beta-sequential-w1 beta-many-w3"},
		{[]string{"alpha/sequential"}, "alpha-sequential-w1"},
		{[]string{"beta/apart"}, `cell "beta/apart" cannot be run: the workload's tasks share memory, which this backend does not`},
		{[]string{"alpha/many", "alpha/mny"}, `cell "alpha/mny": unknown backend "mny"; did you mean many?`},
		{[]string{"alph/many"}, `cell "alph/many": unknown workload "alph"; did you mean alpha?`},
		{[]string{"alpha"}, `cell "alpha"; want workload/backend, such as alpha/apart`},
	}
	for _, tt := range tests {
		spec, err := Settings{Workers: 3, Only: tt.only}.Resolve(kinds)
		if err != nil {
			if err.Error() != tt.want {
				t.Errorf("Resolve with only %v: %v; want %s", tt.only, err, tt.want)
			}
			continue
		}
		plan, err := NewPlan(spec)
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
	p := plan(t, Settings{Rounds: 1, Seed: &seed, Observers: &rounds})
	orders := make(map[string]bool)
	for round := range rounds {
		arms := make(map[string]map[string]int)
		var order, cells []string
		for _, s := range p.Steps {
			if s.Kind != results.Cost || s.Round != round {
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
			for _, o := range append([]results.Observer{{}}, p.Run.Observers...) {
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
	again, err := ResumePlan(p.Run, kinds)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(p.Steps, again.Steps); d != "" {
		t.Errorf("resumed, the plan has other steps:\n%s", d)
	}
	for _, s := range plan(t, Settings{}).Steps {
		if s.Kind == results.Cost {
			t.Fatalf("the preset quick has step %+v", s)
		}
	}
	if p := plan(t, Settings{Preset: "standard"}); p.Run.ObserverRounds < stats.MinRounds {
		t.Errorf("the preset standard has %d rounds for the cost of observing; a verdict takes %d", p.Run.ObserverRounds, stats.MinRounds)
	}
	many := 1001
	if _, err := (Settings{Observers: &many}).Resolve(kinds); err == nil {
		t.Error("1,001 rounds for the cost of observing were accepted")
	}
}

// A cell whose rounds were disturbed gets others in their place, up to twice as
// many.
func TestWantedCosts(t *testing.T) {
	rounds := 12
	p := plan(t, Settings{Workloads: []Choice{{Workload: "alpha"}}, Rounds: 1, Observers: &rounds})
	made := func(n int, busy func(cell string) bool) *runner {
		r := &runner{plan: p, done: make(map[Step]bool)}
		for round := range n {
			for _, s := range p.costs(round, func(string) bool { return true }) {
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

func TestResumePlan(t *testing.T) {
	seed := uint64(11)
	s := Settings{Seed: &seed}
	if err := s.SetParam("alpha.big=18446744073709551615", kinds); err != nil {
		t.Fatal(err)
	}
	p := plan(t, s)
	again, err := ResumePlan(p.Run, kinds)
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
	if _, err := ResumePlan(run, kinds); err == nil || !strings.Contains(err.Error(), "another build") {
		t.Errorf("resuming with another build = %v; want it refused", err)
	}
	run = p.Run
	run.Machine.Cores++
	if _, err := ResumePlan(run, kinds); err == nil || !strings.Contains(err.Error(), "another machine") {
		t.Errorf("resuming on another machine = %v; want it refused", err)
	}
}

func TestEstimate(t *testing.T) {
	p := plan(t, Settings{Trial: 10 * time.Millisecond})
	total, known := p.Estimate(p.Steps, nil)
	if known || total < 10*time.Second {
		t.Errorf("Estimate() = %v, %v; want ten seconds and more, and that beta is not known", total, known)
	}
	total, known = p.Estimate(p.Steps, map[string]time.Duration{"alpha": time.Millisecond, "beta": time.Millisecond})
	if !known || total > 10*time.Second {
		t.Errorf("Estimate() with pilots of a millisecond = %v, %v; want less than ten seconds", total, known)
	}
}

func TestParams(t *testing.T) {
	params, err := Params(kinds.Workloads[0])
	if err != nil {
		t.Fatal(err)
	}
	want := []Param{
		{"n", uint64(5), "things"}, {"wait", "1s", "time"}, {"scale", 1.0, "factor"}, {"big", uint64(0), "large"}, {"name", "x", "text"}, {"on", false, "switch"},
	}
	if d := cmp.Diff(want, params); d != "" {
		t.Errorf("Params differ (-want +got):\n%s", d)
	}
	if params, err := Params(kinds.Workloads[1]); len(params) != 0 || err != nil {
		t.Errorf("a workload without parameters has %v, %v", params, err)
	}
}
