package trace

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/f3f4c0de/harness/internal/core"
)

// workerEnv tells a worker process that its trial is traced, and how.
const workerEnv = "HARNESS_TRACE"

// What a worker sends when it ends.
const (
	topicSpans = "spans"     // a line of OTLP JSON, after the number of its spans
	topicOwn   = "spans.own" // how many of them the tasks started themselves
	// topicCrossings is what the submitter cannot know of the tasks' way.
	topicCrossings = "crossings"
)

type workerConfig struct {
	Identity Identity `json:"identity"`
	Epoch    Epoch    `json:"epoch"`
	Worker   int      `json:"worker"`
}

// A taskHeader is what a task's message says about its span.
type taskHeader struct {
	trace  oteltrace.TraceID
	task   oteltrace.SpanID
	number uint64
}

const taskHeaderBytes = 16 + 8 + 8

func (h taskHeader) appendTo(b []byte) []byte {
	b = append(b, h.trace[:]...)
	b = append(b, h.task[:]...)
	return binary.LittleEndian.AppendUint64(b, h.number)
}

func parseTaskHeader(b []byte) (h taskHeader, ok bool) {
	if len(b) != taskHeaderBytes {
		return h, false
	}
	copy(h.trace[:], b)
	copy(h.task[:], b[16:])
	h.number = binary.LittleEndian.Uint64(b[24:])
	return h, true
}

// A workerRecorder records the tasks of one worker process. The worker runs
// one at a time, so it needs no lock.
type workerRecorder struct {
	cfg      workerConfig
	parent   oteltrace.SpanContext // the spawn span
	self     oteltrace.SpanContext // the worker's own
	resource *resource.Resource
	started  core.Stamp
	live     stash
	current  taskHeader
	way      crossing // of the current task
	records  chunks[workerRecord]
	names    nameList
	errs     []string

	mu       sync.Mutex
	incoming map[*core.Call]crossing // here, not started
}

// A workerRecord is one task that the worker has run. It holds no pointers, so
// the garbage collector does not look at it.
type workerRecord struct {
	header         taskHeader
	started, ended core.Stamp
	way            crossing
	task           int32 // its name
	err            int32 // index of errs, from 1; 0 if it has none
}

// WorkerHooks returns the hooks with which a worker process of a traced trial
// records its tasks, and sends their spans to its parent when it ends. In any
// other process they are empty.
func WorkerHooks(ctx context.Context) (core.WorkerHooks, error) {
	env := os.Getenv(workerEnv)
	if env == "" {
		return core.WorkerHooks{}, nil
	}
	w := &workerRecorder{
		started: core.Now(), parent: parseTraceparent(os.Getenv("TRACEPARENT")),
		incoming: make(map[*core.Call]crossing),
	}
	if err := json.Unmarshal([]byte(env), &w.cfg); err != nil {
		return core.WorkerHooks{}, fmt.Errorf("%s: %w", workerEnv, err)
	}
	w.self = spanContext(w.parent.TraceID(), newSpanID())
	var err error
	if w.resource, err = w.cfg.Identity.resource(ctx); err != nil {
		return core.WorkerHooks{}, err
	}
	if err := propagate(); err != nil {
		return core.WorkerHooks{}, err
	}
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithResource(w.resource), sdktrace.WithSpanProcessor(&w.live)))
	return core.WorkerHooks{
		Observer: &core.Observer{Submit: w.arrived, Start: w.start, End: w.end, Coded: w.coded},
		Exit:     w.exit,
	}, nil
}

// arrived is called when a task is at the worker, beside other tasks.
func (w *workerRecorder) arrived(c *core.Call) {
	now := core.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.incoming[c] = crossing{decoding: now, decoded: now}
}

// coded is called for an argument before start, and for a result after end, before
// the next start. An argument is decoded when its task's turn has come; the record
// has it decoded when it arrived, so that what it waited behind other tasks is one
// piece, after that.
func (w *workerRecorder) coded(c *core.Call, what core.Coding, began core.Stamp) {
	now := core.Now()
	if what == core.ArgumentDecoded {
		w.mu.Lock()
		defer w.mu.Unlock()
		x := w.incoming[c]
		x.decoded = x.decoding + (now - began)
		w.incoming[c] = x
		return
	}
	if last := w.records.last(); last != nil && last.header.number == c.Number {
		last.way.note(what, began, now)
	}
}

