package harness_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/cli"
	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/report"
	"github.com/f3f4c0de/harness/internal/results"
)

var update = flag.Bool("update", false, "rewrite the expectations of the scripts")

// The commands of the scripts: harness, and harness with a workload that makes
// trouble. Both are this test program, started again, workers included.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"harness":         func() { cli.Main() },
		"trouble-harness": func() { cli.Main(&trouble) },
		"inject-harness":  func() { cli.Main(&inject) },
		"sick-harness":    func() { cli.Main(&sick) },
		"spin":            spin,
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *update || os.Getenv("UPDATE") != "",
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", "atexit_sleep_ms=0") // children end at once
			env.Setenv("GOCACHE", os.Getenv("GOCACHE"))
			if cache, err := os.UserCacheDir(); err == nil {
				env.Setenv("XDG_CACHE_HOME", cache) // where the servers are
			}
			self, err := os.Executable()
			if err != nil {
				return err
			}
			env.Setenv("HARNESS", self)
			env.Values[batches{}] = new(requests)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":      exits,
			"lines":      lines,
			"children":   children,
			"killone":    killOne,
			"running":    running,
			"receiver":   startReceiver,
			"received":   received,
			"receives":   receives,
			"says":       says,
			"record":     record,
			"ports":      ports,
			"answers":    answers,
			"injaeger":   inJaeger,
			"prometheus": startPrometheus,
			"panels":     panels,
			"exemplars":  exemplars,
			"gobuild":    goBuild,
			"recovers":   recovers,
			"conserves":  conserves,
			"taskspan":   taskSpan,
			"sampled":    sampled,
			"tagged":     tagged,
			"crawl":      crawl,
			"perfetto":   perfetto,
			"finds":      finds,
			"nofindings": noFindings,
			"lossless":   lossless,
		},
		Condition: func(cond string) (bool, error) {
			if cond == "pprof" {
				return exec.Command("go", "tool", "-n", "pprof").Run() == nil, nil
			}
			if cond == "race" { // the detector changes what takes how long
				info, ok := debug.ReadBuildInfo()
				return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}), nil
			}
			if cond == "prometheus:otlp" {
				return takesOTLP()
			}
			if name, ok := strings.CutPrefix(cond, "server:"); ok {
				path, err := serverPath(name)
				return path != "", err
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
	})
}

// exits runs a command and compares its exit code: exits 2 harness …, or
// exits 0,4 harness … if that depends on the machine.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARG …]")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if want := args[0]; !slices.Contains(strings.Split(want, ","), strconv.Itoa(code)) {
		ts.Fatalf("%s ended with exit code %d; want %s", strings.Join(args[1:], " "), code, want)
	}
}

// until calls done until it reports true, for half a minute at most.
func until(ts *testscript.TestScript, what string, done func() bool) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(2 * time.Minute); !done(); <-tick.C {
		if time.Now().After(deadline) {
			ts.Fatalf("waited for two minutes for %s", what)
		}
	}
}

// lines waits until a file has at least that many lines: lines FILE N
func lines(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	until(ts, strings.Join(args, " "), func() bool {
		b, err := os.ReadFile(ts.MkAbs(args[0]))
		return err == nil && bytes.Count(b, []byte("\n")) >= n
	})
}

