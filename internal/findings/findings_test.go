package findings

import (
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/f3f4c0de/harness/internal/results"
)

const ms = 1_000_000

var update = flag.Bool("update", false, "write docs/causes.md anew")

func TestDocument(t *testing.T) {
	const path = "../../docs/causes.md"
	got := Document()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(path); err != nil || got != string(want) {
		t.Errorf("%s is not what the code says (%v); run go test ./internal/findings -update", path, err)
	}
}

// healthy is a run of one cell that has no finding.
func healthy() *results.Data {
	l := results.Ledger{
		Cell: "w-goroutines-w2", Workers: 2, WallNS: 100 * ms, Tasks: 20, Resolved: 20, BusyNS: 190 * ms, MaxInFlight: 20,
		Longest: results.MostTask{Number: 7, SpanID: "77", NS: 11 * ms},
	}
	l.Parts[results.PartQueue], l.Parts[results.PartRunning] = 900*ms, 190*ms
	l.Processes = []results.Process{{Name: "trial", CPUNS: 190 * ms}}
	l.Most = []results.MostTask{{Part: "running", Number: 7, SpanID: "77", NS: 11 * ms}}
	return &results.Data{
		Run: results.Run{
			Machine:  results.Machine{Cores: 2},
			Cells:    []results.Cell{{ID: "w-goroutines-w2", Workload: "w", Backend: "goroutines", Workers: 2}, {ID: "w-lean-w2", Workload: "w", Backend: "lean", Workers: 2}},
			Backends: []results.BackendInfo{{Name: "goroutines", Shared: true}},
		},
		Trials: []results.Trial{
			{Cell: "w-goroutines-w2", Kind: results.Timed, Measured: results.Measured{Usage: results.Usage{UserNS: 190 * ms, GCCycles: 2}}},
			{Cell: "w-lean-w2", Kind: results.Timed, Measured: results.Measured{Usage: results.Usage{UserNS: 180 * ms}}},
			{Cell: "w-goroutines-w2", Kind: results.Profiled, Measured: results.Measured{CPUSamples: 100, GCSamples: 3, Allocates: &results.Allocations{Where: "main.place (f.go:1)", Share: 0.5}}},
		},
		Ledger: []results.Ledger{l},
	}
}

// share matches a share with its whole.
var share = regexp.MustCompile(`% (of (the workers' time|the processor time|the bytes that are allocated)|more than on the leanest model)`)

func both(d *results.Data) []Finding { return append(Of(d), ModelCostsOf(d)...) }

// What a model costs is no finding about the program: a clean program on a serial
// model has none.
func TestTakingTurnsIsNoFinding(t *testing.T) {
	for _, backend := range []string{"goroutines", "eventloop"} {
		d := healthy()
		d.Run.Cells[0].Backend, d.Run.Backends[0].Name, d.Run.Backends[0].Serial = backend, backend, true
		l := &d.Ledger[0]
		l.Waits.IO, l.Parts[results.PartIOService], l.Parts[results.PartRunning] = 20, 40*ms, 50*ms
		l.Parts[results.PartGate], l.Parts[results.PartIOLate] = 50*ms, 50*ms
		l.HeldUp = l.Parts
		if got := Of(d); len(got) != 0 {
			t.Errorf("%s: Of(equal tasks that take turns) = %+v; want nothing", backend, got)
		}
		if got := ModelCostsOf(d); len(got) != 1 || got[0].Rule != SerialExecution.Name {
			t.Errorf("%s: ModelCostsOf(equal tasks that take turns) = %+v; want %s", backend, got, SerialExecution.Name)
		}
	}
}

// What tasks on a serial model wait for is in the model's record, whatever its name;
// in older runs it follows from the name.
func TestTurnsByRecord(t *testing.T) {
	tests := []struct {
		backend     results.BackendInfo
		waits       string
		cooperative bool
	}{
		{results.BackendInfo{Name: "mine", Serial: true, Turn: "the baton", Cooperative: true}, "the baton", true},
		{results.BackendInfo{Name: "mine", Serial: true}, "its turn", false},
		{results.BackendInfo{Name: "eventloop", Serial: true}, "the loop's turn", true},
		{results.BackendInfo{Name: "gil", Serial: true}, "the interpreter lock", false},
		{results.BackendInfo{Name: "gomaxprocs1", Serial: true, GOMAXPROCS: 1}, "the one processor", false},
	}
	for _, tt := range tests {
		d := healthy()
		d.Run.Cells[0].Backend, d.Run.Backends[0] = tt.backend.Name, tt.backend
		l := &d.Ledger[0]
		l.Parts[results.PartGate], l.Parts[results.PartRunnable], l.BehindLong[results.PartGate] = 60*ms, 60*ms, 50*ms
		costs := ModelCostsOf(d)
		if len(costs) != 1 || !strings.Contains(costs[0].Says, " for "+tt.waits+".") {
			t.Errorf("ModelCostsOf(%+v) = %+v; want that tasks wait for %s", tt.backend, costs, tt.waits)
		}
		if found := slices.ContainsFunc(Of(d), func(f Finding) bool { return f.Rule == HeadOfLine.Name }); found != tt.cooperative {
			t.Errorf("Of(%+v) has %s: %v; want %v", tt.backend, HeadOfLine.Name, found, tt.cooperative)
		}
	}
}

