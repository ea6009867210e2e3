package trace

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"

	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// An emit function takes a line of OTLP JSON, one TracesData with so many spans.
// It does not keep the line.
type emit func(line []byte, spans int) error

// A lineClient takes what the official exporter would deliver and makes a line of
// it: the exporter has no output to a file, and its own JSON, which it only sends,
// has ids in upper case.
type lineClient func(line []byte) error

func (lineClient) Start(context.Context) error { return nil }
func (lineClient) Stop(context.Context) error  { return nil }

// UploadTraces implements [otlptrace.Client].
func (c lineClient) UploadTraces(_ context.Context, spans []*tracepb.ResourceSpans) error {
	b, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return err
	}
	traces, err := new(ptrace.ProtoUnmarshaler).UnmarshalTraces(b)
	if err != nil {
		return err
	}
	line, err := new(ptrace.JSONMarshaler).MarshalTraces(traces)
	if err != nil {
		return err
	}
	return c(line)
}

// A lineEncoder makes lines of spans: those that were recorded with an encoder of
// its own, many times as fast as the general one, since they are many and all
// alike; the others with the official exporter.
type lineEncoder struct {
	emit     emit
	resource *resource.Resource
	exporter *otlptrace.Exporter
	exported []byte                  // what exporter made
	stubs    []sdktrace.ReadOnlySpan // for it

	head, tail []byte // of a line of recorded spans
	line       []byte
	spans      int // in it
	total      int // spans that were emitted
}

func newLineEncoder(ctx context.Context, res *resource.Resource, to emit) (*lineEncoder, error) {
	e := &lineEncoder{emit: to, resource: res}
	var err error
	e.exporter, err = otlptrace.New(ctx, lineClient(func(line []byte) error {
		e.exported = line
		return nil
	}))
	if err != nil {
		return nil, err
	}
	// What stands around the spans of a line is the same for all. A line with
	// one span in it shows it.
	one := stub{Name: "x", SpanContext: spanContext(newTraceID(), newSpanID()), Resource: res, InstrumentationScope: scope}
	if err := e.exporter.ExportSpans(ctx, []sdktrace.ReadOnlySpan{one.Snapshot()}); err != nil {
		return nil, fmt.Errorf("encoding the resource of spans: %w", err)
	}
	var line struct {
		ResourceSpans []struct {
			Resource   json.RawMessage `json:"resource"`
			ScopeSpans []struct {
				Scope json.RawMessage `json:"scope"`
			} `json:"scopeSpans"`
			SchemaURL string `json:"schemaUrl"`
		} `json:"resourceSpans"`
	}
	if err := json.Unmarshal(e.exported, &line); err != nil {
		return nil, fmt.Errorf("encoding the resource of spans: %w", err)
	}
	of := line.ResourceSpans[0]
	e.head = fmt.Appendf(nil, `{"resourceSpans":[{"resource":%s,"scopeSpans":[{"scope":%s,"spans":[`, of.Resource, of.ScopeSpans[0].Scope)
	e.tail = fmt.Appendf(nil, `]}],"schemaUrl":%s}]}`, appendString(nil, of.SchemaURL))
	return e, nil
}

// export emits spans of any kind, in a line of their own.
func (e *lineEncoder) export(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if len(spans) == 0 {
		return nil
	}
	if err := e.exporter.ExportSpans(ctx, spans); err != nil {
		return fmt.Errorf("encoding %d spans: %w", len(spans), err)
	}
	e.total += len(spans)
	return e.emit(e.exported, len(spans))
}

// exportStubs emits the spans, with the resource and the scope of ours.
func (e *lineEncoder) exportStubs(ctx context.Context, stubs ...stub) error {
	for _, s := range stubs {
		if err := e.addStub(ctx, s); err != nil {
			return err
		}
	}
	return e.flushStubs(ctx)
}

// addStub adds a span to a line of their own, and emits the line when it is full.
// What is left is for flushStubs.
func (e *lineEncoder) addStub(ctx context.Context, s stub) error {
	s.Resource, s.InstrumentationScope = e.resource, scope
	if e.stubs = append(e.stubs, s.Snapshot()); len(e.stubs) == batchSpans {
		return e.flushStubs(ctx)
	}
	return nil
}

func (e *lineEncoder) flushStubs(ctx context.Context) error {
	stubs := e.stubs
	e.stubs = nil
	return e.export(ctx, stubs)
}

// A recorded is a span that is made from a record.
type recorded struct {
	trace      oteltrace.TraceID
	id, parent oteltrace.SpanID
	remote     bool // the parent is in another process
	prefix     string
	task       string // the name is prefix and this
	kind       oteltrace.SpanKind
	from, to   int64 // nanoseconds of the wall clock
	attributes []recordedAttribute
	err        string // its status is an error; empty if it is none
	link       oteltrace.SpanContext
}