// ours returns the processes that were started in one of our roles with the
// script's own work directory in their environment.
func ours(ts *testscript.TestScript, role string) (pids []int) {
	environs, err := filepath.Glob("/proc/[0-9]*/environ")
	ts.Check(err)
	for _, path := range environs {
		b, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(b, []byte("WORK="+ts.Getenv("WORK")+"\x00")) || !bytes.Contains(b, []byte("HARNESS_ROLE="+role)) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// children waits until there are no processes of ours: ! children
func children(ts *testscript.TestScript, neg bool, _ []string) {
	if !neg {
		ts.Fatalf("usage: ! children")
	}
	until(ts, "all processes to end", func() bool { return len(ours(ts, "")) == 0 })
}

// running waits for a process in a role: running trial
func running(ts *testscript.TestScript, _ bool, args []string) {
	until(ts, "a "+args[0], func() bool { return len(ours(ts, args[0])) > 0 })
}

// killone waits for a process in a role that computes, and kills it: killone worker
func killOne(ts *testscript.TestScript, _ bool, args []string) {
	until(ts, "a "+args[0], func() bool {
		for _, pid := range ours(ts, args[0]) {
			if cpu(pid) > 20*time.Millisecond {
				return syscall.Kill(pid, syscall.SIGKILL) == nil
			}
		}
		return false
	})
}

// cpu returns the processor time that the threads of a process have used: its first
// may have nothing to do.
func cpu(pid int) (sum time.Duration) {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, name := range threads {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		var ns time.Duration
		_, _ = fmt.Sscan(string(b), &ns)
		sum += ns
	}
	return sum
}

// batches is the key of how many requests a script's receiver got, by signal:
// scripts run side by side, each with its own.
type batches struct{}

type requests struct{ traces, metrics atomic.Int64 }

// startReceiver starts an OTLP receiver, of all signals or of traces alone, and
// puts its URL into $RECEIVER: receiver [traces]
func startReceiver(ts *testscript.TestScript, _ bool, args []string) {
	n := ts.Value(batches{}).(*requests)
	n.traces.Store(0)
	n.metrics.Store(0)
	all := len(args) == 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodPost: // as real ones do
			w.WriteHeader(http.StatusMethodNotAllowed)
		case r.URL.Path == "/v1/traces" && r.ContentLength > 0:
			n.traces.Add(1)
		case r.URL.Path == "/v1/metrics" && r.ContentLength > 0 && all:
			n.metrics.Add(1)
		default:
			http.NotFound(w, r)
		}
	}))
	ts.Defer(srv.Close)
	ts.Setenv("RECEIVER", srv.URL)
	ts.Setenv("RECEIVER_PORT", srv.URL[strings.LastIndexByte(srv.URL, ':')+1:])
}

// counted returns how many requests of a signal the script's receiver got.
func counted(ts *testscript.TestScript, args []string) *atomic.Int64 {
	n := ts.Value(batches{}).(*requests)
	switch strings.Join(args, " ") {
	case "":
		return &n.traces
	case "metrics":
		return &n.metrics
	}
	ts.Fatalf("usage: received [metrics]")
	return nil
}

// received checks that the script's receiver got something, and forgets it:
// received [metrics]
func received(ts *testscript.TestScript, neg bool, args []string) {
	if n := counted(ts, args).Swap(0); (n > 0) == neg {
		ts.Fatalf("the receiver got %d requests", n)
	}
}

// receives waits until the script's receiver has something, and forgets it:
// receives [metrics]
func receives(ts *testscript.TestScript, _ bool, args []string) {
	until(ts, "the receiver to get something", func() bool { return counted(ts, args).Swap(0) > 0 })
}

// says waits until what a URL answers with has a line like that: says URL REGEXP
func says(ts *testscript.TestScript, _ bool, args []string) {
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	until(ts, args[0]+" to say "+args[1], func() bool {
		b, err := fetch(args[0])
		return err == nil && re.Match(b)
	})
}

// taskSpan puts the id of the span of a cell's first task into $SPAN:
// taskspan DIR CELL
func taskSpan(ts *testscript.TestScript, _ bool, args []string) {
	data, err := results.Read(ts.MkAbs(args[0]))
	ts.Check(err)
	for _, l := range data.Timelines {
		if l.Cell == args[1] {
			ts.Setenv("SPAN", l.Tasks[0].SpanID)
			return
		}
	}
	ts.Fatalf("there is no traced trial of %s", args[1])
}

// spin is a program that uses half of the processors until it is killed, or who
// started it has ended.
func spin() {
	for range (runtime.NumCPU() + 1) / 2 {
		go func() {
			for {
				runtime.KeepAlive(0)
			}
		}()
	}
	for parent := os.Getppid(); os.Getppid() == parent; {
		<-time.After(time.Second)
	}
}

