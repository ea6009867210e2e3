package progress

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/f3f4c0de/harness/internal/experiment/plan"
	"github.com/f3f4c0de/harness/internal/experiment/run"
	"github.com/f3f4c0de/harness/internal/results"
)

// steps are the steps of a short run.
var steps = []run.Progress{
	{Step: plan.Step{Kind: results.Pilot, Cell: "a"}, Done: 1, Total: 4, Left: 12400 * time.Millisecond},
	{Step: plan.Step{Kind: results.Timed, Cell: "a"}, Done: 2, Total: 4, Left: 1234 * time.Millisecond},
	{Step: plan.Step{Kind: results.Timed, Cell: "b"}, Done: 3, Total: 4, Failed: "lost"},
	{Step: plan.Step{Kind: results.ObserverTrial, Cell: "b", Round: 1}, Done: 4, Total: 4},
}

func TestReport(t *testing.T) {
	tests := []struct {
		name  string
		mode  string // "line" is what "auto" is on a terminal
		width int
		quiet bool
		want  string
	}{
		{name: "a writer that is no terminal", mode: "auto", want: `begin
pilot: 1 of 4 trials, about 12s left
round 1: 2 of 4 trials, about 1.2s left
FAILED b, timed trial: lost
wrong
`},
		{name: "json", mode: "json", want: `{"message":"begin"}
{"kind":"pilot","cell":"a","done":1,"total":4,"left_ns":12400000000}
{"kind":"timed","cell":"a","round":1,"done":2,"total":4,"left_ns":1234000000}
{"kind":"timed","cell":"b","round":1,"done":3,"total":4,"error":"lost"}
{"kind":"cost","cell":"b","done":4,"total":4}
{"message":"wrong"}
`},
		{name: "none", mode: "none", want: "begin\nFAILED b, timed trial: lost\nwrong\n"},
		{name: "quiet", mode: "json", quiet: true, want: "FAILED b, timed trial: lost\nwrong\n"},
		{name: "line", mode: "line", width: 24, want: "begin\n" +
			"1/4  pilot  a  about 12" + erase +
			"2/4  round 1  a  about " + erase +
			"FAILED b, timed trial: lost\n" +
			"3/4  round 1  b  about " + erase +
			"4/4  cost of observing," + erase + "wrong\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b strings.Builder
			p := &Printer{w: &b, mode: tt.mode, width: tt.width}
			if tt.mode != "line" {
				var err error
				if p, err = New(&b, tt.mode, tt.quiet); err != nil {
					t.Fatal(err)
				}
			}
			p.Tell("begin\n")
			for _, s := range steps {
				p.Report(s)
			}
			p.Finish()
			p.Say("wrong")
			if diff := cmp.Diff(tt.want, b.String()); diff != "" {
				t.Errorf("it prints (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := New(nil, "loud", false); err == nil || err.Error() != `--progress is "loud"; want auto, plain, json or none` {
		t.Errorf("New = %v", err)
	}
}

const erase = "\r\x1b[K"

func TestPlan(t *testing.T) {
	p := &plan.Plan{
		Run: results.Run{
			ID: "1", Preset: "quick", Seed: 7, Rounds: 2, BudgetNS: int64(time.Minute), Precision: 0.02, MaxRounds: 60,
			Workloads: []results.WorkloadInfo{{Label: "sqrt", Params: results.Params{"n": 3, "k": 1}}},
			Cells: []results.Cell{
				{Workload: "sqrt", Backend: "sequential", Workers: 1}, {Workload: "sqrt", Backend: "processes", NotApplicable: "it shares"},
				{Workload: "other"},
			},
		},
		Steps: []plan.Step{{Kind: results.Probe}, {Kind: results.Probe, Round: 1}},
	}
	want := `Run 1: preset quick, rounds 2, seed 7
  within 1m0s in all, which has room for about 2 rounds; none is cut short
  until the intervals reach ±2 %, at most 60 rounds
  sqrt       sequential×1  processes (not applicable)
             k=1 n=3
Trials 0: pilot 0, timed in random order 0 (the baseline twice a round), traced 0, profiled 0
Takes about 100ms; results go to out
`
	if diff := cmp.Diff(want, Plan(p, "out")); diff != "" {
		t.Errorf("Plan (-want +got):\n%s", diff)
	}
}
