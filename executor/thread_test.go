package executor_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/executor/pystyle"
)

// thread makes a thread that runs until it is let go.
func (c *conform) thread(cfg pystyle.ThreadConfig) (*pystyle.Thread, holding) {
	cfg.Backend = c.backend.Name
	h := c.holding(7)
	return pystyle.NewThread(held.With(h), cfg), h
}

// begun starts a thread and waits until its task runs.
func (c *conform) begun(cfg pystyle.ThreadConfig) (*pystyle.Thread, holding) {
	c.Helper()
	th, h := c.thread(cfg)
	if err := th.Start(c.ctx); err != nil {
		c.Fatal(err)
	}
	if _, err := h.Started.Get(c.ctx); err != nil {
		c.Fatal(err)
	}
	return th, h
}

func (c *conform) join(th *pystyle.Thread) {
	c.Helper()
	if err := th.Join(c.ctx); err != nil {
		c.Fatalf("Join() of %s = %v", th.Name(), err)
	}
}

// onFailure sets the hook for failures of threads until the test ends.
func (c *conform) onFailure(hook func(pystyle.ThreadFailure)) {
	before := pystyle.OnThreadFailure(hook)
	c.Cleanup(func() { pystyle.OnThreadFailure(before) })
}

// What CPython's own tests pin down for threading.Thread, each with the name of
// the test there.
func TestThreadConformance(t *testing.T) {
	tests := []conformance{
		{"life", "test_threading.ThreadTests.test_various_ops", threadLife},
		{"names", "test_threading.ThreadTests.test_name", threadNames},
		{"daemon", "test_threading.ThreadTests.test_daemon_param", threadDaemon},
		{"start twice", "test_threading.ThreadingExceptionTests.test_start_thread_again", threadTwice},
		{"join before start", "test_threading.ThreadingExceptionTests.test_joining_inactive_thread", threadJoinEarly},
		{"join itself", "test_threading.ThreadingExceptionTests.test_joining_current_thread", threadJoinItself},
		{"join from many", "test_threading.ThreadTests.test_join_from_multiple_threads", threadJoinMany},
		{"join with a timeout", "test_threading.ThreadTests.test_join_with_timeout", threadJoinTimeout},
		{"enumerate", "test_threading.ThreadTests.test_enumerate_after_join", threadEnumerate},
		{"cannot be started", "test_threading.ThreadTests.test_limbo_cleanup", threadLimbo},
		{"failure hook", "test_threading.ExceptHookTests.test_custom_excepthook, test_excepthook", threadHook},
		{"failure hook fails", "test_threading.ExceptHookTests.test_custom_excepthook_fail", threadHookFails},
		{"no hook for what was stopped", "test_threading.ExceptHookTests.test_system_exit", threadStopped},
		{"finish", "test_threading.ThreadJoinOnShutdown.test_1_join_on_shutdown, test_4_daemon_threads", threadFinish},
		{"thread from thread", "test_threading.ThreadJoinOnShutdown.test_thread_from_thread", threadFromThread},
	}
	conformAll(t, tests)
}

func threadLife(c *conform) {
	th, h := c.thread(pystyle.ThreadConfig{})
	c.want("IsAlive(), ID(), NativeID() before Start", []any{th.IsAlive(), th.ID(), th.NativeID()}, []any{false, 0, 0})
	if err := th.Start(c.ctx); err != nil {
		c.Fatal(err)
	}
	if _, err := h.Started.Get(c.ctx); err != nil {
		c.Fatal(err)
	}
	c.want("IsAlive() after Start", th.IsAlive(), true)
	other, otherHeld := c.begun(pystyle.ThreadConfig{})
	if th.ID() == 0 || th.ID() == other.ID() {
		c.Errorf("two threads have the ids %d and %d; want two of their own", th.ID(), other.ID())
	}
	switch native := th.NativeID(); {
	case c.backend.Name == "threads" && runtime.GOOS == "linux" && (native == 0 || native == other.NativeID()),
		c.backend.Name == "processes" && (native == 0 || native == os.Getpid() || native == other.NativeID()):
		c.Errorf("NativeID() = %d, and of another %d; want the id of what the system runs", native, other.NativeID())
	case c.backend.Name == "goroutines" && native != 0:
		c.Errorf("NativeID() = %d; want 0: a goroutine has none", native)
	}
	for _, h := range []holding{h, otherHeld} {
		c.letGo(h)
	}
	for range 3 {
		c.join(th)
	}
	c.join(other)
	c.want("IsAlive(), Err() after Join", []any{th.IsAlive(), th.Err()}, []any{false, nil})
}

