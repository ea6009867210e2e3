package trace

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"
	"strings"
	"sync"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// batchSpans bounds a line of the file, and so a message when it is sent: a
// gRPC receiver takes 4 MiB.
const batchSpans = 2000

// A Writer appends spans to a file as OTLP JSON lines, one TracesData each,
// which is what Jaeger's upload reads. The caller must call Close. Safe for
// concurrent use.
type Writer struct {
	mu    sync.Mutex
	file  *os.File
	spans int
}

// NewWriter opens the file for appending.
func NewWriter(path string) (*Writer, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return nil, fmt.Errorf("opening the file for spans: %w", err)
	}
	return &Writer{file: f}, nil
}

// Close closes the file.
func (w *Writer) Close() error { return w.file.Close() }

// emit appends a line.
func (w *Writer) emit(line []byte, spans int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := w.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("writing %d spans: %w", spans, err)
	}
	w.spans += spans
	return nil
}

func countSpans(rs *tracepb.ResourceSpans) (n int) {
	for _, ss := range rs.ScopeSpans {
		n += len(ss.Spans)
	}
	return n
}

// lineTransport takes the body of each request for a line.
type lineTransport func(line []byte) error

func (t lineTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	// The encoder writes ids in upper case; everybody else, lower.
	if err := t(replaceIDs(body, bytes.ToLower)); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: http.StatusOK, Status: "200 OK", Proto: r.Proto, ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: http.NoBody, Request: r,
	}, nil
}

// replaceIDs puts f of it in the place of each trace and span id in a line of
// OTLP JSON. The quotes around a key are never part of a string's content,
// where they would be escaped.
func replaceIDs(line []byte, f func(id []byte) []byte) []byte {
	keys := [][]byte{[]byte(`"traceId":"`), []byte(`"spanId":"`), []byte(`"parentSpanId":"`)}
	var out []byte
	for {
		at := -1
		for _, k := range keys {
			if i := bytes.Index(line, k); i >= 0 && (at < 0 || i+len(k) < at) {
				at = i + len(k)
			}
		}
		if at < 0 {
			return append(out, line...)
		}
		end := bytes.IndexByte(line[at:], '"')
		if end < 0 {
			return append(out, line...)
		}
		out = append(append(out, line[:at]...), f(line[at:at+end])...)
		line = line[at+end:]
	}
}

// ReadLines yields the spans of a file that a Writer has written, line by line.
func ReadLines(r io.Reader) iter.Seq2[[]*tracepb.ResourceSpans, error] {
	return func(yield func([]*tracepb.ResourceSpans, error) bool) {
		in := bufio.NewReaderSize(r, 1<<20)
		var dec lineDecoder
		for n := 1; ; n++ {
			line, err := in.ReadBytes('\n')
			if err != nil && err != io.EOF {
				yield(nil, err)
				return
			}
			if len(bytes.TrimSpace(line)) > 0 {
				spans, perr := dec.decode(line)
				if perr != nil {
					yield(nil, fmt.Errorf("line %d: %w", n, perr))
					return
				}
				if !yield(spans, nil) {
					return
				}
			}
			if err == io.EOF {
				return
			}
		}
	}
}

// parseLine decodes one TracesData. Its ids are hexadecimal, as OTLP wants
// them; protobuf's own JSON form has base64 in their place.
func parseLine(line []byte) ([]*tracepb.ResourceSpans, error) {
	var bad error
	line = replaceIDs(line, func(id []byte) []byte {
		raw := make([]byte, hex.DecodedLen(len(id)))
		if _, err := hex.Decode(raw, id); err != nil {
			bad = fmt.Errorf("id %q is not hexadecimal", id)
		}
		return base64.StdEncoding.AppendEncode(nil, raw)
	})
	if bad != nil {
		return nil, bad
	}
	var data tracepb.TracesData
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(line, &data); err != nil {
		// protobuf varies the spaces of its messages on purpose
		return nil, fmt.Errorf("not OTLP JSON: %s", strings.ReplaceAll(err.Error(), "\u00a0", " "))
	}
	return data.ResourceSpans, nil
}

// CountFile counts the spans in a file that a Writer has written. It reads it as
// it is, without decoding it.
func CountFile(path string) (n int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	buf := make([]byte, 1<<20)
	for kept := 0; ; {
		m, err := f.Read(buf[kept:])
		b := buf[:kept+m]
		n += bytes.Count(b, spanMark)
		kept = copy(buf, b[max(0, len(b)-len(spanMark)+1):]) // the begin of a mark, never a whole one
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("counting the spans in %s: %w", path, err)
		}
	}
}
