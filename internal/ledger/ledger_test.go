package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	pprof "github.com/google/pprof/profile"

	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/profile"
	"github.com/f3f4c0de/harness/internal/results"
)

func TestServedDividesWaits(t *testing.T) {
	const wait, run, runnable, lock = results.PartIOWait, results.PartRunning, results.PartRunnable, results.PartLock
	type in = Interval
	iv := func(from, to core.Stamp, p results.Part) in { return in{From: from, To: to, Part: p} }
	tests := []struct {
		name         string
		asked, ready core.Stamp
		before, want []in
	}{
		{"a wait", 10, 40, []in{iv(0, 12, run), iv(12, 50, wait), iv(50, 55, runnable), iv(55, 57, run)},
			[]in{iv(0, 12, run), iv(12, 40, results.PartIOService), iv(40, 50, results.PartIOLate), iv(50, 55, results.PartIOLate), iv(55, 57, run)}},
		{"ready before it waited", 10, 11, []in{iv(0, 12, run), iv(12, 50, wait)}, []in{iv(0, 12, run), iv(12, 50, results.PartIOLate)}},
		{"ready before it was asked", 10, 5, []in{iv(0, 12, run), iv(12, 50, wait)}, []in{iv(0, 12, run), iv(12, 50, results.PartIOLate)}},
		{"ready later than now", 10, 99, []in{iv(12, 50, wait)}, []in{iv(12, 50, results.PartIOService)}},
		{"waits before it asked are another's", 30, 40, []in{iv(0, 20, wait), iv(20, 30, run), iv(30, 50, wait)},
			[]in{iv(0, 20, wait), iv(20, 30, run), iv(30, 40, results.PartIOService), iv(40, 50, results.PartIOLate)}},
		{"asked in the middle of a wait", 10, 20, []in{iv(0, 30, wait)}, []in{iv(0, 10, wait), iv(10, 20, results.PartIOService), iv(20, 30, results.PartIOLate)}},
		{"locks stay locks", 0, 40, []in{iv(0, 20, lock), iv(20, 50, wait)}, []in{iv(0, 20, lock), iv(20, 40, results.PartIOService), iv(40, 50, results.PartIOLate)}},
		{"runnable before it was ready", 0, 40, []in{iv(0, 20, runnable), iv(20, 40, wait)}, []in{iv(0, 20, runnable), iv(20, 40, results.PartIOService)}},
		{"nothing", 0, 40, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x := task{Executed: Executed{Intervals: tt.before}}
			x.served(tt.asked, tt.ready)
			if d := cmp.Diff(tt.want, x.Intervals, cmpopts.IgnoreUnexported(Interval{}), cmpopts.EquateEmpty()); d != "" {
				t.Errorf("served(%d, %d) (-want +got):\n%s", tt.asked, tt.ready, d)
			}
		})
	}
}

func TestStationsAddUp(t *testing.T) {
	here := results.TaskRecord{SubmittedNS: 10, StartedNS: 40, EndedNS: 100, ReceivedNS: 100}
	away := results.TaskRecord{
		SubmittedNS: 10, EncodingNS: 20, SentNS: 25, DecodingNS: 40, DecodedNS: 47, StartedNS: 60,
		EndedNS: 100, EncodedNS: 110, ArrivedNS: 130, ReceivedNS: 134,
	}
	lost := results.TaskRecord{SubmittedNS: 10, SentNS: 25, StartedNS: 60, EndedNS: 100, ReceivedNS: 134}
	for _, tt := range []struct {
		name string
		in   results.TaskRecord
		want results.Parts
	}{
		{"in its process", here, results.Parts{results.PartQueue: 30}},
		{"away and back", away, results.Parts{results.PartQueue: 10, results.PartEncode: 15, results.PartTransport: 35, results.PartDecode: 11, results.PartAhead: 13}},
		{"the worker said nothing", lost, results.Parts{results.PartQueue: 15, results.PartTransport: 69}},
	} {
		got := stations(&tt.in)
		if got != tt.want {
			t.Errorf("%s: stations are %v; want %v", tt.name, got, tt.want)
		}
		l := taskOf(tt.in, "p", nil)
		if l.ResidualNS != 0 || l.Parts.Sum() != l.WallNS {
			t.Errorf("%s: of %d ns, %d are unexplained", tt.name, l.WallNS, l.ResidualNS)
		}
	}
}