func TestNothingToSay(t *testing.T) {
	if got := both(healthy()); len(got) != 0 {
		t.Errorf("both(a healthy run) = %+v; want nothing", got)
	}
	if got := Of(&results.Data{}); len(got) != 0 {
		t.Errorf("Of(nothing) = %+v", got)
	}
}

// Each rule reports its case, and does not report a case just below its threshold.
func TestRules(t *testing.T) {
	at := func(part results.Part, ns int64, waits int) []results.Place {
		return []results.Place{{Part: part.String(), Where: "main.place (f.go:1)", NS: ns, Waits: waits, Stack: []string{"main.place (f.go:1)"}}}
	}
	blockers := []results.Blocker{{Number: 5, Task: "long", SpanID: "55", CPUNS: 60 * ms, HeldUpNS: 60 * ms, Tasks: 7, Where: "main.place (f.go:1)", Stack: []string{"main.place (f.go:1)"}}}
	tests := []struct {
		rule *Rule
		is   func(d *results.Data, l *results.Ledger)
		not  func(d *results.Data, l *results.Ledger) // takes it away again
		task uint64                                   // that shows it best; 0 if none is known
	}{
		{AwaitInALoop, func(_ *results.Data, l *results.Ledger) { l.MaxInFlight = 1 },
			func(_ *results.Data, l *results.Ledger) { l.MaxInFlight = 2 }, 7},
		{PollingLoop, func(_ *results.Data, l *results.Ledger) {
			l.Parts[results.PartSleep], l.Places = 60*ms, at(results.PartSleep, 50*ms, 200)
			l.Most = append(l.Most, results.MostTask{Part: "sleep", Number: 3, SpanID: "33"})
		}, func(_ *results.Data, l *results.Ledger) { l.Places[0].Waits = 20 }, 3},
		{SerialIO, func(_ *results.Data, l *results.Ledger) {
			l.Parts[results.PartIOService], l.Places, l.Waits.IO = 150*ms, at(results.PartIOService, 150*ms, 80), 80
		}, func(_ *results.Data, l *results.Ledger) { l.Waits.Channel = 20 }, 0},
		{LockConvoy, func(_ *results.Data, l *results.Ledger) {
			l.Parts[results.PartLock], l.Places = 90*ms, at(results.PartLock, 80*ms, 19)
		}, func(_ *results.Data, l *results.Ledger) { l.Parts[results.PartLock] = 30 * ms }, 0},
		{LateIO, func(_ *results.Data, l *results.Ledger) {
			l.Parts[results.PartIOService], l.Parts[results.PartIOLate], l.Waits.IO = 100*ms, 80*ms, 20
			l.BehindLong[results.PartIOLate], l.Blockers = 60*ms, blockers
		}, func(_ *results.Data, l *results.Ledger) {
			l.BehindLong[results.PartIOLate] = 30 * ms // they take turns
		}, 5},
		{HeadOfLine, func(d *results.Data, l *results.Ledger) {
			d.Run.Backends[0].Cooperative = true
			l.Parts[results.PartGate], l.BehindLong[results.PartGate], l.Blockers = 60*ms, 50*ms, blockers
		}, func(_ *results.Data, l *results.Ledger) { l.BehindLong[results.PartGate] = 20 * ms }, 5},
		{TooManyWorkers, func(d *results.Data, l *results.Ledger) {
			d.Run.Cells[0].Workers = 4
			l.Parts[results.PartRunning], l.Parts[results.PartRunnable] = 95*ms, 95*ms
			l.Parts[results.PartIOService], l.Processes = 20*ms, []results.Process{{CPUNS: 90 * ms}}
		}, func(_ *results.Data, l *results.Ledger) { l.Parts[results.PartIOService] = 40 * ms }, 0},
		{IdleWorkers, func(_ *results.Data, l *results.Ledger) {
			l.TailNS, l.Longest.NS, l.Longest.CPUNS = 60*ms, 40*ms, 40*ms
		},
			func(_ *results.Data, l *results.Ledger) { l.Longest.CPUNS = 20 * ms /* the rest the machine was away */ }, 7},
		{Starved, func(d *results.Data, l *results.Ledger) {
			d.Run.Cells[0].Workers, l.Workers, l.MaxInFlight, l.BusyNS = 8, 8, 2, 190*ms
		}, func(_ *results.Data, l *results.Ledger) { l.MaxInFlight = 8 }, 7},
		{IPCBound, func(d *results.Data, l *results.Ledger) {
			d.Trials[0].UserNS = 300 * ms
			l.BusyNS, l.Parts[results.PartRunning], l.Parts[results.PartEncode], l.Parts[results.PartTransport] = 20*ms, 20*ms, 30*ms, 50*ms
		}, func(_ *results.Data, l *results.Ledger) { l.Parts[results.PartEncode] = ms }, 0},
		{TooSmall, func(d *results.Data, l *results.Ledger) {
			l.Tasks, d.Trials[0].UserNS, d.Trials[1].UserNS = 100_000, 400*ms, 100*ms
		}, func(d *results.Data, _ *results.Ledger) { d.Trials[0].UserNS = 120 * ms }, 7},
		{GCBound, func(d *results.Data, _ *results.Ledger) { d.Trials[2].GCSamples = 30 },
			func(d *results.Data, _ *results.Ledger) { d.Trials[2].GCSamples = 25 }, 7},
		{SerialExecution, func(d *results.Data, l *results.Ledger) {
			d.Run.Backends[0].Serial = true
			l.Parts[results.PartRunning], l.Parts[results.PartGate] = 95*ms, 95*ms
		}, func(d *results.Data, _ *results.Ledger) { d.Run.Backends[0].Serial = false }, 0},
		{Carrying, func(_ *results.Data, l *results.Ledger) { l.Parts[results.PartTransport] = 20 * ms },
			func(_ *results.Data, l *results.Ledger) { l.Parts[results.PartTransport] = 10 * ms }, 0},
	}
	for _, tt := range tests {
		t.Run(tt.rule.Name, func(t *testing.T) {
			d := healthy()
			tt.is(d, &d.Ledger[0])
			got := both(d)
			i := slices.IndexFunc(got, func(f Finding) bool { return f.Rule == tt.rule.Name })
			if i < 0 {
				t.Fatalf("Of() = %+v; want %s", got, tt.rule.Name)
			}
			if f := got[i]; f.Says == "" || len(f.Evidence) == 0 || f.Task != tt.task || !strings.Contains(f.Command, "--cell w-goroutines-w2") {
				t.Errorf("it is %+v; want evidence, task %d, and the command for its cell", f, tt.task)
			}
			if v := got[i].Figure; v.What == "" || v.Value <= 0 || v.Of == "" || v.Unit == "1" && v.Value > 1 {
				t.Errorf("its figure is %+v; want one that is not zero, and what it is of", v)
			}
			for _, e := range append(got[i].Evidence, got[i].Says) {
				if strings.Contains(e, "%") && !share.MatchString(e) {
					t.Errorf("it says %q; want what that is a share of", e)
				}
			}
			tt.not(d, &d.Ledger[0])
			if got := both(d); slices.ContainsFunc(got, func(f Finding) bool { return f.Rule == tt.rule.Name }) {
				t.Errorf("Of() = %+v, when it is not there any more", got)
			}
		})
	}
	if len(tests) != len(All)+len(ModelCosts) {
		t.Errorf("%d of %d rules are tested", len(tests), len(All)+len(ModelCosts))
	}
}

// A cause is reported once, with the models on which it was found.
func TestGroups(t *testing.T) {
	of := func(rule, workload, model string, share float64) Finding {
		return Finding{Rule: rule, Workload: workload, Model: model, Figure: Figure{What: "asleep", Value: share, Unit: "1", Of: WorkersTime}}
	}
	got := Groups([]Finding{of("poll", "a", "gil×4", .25), of("lock", "a", "gil×4", .5), of("poll", "a", "threads×4", .75), of("poll", "b", "gil×4", .3)})
	var says []string
	for _, g := range got {
		says = append(says, g.Workload+" "+g.Rule+" "+g.Models())
	}
	want := []string{
		"a poll on 2 models: asleep 25 % to 75 % of the workers' time: 75 % on threads×4, 25 % on gil×4",
		"a lock on gil×4: asleep 50 % of the workers' time",
		"b poll on gil×4: asleep 30 % of the workers' time",
	}
	if !slices.Equal(says, want) {
		t.Errorf("Groups() = %q; want %q", says, want)
	}
}
