package trace

import (
	"context"
	"testing"

	oteltrace "go.opentelemetry.io/otel/trace"
)

// What this package relies on beyond OpenTelemetry's promises: SpanFromContext asks
// the context once, with the key under which ContextWithSpan has put the span, and
// takes what is there for the span. If a version of the API does otherwise, this
// says so; tasks' own spans would be roots of their own.
func TestSpanKey(t *testing.T) {
	if spanKey == nil {
		t.Fatal("SpanFromContext asked the context for nothing")
	}
	want := spanContext(newTraceID(), newSpanID())
	span, ok := oteltrace.ContextWithSpanContext(t.Context(), want).Value(spanKey).(oteltrace.Span)
	if !ok || !span.SpanContext().Equal(want) {
		t.Fatalf("under the key is %v; want the span %v", span, want)
	}
	asked := &answering{Context: t.Context(), span: span}
	if got := oteltrace.SpanContextFromContext(asked); !got.Equal(want) || asked.others != 0 || asked.times != 1 {
		t.Errorf("a context that answers for the key alone has span %v; want %v. It was asked %d times for the key, %d for others", got, want, asked.times, asked.others)
	}
}

// An answering context answers for spanKey, as a [core.Call] does.
type answering struct {
	context.Context
	span          oteltrace.Span
	times, others int
}

func (a *answering) Value(key any) any {
	if key == spanKey {
		a.times++
		return a.span
	}
	a.others++
	return nil
}
