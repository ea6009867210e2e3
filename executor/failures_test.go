package executor_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/f3f4c0de/harness/executor"
)

var update = flag.Bool("update", false, "rewrite docs/failures.md")

var (
	// dies ends the process that it runs in: with an exit code, or by the
	// signal of that negative number.
	dies = executor.NewTask("executor.dies", func(_ context.Context, code int64) (int64, error) {
		if code < 0 {
			_ = syscall.Kill(os.Getpid(), syscall.Signal(-code))
			select {}
		}
		os.Exit(int(code))
		return 0, nil
	})
	// deaf tells that it runs, and never ends, whatever it is told.
	deaf = executor.NewTask("executor.deaf", func(ctx context.Context, started *executor.Queue[int64]) (int64, error) {
		if err := started.Put(ctx, 1); err != nil {
			return 0, err
		}
		select {}
	})
	// does calls its argument, which cannot cross a process.
	does = executor.NewTask("executor.does", func(ctx context.Context, f func(context.Context) error) (int64, error) {
		return 0, f(ctx)
	})
	opens = executor.NewTask("executor.opens", func(ctx context.Context, backend string) (int64, error) {
		ex, err := executor.Open(ctx, backend, executor.Config{Workers: 1})
		if err != nil {
			return 0, err
		}
		return 0, ex.Close()
	})
)

// errImpossible stands for a failure that a model cannot have.
var errImpossible = errors.New("not possible")