func (w *workerRecorder) start(ctx context.Context, c *core.Call) context.Context {
	w.mu.Lock()
	w.way = w.incoming[c]
	delete(w.incoming, c)
	w.mu.Unlock()
	h, ok := parseTaskHeader(core.WorkerOf(ctx).Header)
	if !ok {
		return ctx // of the warm-up
	}
	c.Number, w.current = h.number, h
	return oteltrace.ContextWithSpanContext(ctx, spanContext(h.trace, below(h.task, spanRun)))
}

func (w *workerRecorder) end(c *core.Call, err error) {
	if c.Number == 0 {
		return
	}
	tm := c.Timing()
	r := w.records.grow()
	r.header, r.started, r.ended, r.way, r.task = w.current, tm.Started, tm.Ended, w.way, w.names.index(c.Task())
	if err != nil {
		w.errs = append(w.errs, firstLine(err.Error()))
		r.err = int32(len(w.errs))
	}
}

// exit makes the worker's spans and sends them.
func (w *workerRecorder) exit(send func(topic string, payload []byte) error) error {
	ctx := context.Background()
	own := w.live.take()
	count, err := json.Marshal(len(own))
	if err != nil {
		return err
	}
	if err := send(topicOwn, count); err != nil {
		return err
	}
	var ways []byte
	for r := range w.records.each() {
		if len(ways) == crossingChunk*workerCrossingBytes {
			if err := send(topicCrossings, ways); err != nil {
				return err
			}
			ways = ways[:0]
		}
		ways = appendWorkerCrossing(ways, r.header.number, &r.way)
	}
	if err := send(topicCrossings, ways); err != nil {
		return err
	}
	var payload []byte
	enc, err := newLineEncoder(ctx, w.resource, func(line []byte, spans int) error {
		payload = appendSpans(payload[:0], line, spans)
		return send(topicSpans, payload)
	})
	if err != nil {
		return err
	}
	errs := []error{enc.exportStubs(ctx, w.workerSpan())}
	for batch := range slices.Chunk(own, batchSpans) {
		errs = append(errs, enc.export(ctx, batch))
	}
	for r := range w.records.each() {
		if err := w.runSpan(r, enc); err != nil {
			errs = append(errs, err)
			break
		}
	}
	return errors.Join(append(errs, enc.flush())...)
}

// appendSpans appends a message with a line of spans.
func appendSpans(b, line []byte, spans int) []byte {
	return append(binary.AppendUvarint(b, uint64(spans)), line...)
}

func parseSpans(b []byte) (spans int, line []byte, err error) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > batchSpans {
		return 0, nil, errors.New("it does not begin with a number of spans")
	}
	return int(n), b[size:], nil
}

func (w *workerRecorder) workerSpan() stub {
	return stub{
		Name: fmt.Sprintf("worker %d", w.cfg.Worker), SpanContext: w.self, Parent: w.parent,
		SpanKind: oteltrace.SpanKindInternal, StartTime: w.cfg.Epoch.time(w.started), EndTime: w.cfg.Epoch.time(core.Now()),
		Attributes: []attribute.KeyValue{keyWorkerIndex.Int(w.cfg.Worker), keyWorkerTasks.Int(w.records.n)},
	}
}

func (w *workerRecorder) runSpan(r *workerRecord, enc *lineEncoder) error {
	var room [4]recordedAttribute
	s := runSpan(room[:0], r.header.trace, r.header.task, w.names[r.task], r.header.number, w.cfg.Worker)
	s.from, s.to = int64(w.cfg.Epoch)+int64(r.started), int64(w.cfg.Epoch)+int64(r.ended)
	s.remote, s.kind = true, oteltrace.SpanKindConsumer
	// The worker, not the parent: a link to a span's own parent would turn that
	// into a "follows from" in Jaeger.
	s.link = w.self
	if r.err > 0 {
		s.err = w.errs[r.err-1]
	}
	return enc.add(&s)
}
