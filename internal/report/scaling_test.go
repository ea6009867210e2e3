package report

import (
	"math"
	"strings"
	"testing"

	"github.com/f3f4c0de/harness/internal/results"
)

// scalingData is a run over several numbers of workers. With one worker a task takes a
// millisecond, with n workers lost(n) more of the workers' time. book enters the
// additional time into the ledgers.
func scalingData(lost func(n float64) float64, book func(l *results.Ledger, lostNS int64)) *results.Data {
	d := judgedData()
	d.Run.Workloads, d.Run.Cells, d.Trials = nil, nil, nil
	d.Run.Backends = d.Run.Backends[:2]
	const tasks = 64
	for _, n := range []int{1, 2, 4, 8, 16} {
		label := "w_" + strings.Repeat("i", n)
		d.Run.Workloads = append(d.Run.Workloads, results.WorkloadInfo{Name: "w", Label: label})
		each := int64(1e6 * (1 + lost(float64(n))))
		walls := []int64{tasks * 1e6, tasks * each / int64(n)}
		for i, b := range d.Run.Backends {
			c := results.Cell{ID: label + "-" + b.Name, Workload: label, Backend: b.Name, Workers: []int{1, n}[i], Baseline: i == 0}
			d.Run.Cells = append(d.Run.Cells, c)
			for round := range 12 {
				for again := range 2 - i {
					d.Trials = append(d.Trials, results.Trial{
						Cell: c.ID, Kind: results.Timed, Round: round, Replicate: again == 1, Started: d.Run.Started,
						Measured: results.Measured{Workers: c.Workers, WallNS: walls[i] * int64(1000+round%3) / 1000, Usage: results.Usage{UserNS: 1e6}, Tasks: tasks, Digest: "d"},
					})
				}
			}
			l := results.Ledger{Cell: c.ID, Workers: c.Workers, WallNS: walls[i], Tasks: tasks, Resolved: tasks, BusyNS: int64(c.Workers) * walls[i], MaxInFlight: tasks}
			l.Parts[results.PartIOService] = tasks * 1e6
			if i > 0 {
				book(&l, l.BusyNS-l.Parts[results.PartIOService])
			}
			d.Ledger = append(d.Ledger, l)
		}
	}
	return d
}

func TestCauses(t *testing.T) {
	contention := func(n float64) float64 { return 0.05 * (n - 1) }
	crosstalk := func(n float64) float64 { return 0.004 * n * (n - 1) }
	inLock := func(l *results.Ledger, ns int64) { l.Parts[results.PartLock] = ns }
	tests := []struct {
		name        string
		lost        func(n float64) float64
		book        func(l *results.Ledger, ns int64)
		coefficient string
		part        string // the first
		says        string
	}{
		{"a lock", contention, inLock, "sigma", "lock", "100 % of it is lock (waiting for a mutex, a condition or a wait group): 0 ns a task with 1 worker, 750 µs with 16"},
		{"a lock and the scheduler", contention, func(l *results.Ledger, ns int64) {
			l.Parts[results.PartLock], l.Parts[results.PartRunnable] = ns*6/10, ns*4/10
		}, "sigma", "lock", "60 % of it is lock (waiting for a mutex, a condition or a wait group): 0 ns a task with 1 worker, 450 µs with 16; 40 % of it is runnable"},
		{"what is carried", crosstalk, func(l *results.Ledger, ns int64) {
			l.BusyNS -= ns
			l.Parts[results.PartTransport] = 12e3*int64(l.Tasks) + ns
		}, "kappa", "idle between tasks", "while the transport of a task grows from 12.0 µs to 972 µs"},
		{"a program that submits late", crosstalk, func(l *results.Ledger, ns int64) {
			l.BusyNS -= ns
			l.MaxInFlight = 3
		}, "kappa", "idle between tasks", "as the program has at most 3 tasks under way"},
		{"what cannot be dealt out", crosstalk, func(l *results.Ledger, ns int64) {
			l.BusyNS -= ns
			l.TailNS = ns
		}, "kappa", "idle at the end", "960 µs with 16, to whom 64 tasks are dealt out"},
		{"many small things", contention, func(l *results.Ledger, ns int64) {
			for _, p := range []results.Part{results.PartLock, results.PartChannel, results.PartSleep, results.PartGate, results.PartRunnable} {
				l.Parts[p] = ns / 5
			}
		}, "sigma", "", "cause not established: no part of the workers' time grows as the coefficient says"},
		{"traced trials that lose nothing", contention, func(l *results.Ledger, ns int64) {
			l.WallNS -= ns / int64(l.Workers)
			l.BusyNS -= ns
		}, "sigma", "", "cause not established: a task took 1.00 times the workers' time with 16 workers in the traced trial, 1.75 times in the timed ones"},
		{"no ledger", contention, func(l *results.Ledger, _ int64) {
			if l.Workers == 8 {
				l.Cell = "another"
			}
		}, "sigma", "", "cause not established: not every number of workers has a ledger"},
		{"too little to explain", func(n float64) float64 { return 0.001 * (n - 1) }, inLock, "", "", "With 16 workers it loses 1.5 % of their time."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := Build(scalingData(tt.lost, tt.book))
			if len(r.Grids) != 1 || len(r.Grids[0].Scalings) == 0 || r.Grids[0].Scalings[0].Law != lawUSL {
				t.Fatalf("the grids are %+v; want one with the Universal Scalability Law", r.Grids)
			}
			f := r.Grids[0].Scalings[0]
			line := strings.Join(r.gridLines(), "\n")
			if !strings.Contains(line, tt.says) {
				t.Errorf("it says:\n%s\nwant %q", line, tt.says)
			}
			if tt.coefficient == "" {
				if len(f.Causes) > 0 {
					t.Errorf("the causes are %+v; want none", f.Causes)
				}
				return
			}
			if len(f.Causes) != 1 || f.Causes[0].Coefficient != tt.coefficient {
				t.Fatalf("the causes are %+v; want one of %s", f.Causes, tt.coefficient)
			}
			c := f.Causes[0]
			switch {
			case tt.part == "" && len(c.Parts) > 0:
				t.Errorf("the cause is %+v; want none established", c)
			case tt.part != "" && (len(c.Parts) == 0 || c.Parts[0].Name != tt.part):
				t.Errorf("the cause is %+v; want %s", c, tt.part)
			case tt.part != "" && c.Command != "harness ledger DIR --cell w_"+strings.Repeat("i", 16)+"-goroutines":
				t.Errorf("the command is %q; want that for the ledger of 16 workers", c.Command)
			}
			sum := 0.0
			for _, p := range c.Parts {
				sum += p.Share
			}
			if sum > 1+1e-9 || math.IsNaN(sum) {
				t.Errorf("the parts have %v of the coefficient", sum)
			}
		})
	}
}