func threadNames(c *conform) {
	named, _ := c.thread(pystyle.ThreadConfig{Name: "myname"})
	c.want("Name()", named.Name(), "myname")
	first, _ := c.thread(pystyle.ThreadConfig{})
	second, _ := c.thread(pystyle.ThreadConfig{})
	if first.Name() == second.Name() || !strings.HasPrefix(first.Name(), "Thread-") {
		c.Errorf("two threads without a name are %q and %q; want numbers of their own", first.Name(), second.Name())
	}
}

func threadDaemon(c *conform) {
	th, _ := c.thread(pystyle.ThreadConfig{})
	c.want("Daemon() by default", th.Daemon(), false)
	th, _ = c.thread(pystyle.ThreadConfig{Daemon: true})
	c.want("Daemon()", th.Daemon(), true)
	th, _ = c.thread(pystyle.ThreadConfig{Group: "a group"})
	c.wantErr("Start() in a group", th.Start(c.ctx), pystyle.ErrThread)
	c.want("IsAlive() of what was not started", th.IsAlive(), false)
}

func threadTwice(c *conform) {
	th, h := c.begun(pystyle.ThreadConfig{})
	c.wantErr("Start() while it runs", th.Start(c.ctx), pystyle.ErrThread)
	c.letGo(h)
	c.join(th)
	c.wantErr("Start() when it has ended", th.Start(c.ctx), pystyle.ErrThread)
}

func threadJoinEarly(c *conform) {
	th, _ := c.thread(pystyle.ThreadConfig{})
	c.wantErr("Join() before Start", th.Join(c.ctx), pystyle.ErrThread)
	c.want("JoinTimeout() before Start", th.JoinTimeout(time.Hour), false)
}

var joins = executor.NewTask("executor.joins", func(ctx context.Context, th **pystyle.Thread) (int64, error) {
	return 0, (*th).Join(ctx)
})

func threadJoinItself(c *conform) {
	if !c.backend.Shared {
		c.Skip("a task in another process has no way to its thread")
	}
	c.onFailure(func(pystyle.ThreadFailure) {})
	var th *pystyle.Thread
	th = pystyle.NewThread(joins.With(&th), pystyle.ThreadConfig{Backend: c.backend.Name})
	if err := th.Start(c.ctx); err != nil {
		c.Fatal(err)
	}
	c.join(th)
	c.wantErr("Err() of a thread that joined itself", th.Err(), pystyle.ErrThread)
}

func threadJoinMany(c *conform) {
	th, h := c.begun(pystyle.ThreadConfig{})
	joined := make(chan error, 5)
	for range 5 {
		go func() { joined <- th.Join(c.ctx) }() // ends with the thread
	}
	c.letGo(h)
	for range 5 {
		c.wantErr("Join()", <-joined, nil)
	}
}

func threadJoinTimeout(c *conform) {
	th, h := c.begun(pystyle.ThreadConfig{})
	c.want("JoinTimeout(0)", th.JoinTimeout(0), false)
	c.want("JoinTimeout(1ms)", th.JoinTimeout(time.Millisecond), false)
	none, cancel := context.WithCancelCause(c.ctx)
	cause := errors.New("no time")
	cancel(cause)
	c.wantErr("Join() without any time", th.Join(none), cause)
	c.want("IsAlive() after that", th.IsAlive(), true)
	c.letGo(h)
	c.want("JoinTimeout(1m)", th.JoinTimeout(time.Minute), true)
	c.want("JoinTimeout(0) when it has ended", th.JoinTimeout(0), true)
}

func threadEnumerate(c *conform) {
	first, h := c.begun(pystyle.ThreadConfig{})
	second, h2 := c.begun(pystyle.ThreadConfig{})
	all := pystyle.Threads()
	if i, j := slices.Index(all, first), slices.Index(all, second); i < 0 || j < i {
		c.Errorf("Threads() has the first at %d and the second at %d; want both in their order", i, j)
	}
	c.letGo(h)
	c.join(first)
	if slices.Contains(pystyle.Threads(), first) {
		c.Error("Threads() has a thread that was joined")
	}
	c.letGo(h2)
	c.join(second)
}

