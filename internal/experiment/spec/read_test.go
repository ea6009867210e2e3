package spec

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// A flag has precedence over the environment, which has it over the file; and what
// one of them says replaces what those below say in another way.
func TestPrecedence(t *testing.T) {
	tests := []struct {
		name  string
		file  string
		env   map[string]string
		flags Given
		want  Settings
	}{
		{"all three", "timeout: 5s\nseed: 1\nrounds: 3\n", map[string]string{"HARNESS_SEED": "2", "HARNESS_ROUNDS": "4"}, Given{"rounds": {"5"}},
			Settings{Timeout: 5 * time.Second, Seed: new(uint64(2)), Rounds: 5}},
		{"a preset replaces rounds and observers", "rounds: 3\nobservers: 4\n", nil, Given{"preset": {"standard"}}, Settings{Preset: "standard"}},
		{"a preset and rounds", "rounds: 3\n", nil, Given{"preset": {"standard"}, "rounds": {"5"}}, Settings{Preset: "standard", Rounds: 5}},
		{"a preset replaces a variable", "", map[string]string{"HARNESS_ROUNDS": "4", "HARNESS_OBSERVERS": "2"}, Given{"preset": {"standard"}}, Settings{Preset: "standard"}},
		{"variables of one kind go together", "precision: 2%\n", map[string]string{"HARNESS_ROUNDS": "4", "HARNESS_PRESET": "standard"}, nil, Settings{Preset: "standard", Rounds: 4}},
		{"rounds replace precision", "precision: 2%\n", nil, Given{"rounds": {"5"}}, Settings{Rounds: 5}},
		{"precision replaces rounds", "rounds: 3\n", nil, Given{"precision": {"2%"}}, Settings{Precision: 0.02}},
		{"a time budget replaces rounds", "rounds: 3\n", nil, Given{"time-budget": {"1h"}}, Settings{Budget: time.Hour}},
		{"a time budget of the file does not", "time_budget: 1h\n", nil, Given{"rounds": {"5"}}, Settings{Budget: time.Hour, Rounds: 5}},
		{"only, with the file's backends", "backends: [many]\n", map[string]string{"HARNESS_BACKENDS": "apart"}, Given{"only": {"alpha/many"}},
			Settings{Backends: kinds.Backends[:2], Only: []string{"alpha/many"}}},
		{"the last flag counts", "", nil, Given{"seed": {"1", "2"}}, Settings{Seed: new(uint64(2))}},
		{"a switch that is off", "", map[string]string{"HARNESS_QUIET": "true"}, Given{"quiet": {"false"}}, Settings{}},
		{"a variable that is empty", "", map[string]string{"HARNESS_SEED": ""}, nil, Settings{}},
		{"resumed", "", map[string]string{"HARNESS_ROUNDS": "many", "HARNESS_QUIET": "true"}, Given{"resume": {"dir"}}, Settings{Resume: "dir", Quiet: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			from := Sources{Data: []byte(tt.file), Getenv: func(name string) string { return tt.env[name] }, Flags: tt.flags}
			if tt.file != "" {
				from.File = "f.yaml"
			}
			got, err := Read(from, kinds)
			if d := cmp.Diff(tt.want, got, cmpopts.IgnoreUnexported(Settings{}), byIdentity); d != "" || err != nil {
				t.Errorf("Read gave error %v (-want +got):\n%s", err, d)
			}
		})
	}
}

// Every error says where it comes from, also where that shows late.
func TestErrorsNameThePlace(t *testing.T) {
	tests := []struct {
		name  string
		file  string
		env   map[string]string
		flags Given
		want  string
	}{
		{"flag", "", nil, Given{"rounds": {"many"}}, `--rounds is "many"; want 1 to 10,000`},
		{"flag out of bounds", "", nil, Given{"time-budget": {"1ms"}}, "--time-budget is 1ms; want at least 1s, such as 10m"},
		{"variable", "", map[string]string{"HARNESS_TIME_BUDGET": "soon"}, nil, `HARNESS_TIME_BUDGET is "soon"; want at least 1s, such as 10m`},
		{"name in a variable", "", map[string]string{"HARNESS_BACKENDS": "many,aprt"}, nil, `HARNESS_BACKENDS: unknown backend "aprt"; did you mean apart?`},
		{"file", "trial: 20s\n", nil, nil, "f.yaml:1:8: trial is 20s; want more than 0, and at most a quarter of the timeout, 1m0s"},
		{"file and flag", "trial: 2s\n", nil, Given{"timeout": {"4s"}}, "f.yaml:1:8: trial is 2s; want more than 0, and at most a quarter of the timeout, 4s"},
		{"two in a file", "rounds: 5\nprecision: 2%\n", nil, nil, "f.yaml:2:12: both rounds and precision are given"},
		{"two flags", "", nil, Given{"rounds": {"5"}, "precision": {"2%"}}, "--precision: both rounds and precision are given"},
		{"two ways to vary", "", nil, Given{"workers": {"1", "2"}, "vary": {"alpha.n=1,2"}}, "--workers: several numbers of workers vary them, and --vary something else"},
		{"cell", "", nil, Given{"only": {"alpha/mny"}}, `--only: cell "alpha/mny": unknown backend "mny"; did you mean many?`},
		{"resumed", "", nil, Given{"resume": {"dir"}, "rounds": {"5"}}, "--resume continues the run as it was planned; it cannot be combined with --rounds"},
		{"resumed with a file", "rounds: 5\n", nil, Given{"resume": {"dir"}}, "--resume continues the run as it was planned; it takes no experiment file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			from := Sources{Data: []byte(tt.file), Getenv: func(name string) string { return tt.env[name] }, Flags: tt.flags}
			if tt.file != "" {
				from.File = "f.yaml"
			}
			s, err := Read(from, kinds)
			if err == nil {
				_, err = s.Resolve(kinds)
			}
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("the error is %v; want one that begins with %q", err, tt.want)
			}
		})
	}
}
