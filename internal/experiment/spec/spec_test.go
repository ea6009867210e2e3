package spec

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/experiment/spec/spectest"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/stats"
)

var kinds = Kinds{Workloads: spectest.Workloads, Backends: spectest.Backends, Observers: []results.ObserverInfo{{Name: "spans"}, {Name: "cpu"}}}

var alpha, beta = spectest.Workloads[0], spectest.Workloads[1]

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
		if _, err := kinds.Backend(tt.name); err == nil || !strings.Contains(err.Error(), tt.want) {
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
		{"a comment", "# nothing\n", Settings{}},
		{"nothing", "rounds:\npreset: null\n", Settings{}},
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
			Programs: []Program{
				{Workload: beta},
				{Workload: alpha, Label: "small", Workers: 3, Params: &spectest.Params{N: 2, Wait: 5 * time.Millisecond, Scale: 2, Big: 18446744073709551615, Name: "y", On: true}},
			},
			Backends: kinds.Backends[:2], Workers: 9, Preset: "standard", Rounds: 30, Seed: &seed, Timeout: 2 * time.Minute,
			Trial: 200 * time.Millisecond, Precision: 0.02,
		}},
		{"numbers as they can be written", "rounds: 1_000\nobservers: 0x10\nseed: 1e3\nworkers: '5'\n", Settings{
			Rounds: 1000, ObserverRounds: new(16), Seed: new(uint64(1000)), Workers: 5,
		}},
		{"what has a name", "trial: &t 5s\ntimeout: *t\nworkloads:\n  - workload: alpha\n    params: &p {n: 2}\n  - workload: alpha\n    label: x\n    params: {<<: *p, on: true}\n", Settings{
			Trial: 5 * time.Second, Timeout: 5 * time.Second,
			Programs: []Program{
				{Workload: alpha, Params: &spectest.Params{N: 2, Wait: time.Second, Scale: 1, Name: "x"}},
				{Workload: alpha, Label: "x", Params: &spectest.Params{N: 2, Wait: time.Second, Scale: 1, Name: "x", On: true}},
			},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseFile("f.yaml", []byte(tt.in), kinds)
			if d := cmp.Diff(tt.want, got, cmpopts.IgnoreUnexported(Settings{}), byIdentity); d != "" || err != nil {
				t.Errorf("ParseFile gave error %v (-want +got):\n%s", err, d)
			}
		})
	}
}

// byIdentity compares workloads and backends, which have functions.
var byIdentity = cmp.Options{
	cmp.Comparer(func(a, b *harness.Workload) bool { return a == b }),
	cmp.Comparer(func(a, b *core.Backend) bool { return a == b }),
}

func TestParseFileTellsWhere(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"syntax", "workloads: [alpha\nrounds: 3\n", "f.yaml:2:1: "},
		{"unknown field", "workloads: [alpha]\nround: 3\n", `f.yaml:2:1: unknown field "round"; did you mean rounds?`},
		{"unknown field of a workload", "workloads:\n  - workload: alpha\n    parms: {}\n", `f.yaml:3:5: unknown field "parms"; did you mean params?`},
		{"type", "rounds: many\n", `f.yaml:1:9: rounds is "many"; want 1 to 10,000`},
		{"duration", "\ntimeout: 5\n", `f.yaml:2:10: timeout is "5"; want at least 1s, such as 2m`},
		{"no duration", "time_budget: soon\n", `f.yaml:1:14: time_budget is "soon"; want at least 1s, such as 10m`},
		{"a list of them", "trial: [1s]\n", `f.yaml:1:8: trial is "["; want more than 0, such as 100ms`},
		{"workload", "workloads:\n  - alpa\n", `f.yaml:2:5: unknown workload "alpa"; did you mean alpha?`},
		{"workload in a map", "workloads:\n  - workload: gamma\n", "f.yaml:2:15: unknown workload"},
		{"no workload", "workloads:\n  - params: {n: 1}\n", "f.yaml:2:"},
		{"backend", "backends: [many, aprt]\n", `f.yaml:1:18: unknown backend "aprt"; did you mean apart?`},
		{"preset", "preset: slow\n", `f.yaml:1:9: preset is "slow"; want quick, standard or rigorous`},
		{"parameter", "workloads:\n  - workload: alpha\n    params:\n      n: 1\n      m: 2\n", `f.yaml:5:10: unknown parameter of alpha "m"; did you mean n?`},
		{"parameter's type", "workloads:\n  - workload: alpha\n    params: {n: x}\n", "f.yaml:3:17: parameter n of alpha is x; want a whole number"},
		{"half a thing", "workloads:\n  - workload: alpha\n    params: {n: 1.5}\n", "f.yaml:3:17: parameter n of alpha is 1.5; want a whole number"},
		{"refused by the workload", "workloads:\n  - workload: alpha\n    params: {n: 101}\n", "f.yaml:3:17: parameters of alpha: n is 101; want at most 100"},
		{"precision", "precision: 2\n", `f.yaml:1:12: precision is "2"; want 0.1% to 50%, such as 2%`},
		{"vary", "workloads:\n  - workload: alpha\n    vary: {n: 1}\n", "f.yaml:3:15: n is to vary, but over what? want a list"},
		{"vary over one value", "workloads:\n  - workload: alpha\n    vary: {n: [1]}\n", "f.yaml:3:15: n of alpha is to vary over [1]; want at least two values"},
		{"vary what there is not", "workloads:\n  - workload: alpha\n    vary: {m: [1, 2]}\n", `f.yaml:3:15: unknown parameter of alpha "m"; did you mean n?`},
		{"preset, nearly", "preset: quik\n", `f.yaml:1:9: unknown preset "quik"; did you mean quick?`},
		{"too many rounds", "rounds: 20000\n", "f.yaml:1:9: rounds is 20000; want 1 to 10,000"},
		{"workers of a workload", "workloads:\n  - workload: alpha\n    workers: 5000\n", `f.yaml:3:14: workers is "5000"; want 1 to 4096`},
		{"no list of workloads", "workloads: alpha\n", `f.yaml:1:12: workloads is "alpha"; want a list of workloads`},
		{"twice", "rounds: 5\nrounds: 6\n", "f.yaml:2:1: "},
		{"a map in itself", "&a {<<: *a}\n", "f.yaml:1:"},
		{"second document", "rounds: 1\n---\nrounds: 2\n", "f.yaml holds 2 documents"},
		{"not a map", "- a\n", "f.yaml:1:1: want names with values"},
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
	want := &spectest.Params{N: 3, Wait: 2 * time.Millisecond, Scale: 1, Name: "a=b"}
	if d := cmp.Diff(want, spec.Programs[0].Params); d != "" {
		t.Errorf("parameters differ (-want +got):\n%s", d)
	}
	if len(spec.Programs) != 2 {
		t.Errorf("%d workloads are run; want all", len(spec.Programs))
	}
	if original := kinds.Workloads[0].Params.(*spectest.Params); original.N != 5 {
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
	only := Settings{Programs: []Program{{Workload: beta}}}
	if err := only.SetParam("alpha.n=1", kinds); err == nil || !strings.Contains(err.Error(), "not part of this run") {
		t.Errorf("SetParam of a workload that is not run = %v", err)
	}
}

