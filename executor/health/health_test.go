package health_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/executor/health"
)

// double does as it is told.
var double = executor.NewTask("double", func(ctx context.Context, in order) (int, error) {
	switch in.How {
	case "fail":
		return 0, errors.New("deliberate")
	case "fail cancelled":
		return 0, context.Canceled // somebody else's
	case "panic":
		panic("deliberate")
	case "exit":
		os.Exit(3)
	case "wait":
		if err := in.Began.Put(ctx, 1); err != nil {
			return 0, err
		}
		_, err := in.Release.Get(ctx)
		return 0, err
	}
	return 2 * in.N, nil
})

type order struct {
	How            string
	N              int
	Began, Release *executor.Queue[int]
}

func TestMain(m *testing.M) {
	executor.Main(double)
	os.Exit(m.Run())
}

// collected are the values of what a reader collects, by name and attributes;
// of a histogram, the count.
func collected(t *testing.T, r sdkmetric.Reader) map[string]int64 {
	t.Helper()
	var rm metricdata.ResourceMetrics
	if err := r.Collect(t.Context(), &rm); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]int64)
	for _, sm := range rm.ScopeMetrics {
		for _, m := range sm.Metrics {
			add := func(set attribute.Set, v int64) {
				var attrs []string
				for _, kv := range set.ToSlice() {
					attrs = append(attrs, string(kv.Key)+"="+kv.Value.String())
				}
				all[m.Name+" "+strings.Join(attrs, " ")] = v
			}
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range d.DataPoints {
					add(p.Attributes, p.Value)
				}
			case metricdata.Gauge[int64]:
				for _, p := range d.DataPoints {
					add(p.Attributes, p.Value)
				}
			case metricdata.Histogram[float64]:
				for _, p := range d.DataPoints {
					add(p.Attributes, int64(p.Count))
				}
			}
		}
	}
	return all
}

// What an executor did is what the metrics say, on every backend.
func TestHealth(t *testing.T) {
	for _, b := range executor.Backends() {
		t.Run(b.Name, func(t *testing.T) {
			ctx := t.Context()
			reader := sdkmetric.NewManualReader()
			h, err := health.New(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)), "test")
			if err != nil {
				t.Fatal(err)
			}
			var submitted, ended atomic.Int64
			more := &executor.Observer{Submit: func(executor.TaskInfo) { submitted.Add(1) }, End: func(executor.TaskInfo, error) { ended.Add(1) }}
			ex, err := executor.Open(ctx, b.Name, executor.Config{Workers: 1, Observer: h.Observer(more)})
			if err != nil {
				t.Fatal(err)
			}
			defer ex.Close()
			stop, err := h.Watch(ex)
			if err != nil {
				t.Fatal(err)
			}
			tasks := int64(0)
			submit := func(how string) *executor.Future[int] {
				tasks++
				return double.Submit(ctx, ex, order{How: how, N: 21})
			}
			for range 3 {
				if v, err := submit("").Wait(ctx); v != 42 || err != nil {
					t.Fatalf("double gave %d, %v", v, err)
				}
			}
			_, _ = submit("fail").Wait(ctx)
			_, _ = submit("fail cancelled").Wait(ctx)
			_, _ = submit("panic").Wait(ctx)

			// One is running, one waits: that is what a collection sees.
			tasks++
			began, release := executor.NewQueue[int](1), executor.NewQueue[int](1)
			running := double.Submit(ctx, ex, order{How: "wait", Began: began, Release: release})
			if _, err := began.Get(ctx); err != nil {
				t.Fatal(err)
			}
			waiting := submit("")
			during := collected(t, reader)
			if busy, queued := during["executor.workers executor=test state=busy"], during["executor.queue.length executor=test"]; busy != 1 || queued > 1 || (queued < 1 && b.Name != "processes") {
				t.Errorf("while one task runs and one waits there are %d busy and %d queued; want 1 and 1", busy, queued)
			}
			if !waiting.Cancel() {
				t.Error("a task that waits could not be cancelled")
			}
			if err := release.Put(ctx, 1); err != nil {
				t.Fatal(err)
			}
			_, _ = running.Wait(ctx)
			_, _ = waiting.Wait(ctx)
			want := map[string]int64{
				"executor.tasks executor=test outcome=done task=double":      4,
				"executor.tasks executor=test outcome=failed task=double":    2,
				"executor.tasks executor=test outcome=panicked task=double":  1,
				"executor.tasks executor=test outcome=cancelled task=double": 1,
				"executor.task.run executor=test task=double":                7,
				"executor.task.queue executor=test task=double":              7,
				"executor.workers.wanted executor=test":                      1,
				"executor.workers.lost executor=test":                        0,
				"executor.queue.length executor=test":                        0,
			}
			if b.Name == "processes" {
				_, _ = submit("exit").Wait(ctx)
				if v, err := submit("").Wait(ctx); v != 42 || err != nil {
					t.Fatalf("after a worker was lost double gave %d, %v", v, err)
				}
				want["executor.tasks executor=test outcome=done task=double"]++
				want["executor.tasks executor=test outcome=lost task=double"] = 1
				want["executor.task.run executor=test task=double"]++ // of the lost one nobody knows
				want["executor.task.queue executor=test task=double"]++
				want["executor.task.ipc executor=test task=double"] = 8
				want["executor.workers.lost executor=test"] = 1
			}
			if err := ex.Close(); err != nil {
				t.Error(err)
			}
			if _, err := submit("").Wait(ctx); !errors.Is(err, executor.ErrClosed) {
				t.Errorf("a closed executor gave %v", err)
			}
			want["executor.tasks executor=test outcome=rejected task=double"] = 1
			want["executor.workers executor=test state=busy"] = 0
			got := collected(t, reader)
			if started := got["executor.workers.started executor=test"]; started < 1 {
				t.Errorf("%d workers were started; want some", started)
			}
			for _, name := range []string{"executor.workers.started executor=test", "executor.workers executor=test state=idle"} {
				delete(got, name)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("metrics (-want +got):\n%s", diff)
			}
			if submitted.Load() != tasks || ended.Load() != tasks {
				t.Errorf("the other observer saw %d tasks submitted and %d ended; want %d", submitted.Load(), ended.Load(), tasks)
			}

			if err := errors.Join(stop(), stop()); err != nil {
				t.Error(err)
			}
			for name := range collected(t, reader) {
				if strings.HasPrefix(name, "executor.workers") || strings.HasPrefix(name, "executor.queue.length") {
					t.Errorf("after stop there is still %s", name)
				}
			}
		})
	}
}

