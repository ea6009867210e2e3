package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"html"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/perf/benchfmt"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/stats"
)

var update = flag.Bool("update", false, "write the golden files anew")

// testData is a run of two workloads on four backends: one of pure computing
// and one of waiting, with noise that is the same every time, a failed trial,
// a cell that is not applicable and a name that must be escaped.
func testData() *results.Data {
	d := &results.Data{Run: results.Run{
		Schema: results.Schema, ID: "20260102-030405-beef", Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Status: results.Failed,
		Version: results.Version{Harness: "v1.2.3", Go: "go1.26.0", Executable: "0123456789abcdef"},
		Machine: results.Machine{OS: "linux", Arch: "amd64", CPU: "Test <CPU> & Co", Cores: 2},
		Preset:  "quick", Seed: 42, Rounds: 7,
		Workloads: []results.WorkloadInfo{
			{Name: "cpu", Label: "cpu", Doc: "computes", Params: results.Params{"n": int64(30_000_000)}},
			{Name: "io", Label: "io_slow", Doc: `waits for "<others>"`},
		},
		Backends: []results.BackendInfo{
			{Name: "sequential", Doc: "one", Shared: true, Serial: true},
			{Name: "gomaxprocs1", Doc: "one processor", Shared: true, Serial: true, GOMAXPROCS: 1},
			{Name: "goroutines", Doc: "all", Shared: true},
			{Name: "processes", Doc: "apart"},
		},
	}}
	ms := func(v float64) int64 { return int64(v * 1e6) }
	cell := func(workload, backend string, workers int, wall, cpu float64) {
		c := results.Cell{ID: workload + "-" + backend, Workload: workload, Backend: backend, Workers: workers, Baseline: backend == "sequential"}
		if wall == 0 {
			c.NotApplicable = "the workload's tasks share memory, which this backend does not"
			d.Run.Cells = append(d.Run.Cells, c)
			return
		}
		d.Run.Cells = append(d.Run.Cells, c)
		add := func(kind results.Kind, round int, second bool, wall float64) {
			d.Trials = append(d.Trials, results.Trial{
				Cell: c.ID, Kind: kind, Round: round, Replicate: second, Started: d.Run.Started,
				Measured: results.Measured{
					GOMAXPROCS: 2, Workers: workers, StartNS: ms(3), WallNS: ms(wall), Usage: results.Usage{UserNS: ms(cpu), MaxRSSBytes: 20 << 20}, Tasks: 8, Digest: "d",
					Metrics: []harness.Metric{{Name: "latency_mean", Unit: "ns", Value: wall * 1e5}},
				},
			})
		}
		for round := range 7 {
			noise := 1 + .01*math.Sin(float64(7*round+len(backend)))
			add(results.Timed, round, false, wall*noise)
			if c.Baseline {
				add(results.Timed, round, true, wall*(1+.01*math.Cos(float64(round))))
			}
		}
		add(results.Traced, 0, false, wall)
		d.Trials[len(d.Trials)-1].TraceID = "0af7651916cd43dd8448eb211c80319c"
		d.Trials[len(d.Trials)-1].SpansExpected, d.Trials[len(d.Trials)-1].SpansExported = 25, 25
		ledger := results.Ledger{
			Cell: c.ID, Workers: workers, WallNS: ms(wall), Tasks: 8, Resolved: 8, BusyNS: ms(wall) * int64(workers), MaxInFlight: 8,
			TasksNS: ms(wall * float64(workers+4)), ResidualNS: -800, LargestResidual: .001, SpawnNS: ms(3), Waits: results.Waits{Lock: 8},
			Processes: []results.Process{{Name: "trial", PID: 1, CPUNS: ms(cpu), RunQueueNS: ms(1), SpansExpected: 25, SpansExported: 25}},
			Places:    []results.Place{{Part: "lock", Where: "main.<locked> (main.go:7)", NS: ms(wall), Waits: 8, Stack: []string{"main.<locked> (main.go:7)"}}},
			Notes:     []string{"Something is unknown."},
		}
		ledger.Parts[results.PartQueue] = ledger.TasksNS - ms(wall)*int64(workers) + 800
		ledger.Parts[results.PartRunning] = ms(wall) * int64(workers)
		if share := map[string]int64{"goroutines": 2, "processes": 4}[backend]; share > 0 && workload == "cpu" {
			ledger.Parts[results.PartLock] = ledger.Parts[results.PartRunning] / share
			ledger.Parts[results.PartRunning] -= ledger.Parts[results.PartLock]
		}
		d.Ledger = append(d.Ledger, ledger)
		timeline := results.Timeline{Cell: c.ID, TraceID: "0af7651916cd43dd8448eb211c80319c", WallNS: ms(wall), Workers: workers}
		each := wall * float64(workers) / 8
		for i := range 8 {
			start := ms(each * float64(i/workers))
			timeline.Tasks = append(timeline.Tasks, results.TaskRecord{Task: workload, Worker: i % workers, StartedNS: start, EndedNS: start + ms(each)})
		}
		d.Timelines = append(d.Timelines, timeline)
	}
	cell("cpu", "sequential", 1, 100, 101)
	cell("cpu", "gomaxprocs1", 2, 100, 100)
	cell("cpu", "goroutines", 2, 51, 101)
	cell("cpu", "processes", 2, 54, 107)
	cell("io_slow", "sequential", 1, 200, 10)
	cell("io_slow", "gomaxprocs1", 8, 27, 11)
	cell("io_slow", "goroutines", 8, 26, 12)
	cell("io_slow", "processes", 8, 0, 0)
	d.Trials[20].Error = "worker 1 (pid 7) lost while running task cpu: signal: killed; its standard error ended with:\n<script>alert(1)</script>"
	return d
}

