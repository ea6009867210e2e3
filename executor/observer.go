package executor

import (
	"context"
	"log/slog"

	"github.com/f3f4c0de/harness/internal/core"
)

// An Observer watches the tasks of an executor; see Config.Observer. Its fields may
// be nil. They are called without locks held and must be safe for concurrent use.
// They should be quick, because their time adds to that of the tasks. All of them are
// called in the submitter's process, also for tasks that run in worker processes.
type Observer struct {
	// Untimed says that the Observer does not need TaskInfo.Timing, which is zero
	// then, unless Config.Timing is set. It saves the time of recording.
	Untimed bool

	// Submit is called in [Task.Submit] before the task is queued.
	Submit func(TaskInfo)

	// Start is called on the goroutine that is about to run the task, and returns
	// the context that the task gets: ctx or one derived from it. It is not called
	// for tasks that run in another process.
	Start func(ctx context.Context, t TaskInfo) context.Context

	// End is called when the task is over, with its error if it has one, before
	// anybody who waits for it is woken.
	End func(t TaskInfo, err error)
}

// A TaskInfo describes a submitted task to an [Observer]. It can be compared and used
// as a map key: all TaskInfos of one submission are equal. It keeps the task's future
// in memory.
type TaskInfo struct{ call *core.Call }

// Name returns the name of the task. If [Map] or [Results] has put several inputs
// into one submission, the name ends with "[]".
func (t TaskInfo) Name() string { return t.call.Task() }

// Context returns the context that the task was submitted with.
func (t TaskInfo) Context() context.Context { return t.call.Context() }

// Timing returns the moments so far. The goroutine that calls the Observer may call it
// at any time, everybody else once the task is done.
func (t TaskInfo) Timing() Timing { return timingOf(t.call.Timing()) }

// Cancelled reports whether a task that is over was cancelled: by Cancel, by Stop, or
// because the context that it was submitted with was cancelled. A deadline that has
// passed is not a cancellation.
func (t TaskInfo) Cancelled() bool { return t.call.Cancelled() }

// core returns the observer in the form that backends take. It also writes the log.
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

// logEnd logs a task that is over.
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
