package trace

import (
	"context"
	"fmt"
	"os"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
)

// A Run is the short trace that the traces of all trials link to: one span for
// the run, one for each of its cells. If the environment has a TRACEPARENT, the
// run is a child of that span, unless OTEL_PROPAGATORS leaves out tracecontext.
type Run struct {
	id       Identity
	resource *resource.Resource
	self     oteltrace.SpanContext
	parent   oteltrace.SpanContext
	started  time.Time
	cells    []cellSpan
}

type cellSpan struct {
	self                  oteltrace.SpanContext
	id, workload, backend string
	workers               int
}

// NewRun begins the run's trace.
func NewRun(ctx context.Context, id Identity) (*Run, error) {
	res, err := id.resource(ctx)
	if err != nil {
		return nil, err
	}
	parent, err := outer()
	if err != nil {
		return nil, err
	}
	r := &Run{id: id, resource: res, started: time.Now(), parent: parent}
	traceID := newTraceID()
	if r.parent.IsValid() {
		traceID = r.parent.TraceID()
	}
	r.self = spanContext(traceID, newSpanID())
	return r, nil
}

// outer returns the span that this program was started in, if it was in one.
func outer() (oteltrace.SpanContext, error) {
	p, err := propagator()
	if err != nil {
		return oteltrace.SpanContext{}, err
	}
	carrier := propagation.MapCarrier{"traceparent": os.Getenv("TRACEPARENT"), "tracestate": os.Getenv("TRACESTATE")}
	return oteltrace.SpanContextFromContext(p.Extract(context.Background(), carrier)), nil
}

// Cell adds a cell and returns the traceparent of its span.
func (r *Run) Cell(id, workload, backend string, workers int) string {
	c := cellSpan{spanContext(r.self.TraceID(), newSpanID()), id, workload, backend, workers}
	r.cells = append(r.cells, c)
	return traceparent(c.self)
}

// TraceID returns the id of the run's trace.
func (r *Run) TraceID() string { return r.self.TraceID().String() }

// Export writes the run's trace. It is called once, at the end.
func (r *Run) Export(ctx context.Context, w *Writer, rounds int, seed uint64, status string, failed map[string]string) (Counts, error) {
	now := time.Now()
	run := stub{
		Name: "run", SpanContext: r.self, Parent: r.parent, SpanKind: oteltrace.SpanKindInternal, StartTime: r.started, EndTime: now,
		Attributes: []attribute.KeyValue{keyRunID.String(r.id.RunID), keyRounds.Int(rounds), keySeed.String(fmt.Sprint(seed)), keyStatus.String(status)},
	}
	if len(failed) > 0 {
		run.Status = sdktrace.Status{Code: codes.Error, Description: fmt.Sprintf("%d cells failed", len(failed))}
	}
	spans := []stub{run}
	for _, c := range r.cells {
		s := stub{
			Name: "cell " + c.id, SpanContext: c.self, Parent: r.self, SpanKind: oteltrace.SpanKindInternal, StartTime: r.started, EndTime: now,
			Attributes: []attribute.KeyValue{
				keyRunID.String(r.id.RunID), keyCellID.String(c.id), keyWorkload.String(c.workload), keyBackend.String(c.backend), keyWorkers.Int(c.workers),
				profileID(c.self),
			},
		}
		if why := failed[c.id]; why != "" {
			s.Status = sdktrace.Status{Code: codes.Error, Description: firstLine(why)}
		}
		spans = append(spans, s)
	}
	enc, err := newLineEncoder(ctx, r.resource, w.emit)
	if err != nil {
		return nil, err
	}
	if err := enc.exportStubs(ctx, spans...); err != nil {
		return nil, err
	}
	return Counts{"run": {Expected: 1 + len(r.cells), Exported: enc.total}}, nil
}
