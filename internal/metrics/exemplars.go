package metrics

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	oteltrace "go.opentelemetry.io/otel/trace"
)

// lastExemplars is a reservoir that keeps the last exemplar of each bucket. It is
// safe for concurrent use.
type lastExemplars struct {
	bounds []float64

	mu   sync.Mutex
	last map[int]exemplar.Exemplar
}

// Offer implements [exemplar.Reservoir].
func (l *lastExemplars) Offer(ctx context.Context, t time.Time, v exemplar.Value, dropped []attribute.KeyValue) {
	bucket, _ := slices.BinarySearch(l.bounds, v.Float64())
	e := exemplar.Exemplar{FilteredAttributes: dropped, Time: t, Value: v}
	if sc := oteltrace.SpanContextFromContext(ctx); sc.IsValid() {
		traceID, spanID := sc.TraceID(), sc.SpanID()
		e.TraceID, e.SpanID = traceID[:], spanID[:]
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == nil {
		l.last = make(map[int]exemplar.Exemplar)
	}
	l.last[bucket] = e
}

// Collect implements [exemplar.Reservoir].
func (l *lastExemplars) Collect(dest *[]exemplar.Exemplar) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*dest = (*dest)[:0]
	for _, bucket := range slices.Sorted(maps.Keys(l.last)) {
		*dest = append(*dest, l.last[bucket])
	}
}