// record writes the records of a run of twenty rounds with known times, during
// which other programs used that many hundredths of a core:
// record DIR OTHERS [GOROUTINES_MS]
func record(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: record DIR OTHERS [GOROUTINES_MS]")
	}
	others, err := strconv.Atoi(args[1])
	ts.Check(err)
	goroutines := 55
	if len(args) > 2 {
		goroutines, err = strconv.Atoi(args[2])
		ts.Check(err)
	}
	run := results.Run{
		Schema: results.Schema, ID: args[0], Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Status: results.Completed,
		Machine: results.Machine{OS: "linux", Arch: "amd64", Cores: 2}, Preset: "standard", Rounds: 20, MaxRounds: 40, TrialNS: 1e8,
		Backends: []results.BackendInfo{{Name: "sequential"}, {Name: "goroutines"}, {Name: "processes"}},
	}
	walls := map[string]int{}
	for _, w := range []struct {
		label, cpu string
		walls      [3]int // ms
	}{{"sqrt", "", [3]int{100, goroutines, 60}}, {"mixed_cpu_1ms", "1ms", [3]int{50, 30, 40}}, {"mixed_cpu_4ms", "4ms", [3]int{200, 120, 110}}} {
		name, _, _ := strings.Cut(w.label, "_")
		run.Workloads = append(run.Workloads, results.WorkloadInfo{Name: name, Label: w.label, Params: results.Params{"cpu": w.cpu}})
		for i, b := range run.Backends {
			id := w.label + "-" + b.Name
			run.Cells = append(run.Cells, results.Cell{ID: id, Workload: w.label, Backend: b.Name, Workers: 2, Baseline: i == 0})
			walls[id] = w.walls[i]
		}
	}
	folder, err := results.Create(ts.MkAbs(args[0]), &run)
	ts.Check(err)
	n := 0
	for round := range run.Rounds {
		for _, c := range run.Cells {
			for copies := range 2 {
				if copies == 1 && !c.Baseline {
					continue
				}
				n++
				wall := int64(walls[c.ID]) * (1_000_000 + int64(n*7919%9001)) // up to 1 % more
				ts.Check(folder.AddTrial(&results.Trial{
					Cell: c.ID, Kind: results.Timed, Round: round, Replicate: copies == 1, Started: run.Started.Add(time.Duration(n) * time.Second),
					Load:     &results.Load{WindowNS: 1e9, BusyNS: 1e9 + int64(others)*1e7, OwnNS: 1e9},
					Measured: results.Measured{WallNS: wall, Usage: results.Usage{UserNS: wall}, StartNS: 1e6, Tasks: 1, Digest: "d"},
				}))
			}
		}
	}
	ts.Check(folder.Close())
}

// trouble is a workload that goes wrong as it is told, in its third task.
var trouble = harness.Workload{
	Name:    "trouble",
	Doc:     "goes wrong as it is told",
	Params:  &troubleParams{Mode: "none"},
	Tasks:   []executor.AnyTask{troubleTask},
	Workers: func(int) int { return 2 },
	Open: func(_ context.Context, env harness.Env) (harness.Session, error) {
		p := *env.Params.(*troubleParams)
		if p.Mode == "open" {
			return nil, errors.New("cannot be set up")
		}
		return &troubleSession{mode: p.Mode}, nil
	},
}

type troubleParams struct {
	Mode string `yaml:"mode" doc:"what goes wrong"`
}

type troubleIn struct {
	Mode string
	I    int
	Home int // process that submitted it
}

var troubleTask = executor.NewTask("trouble", func(ctx context.Context, in troubleIn) (int, error) {
	if in.I != 2 {
		return in.I, nil
	}
	away := os.Getpid() != in.Home
	switch in.Mode {
	case "print":
		fmt.Println("this must not disturb anything")
		fmt.Fprintln(os.Stderr, "nor this")
	case "error":
		return 0, errors.New("deliberate")
	case "panic":
		panic("deliberate")
	case "exit":
		if away {
			fmt.Fprintln(os.Stderr, "last words")
			os.Exit(3)
		}
	case "hang":
		if away {
			<-ctx.Done()
			select {}
		}
	case "other":
		if away {
			return 17, nil
		}
	case "slow":
		executor.Blocking(ctx, func() {
			select {
			case <-time.After(5 * time.Second):
			case <-ctx.Done():
			}
		})
	}
	return in.I, nil
})

type troubleSession struct {
	mode string
	got  []int
}

func (s *troubleSession) Run(ctx context.Context, ex *executor.Executor) error {
	away := ex.Traits()&executor.SharedMemory == 0
	switch traced := oteltrace.SpanContextFromContext(ctx).IsValid(); {
	case s.mode == "resize":
		return s.resize(ctx, ex)
	case s.mode == "interrupt" && away && traced: // as Ctrl-C would, amid the evidence
		defer func() { _ = syscall.Kill(os.Getppid(), syscall.SIGINT) }()
	}
	return s.submit(ctx, ex)
}

