// Package health reports the state of executors as OpenTelemetry metrics: their workers,
// their queues, how long tasks wait and run, and how they end.
//
//	h, err := health.New(otel.GetMeterProvider(), "thumbnails")
//	ex, err := executor.Open(ctx, "processes", executor.Config{Workers: 4, Observer: h.Observer(nil)})
//	stop, err := h.Watch(ex)
//	defer stop()
//
// The package uses OpenTelemetry's API and not its SDK: the program chooses the provider and
// where metrics are sent. With a provider that does nothing, the package costs next to
// nothing.
//
// To add a metric, add it to the list below and to docs/executor.md.
package health

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/f3f4c0de/harness/executor"
)

// The attributes: the name of the executor, as it was given to New, the name of the task,
// how the task ended, and the state of a worker.
const (
	keyExecutor = attribute.Key("executor")
	keyTask     = attribute.Key("task")
	keyOutcome  = attribute.Key("outcome")
	keyState    = attribute.Key("state")
)

// An outcome is how a task ended.
type outcome int

const (
	done      outcome = iota
	failed            // its function returned an error
	panicked          // it panicked
	cancelled         // by Cancel, its context or a shutdown
	lost              // with its worker process, or quarantined after that
	rejected          // it never ran: the queue was full, the executor closed, or it could not be encoded

	outcomes = iota
)

var outcomeNames = [outcomes]string{"done", "failed", "panicked", "cancelled", "lost", "rejected"}

// outcomeOf returns how the call ended. It looks at the outermost error, which the executor
// has made, and not at the errors that it wraps, which are the program's.
func outcomeOf(t executor.TaskInfo, err error) outcome {
	if err == nil {
		return done
	}
	if t.Cancelled() {
		return cancelled
	}
	switch err.(type) { //nolint:errorlint // as above
	case *executor.PanicError:
		return panicked
	case *executor.TaskError:
		return failed
	case *executor.WorkerLostError:
		return lost
	}
	var initErr *executor.InitError
	switch {
	case errors.As(err, &initErr):
		return rejected
	case errors.Is(err, executor.ErrQuarantined):
		return lost
	case errors.Is(err, executor.ErrFull), errors.Is(err, executor.ErrClosed), errors.Is(err, executor.ErrEncode),
		errors.Is(err, executor.ErrUnknownTask), errors.Is(err, executor.ErrNested):
		return rejected
	}
	return cancelled // by the end of its context, whose cause may be any error
}

// bounds are the upper bounds of the buckets, in seconds: a microsecond to ten
// seconds.
var bounds = []float64{
	1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, .1, .2, .5, 1, 2, 5, 10,
}

// A Health makes the metrics of the executors of one name. All methods are safe for
// concurrent use.
type Health struct {
	executor attribute.KeyValue
	meter    metric.Meter

	queue, run, ipc metric.Float64Histogram
	workers, length metric.Int64ObservableUpDownCounter
	wanted          metric.Int64ObservableGauge
	started, lost   metric.Int64ObservableCounter
	ended           metric.Int64ObservableCounter

	tasks sync.Map // name -> *task
}

// A task holds what the tasks of one name have in common.
type task struct {
	of    []metric.RecordOption // its attributes, made once
	ended [outcomes]atomic.Int64
	set   [outcomes]metric.MeasurementOption
}

// New returns a Health that makes its metrics by the provider, with name as the attribute
// for the executor. A program with several executors gives each a name of its own.
func New(provider metric.MeterProvider, name string) (*Health, error) {
	h := &Health{executor: keyExecutor.String(name), meter: provider.Meter("github.com/f3f4c0de/harness/executor/health")}
	var errs []error
	histogram := func(to *metric.Float64Histogram, name, doc string) {
		var err error
		*to, err = h.meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(doc), metric.WithExplicitBucketBoundaries(bounds...))
		errs = append(errs, err)
	}
	histogram(&h.queue, "executor.task.queue", "From submission until a worker took the task.")
	histogram(&h.run, "executor.task.run", "Inside of the task's function.")
	histogram(&h.ipc, "executor.task.ipc", "Between processes, there and back, waiting behind other tasks there included; of tasks that cross to one.")
	counter := func(to *metric.Int64ObservableCounter, name, unit, doc string) {
		var err error
		*to, err = h.meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(doc))
		errs = append(errs, err)
	}
	counter(&h.ended, "executor.tasks", "{task}", "Tasks that have ended, by outcome.")
	counter(&h.started, "executor.workers.started", "{worker}", "Workers that were started, the first ones and those in the place of others.")
	counter(&h.lost, "executor.workers.lost", "{worker}", "Workers that ended without having been told to.")
	var err error
	h.workers, err = h.meter.Int64ObservableUpDownCounter("executor.workers", metric.WithUnit("{worker}"), metric.WithDescription("Workers, by what they are at: busy or idle."))
	errs = append(errs, err)
	h.length, err = h.meter.Int64ObservableUpDownCounter("executor.queue.length", metric.WithUnit("{task}"), metric.WithDescription("Tasks that no worker has taken."))
	errs = append(errs, err)
	h.wanted, err = h.meter.Int64ObservableGauge("executor.workers.wanted", metric.WithUnit("{worker}"), metric.WithDescription("Workers that there are to be; 0 if there is no bound."))
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("making the metrics of executor %q: %w", name, err)
	}
	return h, nil
}