// A recordedAttribute is a string, or the id of a span, or, if it is neither, a
// whole number.
type recordedAttribute struct {
	key attribute.Key
	s   string
	id  oteltrace.SpanID
	n   int64
}

// add encodes a span and emits the line when it is full. What is left is for
// flush.
func (e *lineEncoder) add(s *recorded) error {
	b := e.line
	if e.spans == 0 {
		b = append(b[:0], e.head...)
	} else {
		b = append(b, ',')
	}
	b = append(b, `{"traceId":"`...)
	b = hex.AppendEncode(b, s.trace[:])
	b = append(b, `","spanId":"`...)
	b = hex.AppendEncode(b, s.id[:])
	b = append(b, `","parentSpanId":"`...)
	b = hex.AppendEncode(b, s.parent[:])
	flags := int64(flagSampled | flagRemoteKnown)
	if s.remote {
		flags |= flagRemote
	}
	b = append(b, `","flags":`...)
	b = strconv.AppendInt(b, flags, 10)
	b = append(b, `,"name":`...)
	b = appendStrings(b, s.prefix, s.task)
	b = append(b, `,"kind":`...)
	b = strconv.AppendInt(b, int64(s.kind), 10)
	b = append(b, `,"startTimeUnixNano":"`...)
	b = strconv.AppendInt(b, s.from, 10)
	b = append(b, `","endTimeUnixNano":"`...)
	b = strconv.AppendInt(b, s.to, 10)
	b = append(b, '"')
	b = appendAttributes(b, s.attributes)
	if s.link.IsValid() {
		b = appendLink(b, s.link)
	}
	if s.err != "" {
		b = append(b, `,"status":{"message":`...)
		b = append(appendString(b, s.err), `,"code":2}}`...)
	} else {
		b = append(b, `,"status":{}}`...)
	}
	e.line = b
	if e.spans++; e.spans == batchSpans {
		return e.flush()
	}
	return nil
}

// The flags of a span and of a link (opentelemetry.proto.trace.v1.SpanFlags).
const (
	flagSampled     = 0x1
	flagRemoteKnown = 0x100
	flagRemote      = 0x200
)

func appendAttributes(b []byte, all []recordedAttribute) []byte {
	for i, a := range all {
		if i == 0 {
			b = append(b, `,"attributes":[{"key":"`...)
		} else {
			b = append(b, `,{"key":"`...)
		}
		b = append(b, a.key...)
		switch {
		case a.s != "":
			b = append(b, `","value":{"stringValue":`...)
			b = append(appendString(b, a.s), `}}`...)
		case a.id.IsValid():
			b = append(b, `","value":{"stringValue":"`...)
			b = append(hex.AppendEncode(b, a.id[:]), `"}}`...)
		default:
			b = append(b, `","value":{"intValue":"`...)
			b = append(strconv.AppendInt(b, a.n, 10), `"}}`...)
		}
	}
	if len(all) > 0 {
		b = append(b, ']')
	}
	return b
}

func appendLink(b []byte, to oteltrace.SpanContext) []byte {
	id, trace := to.SpanID(), to.TraceID()
	b = append(b, `,"links":[{"traceId":"`...)
	b = hex.AppendEncode(b, trace[:])
	b = append(b, `","spanId":"`...)
	b = hex.AppendEncode(b, id[:])
	b = append(b, `","flags":`...)
	return append(strconv.AppendInt(b, flagSampled|flagRemoteKnown, 10), `}]`...)
}

// flush emits the spans that were added and not yet emitted.
func (e *lineEncoder) flush() error {
	if e.spans == 0 {
		return nil
	}
	e.line = append(e.line, e.tail...)
	n := e.spans
	e.spans = 0
	e.total += n
	return e.emit(e.line, n)
}

func appendString(b []byte, s string) []byte { return appendStrings(b, "", s) }

// appendStrings appends two strings as one of JSON.
func appendStrings(b []byte, s, t string) []byte {
	if !plain(s) || !plain(t) {
		quoted, err := json.Marshal(s + t)
		if err != nil {
			panic(err) // a string
		}
		return append(b, quoted...)
	}
	b = append(append(append(b, '"'), s...), t...)
	return append(b, '"')
}

// plain reports whether a string stands for itself in JSON.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			return false
		}
	}
	return true
}

// spanMark is in a line of OTLP JSON once for every span, and nowhere else: the
// quotes of a string's content are escaped.
var spanMark = []byte(`"startTimeUnixNano":`)
