package harness_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/findings"
	"github.com/f3f4c0de/harness/internal/profile"
	"github.com/f3f4c0de/harness/internal/report"
	"github.com/f3f4c0de/harness/internal/results"
)

// sick is a workload with the fault that its parameter names.
var sick = harness.Workload{
	Name:    "sick",
	Doc:     "has the fault that it is asked for",
	Params:  &sickParams{Fault: "none", Tasks: 12},
	Tasks:   []executor.AnyTask{sickTask, askTask, carriedTask},
	Workers: func(int) int { return 4 },
	Serve:   serveInjected,
	Open: func(_ context.Context, env harness.Env) (harness.Session, error) {
		return &sickSession{*env.Params.(*sickParams), env.Addr}, nil
	},
}

type sickParams struct {
	Fault string `yaml:"fault" doc:"what is wrong"`
	Tasks int    `yaml:"tasks" doc:"tasks"`
}

var (
	sickLock sync.Mutex
	garbage  atomic.Pointer[node]
)

// A node is work for the garbage collector, which looks at each of its pointers.
type node [64]*node

var sickTask = executor.NewTask("sick", func(_ context.Context, fault string) (int, error) {
	switch fault {
	case "poll":
		for range 20 {
			sleepAwhile()
		}
	case "convoy":
		for range 5 {
			underTheLock()
		}
	case "medium":
		computeFor(30 * time.Millisecond)
	case "long":
		computeFor(150 * time.Millisecond)
	case "garbage":
		var last *node
		for range 10_000 {
			next := new(node)
			for i := range next {
				next[i] = last
			}
			last = next
		}
		garbage.Store(last)
	case "tiny":
	default:
		spinFor(2 * time.Millisecond)
	}
	return 1, nil
})

type questions struct {
	Addr  string
	Times int
}

// askTask asks a server several times, each time after it had the answer.
var askTask = executor.NewTask("sick.ask", func(ctx context.Context, in questions) (int, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", in.Addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	for range in.Times {
		executor.Blocking(ctx, func() { err = errors.Join(err, askAndWait(ctx, c)) })
	}
	return 1, err
})

//go:noinline
func askAndWait(ctx context.Context, c net.Conn) error {
	_, err := ask(ctx, c, 4*time.Millisecond)
	return err
}

// computeFor uses so much processor time, however busy the machine is.
//
//go:noinline
func computeFor(d time.Duration) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for began := profile.ThreadCPU(); profile.ThreadCPU()-began < int64(d); {
		spinFor(100 * time.Microsecond)
	}
}

// carriedTask takes far longer to be carried than to be run.
var carriedTask = executor.NewTask("sick.carried", func(_ context.Context, in carried) (carried, error) { return in, nil })

// sleepAwhile sleeps, as programs do that wait for something by looking again
// and again; the fault is to be found by the stack of this sleep.
//
//go:noinline
func sleepAwhile() { time.Sleep(time.Millisecond) } //nolint:forbidigo // the sleep is the fault that is to be found

//go:noinline
func underTheLock() {
	sickLock.Lock()
	defer sickLock.Unlock()
	spinFor(time.Millisecond)
}

type sickSession struct {
	sickParams
	addr string
}

func (s *sickSession) Run(ctx context.Context, ex *executor.Executor) error {
	atATime := s.Tasks
	switch s.Fault {
	case "await":
		atATime = 1
	case "starve":
		atATime = 2
	}
	var errs []error
	var waits []func() error
	for i := range s.Tasks {
		if len(waits) == atATime {
			errs = append(errs, waits[0]())
			waits = waits[1:]
		}
		waits = append(waits, s.submit(ctx, ex, i))
	}
	for _, wait := range waits {
		errs = append(errs, wait())
	}
	return errors.Join(errs...)
}

func (s *sickSession) submit(ctx context.Context, ex *executor.Executor, i int) (wait func() error) {
	fault := s.Fault
	switch {
	case fault == "carry":
		return waiting(ctx, carriedTask.Submit(ctx, ex, carried{Slow: true}))
	case fault == "ask":
		return waiting(ctx, askTask.Submit(ctx, ex, questions{s.addr, 5}))
	case fault == "late" && i != s.Tasks/2+3: // if four always begin together, the last: the others have asked
		return waiting(ctx, askTask.Submit(ctx, ex, questions{s.addr, 2}))
	case fault == "late", fault == "chunks" && i == s.Tasks-1:
		fault = "long"
	case fault == "crowd":
		fault = "medium"
	}
	return waiting(ctx, sickTask.Submit(ctx, ex, fault))
}

func waiting[T any](ctx context.Context, f *executor.Future[T]) func() error {
	return func() error {
		_, err := f.Wait(ctx)
		return err
	}
}

func (s *sickSession) Check() (harness.Outcome, error) {
	return harness.Outcome{Digest: "the same", Tasks: s.Tasks}, nil
}

func (s *sickSession) Close() error { return nil }

// reported reads the findings from the report of a run.
func reported(ts *testscript.TestScript, dir string) []findings.Finding {
	b, err := os.ReadFile(filepath.Join(ts.MkAbs(dir), results.ResultsFile))
	ts.Check(err)
	var r report.Report
	ts.Check(json.Unmarshal(b, &r))
	return r.Findings
}

// finds checks that a cell has a finding, with its numbers, its span, a stack
// that names a function, and a command that shows the numbers and the function.
func finds(ts *testscript.TestScript, _ bool, args []string) {
	var others []string
	function := regexp.MustCompile(args[3])
	for _, f := range reported(ts, args[0]) {
		if f.Cell != args[1] || f.Rule != args[2] {
			others = append(others, f.Cell+" "+f.Rule)
			continue
		}
		if f.SpanID == "" || !strings.Contains(f.Command, f.Cell) || len(f.Evidence) == 0 || !regexp.MustCompile("[0-9]").MatchString(f.Evidence[0]) {
			ts.Fatalf("%s has no number, no span or no command: %+v", f.Rule, f)
		}
		if !slices.ContainsFunc(f.Stack, function.MatchString) {
			ts.Fatalf("%s has the stack %q; want %s in it", f.Rule, f.Stack, function)
		}
		command := strings.Fields(strings.Replace(f.Command, " DIR ", " "+args[0]+" ", 1))
		ts.Check(ts.Exec("sick-"+command[0], command[1:]...))
		if out := strings.Join(strings.Fields(ts.ReadFile("stdout")), " "); !strings.Contains(out, f.Evidence[0]) || !function.MatchString(out) {
			ts.Fatalf("%s does not show %q, or not %s", f.Command, f.Evidence[0], function)
		}
		return
	}
	ts.Fatalf("%s has no finding %s; found were %q", args[1], args[2], others)
}

// noFindings checks that nothing was found.
func noFindings(ts *testscript.TestScript, _ bool, args []string) {
	for _, f := range reported(ts, args[0]) {
		ts.Fatalf("found %+v; want nothing", f)
	}
}