// Observer returns an observer for Config.Observer. It records how long each task waited and
// ran, and how it ended. If more is not nil, its functions are called as well.
func (h *Health) Observer(more *executor.Observer) *executor.Observer {
	var o executor.Observer
	if more != nil {
		o = *more
	}
	next := o.End
	o.End = func(t executor.TaskInfo, err error) {
		h.end(t, err)
		if next != nil {
			next(t, err)
		}
	}
	return &o
}

// end records the end of a task.
func (h *Health) end(info executor.TaskInfo, err error) {
	t := h.task(info.Name())
	t.ended[outcomeOf(info, err)].Add(1)
	tm := info.Timing()
	if tm.Started.IsZero() {
		return // it never ran, or its worker was lost
	}
	ctx := info.Context() // for exemplars
	h.queue.Record(ctx, tm.Queue().Seconds(), t.of...)
	h.run.Record(ctx, tm.Run().Seconds(), t.of...)
	if tm.PID != pid {
		h.ipc.Record(ctx, tm.IPC().Seconds(), t.of...)
	}
}

var pid = os.Getpid()

func (h *Health) task(name string) *task {
	if t, ok := h.tasks.Load(name); ok {
		return t.(*task)
	}
	of := attribute.NewSet(h.executor, keyTask.String(name))
	t := &task{of: []metric.RecordOption{metric.WithAttributeSet(of)}}
	for o, outcome := range outcomeNames {
		t.set[o] = metric.WithAttributeSet(attribute.NewSet(h.executor, keyTask.String(name), keyOutcome.String(outcome)))
	}
	got, _ := h.tasks.LoadOrStore(name, t)
	return got.(*task)
}

// Stats is implemented by every [executor.Executor] and by pystyle.Pool.
type Stats interface{ Stats() executor.Stats }

// Watch makes the provider read the executor's statistics whenever it collects metrics, until
// stop is called: the states of the workers, the queue, and how tasks ended. A Health can
// watch one executor at a time. When stop returns, nothing reads the statistics any more. It
// may be called twice, and before or after the executor is closed.
func (h *Health) Watch(ex Stats) (stop func() error, err error) {
	executor := metric.WithAttributeSet(attribute.NewSet(h.executor))
	busy := metric.WithAttributeSet(attribute.NewSet(h.executor, keyState.String("busy")))
	idle := metric.WithAttributeSet(attribute.NewSet(h.executor, keyState.String("idle")))
	reg, err := h.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s := ex.Stats()
		o.ObserveInt64(h.workers, int64(s.Busy), busy)
		o.ObserveInt64(h.workers, int64(max(0, s.Alive-s.Busy)), idle)
		o.ObserveInt64(h.wanted, int64(s.Workers), executor)
		o.ObserveInt64(h.length, int64(s.Queued), executor)
		o.ObserveInt64(h.started, int64(s.Started), executor)
		o.ObserveInt64(h.lost, int64(s.Lost), executor)
		h.tasks.Range(func(_, v any) bool {
			t := v.(*task)
			for i := range t.ended {
				if n := t.ended[i].Load(); n > 0 || outcome(i) == done {
					o.ObserveInt64(h.ended, n, t.set[i])
				}
			}
			return true
		})
		return nil
	}, h.workers, h.wanted, h.length, h.started, h.lost, h.ended)
	if err != nil {
		return nil, fmt.Errorf("watching executor %q: %w", h.executor.Value.AsString(), err)
	}
	return reg.Unregister, nil
}
