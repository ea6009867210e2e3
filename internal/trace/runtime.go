package trace

import (
	"context"
	"fmt"
	"sync"

	goruntime "go.opentelemetry.io/contrib/instrumentation/runtime"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/f3f4c0de/harness/internal/results"
)

// Runtime reads the metrics of this process's Go runtime through OpenTelemetry's
// instrumentation. Counters count from the start of the process. The first call prepares
// everything; each further call takes some microseconds.
func Runtime() ([]results.Point, error) {
	reader, err := runtimeReader()
	if err != nil {
		return nil, fmt.Errorf("observing the Go runtime: %w", err)
	}
	var rm metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &rm); err != nil {
		return nil, fmt.Errorf("observing the Go runtime: %w", err)
	}
	var all []results.Point
	for _, sm := range rm.ScopeMetrics {
		for _, m := range sm.Metrics {
			all = append(all, points(m)...)
		}
	}
	return all, nil
}

// runtimeReader sets up the instrumentation, once in a process.
var runtimeReader = sync.OnceValues(func() (sdkmetric.Reader, error) {
	reader := sdkmetric.NewManualReader(sdkmetric.WithProducer(goruntime.NewProducer()))
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	return reader, goruntime.Start(goruntime.WithMeterProvider(provider), goruntime.WithMinimumReadMemStatsInterval(0))
})

// points converts what the SDK has collected.
func points(m metricdata.Metrics) (all []results.Point) {
	add := func(set attribute.Set, p results.Point) {
		p.Name, p.Unit, p.Doc = m.Name, m.Unit, m.Description
		for _, kv := range set.ToSlice() {
			if p.Attributes == nil {
				p.Attributes = make(map[string]string)
			}
			p.Attributes[string(kv.Key)] = kv.Value.String()
		}
		all = append(all, p)
	}
	switch d := m.Data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range d.DataPoints {
			add(p.Attributes, results.Point{Value: float64(p.Value), Counter: d.IsMonotonic})
		}
	case metricdata.Gauge[int64]:
		for _, p := range d.DataPoints {
			add(p.Attributes, results.Point{Value: float64(p.Value)})
		}
	case metricdata.Histogram[float64]:
		for _, p := range d.DataPoints {
			bounds, counts := mergeBuckets(p.Bounds, p.BucketCounts)
			add(p.Attributes, results.Point{Value: p.Sum, Bounds: bounds, Counts: counts})
		}
	}
	return all
}

// mergeBuckets merges the buckets of a histogram of times, of which the runtime has more
// than a hundred, into eight whose bounds grow tenfold. A bucket is added to the first
// one whose bound is not below its own, so that no time counts as shorter than it was.
func mergeBuckets(bounds []float64, counts []uint64) ([]float64, []uint64) {
	ours := []float64{1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1}
	sums := make([]uint64, len(ours)+1)
	for i, n := range counts {
		to := len(ours)
		for k := len(ours) - 1; k >= 0 && i < len(bounds) && bounds[i] <= ours[k]; k-- {
			to = k
		}
		sums[to] += n
	}
	return ours, sums
}