// judgedData is a run with verdicts: a workload over four values of a parameter,
// where one model overtakes another, one that other programs disturbed in most
// of its rounds, and one that is faster than it can be.
func judgedData() *results.Data {
	d := &results.Data{Run: results.Run{
		Schema: results.Schema, ID: "20260102-030405-cafe", Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Status: results.Completed,
		Version: results.Version{Harness: "v1.2.3", Go: "go1.26.0", Executable: "0123456789abcdef"},
		Machine: results.Machine{OS: "linux", Arch: "amd64", CPU: "Test CPU", Cores: 2},
		Preset:  "standard", Seed: 42, Rounds: 20, MaxRounds: 40, TrialNS: 100e6,
		Backends: []results.BackendInfo{
			{Name: "sequential", Doc: "one", Shared: true, Serial: true}, {Name: "goroutines", Doc: "all", Shared: true}, {Name: "processes", Doc: "apart"},
		},
	}}
	rng := rand.New(rand.NewPCG(1, 2))
	now := d.Run.Started
	type arm struct {
		cell results.Cell
		wall float64 // ms
	}
	arms := make(map[string][]arm)
	workload := func(label, name string, params results.Params, walls ...float64) {
		d.Run.Workloads = append(d.Run.Workloads, results.WorkloadInfo{Name: name, Label: label, Doc: name + " things", Params: params})
		for i, b := range d.Run.Backends {
			c := results.Cell{ID: label + "-" + b.Name, Workload: label, Backend: b.Name, Workers: 1 + min(i, 1), Baseline: i == 0}
			d.Run.Cells = append(d.Run.Cells, c)
			arms[label] = append(arms[label], arm{c, walls[i]})
		}
	}
	workload("mixed_cpu_100us", "mixed", results.Params{"cpu": "100us"}, 10, 7, 14)
	workload("mixed_cpu_200us", "mixed", results.Params{"cpu": "200us"}, 20, 14, 15.5)
	workload("mixed_cpu_500us", "mixed", results.Params{"cpu": "500us"}, 50, 35, 30)
	workload("mixed_cpu_1ms", "mixed", results.Params{"cpu": "1ms"}, 100, 70, 55)
	workload("disturbed", "disturbed", nil, 100, 52, 55)
	workload("impossible", "impossible", nil, 100, 30, 101)
	busy := func(label string, round int) float64 {
		if label == "disturbed" && round%3 > 0 {
			return 0.9
		}
		if label == "mixed_cpu_1ms" && (round == 3 || round == 4 || round == 9) {
			return 0.5
		}
		return busy0
	}
	for round := range 23 {
		d.Trials = append(d.Trials, results.Trial{Kind: results.Probe, Round: round, Started: now, Measured: results.Measured{AloneNS: 10e6, TogetherNS: 10.4e6}})
		for _, w := range d.Run.Workloads {
			common := 1 + 0.1*rng.Float64()
			for i, a := range arms[w.Label] {
				for again := range 2 {
					if again == 1 && i > 0 {
						continue
					}
					wall := int64(a.wall * common * math.Exp(0.01*rng.NormFloat64()) * 1e6)
					cpu := int64(a.wall * float64(a.cell.Workers) * 1e6)
					window := wall + 20e6
					d.Trials = append(d.Trials, results.Trial{
						Cell: a.cell.ID, Kind: results.Timed, Round: round, Replicate: again == 1, Order: 2*i + again, Started: now,
						Load:     &results.Load{WindowNS: window, BusyNS: cpu + int64(float64(window)*busy(w.Label, round)), OwnNS: cpu},
						Measured: results.Measured{GOMAXPROCS: 2, Workers: a.cell.Workers, StartNS: int64(2e6 * i), WarmNS: 1e6, WallNS: wall, Usage: results.Usage{UserNS: cpu, MaxRSSBytes: 20 << 20}, Tasks: 8, Digest: "d", Repeats: 2},
					})
					now = now.Add(time.Duration(window))
				}
			}
		}
	}
	addObserverTrials(d, rng, 14)
	return d
}