// failures are the rows of docs/failures.md. provoke makes the failure happen
// and returns what was reported.
var failures = []struct {
	name, doc string
	provoke   func(*conform) error
}{
	{"the task returns an error", "", func(c *conform) error {
		return c.fails(failing.Submit(c.ctx, c.open(executor.Config{Workers: 1}), 0))
	}},
	{"it panics", "Value and stack are kept. The worker goes on.", func(c *conform) error {
		return c.fails(carriesOut.Submit(c.ctx, c.open(executor.Config{Workers: 1}), order{Do: panicking}))
	}},
	{"it calls runtime.Goexit", "The worker's goroutine is replaced.", func(c *conform) error {
		return c.fails(carriesOut.Submit(c.ctx, c.open(executor.Config{Workers: 1}), order{Do: leaving}))
	}},
	{"it is cancelled while queued", "It never runs.", func(c *conform) error {
		ex := c.open(executor.Config{Workers: 1})
		c.hold(ex)
		f := failing.Submit(c.ctx, ex, 1)
		f.Cancel()
		return c.fails(f)
	}},
	{"it is cancelled while running", "Its context ends, and the task stops when it checks its context.", func(c *conform) error {
		f, _ := c.hold(c.open(executor.Config{Workers: 1}))
		f.Cancel()
		return c.fails(f)
	}},
	{"it is cancelled and does not care", "After Config.CancelGrace a worker process is killed and replaced. Inside the process nothing can stop the task: its future is done when the task returns.", func(c *conform) error {
		if c.backend.Shared {
			return errImpossible // to stop it
		}
		ex := c.open(executor.Config{Workers: 1, CancelGrace: time.Millisecond})
		started := executor.NewQueue[int64](1)
		defer started.Close(c.ctx)
		f := deaf.Submit(c.ctx, ex, started)
		if _, err := started.Get(c.ctx); err != nil {
			c.Fatal(err)
		}
		f.Cancel()
		return c.fails(f)
	}},
	{"its deadline passes", "Or the cause of the context that it was submitted with.", func(c *conform) error {
		ex := c.open(executor.Config{Workers: 1})
		ctx, cancel := context.WithTimeout(c.ctx, 5*time.Millisecond)
		defer cancel()
		return c.fails(held.Submit(ctx, ex, c.holding(1)))
	}},
	{"its time limit passes", "The limit counts from the start of the task. Its context ends, and the task stops when it checks its context.", func(c *conform) error {
		return c.fails(held.Timeout(5*time.Millisecond).Submit(c.ctx, c.open(executor.Config{Workers: 1}), c.holding(1)))
	}},
	{"its time limit passes and it does not care", "After Config.CancelGrace a worker process is killed and replaced, and the task is not run again, also if it is idempotent. Inside the process nothing can stop the task: its future is done when the task returns.", func(c *conform) error {
		if c.backend.Shared {
			return errImpossible // to stop it
		}
		started := executor.NewQueue[int64](1)
		defer started.Close(c.ctx)
		return c.fails(deaf.Timeout(5*time.Millisecond).Idempotent().Submit(c.ctx, c.open(executor.Config{Workers: 1, CancelGrace: time.Millisecond}), started))
	}},
	{"its worker is killed", "For example by SIGKILL. The error has the exit code, the signal, the task and the last lines of standard error. Tasks behind it go to another worker. An idempotent task is tried three times. Inside the process, the whole program ends.", func(c *conform) error {
		if c.backend.Shared {
			return errImpossible
		}
		return c.fails(dies.Submit(c.ctx, c.open(executor.Config{Workers: 1}), -int64(syscall.SIGKILL)))
	}},
	{"its worker exits", "The exit code does not matter.", func(c *conform) error {
		if c.backend.Shared {
			return errImpossible
		}
		return c.fails(dies.Submit(c.ctx, c.open(executor.Config{Workers: 1}), 3))
	}},
	{"its worker ends each time it is tried", "If it is idempotent, its call is given up after three workers. Other calls of the task are still run.", func(c *conform) error {
		if c.backend.Shared {
			return errImpossible
		}
		ex := c.open(executor.Config{Workers: 1})
		var err error
		for range 2 {
			err = c.fails(dies.Idempotent().Submit(c.ctx, ex, 3))
		}
		if n := ex.Stats().Lost; n != 6 {
			c.Errorf("two calls of an idempotent task that ends its worker cost %d workers; want 6", n)
		}
		return err
	}},
	{"its input cannot be encoded", "For example a channel. Inside the process it is passed as it is.", func(c *conform) error {
		return c.fails(channels.Submit(c.ctx, c.open(executor.Config{Workers: 1}), make(chan int)))
	}},
	{"its result cannot be encoded", "", func(c *conform) error {
		return c.fails(channels.Submit(c.ctx, c.open(executor.Config{Workers: 1}), "make one"))
	}},
	{"workers do not know it", "It was not given to executor.Main. Inside the process every task is known.", func(c *conform) error {
		stranger := executor.NewTask("stranger", func(context.Context, int64) (int64, error) { return 0, nil })
		return c.fails(stranger.Submit(c.ctx, c.open(executor.Config{Workers: 1}), 1))
	}},
	{"the executor is closed", "", func(c *conform) error {
		ex := c.open(executor.Config{Workers: 1})
		ex.Stop(nil)
		return c.fails(failing.Submit(c.ctx, ex, 1))
	}},
	{"the executor is shut down before it is done", "Queued or running.", func(c *conform) error {
		ex := c.open(executor.Config{Workers: 1})
		f, _ := c.hold(ex)
		ctx, cancel := context.WithCancel(c.ctx)
		cancel()
		if err := ex.Shutdown(ctx); err == nil {
			c.Error("Shutdown() without any time = nil; want an error")
		}
		return c.fails(f)
	}},
	{"the queue is full", "With Config.Full set to Reject. Block waits for room instead.", func(c *conform) error {
		ex := c.open(executor.Config{Workers: 1, Queue: 1, Full: executor.Reject})
		c.hold(ex)
		for {
			if f := failing.Submit(c.ctx, ex, 1); f.State() == executor.Done {
				return c.fails(f)
			}
		}
	}},
	{"it waits for a task of its own full executor", "Or, in a worker process, opens worker processes.", func(c *conform) error {
		ex := c.open(executor.Config{Workers: 1})
		if !c.backend.Shared {
			return c.fails(opens.Submit(c.ctx, ex, c.backend.Name))
		}
		return c.fails(does.Submit(c.ctx, ex, func(ctx context.Context) error {
			_, err := failing.Submit(ctx, ex, 1).Wait(ctx)
			return err
		}))
	}},
	{"Config.Init fails", "Open reports it, or, if a worker is started later, every task that has not started.", func(c *conform) error {
		ex, err := executor.Open(c.ctx, c.backend.Name, executor.Config{Workers: 1, Init: failing.With(0)})
		if err != nil {
			return err
		}
		defer ex.Close()
		return c.fails(failing.Submit(c.ctx, ex, 1))
	}},
}

// fails waits for a task and returns its error.
func (c *conform) fails(f executor.AnyFuture) error {
	c.Helper()
	select {
	case <-f.Done():
	case <-c.ctx.Done():
		c.Fatalf("the task never ended: it is %v", f.State())
	}
	return f.Err()
}

