package trace

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"unicode/utf8"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A lineDecoder decodes lines of OTLP JSON. Those of the form that a lineEncoder
// writes, which are nearly all, it decodes by itself, many times as fast as the
// general decoder; with whatever else it finds it leaves the line to that one.
type lineDecoder struct {
	frame []byte // of the line before: what stood around its spans
	outer []*tracepb.ResourceSpans
}

// decode decodes a line.
func (d *lineDecoder) decode(line []byte) ([]*tracepb.ResourceSpans, error) {
	if rs, ok := d.fast(line); ok {
		return rs, nil
	}
	return parseLine(line)
}

var spansKey = []byte(`"spans":[`)

// fast decodes a line with the spans of one scope.
func (d *lineDecoder) fast(line []byte) ([]*tracepb.ResourceSpans, bool) {
	line = bytes.TrimSpace(line)
	from := bytes.Index(line, spansKey)
	if from < 0 {
		return nil, false
	}
	from += len(spansKey)
	n := bytes.Count(line, spanMark)
	c := cursor{b: line, at: from, spans: make([]tracepb.Span, n), statuses: make([]tracepb.Status, 0, n), attributes: make([]commonpb.KeyValue, 0, 6*n), values: make([]commonpb.AnyValue, 0, 6*n)}
	out := make([]*tracepb.Span, 0, n)
	for more := c.peek() != ']'; more && !c.bad; more = c.next() {
		out = append(out, c.span())
	}
	if c.bad || !c.is(']') {
		return nil, false
	}
	to := c.at - 1 // of the bracket
	// Around the spans is nothing that differs from line to line.
	if len(d.frame) != from+len(line)-to || !bytes.Equal(d.frame[:from], line[:from]) || !bytes.Equal(d.frame[from:], line[to:]) {
		frame := append(bytes.Clone(line[:from]), line[to:]...)
		outer, err := parseLine(frame)
		if err != nil || len(outer) != 1 || len(outer[0].ScopeSpans) != 1 {
			return nil, false
		}
		d.frame, d.outer = frame, outer
	}
	rs := proto.CloneOf(d.outer[0])
	rs.ScopeSpans[0].Spans = out
	return []*tracepb.ResourceSpans{rs}, true
}

// A cursor reads JSON without spaces. What it did not expect makes it bad, and
// it stays so.
type cursor struct {
	b   []byte
	at  int
	bad bool

	// What the spans are made of, allocated together.
	spans      []tracepb.Span
	statuses   []tracepb.Status
	attributes []commonpb.KeyValue
	values     []commonpb.AnyValue
}

func (c *cursor) peek() byte {
	if c.at >= len(c.b) {
		return 0
	}
	return c.b[c.at]
}

// is reports whether the next byte is that one, and takes it if so.
func (c *cursor) is(b byte) bool {
	if c.peek() != b {
		return false
	}
	c.at++
	return true
}

func (c *cursor) want(b byte) {
	if !c.is(b) {
		c.bad = true
	}
}

// next reports whether another element follows.
func (c *cursor) next() bool { return c.is(',') }

// raw reads a string that stands for itself. Its bytes are not kept.
func (c *cursor) raw() []byte {
	c.want('"')
	for at := c.at; at < len(c.b) && !c.bad; at++ {
		switch b := c.b[at]; {
		case b == '"':
			s := c.b[c.at:at]
			c.at = at + 1
			return s
		case b == '\\' || b < ' ' || b > '~':
			c.bad = true
		}
	}
	c.bad = true
	return nil
}

// text reads any string but those with code points in hexadecimal.
func (c *cursor) text() string {
	begin := c.at
	if s := c.raw(); !c.bad {
		return string(s)
	}
	for at := begin + 1; at < len(c.b) && c.b[begin] == '"'; at++ {
		switch c.b[at] {
		case '\\':
			if at++; at == len(c.b) || c.b[at] == 'u' {
				return ""
			}
		case '"':
			var s string
			c.at = at + 1
			c.bad = !utf8.Valid(c.b[begin:c.at]) || json.Unmarshal(c.b[begin:c.at], &s) != nil
			return s
		}
	}
	return ""
}

// quoted reads a whole number in quotes.
func (c *cursor) quoted() int64 {
	c.want('"')
	negative := c.is('-')
	n := c.digits(19)
	c.want('"')
	if negative {
		c.bad = c.bad || n == 0
		return -n
	}
	return n
}

// time reads one that is not negative.
func (c *cursor) time() uint64 {
	n := c.quoted()
	c.bad = c.bad || n < 0
	return uint64(n)
}