// addObserverTrials adds the observer trials of some rounds with two observers: one
// that adds a fifth to the time, and one that adds nothing.
func addObserverTrials(d *results.Data, rng *rand.Rand, rounds int) {
	d.Run.ObserverRounds = rounds
	d.Run.Observers = []results.ObserverInfo{{Name: "dear", Doc: "a dear observer"}, {Name: "cheap", Doc: "a <cheap> one"}}
	factors := map[string]float64{"": 1, "dear": 1.2, "cheap": 1}
	for round := range rounds {
		for _, c := range d.Run.Cells {
			if c.Workload != d.Run.Workloads[0].Label {
				continue
			}
			common := 1 + 0.1*rng.Float64()
			for order, name := range []string{"cheap", "", "dear"} {
				wall := int64(100e6 * common * factors[name] * math.Exp(0.005*rng.NormFloat64()))
				d.Trials = append(d.Trials, results.Trial{
					Cell: c.ID, Kind: results.ObserverTrial, Observer: name, Round: round, Order: order, Started: d.Run.Started,
					Load:     &results.Load{WindowNS: wall, BusyNS: wall, OwnNS: wall},
					Measured: results.Measured{WallNS: wall, Usage: results.Usage{UserNS: wall + wall/10}, Tasks: 8, Digest: "d"},
				})
			}
		}
	}
}

// busy0 is the processor time that other programs use on a quiet machine.
const busy0 = 0.05

func TestGolden(t *testing.T) {
	golden(t, "testdata", testData())
	golden(t, "testdata/judged", judgedData(), "results.csv", "bench.txt") // which are no different
}

// golden compares the files of a run's report, except some, with those in a folder.
func golden(t *testing.T, dir string, d *results.Data, but ...string) {
	r := Build(d)
	doc := r.Document()
	files := map[string]func(w io.Writer) error{
		"report.txt":   func(w io.Writer) error { return Text(w, r) },
		"report.md":    func(w io.Writer) error { return Markdown(w, doc) },
		"report.html":  func(w io.Writer) error { return HTML(w, doc) },
		"results.json": func(w io.Writer) error { return JSON(w, r) },
		"results.csv":  func(w io.Writer) error { return CSV(w, d) },
		"bench.txt":    func(w io.Writer) error { return Bench(w, d) },
	}
	if len(d.Ledger) > 0 {
		files["ledger.txt"] = func(w io.Writer) error {
			return errors.Join(Ledgers(w, d.Ledger), LedgerText(w, &d.Ledger[2]), LedgerTaskText(w, "cpu-goroutines", aLedgerTask()))
		}
	}
	for _, c := range doc.Charts() {
		files[c.Name+".svg"] = func(w io.Writer) error {
			_, err := io.WriteString(w, c.SVG())
			return err
		}
	}
	for _, name := range but {
		delete(files, name)
	}
	for name, write := range files {
		t.Run(filepath.Join(dir, name), func(t *testing.T) {
			var got, again bytes.Buffer
			if err := errors.Join(write(&got), write(&again)); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), again.Bytes()) {
				t.Error("the same records give other bytes the second time")
			}
			path := filepath.Join(dir, name)
			if *update {
				if err := os.WriteFile(path, got.Bytes(), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got.String()); d != "" {
				t.Errorf("differs from %s; if that is meant, run go test -update and read the diff (-want +got):\n%s", path, d)
			}
		})
	}
}