func TestPartsAsJSON(t *testing.T) {
	p := results.Parts{results.PartQueue: 3, results.PartUnresolved: -4}
	b, err := json.Marshal(p)
	if want := `{"queue_ns":3,"unresolved_ns":-4}`; string(b) != want || err != nil {
		t.Fatalf("parts are %s, %v; want %s", b, err, want)
	}
	var back results.Parts
	if err := json.Unmarshal(b, &back); err != nil || back != p {
		t.Errorf("%s became %v, %v", b, back, err)
	}
}

// inline runs each call where it is submitted.
type inline struct{ obs *core.Observer }

func (e inline) Submit(_ context.Context, c *core.Call) {
	c.Enter(&core.Site{Observer: e.obs})
	c.Run(&core.Worker{PID: os.Getpid()})
}
func (inline) Close() error { return nil }
func (inline) Stop(error)   {}

//go:noinline
func holdUp(mu *sync.Mutex) {
	mu.Lock()
	mu.Unlock() //nolint:staticcheck // waiting is what it is for
}

var convoyTask = core.NewTask("convoy", convoy)

func convoy(context.Context, int) (int, error) {
	var mu sync.Mutex
	for range 20 {
		locked := make(chan struct{})
		var holder sync.WaitGroup
		holder.Go(func() {
			mu.Lock()
			close(locked)
			<-time.After(time.Millisecond)
			mu.Unlock()
		})
		<-locked
		holdUp(&mu)
		holder.Wait()
	}
	return 0, nil
}