// kind says what an error is to a program that looks at it.
func kind(err error) string {
	sentinels := []struct {
		err  error
		name string
	}{
		{errImpossible, "not possible"}, {executor.ErrShutdown, "ErrShutdown"}, {executor.ErrCancelled, "ErrCancelled"},
		{executor.ErrNested, "ErrNested"}, {executor.ErrEncode, "ErrEncode"}, {executor.ErrUnknownTask, "ErrUnknownTask"},
		{executor.ErrClosed, "ErrClosed"}, {executor.ErrFull, "ErrFull"}, {executor.ErrQuarantined, "ErrQuarantined"}, {executor.ErrBroken, "ErrBroken"},
		{context.DeadlineExceeded, "DeadlineExceeded"}, {context.Canceled, "Canceled"}, {errMine, "the error"},
	}
	var names []string
	var ie *executor.InitError
	if errors.As(err, &ie) {
		names = append(names, "*InitError")
	}
	var te *executor.TaskError
	if errors.As(err, &te) && !errors.Is(err, executor.ErrNested) {
		names = append(names, "*TaskError")
	}
	var pe *executor.PanicError
	if errors.As(err, &pe) {
		names = append(names, "*PanicError")
	}
	var late *executor.TimeoutError
	if errors.As(err, &late) {
		names = append(names, "*TimeoutError")
	}
	var lost *executor.WorkerLostError
	if errors.As(err, &lost) {
		names = append(names, fmt.Sprintf("*WorkerLostError: %s", lost.Cause))
	}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			names = append(names, s.name)
			break
		}
	}
	switch {
	case err == nil:
		return "no failure"
	case names == nil:
		return "unknown: " + err.Error()
	}
	return strings.Join(names, ", ")
}

const failuresIntro = `# Failures

This page lists what a program learns when something goes wrong. It is the same on every backend. Each row is a failure; each cell is the error that the
future of the task reports, as errors.Is and errors.As find it. "Not possible" means that the failure cannot happen on that backend: inside the process, for
example, no worker can be lost without the whole program. "No failure" means that the task succeeds there. A test makes this table by provoking every failure
on every backend: ` + "`go test ./executor -run TestFailures -update`" + `
rewrites it, and the same test without ` + "`-update`" + ` checks it.

`

const failuresMemory = `
A worker process that is killed because memory ran out is reported as a worker that is killed. ` + "`WorkerLostError.OutOfMemory`" + ` is set when the kernel's count of
such kills, of the machine or of the control group, has increased while the worker ran. It is a hint only, since another process may have been killed at the
same time. The table does not have this failure because a test must not use up the memory of its machine.

If a worker is lost while it runs nothing, no task fails. The worker is replaced, and ` + "`Close`" + ` reports the loss. ` + "`Close`" + ` also reports a worker that could not be
replaced while other workers could do its work.
`

func TestFailures(t *testing.T) {
	var page bytes.Buffer
	page.WriteString(failuresIntro)
	page.WriteString("| failure |")
	for _, b := range executor.Backends() {
		fmt.Fprintf(&page, " %s |", b.Name)
	}
	page.WriteString("\n|---|" + strings.Repeat("---|", len(executor.Backends())) + "\n")
	var notes bytes.Buffer
	for _, f := range failures {
		fmt.Fprintf(&page, "| %s |", f.name)
		for _, b := range executor.Backends() {
			t.Run(f.name+"/"+b.Name, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
				t.Cleanup(cancel)
				fmt.Fprintf(&page, " %s |", kind(f.provoke(&conform{T: t, ctx: ctx, backend: b})))
			})
		}
		page.WriteString("\n")
		if f.doc != "" {
			fmt.Fprintf(&notes, "- %s: %s\n", f.name, f.doc)
		}
	}
	page.WriteString("\n")
	page.Write(notes.Bytes())
	page.WriteString(failuresMemory)
	page.WriteString(stagesSection())
	const file = "../docs/failures.md"
	if *update && !t.Failed() {
		if err := os.WriteFile(file, page.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), page.String()); d != "" {
		t.Errorf("%s is not what happens (-it says +happened):\n%s\nIf that is as it should be: go test ./executor -run TestFailures -update", file, d)
	}
}