// A page can be linked to at every section, and every chart is a file of its own.
func TestSectionsHaveNames(t *testing.T) {
	for _, d := range []*results.Data{testData(), judgedData()} {
		doc := Build(d).Document()
		seen := make(map[string]bool)
		for _, s := range doc.Sections {
			if len(s.Blocks) > 0 && (!regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(s.ID) || seen[s.ID]) {
				t.Errorf("section %q has the id %q; want lower-case words that no other section has", s.Title, s.ID)
			}
			seen[s.ID] = true
		}
		for _, c := range doc.Charts() {
			if seen[c.Name+".svg"] {
				t.Errorf("there are two charts %s", c.Name)
			}
			seen[c.Name+".svg"] = true
		}
	}
}

func TestFigures(t *testing.T) {
	r := Build(testData())
	row := func(workload, backend string) Row {
		t.Helper()
		row, ok := r.find(workload, backend)
		if !ok {
			t.Fatalf("there is no row for %s on %s", workload, backend)
		}
		return row
	}
	cpu := row("cpu", "goroutines")
	if e := cpu.Speedup; math.Abs(e.Value-100.0/51) > .02 || *e.Low > e.Value || *e.High < e.Value || e.N != 7 {
		t.Errorf("speed-up is %+v; want about %.2f from 7 rounds", e, 100.0/51)
	}
	// The least CPU time of all models is that of gomaxprocs1, 100 ms.
	if math.Abs(cpu.Limit-2) > .02 || cpu.LimitBy != stats.ByProcessors || math.Abs(cpu.LimitShare-.98) > .02 {
		t.Errorf("limit is %v by %s, of which %v is reached; want 2 by processors, 0.98", cpu.Limit, cpu.LimitBy, cpu.LimitShare)
	}
	if one := row("cpu", "gomaxprocs1"); math.Abs(one.Limit-1) > .02 {
		t.Errorf("the limit on one processor is %v; want 1", one.Limit)
	}
	if wait := row("io_slow", "goroutines"); math.Abs(wait.Limit-8) > .01 || wait.LimitBy != stats.ByWorkers {
		t.Errorf("the limit of waiting is %v by %s; want 8 by workers", wait.Limit, wait.LimitBy)
	}
	failed := row("cpu", "gomaxprocs1")
	if failed.Verified || failed.Failed != 1 || failed.Rounds != 6 || len(r.Failures) != 1 {
		t.Errorf("a cell with a failed trial is %+v; want it not verified, with 6 rounds", failed)
	}
	if na := row("io_slow", "processes"); na.NotApplicable == "" || na.Speedup != nil {
		t.Errorf("a cell that is not applicable is %+v", na)
	}
	if aa := row("cpu", "sequential"); aa.Speedup == nil || math.Abs(aa.Speedup.Value-1) > .02 {
		t.Errorf("the baseline against itself is %+v; want about 1", aa.Speedup)
	}
}

func TestWarnings(t *testing.T) {
	tests := []struct {
		name   string
		change func(*results.Data)
		want   string
	}{
		{"few rounds", func(d *results.Data) { keep(d, func(t results.Trial) bool { return t.Round < 3 }) }, "no interval"},
		{"impossible", func(d *results.Data) {
			each(d, func(t *results.Trial) {
				if t.Cell == "io_slow-goroutines" {
					t.WallNS /= 2
				}
			})
		}, "beyond the limit"},
		{"baseline differs", func(d *results.Data) {
			each(d, func(t *results.Trial) {
				if t.Replicate {
					t.WallNS *= 2
				}
			})
		}, "the baseline differs from itself"},
		{"disturbed", func(d *results.Data) {
			each(d, func(t *results.Trial) { t.Load = &results.Load{WindowNS: 100, BusyNS: 200, OwnNS: 100} })
		}, "in 7 of 7 rounds: the figures may be wrong"},
		{"too short", func(d *results.Data) { each(d, func(t *results.Trial) { t.WallNS /= 1000 }) }, "below a millisecond"},
		{"interrupted", func(d *results.Data) { d.Run.Status = results.Interrupted }, "--resume"},
		{"not ended", func(d *results.Data) { d.Run.Status = results.Running }, "has not ended"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := testData()
			if before := strings.Join(Build(d).Warnings, "\n"); strings.Contains(before, tt.want) {
				t.Fatalf("the clean run warns: %s", before)
			}
			tt.change(d)
			if got := strings.Join(Build(d).Warnings, "\n"); !strings.Contains(got, tt.want) {
				t.Errorf("warnings are %q; want one that says %q", got, tt.want)
			}
		})
	}
}