func TestChoose(t *testing.T) {
	s := Settings{Programs: []Program{{Workload: alpha, Label: "one"}, {Workload: alpha, Label: "two"}}}
	if err := s.choose([]string{"beta", "alpha"}, kinds); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range s.Programs {
		got = append(got, c.Workload.Name+"/"+c.Label)
	}
	if want := []string{"beta/", "alpha/one", "alpha/two"}; !slices.Equal(got, want) {
		t.Errorf("selected are %v; want %v", got, want)
	}
	if err := s.choose([]string{"bta"}, kinds); err == nil {
		t.Error("selecting an unknown workload gave no error")
	}
}

func TestResolve(t *testing.T) {
	spec, err := Settings{Programs: []Program{{Workload: alpha}, {Workload: alpha}}, Backends: []*core.Backend{kinds.Backends[0], kinds.Backends[2]}}.Resolve(kinds)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := spec.Programs[0].Label, spec.Programs[1].Label; a != "alpha" || b != "alpha_2" {
		t.Errorf("labels are %q and %q", a, b)
	}
	if len(spec.Backends) != 2 || spec.Backends[0].Name != "sequential" || spec.Backends[1].Name != "apart" {
		t.Errorf("backends are %v; want the baseline and the one chosen", spec.Backends)
	}
	if spec.Preset != "quick" || spec.Rounds != 7 || spec.Timeout != time.Minute || spec.Trial != 100*time.Millisecond {
		t.Errorf("defaults are %+v", spec)
	}
	for name, s := range map[string]Settings{
		"rounds":      {Rounds: -1},
		"timeout":     {Timeout: time.Millisecond},
		"workers":     {Workers: 5000},
		"label":       {Programs: []Program{{Workload: alpha, Label: "Not/good"}}},
		"same label":  {Programs: []Program{{Workload: alpha, Label: "x"}, {Workload: beta, Label: "x"}}},
		"trial":       {Trial: time.Hour},
		"both":        {Rounds: 5, Precision: 0.02},
		"preset":      {Preset: "fast"},
		"own workers": {Programs: []Program{{Workload: alpha, Workers: -3}}},
	} {
		if _, err := s.Resolve(kinds); err == nil {
			t.Errorf("%s: Resolve(%+v) gave no error", name, s)
		}
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

func TestShare(t *testing.T) {
	for in, want := range map[string]float64{"2%": 0.02, "0.5 %": 0.005} {
		if got, ok := parseShare(in); !ok || got != want {
			t.Errorf("parseShare(%q) = %v, %v; want %v", in, got, ok, want)
		}
	}
	for _, in := range []string{"", "2", "0%", "51%", "x%", "NaN%"} {
		if got, ok := parseShare(in); ok {
			t.Errorf("parseShare(%q) = %v; want it refused", in, got)
		}
	}
}
