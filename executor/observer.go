package executor

import (
	"context"
	"log/slog"

	"github.com/f3f4c0de/harness/internal/core"
)

// An Observer watches the tasks of an executor; see Config.Observer. Its fields may
// be nil. They are called without locks held and must be safe for concurrent use.
// They should be quick, since they run beside the tasks. What a worker process does
// is seen where its results arrive.
type Observer struct {
	// Untimed spares the tasks their stamps: the Observer does not look at their
	// Timing, which is zero then, unless Config.Timing is set.
	Untimed bool

	// Submit is called in [Task.Submit] before the task is queued.
	Submit func(TaskInfo)

	// Start is called on the goroutine that is about to run the task, and returns
	// the context that the task gets: ctx or one derived from it. It is not called
	// for what runs in another process.
	Start func(ctx context.Context, t TaskInfo) context.Context

	// End is called when the task is over, with its error if it has one, before
	// anybody who waits for it is woken.
	End func(t TaskInfo, err error)
}

// A TaskInfo is what an [Observer] sees of a submitted task. It is a value that can
// be compared and used as a key: that of one submission is always the same. It keeps
// the task's future alive.
type TaskInfo struct{ call *core.Call }

// Name returns the name of the task. If [Map] or [Results] have put several inputs
// into one submission, it ends with [].
func (t TaskInfo) Name() string { return t.call.Task() }

// Context returns the context that the task was submitted with.
func (t TaskInfo) Context() context.Context { return t.call.Context() }

// Timing returns the moments so far. It is for the goroutine that calls the
// Observer, and for anyone once the task is done.
func (t TaskInfo) Timing() Timing { return timingOf(t.call.Timing()) }

// Cancelled reports whether a task that is over was cancelled: by Cancel, by the end
// of the context that it was submitted with, unless that is a deadline that has
// passed, or by Stop.
func (t TaskInfo) Cancelled() bool { return t.call.Cancelled() }

// core returns the observer as backends know it, which also writes the log.
func (o *Observer) core(log *slog.Logger) *core.Observer {
	if o == nil {
		if log == nil {
			return nil
		}
		return &core.Observer{End: func(c *core.Call, err error) { logEnd(log, c, err) }}
	}
	obs := &core.Observer{Untimed: o.Untimed && log == nil}
	if o.Submit != nil {
		obs.Submit = func(c *core.Call) { o.Submit(TaskInfo{c}) }
	}
	if o.Start != nil {
		obs.Start = func(ctx context.Context, c *core.Call) context.Context { return o.Start(ctx, TaskInfo{c}) }
	}
	if o.End != nil || log != nil {
		obs.End = func(c *core.Call, err error) {
			if log != nil {
				logEnd(log, c, err)
			}
			if o.End != nil {
				o.End(TaskInfo{c}, err)
			}
		}
	}
	return obs
}

// logEnd writes the line of a task that is over.
func logEnd(log *slog.Logger, c *core.Call, err error) {
	level, msg := slog.LevelDebug, "task done"
	switch {
	case c.Cancelled():
		msg = "task cancelled"
	case err != nil:
		level, msg = slog.LevelWarn, "task failed"
	}
	ctx := context.WithoutCancel(c.Context())
	if !log.Enabled(ctx, level) {
		return
	}
	t := c.Timing()
	attrs := []slog.Attr{
		slog.String("task", c.Task()), slog.Int("worker", t.Worker), slog.Int("pid", t.PID),
		slog.Duration("queue", max(0, t.Queue())), slog.Duration("run", max(0, t.Run())),
	}
	if err != nil {
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	log.LogAttrs(ctx, level, msg, attrs...)
}
