package trace

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/f3f4c0de/harness/internal/core"
)

// The encoder of recorded spans and the official exporter make the same of the
// same span.
func TestRecordedSpansAreEncodedAsOthers(t *testing.T) {
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "odd=a \"b\" <c> ü")
	res, err := Identity{RunID: "run", Role: "trial", Version: "v"}.resource(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	self, parent, link := spanContext(newTraceID(), newSpanID()), newSpanID(), spanContext(newTraceID(), newSpanID())
	base := recorded{trace: self.TraceID(), id: self.SpanID(), parent: parent, prefix: "queue", kind: oteltrace.SpanKindInternal, from: 1795284781591377131, to: 1795284781591414892}
	with := func(change func(*recorded)) recorded {
		s := base
		change(&s)
		return s
	}
	for name, s := range map[string]recorded{
		"plain":  base,
		"remote": with(func(s *recorded) { s.remote, s.kind = true, oteltrace.SpanKindConsumer }),
		"link":   with(func(s *recorded) { s.link = link }),
		"failed": with(func(s *recorded) { s.err = "it \"broke\" \\ \x01 \x7f <b> \u2028 ünd \xff so" }),
		"odd name": with(func(s *recorded) {
			s.prefix, s.task, s.kind = "task ", "\"spanId\":\"zz\" \t", oteltrace.SpanKindProducer
		}),
		"attributes": with(func(s *recorded) {
			s.attributes = []recordedAttribute{{key: keyTaskName, s: "ta\"sk"}, {key: keyTaskNumber, n: -7}, {key: keyWorkerIndex}, {key: keyProfileID, id: parent}}
		}),
	} {
		t.Run(name, func(t *testing.T) {
			official := stub{
				Name: s.prefix + s.task, SpanContext: self, SpanKind: s.kind, StartTime: time.Unix(0, s.from), EndTime: time.Unix(0, s.to),
				Parent: spanContext(s.trace, s.parent).WithRemote(s.remote),
			}
			for _, a := range s.attributes {
				switch {
				case a.s != "":
					official.Attributes = append(official.Attributes, a.key.String(a.s))
				case a.id.IsValid():
					official.Attributes = append(official.Attributes, a.key.String(a.id.String()))
				default:
					official.Attributes = append(official.Attributes, attribute.Int64(string(a.key), a.n))
				}
			}
			if s.link.IsValid() {
				official.Links = []sdktrace.Link{{SpanContext: s.link}}
			}
			if s.err != "" {
				official.Status = sdktrace.Status{Code: codes.Error, Description: strings.ToValidUTF8(s.err, "\ufffd")}
			}
			var lines [][]byte
			enc, err := newLineEncoder(t.Context(), res, func(line []byte, spans int) error {
				if spans != 1 || bytes.Count(line, spanMark) != 1 || bytes.ContainsAny(line, "\n") {
					t.Errorf("a line of %d spans has %d marks: %s", spans, bytes.Count(line, spanMark), line)
				}
				lines = append(lines, bytes.Clone(line))
				return nil
			})
			if err := errors.Join(err, enc.exportStubs(t.Context(), official), enc.add(&s), enc.flush()); err != nil {
				t.Fatal(err)
			}
			var both []*tracepb.TracesData
			for _, line := range lines {
				spans, err := decodeLine(line)
				if err != nil {
					t.Fatalf("%v: %s", err, line)
				}
				both = append(both, spans)
			}
			if len(both) != 2 {
				t.Fatalf("there are %d lines; want two", len(both))
			}
			if d := cmp.Diff(both[0], both[1], protocmp.Transform()); d != "" {
				t.Errorf("the two differ (-official +ours):\n%s", d)
			}
			if !proto.Equal(both[0], both[1]) {
				t.Error("the two are not equal")
			}
		})
	}
}

// A task's context has the span, and so has a context derived from it, also
// after the task has ended; one that a program made for a submission is kept.
func TestSpanOfATask(t *testing.T) {
	rec := newTestTrial(t, "")
	rec.Begin()
	var got oteltrace.SpanContext
	var kept context.Context
	type key struct{}
	look := core.NewTask("look", func(ctx context.Context, _ int) (any, error) {
		derived, cancel := context.WithCancel(ctx)
		defer cancel()
		got, kept = oteltrace.SpanContextFromContext(derived), ctx
		return ctx.Value(key{}), nil
	})
	ex := inline{rec.Observer()}
	if v, err := look.Submit(context.WithValue(rec.Context(t.Context()), key{}, 7), ex, 0).Wait(t.Context()); v != 7 || err != nil {
		t.Errorf("the task's context holds %v, %v; want 7", v, err)
	}
	want := spanContext(rec.traceID, below(rec.ids.span(1), spanRun))
	if !got.Equal(want) {
		t.Errorf("the task is in span %v; want %v", got, want)
	}
	look.Submit(rec.Context(t.Context()), ex, 0)
	if later := oteltrace.SpanContextFromContext(kept); later.Equal(want) || later.TraceID() != want.TraceID() {
		t.Errorf("the second task is in span %v; want another one of the trace", later)
	}
}

// Recording a task adds no allocation to it.
func TestRecordingAllocatesNothing(t *testing.T) {
	rec := newTestTrial(t, "")
	rec.Begin()
	allocations := func(obs *core.Observer) float64 {
		ex := &prepared{site: core.Site{Observer: obs}, worker: core.Worker{PID: ownPID}}
		ctx := rec.Context(t.Context())
		return testing.AllocsPerRun(5000, func() { plainTask.Submit(ctx, ex, 0) })
	}
	if without, with := allocations(nil), allocations(rec.Observer()); with > without {
		t.Errorf("a task makes %v allocations, recorded %v", without, with)
	}
}

// None of many tasks is lost, on several workers at once.
func TestManyTasks(t *testing.T) {
	const tasks = 100_000
	rec := newTestTrial(t, "")
	rec.Begin()
	obs := rec.Observer()
	done := make(chan struct{})
	for range 4 {
		go func() { // all on one worker's list: its lock is put to use
			defer func() { done <- struct{}{} }()
			ex := inline{obs}
			for range tasks / 4 {
				plainTask.Submit(rec.Context(context.Background()), ex, 0)
			}
		}()
	}
	for range 4 {
		<-done
	}
	count, path := export(t, rec)
	want := 3*tasks + tasks/tasksPerTrace
	if err := count.Err(); err != nil || count.Total().Exported != want {
		t.Errorf("counted %+v, %v; want %d", count, err, want)
	}
	if n, err := CountFile(path); n != want || err != nil {
		t.Errorf("the file holds %d spans, %v; want %d", n, err, want)
	}
	if lanes := rec.Tasks(1000); len(lanes) != 1000 || lanes[999].Number != 1000 {
		t.Errorf("there are %d lanes; want those of the first 1,000", len(lanes))
	}
}
