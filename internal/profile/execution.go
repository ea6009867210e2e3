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

// maxExecution bounds the bytes of an execution trace. To read a trace takes about twenty
// times its size in memory; a trace of this size takes about 15 seconds.
const maxExecution = 256 << 20

// The categories of the log events that [MarkTasks] writes into an execution trace. When a
// task begins and when it ends, the event has the task's number and the processor time of
// the thread. The submissions of the first tasks are logged, too, for their stacks.
// OwnThread is appended by a worker that is locked to its thread.
const (
	TaskSubmitted = "harness.task.submitted"
	TaskBegins    = "harness.task.begins"
	TaskEnds      = "harness.task.ends"
	TaskReady     = "harness.served" // written by [core.MarkReady]; the name is in older traces, too

	OwnThread = " own"
)

// SamplePeriod is the processor time between two samples of a CPU profile. An execution
// trace contains these samples, too.
const SamplePeriod = 10 * time.Millisecond

// markedSubmissions bounds the tasks whose submission is logged, since each takes a stack.
const markedSubmissions = 64

// Execution starts an execution trace of this process and writes it to a new file. stop
// stops it; called again, it does nothing. A process can have one trace at a time. A trace
// that reaches 256 MiB stops by itself.
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

// A boundedFile closes full when it has reached maxExecution. It still writes what comes
// after that, since a trace without its end cannot be read.
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

// MarkTasks returns an observer that does what o does. If an execution trace is under way
// it also logs there when a task begins and ends, on the goroutine that runs it. "go tool
// trace" shows the tasks as regions. workers is the number of the executor's workers.
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
