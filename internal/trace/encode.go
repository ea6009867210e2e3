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

// An emit function is given a line of OTLP JSON, which is one TracesData, and the number
// of spans in it. It must not keep the line.
type emit func(line []byte, spans int) error

// A lineClient is a client of the official exporter that makes a line of what the
// exporter would send. The exporter cannot write to a file.
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

// A lineEncoder makes lines of spans. Recorded spans are many and all alike: it encodes
// them itself, many times as fast as the official exporter, which encodes the others.
type lineEncoder struct {
	emit     emit
	resource *resource.Resource
	exporter *otlptrace.Exporter
	exported []byte                  // the last line of exporter
	pending  []sdktrace.ReadOnlySpan // for exporter

	head, tail []byte // of a line of recorded spans
	line       []byte
	spans      int // in line
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
	// All lines have the same text before and after their spans. It is taken from a
	// line with one span.
	one := spanData{Name: "x", SpanContext: spanContext(newTraceID(), newSpanID()), Resource: res, InstrumentationScope: scope}
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

// export emits spans with the official exporter, in a line of their own.
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

// exportSpanData emits the spans, with the resource of this process and our scope.
func (e *lineEncoder) exportSpanData(ctx context.Context, spans ...spanData) error {
	for _, s := range spans {
		if err := e.addSpanData(ctx, s); err != nil {
			return err
		}
	}
	return e.flushSpanData(ctx)
}

// addSpanData adds a span to those of the next line, and emits the line when it is full.
// flushSpanData emits the rest.
func (e *lineEncoder) addSpanData(ctx context.Context, s spanData) error {
	s.Resource, s.InstrumentationScope = e.resource, scope
	if e.pending = append(e.pending, s.Snapshot()); len(e.pending) == batchSpans {
		return e.flushSpanData(ctx)
	}
	return nil
}

func (e *lineEncoder) flushSpanData(ctx context.Context) error {
	spans := e.pending
	e.pending = nil
	return e.export(ctx, spans)
}

// A recordedSpan is a span that is made from a record.
type recordedSpan struct {
	trace      oteltrace.TraceID
	id, parent oteltrace.SpanID
	remote     bool // the parent is in another process
	prefix     string
	task       string // the span's name is prefix followed by task
	kind       oteltrace.SpanKind
	from, to   int64 // nanoseconds of the wall clock
	attributes []recordedAttribute
	err        string // description of the status; empty unless the status is an error
	link       oteltrace.SpanContext
}

// A recordedAttribute has one value: s if it is not empty, else id if it is valid, else n.
type recordedAttribute struct {
	key attribute.Key
	s   string
	id  oteltrace.SpanID
	n   int64
}

// add encodes a span and emits the line when it is full. flush emits the rest.
func (e *lineEncoder) add(s *recordedSpan) error {
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

// flush emits the line of the spans that were added and not yet emitted.
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

// appendStrings appends s followed by t as one JSON string.
func appendStrings(b []byte, s, t string) []byte {
	if !plain(s) || !plain(t) {
		quoted, err := json.Marshal(s + t)
		if err != nil {
			panic(err) // a string can always be encoded
		}
		return append(b, quoted...)
	}
	b = append(append(append(b, '"'), s...), t...)
	return append(b, '"')
}

// plain reports whether a JSON string can contain s without any escape.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			return false
		}
	}
	return true
}

// spanMark occurs in a line of OTLP JSON once for each span and nowhere else: inside of
// a string, quotes are escaped.
var spanMark = []byte(`"startTimeUnixNano":`)