// resize has worker processes end and others start while the program runs.
func (s *troubleSession) resize(ctx context.Context, ex *executor.Executor) error {
	if ex.Traits()&executor.SharedMemory != 0 {
		return s.submit(ctx, ex)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for _, n := range []int{1, 3, 1} {
		if err := errors.Join(s.submit(ctx, ex), ex.Resize(n)); err != nil {
			return err
		}
		// A worker starts when there is work for it.
		for started := ex.Stats().Started; n == 1 && ex.Stats().Alive > 1 || n > 1 && ex.Stats().Started == started; {
			if err := s.submit(ctx, ex); err != nil {
				return err
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
	s.got = nil // of how many there were until then
	return s.submit(ctx, ex)
}

func (s *troubleSession) submit(ctx context.Context, ex *executor.Executor) error {
	var futures []*executor.Future[int]
	for i := range 4 {
		futures = append(futures, troubleTask.Submit(ctx, ex, troubleIn{s.mode, i, os.Getpid()}))
	}
	var errs []error
	for _, f := range futures {
		v, err := f.Wait(ctx)
		s.got, errs = append(s.got, v), append(errs, err)
	}
	return errors.Join(errs...)
}

func (s *troubleSession) Check() (harness.Outcome, error) {
	if s.mode == "wrong" {
		return harness.Outcome{}, errors.New("not what was expected")
	}
	return harness.Outcome{Digest: harness.Digest(s.got), Tasks: len(s.got)}, nil
}

func (s *troubleSession) Close() error {
	if s.mode == "close" {
		return errors.New("cannot be closed")
	}
	return nil
}

// lossless checks that every process of a cell's traced trial has all of its
// spans, at least so many worker processes, and a known end of every task:
// lossless DIR CELL WORKERS
func lossless(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: lossless DIR CELL WORKERS")
	}
	least, err := strconv.Atoi(args[2])
	ts.Check(err)
	data, err := results.Read(ts.MkAbs(args[0]))
	ts.Check(err)
	l := slices.IndexFunc(data.Ledger, func(l results.Ledger) bool { return l.Cell == args[1] })
	t := slices.IndexFunc(data.Trials, func(t results.Trial) bool { return t.Cell == args[1] && t.Kind == results.Traced })
	if l < 0 || t < 0 {
		ts.Fatalf("%s has no traced trial", args[1])
	}
	sum := 0
	for _, p := range data.Ledger[l].Processes {
		if p.SpansExpected != p.SpansExported || p.SpansExported == 0 || p.CPUNS < 0 {
			ts.Fatalf("%s: %d of %d spans are there, and %d ns of processor time: %+v", p.Name, p.SpansExported, p.SpansExpected, p.CPUNS, p)
		}
		sum += p.SpansExported
	}
	if n := len(data.Ledger[l].Processes) - 1; n < least {
		ts.Fatalf("there were %d worker processes; want at least %d", n, least)
	}
	if got := data.Trials[t]; got.SpansExpected != sum || got.SpansExported != sum {
		ts.Fatalf("the trial exported %d of %d spans; its processes %d", got.SpansExported, got.SpansExpected, sum)
	}
	if l := data.Ledger[l]; l.Resolved != l.Tasks || l.Tasks == 0 {
		ts.Fatalf("an execution trace shows %d of %d tasks", l.Resolved, l.Tasks)
	}
	for _, t := range data.Trials {
		if t.CPUNS() < 0 {
			ts.Fatalf("a %s trial of %s took %d ns of processor time", t.Kind, t.Cell, t.CPUNS())
		}
	}
}

// What the example of a gate expects can be asserted.
func TestGateExample(t *testing.T) {
	b, err := os.ReadFile("examples/github-actions/expected")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		line, _, _ = strings.Cut(line, "#")
		if strings.TrimSpace(line) == "" {
			continue
		}
		n++
		if _, err := report.ParseAssertion(line); err != nil {
			t.Error(err)
		}
	}
	if n == 0 {
		t.Error("the example expects nothing")
	}
}

// A program outside of this module brings a workload of its own and gets the
// whole command line, worker processes included.
func TestOwnWorkload(t *testing.T) {
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", dir+"/own", ".")
	build.Dir = "examples/ownworkload"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the example: %v\n%s", err, out)
	}
	run := exec.Command(dir+"/own", "run", "--workloads", "collatz,sqrt", "--param", "collatz.below=50000", "--param", "sqrt.n=100000", "--rounds", "2", "--out", dir+"/out")
	var stdout, stderr strings.Builder
	run.Stdout, run.Stderr = &stdout, &stderr
	if err := run.Run(); err != nil {
		t.Fatalf("running it: %v\n%s", err, stderr.String())
	}
	for _, want := range []string{"collatz", "sqrt", "processes", "yes"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("the table does not say %q:\n%s", want, stdout.String())
		}
	}
	if strings.Contains(stdout.String(), " no (") {
		t.Errorf("not everything was verified:\n%s", stdout.String())
	}
	bad := exec.Command(dir+"/own", "run", "--param", "collatz.below=1")
	if out, err := bad.CombinedOutput(); err == nil || !strings.Contains(string(out), "below is 1") {
		t.Errorf("a parameter that the workload refuses gave %v:\n%s", err, out)
	}
}