// A task that was submitted in a span is an exemplar.
func TestExemplars(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	h, err := health.New(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)), "test")
	if err != nil {
		t.Fatal(err)
	}
	ex, err := executor.Open(t.Context(), "goroutines", executor.Config{Observer: h.Observer(nil)})
	if err != nil {
		t.Fatal(err)
	}
	defer ex.Close()
	sc := oteltrace.NewSpanContext(oteltrace.SpanContextConfig{TraceID: oteltrace.TraceID{1}, SpanID: oteltrace.SpanID{2}, TraceFlags: oteltrace.FlagsSampled})
	if _, err := double.Submit(oteltrace.ContextWithSpanContext(t.Context(), sc), ex, order{}).Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	var rm metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &rm); err != nil {
		t.Fatal(err)
	}
	for _, m := range rm.ScopeMetrics[0].Metrics {
		if d, ok := m.Data.(metricdata.Histogram[float64]); ok {
			if e := d.DataPoints[0].Exemplars; len(e) != 1 || !slices.Equal(e[0].SpanID, []byte{2, 0, 0, 0, 0, 0, 0, 0}) {
				t.Errorf("%s has the exemplars %v; want one of the span", m.Name, e)
			}
		}
	}
}

// Every metric is in the documentation, with its unit.
func TestDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/executor.md")
	if err != nil {
		t.Fatal(err)
	}
	reader := sdkmetric.NewManualReader()
	h, err := health.New(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)), "test")
	if err != nil {
		t.Fatal(err)
	}
	ex, err := executor.Open(t.Context(), "processes", executor.Config{Workers: 1, Observer: h.Observer(nil)})
	if err != nil {
		t.Fatal(err)
	}
	defer ex.Close()
	stop, err := h.Watch(ex)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if _, err := double.Submit(t.Context(), ex, order{}).Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	var rm metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &rm); err != nil {
		t.Fatal(err)
	}
	if n := len(rm.ScopeMetrics[0].Metrics); n != 9 {
		t.Errorf("there are %d metrics; want 9", n)
	}
	for _, m := range rm.ScopeMetrics[0].Metrics {
		if !strings.Contains(string(b), "| `"+m.Name+"` | "+m.Unit+" |") {
			t.Errorf("docs/executor.md does not describe %s with its unit %s", m.Name, m.Unit)
		}
	}
}

var noOp = executor.NewTask("no-op", func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil })

// What watching a task costs: a task that does nothing, without an observer, with
// its moments stamped, with health and a provider that does nothing, and with
// health and the SDK. In flight are enough of them to keep the workers busy.
func BenchmarkNoOp(b *testing.B) {
	sdk := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	for _, bb := range []struct {
		name string
		cfg  func() executor.Config
	}{
		{"unobserved", func() executor.Config { return executor.Config{} }},
		{"timing", func() executor.Config { return executor.Config{Timing: true} }},
		{"health-noop", func() executor.Config {
			h, err := health.New(noop.NewMeterProvider(), "bench")
			if err != nil {
				b.Fatal(err)
			}
			return executor.Config{Observer: h.Observer(nil)}
		}},
		{"health-sdk", func() executor.Config {
			h, err := health.New(sdk, "bench")
			if err != nil {
				b.Fatal(err)
			}
			return executor.Config{Observer: h.Observer(nil)}
		}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			ctx := b.Context()
			ex, err := executor.Open(ctx, "goroutines", bb.cfg())
			if err != nil {
				b.Fatal(err)
			}
			defer ex.Close()
			b.ReportAllocs()
			const ahead = 256
			var inFlight [ahead]*executor.Future[struct{}]
			i := 0
			for b.Loop() {
				if f := inFlight[i%ahead]; f != nil {
					if _, err := f.Wait(ctx); err != nil {
						b.Fatal(err)
					}
				}
				inFlight[i%ahead] = noOp.Submit(ctx, ex, struct{}{})
				i++
			}
		})
	}
}
