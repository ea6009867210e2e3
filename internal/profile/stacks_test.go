package profile_test

import (
	"context"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/backends"
	"github.com/f3f4c0de/harness/internal/backends/inproc"
	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/profile"
)

func TestMain(m *testing.M) {
	executor.Main(stackTask)
	os.Exit(m.Run())
}

// callers returns the names of the functions that called the caller, innermost
// first.
func callers() (names []string) {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for {
		f, more := frames.Next()
		names = append(names, f.Function)
		if !more {
			return names
		}
	}
}

// here is the package of this file, which stands for a program's own.
const here = "github.com/f3f4c0de/harness/internal/profile_test."

// ownOnly fails for a function of our packages that Own reports as the program's.
func ownOnly(t *testing.T, what string, stack []string) {
	t.Helper()
	for _, f := range stack {
		if f != "main.main" && profile.Own(f) != strings.HasPrefix(f, here) {
			t.Errorf("%s: %s is the program's own: %v; its package belongs into machinery of names.go, or does not\n%s", what, f, profile.Own(f), strings.Join(stack, "\n"))
			return
		}
	}
}

// The names by which stacks are interpreted occur in real stacks: where tasks are called,
// submitted and waited for.
func TestNamesInStacks(t *testing.T) {
	for _, b := range backends.All {
		t.Run(b.Name, func(t *testing.T) {
			var submitted []string
			obs := &core.Observer{Submit: func(*core.Call) { submitted = callers() }}
			raw, err := b.Open(t.Context(), core.Config{Workers: 2, Observer: obs})
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			ex := (*executor.Executor)(core.NewHandle(b, raw))
			f := stackTask.Submit(t.Context(), ex, 0)
			stack, err := f.Wait(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(stack, profile.CallsTask.Has) {
				t.Errorf("a task's stack has none of CallsTask, %s: see names.go\n%s", strings.Join(profile.CallsTask, ", "), strings.Join(stack, "\n"))
			}
			ownOnly(t, "a task", stack)
			ownOnly(t, "a submission", submitted)
		})
	}
}

var stackTask = executor.NewTask("stack", func(context.Context, int) ([]string, error) { return callers(), nil })

// If two tasks run alternately, one of them waits for the lock of their execution model, in
// each of the functions of WaitsAtGate.
func TestNamesAtTheGate(t *testing.T) {
	ex, err := executor.Open(t.Context(), inproc.GIL.Name, executor.Config{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer ex.Close()
	var stop atomic.Bool
	defer stop.Store(true)
	turns := executor.NewTask("turns", func(ctx context.Context, _ int) (int, error) {
		for !stop.Load() {
			executor.Checkpoint(ctx)
		}
		return 0, nil
	})
	turns.Submit(t.Context(), ex, 0)
	turns.Submit(t.Context(), ex, 0)
	seen := make(map[string]bool)
	buf := make([]byte, 1<<20)
	for end := time.Now().Add(20 * time.Second); len(seen) < len(profile.WaitsAtGate) && time.Now().Before(end); runtime.Gosched() {
		for _, m := range stackLine.FindAllSubmatch(buf[:runtime.Stack(buf, true)], -1) {
			if name := string(m[1]); profile.WaitsAtGate.Has(name) {
				seen[name] = true
			}
		}
	}
	for _, name := range profile.WaitsAtGate {
		if !seen[name] {
			t.Errorf("no task waited in %s: see names.go; there were %v\n%s", name, seen, buf[:runtime.Stack(buf, true)])
		}
	}
}

// stackLine is a function in what [runtime.Stack] writes.
var stackLine = regexp.MustCompile(`(?m)^(\S+)\(`)
