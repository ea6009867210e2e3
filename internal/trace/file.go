package trace

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"iter"
	"os"
	"sync"

	"go.opentelemetry.io/collector/pdata/ptrace"
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

// ReadLines yields the spans of a file that a Writer has written, line by line.
func ReadLines(r io.Reader) iter.Seq2[ptrace.Traces, error] {
	return func(yield func(ptrace.Traces, error) bool) {
		in := bufio.NewReaderSize(r, 1<<20)
		var dec ptrace.JSONUnmarshaler
		for n := 1; ; n++ {
			line, err := in.ReadBytes('\n')
			if err != nil && err != io.EOF {
				yield(ptrace.Traces{}, err)
				return
			}
			if len(bytes.TrimSpace(line)) > 0 {
				traces, jerr := dec.UnmarshalTraces(line)
				if jerr != nil {
					yield(ptrace.Traces{}, fmt.Errorf("line %d: not OTLP JSON: %w", n, jerr))
					return
				}
				if !yield(traces, nil) {
					return
				}
			}
			if err == io.EOF {
				return
			}
		}
	}
}

// CountFile counts the spans in a file that a Writer has written. It reads it as
// it is, without decoding it.
func CountFile(path string) (int, error) {
	n, err := countIn(path, spanMark)
	if err != nil {
		return n, fmt.Errorf("counting the spans in %s: %w", path, err)
	}
	return n, nil
}

// countIn counts how often a file has a mark.
func countIn(path string, mark []byte) (n int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	buf := make([]byte, 1<<20)
	for kept := 0; ; {
		m, err := f.Read(buf[kept:])
		b := buf[:kept+m]
		n += bytes.Count(b, mark)
		kept = copy(buf, b[max(0, len(b)-len(mark)+1):]) // the begin of a mark, never a whole one
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}