func threadLimbo(c *conform) {
	th := pystyle.NewThread(held.With(c.holding(1)), pystyle.ThreadConfig{Backend: "fibers"})
	if err := th.Start(c.ctx); err == nil {
		c.Error("Start() on an unknown backend = nil; want an error")
	}
	if slices.Contains(pystyle.Threads(), th) || th.IsAlive() {
		c.Error("a thread that could not be started is alive")
	}
}

func threadHook(c *conform) {
	told := make(chan pystyle.ThreadFailure, 2)
	c.onFailure(func(f pystyle.ThreadFailure) { told <- f })
	th := pystyle.NewThread(failing.With(0), pystyle.ThreadConfig{Backend: c.backend.Name})
	if err := th.Start(c.ctx); err != nil {
		c.Fatal(err)
	}
	f := <-told
	c.wantErr("what the hook was told", f.Err, errMine)
	c.want("of which thread", f.Thread == th, true)
	c.join(th)
	c.wantErr("Err()", th.Err(), errMine)
	good := pystyle.NewThread(failing.With(1), pystyle.ThreadConfig{Backend: c.backend.Name})
	if err := good.Start(c.ctx); err != nil {
		c.Fatal(err)
	}
	c.join(good)
	c.want("calls of the hook for a thread that did not fail", len(told), 0)
}

func threadHookFails(c *conform) {
	c.onFailure(func(pystyle.ThreadFailure) { panic("in the hook") })
	th := pystyle.NewThread(failing.With(0), pystyle.ThreadConfig{Backend: c.backend.Name})
	if err := th.Start(c.ctx); err != nil {
		c.Fatal(err)
	}
	c.join(th)
	c.wantErr("Err()", th.Err(), errMine)
}

func threadStopped(c *conform) {
	told := make(chan pystyle.ThreadFailure, 1)
	c.onFailure(func(f pystyle.ThreadFailure) { told <- f })
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	th, h := c.thread(pystyle.ThreadConfig{})
	if err := th.Start(ctx); err != nil {
		c.Fatal(err)
	}
	if _, err := h.Started.Get(c.ctx); err != nil {
		c.Fatal(err)
	}
	cancel()
	c.join(th)
	c.wantErr("Err()", th.Err(), context.Canceled)
	c.want("calls of the hook", len(told), 0)
}

func threadFinish(c *conform) {
	daemon, hd := c.begun(pystyle.ThreadConfig{Daemon: true})
	if err := pystyle.Finish(c.ctx); err != nil || !daemon.IsAlive() {
		c.Errorf("Finish() = %v with a daemon alive: %v; want that it does not wait for daemons", err, daemon.IsAlive())
	}
	th, h := c.begun(pystyle.ThreadConfig{})
	none, cancel := context.WithTimeout(c.ctx, time.Millisecond)
	defer cancel()
	c.wantErr("Finish() with a thread that runs", pystyle.Finish(none), context.DeadlineExceeded)
	c.letGo(h)
	if err := pystyle.Finish(c.ctx); err != nil || th.IsAlive() {
		c.Errorf("Finish() = %v with the thread alive: %v; want that it waits for it", err, th.IsAlive())
	}
	c.letGo(hd)
	c.join(daemon)
}

var starts = executor.NewTask("executor.starts", func(ctx context.Context, th *pystyle.Thread) (int64, error) {
	if err := th.Start(context.WithoutCancel(ctx)); err != nil {
		return 0, err
	}
	return 0, th.Join(ctx)
})

func threadFromThread(c *conform) {
	if !c.backend.Shared {
		c.Skip("a thread cannot cross a process")
	}
	inner := pystyle.NewThread(failing.With(1), pystyle.ThreadConfig{Backend: c.backend.Name})
	outer := pystyle.NewThread(starts.With(inner), pystyle.ThreadConfig{Backend: c.backend.Name})
	if err := outer.Start(c.ctx); err != nil {
		c.Fatal(err)
	}
	c.join(outer)
	c.want("Err() of both", []error{outer.Err(), inner.Err()}, []error{nil, nil})
}
