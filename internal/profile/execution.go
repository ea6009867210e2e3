package profile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/trace"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/f3f4c0de/harness/internal/core"
)

// maxExecution bounds an execution trace. A reader needs about twenty times as
// much memory as the file has bytes for what it learns, and about 15 seconds
// for this many.
const maxExecution = 256 << 20

// What [MarkTasks] writes into an execution trace, for those who read
// it: the number of a task and the processor time of its thread, when it begins
// and when it ends; and, with the stack, the numbers of the first ones that are
// submitted. OwnThread is added by a worker that nobody else shares its thread with.
const (
	TaskSubmitted = "harness.task.submitted"
	TaskBegins    = "harness.task.begins"
	TaskEnds      = "harness.task.ends"
	TaskServed    = "harness.served" // by [core.MarkReady]

	OwnThread = " own"
)

// SamplePeriod is the processor time between two samples of a CPU profile,
// which are in the execution trace as well.
const SamplePeriod = 10 * time.Millisecond

// markedSubmissions bounds the tasks whose submission is marked: a stack each.
const markedSubmissions = 64

// Execution starts an execution trace of this process and writes it to a new
// file. stop ends it; called again, it does nothing. A process has one at a
// time. A trace that becomes very large ends by itself.
func Execution(path string) (stop func() error, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, fmt.Errorf("opening the file for the execution trace: %w", err)
	}
	w := &boundedFile{f: f, full: make(chan struct{})}
	if err := trace.Start(w); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the execution trace: %w", err), f.Close(), os.Remove(path))
	}
	var ended sync.WaitGroup
	over := make(chan struct{})
	ended.Go(func() {
		select {
		case <-w.full:
			trace.Stop()
		case <-over:
		}
	})
	return sync.OnceValue(func() error {
		close(over)
		ended.Wait()
		trace.Stop()
		return errors.Join(w.err, f.Close())
	}), nil
}

// A boundedFile tells when it has grown to its bound. What is written after
// that is written all the same: a trace without its end cannot be read.
type boundedFile struct {
	f    *os.File
	n    int
	full chan struct{}
	err  error
}

func (b *boundedFile) Write(p []byte) (int, error) {
	before := b.n
	b.n += len(p)
	if before < maxExecution && b.n >= maxExecution {
		close(b.full)
	}
	n, err := b.f.Write(p)
	b.err = errors.Join(b.err, err)
	return n, err
}

// MarkTasks returns an observer that does what o does, and marks in the
// execution trace, if one is under way, which goroutine runs which task from
// when to when. "go tool trace" shows the tasks as regions.
func MarkTasks(o core.Observer, workers int) *core.Observer {
	submit, start, end := o.Submit, o.Start, o.End
	regions := make([]atomic.Pointer[trace.Region], workers)
	of := func(worker int) *atomic.Pointer[trace.Region] { return &regions[worker%len(regions)] }
	o.Submit = func(c *core.Call) {
		if submit != nil {
			submit(c) // it numbers the call
		}
		if c.Number != 0 && c.Number <= markedSubmissions && trace.IsEnabled() {
			trace.Log(context.Background(), TaskSubmitted, strconv.FormatUint(c.Number, 10))
		}
	}
	o.Start = func(ctx context.Context, c *core.Call) context.Context {
		if start != nil {
			ctx = start(ctx, c) // in a worker process that numbers the call
		}
		if c.Number != 0 && trace.IsEnabled() {
			of(c.Timing().Worker).Store(trace.StartRegion(ctx, "task "+c.Task()))
			own := ""
			if w := core.WorkerOf(ctx); w != nil && w.Thread != 0 {
				own = OwnThread
			}
			mark(TaskBegins, c.Number, own)
		}
		return ctx
	}
	o.End = func(c *core.Call, err error) {
		if t := c.Timing(); c.Number != 0 && t.PID == os.Getpid() && t.Started != 0 && trace.IsEnabled() {
			mark(TaskEnds, c.Number, "")
			if r := of(t.Worker).Swap(nil); r != nil {
				r.End()
			}
		}
		if end != nil {
			end(c, err)
		}
	}
	return &o
}

func mark(category string, number uint64, more string) {
	b := strconv.AppendUint(make([]byte, 0, 48), number, 10)
	b = strconv.AppendInt(append(b, ' '), ThreadCPU(), 10)
	trace.Log(context.Background(), category, string(append(b, more...)))
}