// record makes an execution trace of one task, and its lanes.
func record(t *testing.T) (dir string, lanes *results.Timeline) {
	t.Helper()
	dir = t.TempDir()
	stop, err := profile.Execution(filepath.Join(dir, "1.trace"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := profile.Execution(filepath.Join(dir, "2.trace")); err == nil {
		t.Error("a second execution trace gave no error")
	}
	began := core.Now()
	obs := profile.MarkTasks(core.Observer{Submit: func(c *core.Call) { c.Number = 1 }}, 1)
	f := convoyTask.Submit(t.Context(), inline{obs}, 0)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Errorf("stopping twice = %v", err)
	}
	tm := f.Timing()
	since := func(s core.Stamp) int64 { return int64(s - began) }
	return dir, &results.Timeline{
		Cell: "c", Workers: 1, WallNS: int64(tm.Received - tm.Submitted), BeganNS: int64(began),
		Tasks: []results.TaskRecord{{
			Task: "convoy", Number: 1, PID: os.Getpid(),
			SubmittedNS: since(tm.Submitted), StartedNS: since(tm.Started), EndedNS: since(tm.Ended), ReceivedNS: since(tm.Received),
		}},
		Processes: []results.Process{{Name: "trial", PID: os.Getpid(), Execution: "1.trace"}},
	}
}

// What is said of a task agrees with what "go tool trace" computes from the
// same file.
func TestAgreesWithGoToolTrace(t *testing.T) {
	if err := exec.Command("go", "tool", "-n", "trace").Run(); err != nil {
		t.Skipf("no go tool trace: %v", err)
	}
	dir, lanes := record(t)
	l, tasks := Build(lanes, 0, dir)
	if l.Resolved != 1 || len(tasks) != 1 {
		t.Fatalf("the ledger has %d tasks, %d in the execution trace, notes %q; want the one task", l.Tasks, l.Resolved, l.Notes)
	}
	task := tasks[0]
	if float64(task.ResidualNS) > 0.01*float64(task.WallNS) {
		t.Errorf("of %d ns, %d are unexplained", task.WallNS, task.ResidualNS)
	}
	out, err := exec.Command("go", "tool", "trace", "-pprof=sync", filepath.Join(dir, "1.trace")).Output()
	if err != nil {
		t.Fatalf("go tool trace: %v", err)
	}
	p, err := pprof.Parse(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	var want int64
	for _, s := range p.Sample {
		for _, loc := range s.Location {
			if strings.HasSuffix(loc.Line[0].Function.Name, "/ledger.convoy") {
				want += s.Value[1]
				break
			}
		}
	}
	got := task.Parts[results.PartLock] + task.Parts[results.PartChannel]
	if want == 0 || math.Abs(float64(got-want)) > 0.01*float64(want) {
		t.Errorf("the task waited %v for locks and channels; go tool trace says %v", time.Duration(got), time.Duration(want))
	}
	if !strings.Contains(task.Where, "holdUp") || task.Waits.Lock < 20 {
		t.Errorf("it waited %d times for locks, longest at %q; want 20 times and more, at holdUp", task.Waits.Lock, task.Where)
	}
	if task.ChildrenNS == 0 {
		t.Error("nothing is known of the goroutines that it started")
	}
	if task.OnCPUNS != nil {
		t.Errorf("it was on a CPU for %d ns; want that to be unknown, as it waited", *task.OnCPUNS)
	}
}

// Without an execution trace, what is unknown is said to be.
func TestUnknownIsSaid(t *testing.T) {
	dir, lanes := record(t)
	if err := os.WriteFile(filepath.Join(dir, "1.trace"), []byte("go 1.26 trace\x00\x00\x00broken"), 0o666); err != nil {
		t.Fatal(err)
	}
	l, tasks := Build(lanes, 0, dir)
	notes := strings.Join(l.Notes, " ")
	for _, want := range []string{"Not all of trial is known", "1 of 1 tasks did in their functions is unknown"} {
		if !strings.Contains(notes, want) {
			t.Errorf("the notes are %q; want %q", notes, want)
		}
	}
	if tasks[0].Parts[results.PartUnresolved] == 0 || tasks[0].ResidualNS != 0 {
		t.Errorf("the task's ledger is %+v; want its function to be unresolved", tasks[0])
	}
}

func FuzzReadExecution(f *testing.F) {
	f.Add([]byte("go 1.26 trace\x00\x00\x00"))
	f.Fuzz(func(_ *testing.T, b []byte) { _ = ReadExecution(bytes.NewReader(b), func(*Executed) {}, nil) })
}

func TestOneAfterAnother(t *testing.T) {
	at := func(from, to core.Stamp) Interval { return Interval{From: from, To: to} }
	got := oneAfterAnother([]Interval{at(90, 120), at(115, 150), at(149, 150), at(160, 170), at(170, 250)}, 100, &results.TaskRecord{StartedNS: 5, EndedNS: 90})
	want := []Interval{at(5, 20), at(20, 50), at(60, 70), at(70, 90)}
	if d := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Interval{})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// The export is what the format wants, and what is drawn on a row nests.
func TestPerfetto(t *testing.T) {
	dir, lanes := record(t)
	var b bytes.Buffer
	if err := Perfetto(&b, []results.Timeline{*lanes}, func(string) string { return dir }); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		TraceEvents []event `json:"traceEvents"`
	}
	if err := json.Unmarshal(b.Bytes(), &doc); err != nil {
		t.Fatalf("the export is no JSON: %v", err)
	}
	var task event
	names := make(map[string]int)
	for _, e := range doc.TraceEvents {
		names[e.Phase+" "+e.Name]++
		if e.Phase == "X" && e.Name == "convoy" {
			task = e
		}
	}
	for _, want := range []string{"X convoy", "X submit convoy", "s to worker", "f to worker", "X lock", "X running", "M process_name", "M thread_name"} {
		if names[want] == 0 {
			t.Errorf("the export has no %s; it has %v", want, names)
		}
	}
	for _, e := range doc.TraceEvents {
		if e.Cat == "state" && (e.TS < task.TS || e.TS+*e.Dur > task.TS+*task.Dur+.001) {
			t.Errorf("%+v is not inside of %+v", e, task)
		}
	}
	lanes.Processes = nil
	if err := Perfetto(&b, []results.Timeline{*lanes}, func(string) string { return dir }); err == nil {
		t.Error("a run of an older harness gave no error")
	}
}