// number reads a whole number of at most 9 digits.
func (c *cursor) number() int32 { return int32(c.digits(9)) }

func (c *cursor) digits(most int) (n int64) {
	begin := c.at
	for c.peek() >= '0' && c.peek() <= '9' && c.at-begin <= most {
		n = 10*n + int64(c.b[c.at]-'0')
		c.at++
	}
	if length := c.at - begin; length == 0 || length > most || length > 1 && c.b[begin] == '0' {
		c.bad = true
	}
	c.bad = c.bad || n < 0 // 19 digits may be too much
	return n
}

// id reads an id in hexadecimal.
func (c *cursor) id() []byte {
	s := c.raw()
	id := make([]byte, hex.DecodedLen(len(s)))
	if _, err := hex.Decode(id, s); err != nil {
		c.bad = true
	}
	return id
}

// fields calls f with the name of each field of an object, and expects them in
// the order of the places that f returns, each once.
func (c *cursor) fields(f func(key []byte) (place int)) {
	c.want('{')
	if c.is('}') {
		return
	}
	last := 0
	for more := true; more && !c.bad; more = c.next() {
		key := c.raw()
		c.want(':')
		place := f(key)
		c.bad = c.bad || place <= last
		last = place
	}
	c.want('}')
}

// unexpected is the place of a field that there should not be.
const unexpected = 0

// list calls f for each element of an array.
func (c *cursor) list(f func()) {
	c.want('[')
	if c.is(']') {
		return
	}
	for more := true; more && !c.bad; more = c.next() {
		f()
	}
	c.want(']')
}

func (c *cursor) span() *tracepb.Span {
	if len(c.spans) == 0 {
		c.bad = true
		return nil
	}
	s := &c.spans[0]
	c.spans = c.spans[1:]
	c.fields(func(key []byte) int {
		switch string(key) {
		case "traceId":
			s.TraceId = c.id()
			return 1
		case "spanId":
			s.SpanId = c.id()
			return 2
		case "parentSpanId":
			s.ParentSpanId = c.id()
			return 3
		case "flags":
			s.Flags = uint32(c.number())
			return 4
		case "name":
			s.Name = c.text()
			return 5
		case "kind":
			s.Kind = tracepb.Span_SpanKind(c.number())
			return 6
		case "startTimeUnixNano":
			s.StartTimeUnixNano = c.time()
			return 7
		case "endTimeUnixNano":
			s.EndTimeUnixNano = c.time()
			return 8
		case "attributes":
			s.Attributes = make([]*commonpb.KeyValue, 0, 6)
			c.list(func() { s.Attributes = append(s.Attributes, c.attribute()) })
			return 9
		case "links":
			c.list(func() { s.Links = append(s.Links, c.link()) })
			return 10
		case "status":
			s.Status = c.status()
			return 11
		}
		return unexpected // such as events, which few spans have
	})
	return s
}

func (c *cursor) status() *tracepb.Status {
	s := slot(&c.statuses)
	c.fields(func(key []byte) int {
		switch string(key) {
		case "message":
			s.Message = c.text()
			return 1
		case "code":
			s.Code = tracepb.Status_StatusCode(c.number())
			return 2
		}
		return unexpected
	})
	return s
}

func (c *cursor) attribute() *commonpb.KeyValue {
	kv := slot(&c.attributes)
	kv.Value = slot(&c.values)
	c.fields(func(key []byte) int {
		switch string(key) {
		case "key":
			kv.Key = c.text()
			return 1
		case "value":
			c.fields(func(key []byte) int {
				switch string(key) {
				case "stringValue":
					kv.Value.Value = &commonpb.AnyValue_StringValue{StringValue: c.text()}
					return 1
				case "intValue":
					kv.Value.Value = &commonpb.AnyValue_IntValue{IntValue: c.quoted()}
					return 1
				}
				return unexpected
			})
			return 2
		}
		return unexpected
	})
	return kv
}

func (c *cursor) link() *tracepb.Span_Link {
	l := &tracepb.Span_Link{}
	c.fields(func(key []byte) int {
		switch string(key) {
		case "traceId":
			l.TraceId = c.id()
			return 1
		case "spanId":
			l.SpanId = c.id()
			return 2
		case "flags":
			l.Flags = uint32(c.number())
			return 3
		}
		return unexpected
	})
	return l
}

// slot returns the next of those that were allocated together, or a new one if
// they are used up.
func slot[T any](of *[]T) *T {
	if len(*of) == cap(*of) {
		return new(T)
	}
	*of = (*of)[:len(*of)+1]
	return &(*of)[len(*of)-1]
}