func each(d *results.Data, f func(*results.Trial)) {
	for i := range d.Trials {
		f(&d.Trials[i])
	}
}

func keep(d *results.Data, f func(results.Trial) bool) {
	var kept []results.Trial
	for _, t := range d.Trials {
		if f(t) {
			kept = append(kept, t)
		}
	}
	d.Trials = kept
}

// A run without trials has a report, too.
func TestReportOfNothing(t *testing.T) {
	empty := testData()
	empty.Trials, empty.Timelines = nil, nil
	for name, d := range map[string]*results.Data{"no trials": empty, "no cells": {}} {
		r := Build(d)
		doc := r.Document()
		if err := errors.Join(Text(io.Discard, r), Markdown(io.Discard, doc), HTML(io.Discard, doc), JSON(io.Discard, r), CSV(io.Discard, d), Bench(io.Discard, d)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPageNeedsNothingElse(t *testing.T) {
	r := Build(testData())
	var b bytes.Buffer
	if err := HTML(&b, r.Document()); err != nil {
		t.Fatal(err)
	}
	page := strings.ReplaceAll(b.String(), `xmlns="http://www.w3.org/2000/svg"`, "")
	if at := regexp.MustCompile(`https?://|src=|@import|<link|<script`).FindString(page); at != "" {
		t.Errorf("the page has %q: it must need no network and no script", at)
	}
}

// Every chart is well-formed and says what it shows.
func TestChartsAreReadable(t *testing.T) {
	for _, c := range Build(testData()).Document().Charts() {
		var svg struct {
			Title string `xml:"title"`
			Desc  string `xml:"desc"`
			Role  string `xml:"role,attr"`
		}
		if err := xml.Unmarshal([]byte(c.SVG()), &svg); err != nil {
			t.Errorf("%s is not XML: %v", c.Name, err)
		}
		if svg.Title == "" || svg.Desc == "" || svg.Role != "img" {
			t.Errorf("%s has title %q, description %q and role %q", c.Name, svg.Title, svg.Desc, svg.Role)
		}
	}
}

// A track of very many tasks must not make a page of very many elements.
func TestLanesOfAMillionTasks(t *testing.T) {
	d := testData()
	timeline := &d.Timelines[0]
	timeline.Tasks = nil
	for i := range int64(200_000) {
		timeline.Tasks = append(timeline.Tasks, results.TaskRecord{Task: "t", StartedNS: i * 500, EndedNS: i*500 + 400})
	}
	c := taskTimeline(Build(d), "cpu")
	if c == nil {
		t.Fatal("there is no chart")
	}
	if n := len(c.SVG()); n > 500_000 {
		t.Errorf("the chart takes %d bytes; want at most 500,000", n)
	}
}

func TestBenchstatReadsBench(t *testing.T) {
	var b bytes.Buffer
	if err := Bench(&b, testData()); err != nil {
		t.Fatal(err)
	}
	n := 0
	for r := benchfmt.NewReader(&b, "bench.txt"); r.Scan(); {
		switch rec := r.Result().(type) {
		case *benchfmt.Result:
			n++
			if v, ok := rec.Value("sec/op"); !ok || v <= 0 {
				t.Errorf("%s takes %v seconds", rec.Name, v)
			}
		case *benchfmt.SyntaxError:
			t.Error(rec)
		}
	}
	if n != 7*7-1 {
		t.Errorf("benchstat reads %d results; want those of 7 cells in 7 rounds, but one that failed", n)
	}
}

func TestJSONHasEveryFigure(t *testing.T) {
	r := Build(testData())
	var b bytes.Buffer
	if err := JSON(&b, r); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(b.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(r.Rows, back.Rows); d != "" {
		t.Errorf("read back, the rows differ:\n%s", d)
	}
}

// Sleeps of 200 µs, as measured on Linux: in the idle process of the sequential
// baseline each takes 1.07 ms, beside other sleeps about the requested time. Eight
// workers seem to be 17.5 times faster, which is impossible.
func TestSleepsAreInvalid(t *testing.T) {
	d := judgedData()
	each(d, func(t *results.Trial) {
		switch t.Cell {
		case "impossible-sequential":
			t.WallNS = t.WallNS * 107 / 100
		case "impossible-goroutines":
			t.WallNS = t.WallNS * 204 / 1000
		}
		t.UserNS /= 20 // they wait
	})
	for i := range d.Run.Cells {
		if c := &d.Run.Cells[i]; c.ID == "impossible-goroutines" {
			c.Workers = 8
		}
	}
	row, _ := Build(d).find("impossible", "goroutines")
	if row.Verdict.Word != stats.Invalid || !strings.Contains(row.Statement, "exceeds the 8.00× limit") {
		t.Errorf("the verdict on %s is %q; want it invalid", times(row.Speedup.Value), row.Statement)
	}
}

// The page shows the figures of results.json.
func TestPageShowsTheFigures(t *testing.T) {
	r := Build(judgedData())
	var b bytes.Buffer
	if err := HTML(&b, r.Document()); err != nil {
		t.Fatal(err)
	}
	page := html.UnescapeString(b.String())
	for _, row := range r.Rows {
		for _, want := range append(r.cells(row), row.Statement, times(row.Speedup.Value), interval(row.Speedup)) {
			if !strings.Contains(page, want) {
				t.Errorf("%s: the page does not say %q", row.ID, want)
			}
		}
	}
	for _, c := range r.Crossovers {
		if !strings.Contains(page, c.Statement) {
			t.Errorf("the page does not say %q", c.Statement)
		}
	}
}

func TestDuration(t *testing.T) {
	for ns, want := range map[float64]string{0: "0 ns", 999: "999 ns", 1500: "1.50 µs", 12_340: "12.3 µs", 123_400: "123 µs", 1.5e6: "1.50 ms", 2.5e9: "2.50 s", 125e9: "125 s"} {
		if got := duration(ns); got != want {
			t.Errorf("duration(%v) = %q; want %q", ns, got, want)
		}
	}
}

// aLedgerTask is a task that computes and waits.
func aLedgerTask() *results.LedgerTask {
	onCPU, queued := int64(4e6), int64(1e6)
	return &results.LedgerTask{
		TaskRecord: results.TaskRecord{Number: 3, Task: "t", SpanID: "5f"}, Process: "trial", WallNS: 10e6, ResidualNS: -1000, OnCPUNS: &onCPU, OSQueueNS: &queued,
		Parts: results.Parts{results.PartQueue: 5e6 + 1000, results.PartRunning: 5e6}, Waits: results.Waits{Lock: 2},
		Where: "main.f (f.go:1)", WhereNS: 5, Stack: []string{"main.f (f.go:1)"},
	}
}

func TestTimeBudget(t *testing.T) {
	tests := []struct {
		name            string
		rounds, asked   int
		precision       float64
		line, noVerdict string
	}{
		{"alone", 20, 0, 0, "Time budget: 20 rounds fitted into 1m0s; none was cut short.", ""},
		{"all fit", 20, 20, 0, "Time budget: the 20 rounds that were asked for fitted into 1m0s.", ""},
		{"some fit", 15, 20, 0, "Time budget: 15 of the 20 rounds that were asked for fitted into 1m0s; none was cut short.", ""},
		{"few fit", 8, 20, 0, "Time budget: 8 of the 20 rounds", "the time budget of 1m0s had room for 8 rounds, and a verdict takes 12"},
		{"few, and more were not asked for", 8, 0, 0, "Time budget: 8 rounds fitted", ""},
		{"precision", 8, 0, 0.02, "8 rounds were made towards intervals of ±2 %", "had room for 8 rounds"},
	}
	for _, tt := range tests {
		d := judgedData()
		keep(d, func(t results.Trial) bool { return t.Kind != results.Timed || t.Round < tt.rounds })
		d.Run.BudgetNS, d.Run.Rounds, d.Run.AskedRounds, d.Run.Precision = int64(time.Minute), tt.rounds, tt.asked, tt.precision
		r := Build(d)
		if lines := strings.Join(r.trustLines(), "\n"); !strings.Contains(lines, tt.line) {
			t.Errorf("%s: the report says\n%s\nwant %q", tt.name, lines, tt.line)
		}
		if got := r.Trust.Workloads[0].Doubt; (got == "") != (tt.noVerdict == "") || !strings.Contains(got, tt.noVerdict) {
			t.Errorf("%s: the doubt is %q; want %q", tt.name, got, tt.noVerdict)
		}
		if tt.rounds < 12 && (r.Judged || r.Rows[1].Verdict != nil) {
			t.Errorf("%s: %d rounds have verdicts", tt.name, tt.rounds)
		}
	}
}
