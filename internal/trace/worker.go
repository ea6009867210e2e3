package trace

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/f3f4c0de/harness"
)

// workerEnv tells a worker process that its trial is traced, and how.
const workerEnv = "HARNESS_TRACE"

// What a worker sends when it ends.
const (
	topicSpans = "spans"     // a TracesData message
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
	ids      ids
	started  harness.Stamp
	live     stash
	current  taskHeader
	way      crossing // of the current task
	records  []workerRecord

	mu       sync.Mutex
	incoming map[*harness.Call]crossing // decoded, not started
}

type workerRecord struct {
	task   string
	header taskHeader
	timing harness.Timing
	way    crossing
	err    string
}

// WorkerHooks returns the hooks with which a worker process of a traced trial
// records its tasks, and sends their spans to its parent when it ends. In any
// other process they are empty.
func WorkerHooks(ctx context.Context) (harness.WorkerHooks, error) {
	env := os.Getenv(workerEnv)
	if env == "" {
		return harness.WorkerHooks{}, nil
	}
	w := &workerRecorder{
		ids: newIDs(), started: harness.Now(), parent: parseTraceparent(os.Getenv("TRACEPARENT")),
		incoming: make(map[*harness.Call]crossing),
	}
	if err := json.Unmarshal([]byte(env), &w.cfg); err != nil {
		return harness.WorkerHooks{}, fmt.Errorf("%s: %w", workerEnv, err)
	}
	w.self = spanContext(w.parent.TraceID(), newSpanID())
	var err error
	if w.resource, err = w.cfg.Identity.resource(ctx); err != nil {
		return harness.WorkerHooks{}, err
	}
	propagate()
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithResource(w.resource), sdktrace.WithSpanProcessor(&w.live)))
	return harness.WorkerHooks{
		Observer: &harness.Observer{Start: w.start, End: w.end, Coded: w.coded},
		Exit:     w.exit,
	}, nil
}

// coded is called for an argument before start, beside other tasks, and for a
// result after end, before the next start.
func (w *workerRecorder) coded(c *harness.Call, what harness.Coding, began harness.Stamp) {
	now := harness.Now()
	switch {
	case what == harness.ArgumentDecoded:
		w.mu.Lock()
		defer w.mu.Unlock()
		w.incoming[c] = crossing{decoding: began, decoded: now}
	case len(w.records) > 0 && w.records[len(w.records)-1].header.number == c.Number:
		w.records[len(w.records)-1].way.note(what, began, now)
	}
}

func (w *workerRecorder) start(ctx context.Context, c *harness.Call) context.Context {
	w.mu.Lock()
	w.way = w.incoming[c]
	delete(w.incoming, c)
	w.mu.Unlock()
	h, ok := parseTaskHeader(harness.WorkerOf(ctx).Header)
	if !ok {
		return ctx // of the warm-up
	}
	c.Number, w.current = h.number, h
	return oteltrace.ContextWithSpanContext(ctx, spanContext(h.trace, w.ids.span(h.number, spanRun)))
}

func (w *workerRecorder) end(c *harness.Call, err error) {
	if c.Number == 0 {
		return
	}
	r := workerRecord{task: c.Task(), header: w.current, timing: c.Timing(), way: w.way}
	if err != nil {
		r.err = firstLine(err.Error())
	}
	w.records = append(w.records, r)
}

// exit makes the worker's spans and sends them.
func (w *workerRecorder) exit(send func(topic string, payload []byte) error) error {
	ctx := context.Background()
	exporter, err := otlptrace.New(ctx, pipeClient{send})
	if err != nil {
		return err
	}
	own := w.live.take()
	count, err := json.Marshal(len(own))
	if err != nil {
		return err
	}
	if err := send(topicOwn, count); err != nil {
		return err
	}
	for some := range slices.Chunk(w.records, crossingChunk) {
		var b []byte
		for _, r := range some {
			b = appendWorkerCrossing(b, r.header.number, &r.way)
		}
		if err := send(topicCrossings, b); err != nil {
			return err
		}
	}
	batch := append([]sdktrace.ReadOnlySpan{w.workerSpan()}, own...)
	for _, r := range w.records {
		if len(batch) >= batchSpans {
			if err := exporter.ExportSpans(ctx, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
		batch = append(batch, w.runSpan(r))
	}
	return exporter.ExportSpans(ctx, batch)
}

func (w *workerRecorder) workerSpan() sdktrace.ReadOnlySpan {
	return stub{
		Name: fmt.Sprintf("worker %d", w.cfg.Worker), SpanContext: w.self, Parent: w.parent,
		SpanKind: oteltrace.SpanKindInternal, StartTime: w.cfg.Epoch.time(w.started), EndTime: w.cfg.Epoch.time(harness.Now()),
		Attributes: []attribute.KeyValue{keyWorkerIndex.Int(w.cfg.Worker), keyWorkerTasks.Int(len(w.records))},
		Resource:   w.resource, InstrumentationScope: scope,
	}.Snapshot()
}

func (w *workerRecorder) runSpan(r workerRecord) sdktrace.ReadOnlySpan {
	s := stub{
		Name:        "run " + r.task,
		SpanContext: spanContext(r.header.trace, w.ids.span(r.header.number, spanRun)),
		Parent:      spanContext(r.header.trace, r.header.task).WithRemote(true),
		SpanKind:    oteltrace.SpanKindConsumer,
		StartTime:   w.cfg.Epoch.time(r.timing.Started),
		EndTime:     w.cfg.Epoch.time(r.timing.Ended),
		Attributes: []attribute.KeyValue{
			keyTaskName.String(r.task), keyTaskNumber.Int64(int64(r.header.number)), keyWorkerIndex.Int(w.cfg.Worker),
			profileID(spanContext(r.header.trace, w.ids.span(r.header.number, spanRun))),
		},
		// The worker, not the parent: a link to a span's own parent would
		// turn that into a "follows from" in Jaeger.
		Links:    []sdktrace.Link{{SpanContext: w.self}},
		Resource: w.resource, InstrumentationScope: scope,
	}
	if r.err != "" {
		s.Status = sdktrace.Status{Code: codes.Error, Description: r.err}
	}
	return s.Snapshot()
}

// A pipeClient is the exporter's way to the parent process.
type pipeClient struct {
	send func(topic string, payload []byte) error
}

func (pipeClient) Start(context.Context) error { return nil }
func (pipeClient) Stop(context.Context) error  { return nil }

func (p pipeClient) UploadTraces(_ context.Context, spans []*tracepb.ResourceSpans) error {
	b, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return err
	}
	return p.send(topicSpans, b)
}
