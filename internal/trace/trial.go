package trace

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/f3f4c0de/harness/internal/core"
)

// tasksPerTrace bounds a trace: five spans a task make about 5,000, beyond
// which Jaeger's page becomes slow. The tasks of a larger trial go on in
// further traces, each with a root span of its own.
const tasksPerTrace = 1000

// A TrialConfig describes a traced trial.
type TrialConfig struct {
	Identity   Identity
	Epoch      Epoch
	Cell       string // traceparent of the cell's span
	CellID     string
	Workload   string
	Backend    string
	Workers    int
	GOMAXPROCS int

	// Writer gets the spans, those of worker processes when they come, which is
	// when a worker ends. It must be open until Export has returned. Nil throws
	// them away.
	Writer *Writer
}

// A Trial records the tasks of one trial, in the process that submits them.
// Its observers are safe for concurrent use.
type Trial struct {
	cfg      TrialConfig
	resource *resource.Resource
	ids      ids
	rootIDs  ids
	spawnIDs ids
	traceID  oteltrace.TraceID
	rootID   oteltrace.SpanID // of the trial's span
	started  core.Stamp
	began    core.Stamp // of the measured part
	live     stash

	recording atomic.Bool
	submitted padded
	lists     []recordList // by worker
	unstarted recordList   // calls that never got to a worker
	crossings crossings    // what is known of calls that go to other processes

	mu        sync.Mutex
	processes []*process       // in the order in which they were started
	current   map[int]*process // of each worker, the latest: it has one at a time
	errs      []error
}

// NewTrial starts recording a trial; nothing is kept before Begin. Spans that
// the program itself starts through the global TracerProvider are kept too.
func NewTrial(ctx context.Context, cfg TrialConfig) (*Trial, error) {
	res, err := cfg.Identity.resource(ctx)
	if err != nil {
		return nil, err
	}
	t := &Trial{
		cfg: cfg, resource: res, started: core.Now(),
		ids: newIDs(), rootIDs: newIDs(), spawnIDs: newIDs(), traceID: newTraceID(),
		lists: make([]recordList, cfg.Workers), current: make(map[int]*process),
	}
	t.rootID = t.rootIDs.span(0)
	if err := propagate(); err != nil {
		return nil, err
	}
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithResource(res), sdktrace.WithSpanProcessor(&t.live)))
	return t, nil
}

// TraceID returns the id of the trial's trace.
func (t *Trial) TraceID() string { return t.traceID.String() }

// root returns the root span of part p of the trial.
func (t *Trial) root(part uint64) oteltrace.SpanContext {
	id := t.traceID
	if part > 0 {
		for i, b := range below(t.rootIDs.span(part), 1) {
			id[8+i] ^= b
		}
	}
	return spanContext(id, t.rootIDs.span(part))
}

// Context returns the context that the program runs with: its own spans become
// children of the trial.
func (t *Trial) Context(ctx context.Context) context.Context {
	return oteltrace.ContextWithSpanContext(ctx, t.root(0))
}

// reserved is for how many tasks of each worker there is room from the begin. It
// spares most trials the garbage and the page faults of recording.
const reserved = 8 * recordChunk

// Begin marks the begin of the measured part. Calls that are submitted from
// now on are recorded.
func (t *Trial) Begin() {
	for i := range t.lists {
		t.lists[i].records.reserve(reserved)
	}
	t.began = core.Now()
	t.recording.Store(true)
}

// Observer returns what the executor is opened with.
func (t *Trial) Observer() *core.Observer {
	return &core.Observer{
		Submit: func(c *core.Call) {
			if t.recording.Load() {
				c.Number = t.submitted.n.Add(1)
			}
		},
		Header: func(b []byte, c *core.Call) []byte {
			if c.Number == 0 {
				return b
			}
			parent := t.parent(c.Context(), c.Number)
			return taskHeader{parent.TraceID(), t.ids.span(c.Number), c.Number}.appendTo(b)
		},
		// The span of a task is made if somebody asks for it: few do.
		Value: func(c *core.Call, key any) any {
			if key != spanKey || c.Number == 0 {
				return nil
			}
			run := spanContext(t.parent(c.Context(), c.Number).TraceID(), below(t.ids.span(c.Number), spanRun))
			return oteltrace.SpanFromContext(oteltrace.ContextWithSpanContext(context.Background(), run))
		},
		End: func(c *core.Call, err error) {
			if c.Number == 0 {
				return
			}
			var x extra
			if sc := oteltrace.SpanContextFromContext(c.Context()); sc.IsValid() && sc.SpanID() != t.rootID {
				x.parent = sc
			}
			if err != nil {
				x.err, x.outcome = firstLine(err.Error()), outcome(c, err)
			}
			tm := c.Timing()
			list := &t.unstarted
			if tm.PID != 0 {
				list = &t.lists[tm.Worker%len(t.lists)] // the executor may have been given more
			}
			list.add(c.Task(), tm, c.Number, x)
		},
		Coded: func(c *core.Call, what core.Coding, began core.Stamp) {
			if c.Number != 0 {
				t.crossings.at(c.Number).note(what, began, core.Now())
			}
		},
	}
}

// parent returns the span that task n belongs to: that of the submitter's
// context. If it is the trial itself, the part that the task falls into.
func (t *Trial) parent(ctx context.Context, n uint64) oteltrace.SpanContext {
	if sc := oteltrace.SpanContextFromContext(ctx); sc.IsValid() && sc.SpanID() != t.rootID {
		return sc
	}
	return t.root((n - 1) / tasksPerTrace)
}

func (t *Trial) emit(line []byte, spans int) error {
	if t.cfg.Writer == nil {
		return nil
	}
	return t.cfg.Writer.emit(line, spans)
}

func (t *Trial) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.errs = append(t.errs, err)
}

// Export makes the spans of the trial and writes them. It is called once, when
// the executor has been closed. failure is the trial's own error, if any. What
// it needs of memory does not depend on how many there are. With an error it has
// written what could be written.
func (t *Trial) Export(ctx context.Context, wallNS, cpuNS int64, failure error) (Counts, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	errs := slices.Clone(t.errs)
	ended := t.ended()
	own := t.live.take()
	parts := uint64(max(1, (ended+tasksPerTrace-1)/tasksPerTrace))
	counts := t.expected()
	counts.add(trialProcess, int(parts)+len(own), 0)
	if n := int(t.submitted.n.Load()); n != ended {
		errs = append(errs, fmt.Errorf("%d tasks were submitted and %d ended", n, ended))
	}
	enc, err := newLineEncoder(ctx, t.resource, t.emit)
	if err != nil {
		return counts, errors.Join(append(errs, err)...)
	}
	for part := range parts {
		errs = append(errs, enc.addStub(ctx, t.rootSpan(part, parts, wallNS, cpuNS, failure)))
	}
	for _, p := range t.processes {
		if p.ended {
			errs = append(errs, enc.addStub(ctx, t.spawnSpan(p)))
		}
	}
	errs = append(errs, enc.flushStubs(ctx))
	for task := range t.tasks() {
		if err := task.spans(enc, t.cfg.Epoch); err != nil {
			errs = append(errs, err)
			break
		}
	}
	errs = append(errs, enc.flush())
	for batch := range slices.Chunk(own, batchSpans) {
		errs = append(errs, enc.export(ctx, batch))
	}
	counts.add(trialProcess, 0, enc.total)
	return counts, errors.Join(errs...)
}

// expected counts the spans that there should be of tasks and worker processes. It
// follows from what was counted while it happened, not from the spans that are
// made.
func (t *Trial) expected() Counts {
	counts := make(Counts)
	exits := t.exits()
	counts.add(trialProcess, len(exits), 0)
	names := make(map[processKey]string)
	for _, e := range exits { // a process id that was used again counts for the last
		names[processKey{e.Worker, e.PID}] = e.Name
	}
	for _, p := range t.processes {
		if !p.ended {
			continue // it never was a worker
		}
		name := names[p.key()]
		counts.add(name, 1+p.count.Expected, p.count.Exported) // 1 is the worker's own
		if p.Code != 0 {
			n := counts[name]
			n.Lost = p.Cause
			counts[name] = n
		}
	}
	here, there := 0, make(map[processKey]int)
	for task := range t.tasks() {
		atHome, away := task.expected()
		here += atHome
		if away > 0 {
			there[processKey{task.Worker, task.PID}] += away
		}
	}
	counts.add(trialProcess, here, 0)
	for key, n := range there {
		counts.add(cmp.Or(names[key], WorkerName(key.worker, 0)), n, 0)
	}
	return counts
}

// ended counts the calls that are over.
func (t *Trial) ended() (n int) {
	for l := range t.allLists() {
		n += l.records.n
	}
	return n
}

// allLists yields the lists of records: of calls that never got to a worker, and of
// each worker.
func (t *Trial) allLists() iter.Seq[*recordList] {
	return func(yield func(*recordList) bool) {
		if !yield(&t.unstarted) {
			return
		}
		for i := range t.lists {
			if !yield(&t.lists[i]) {
				return
			}
		}
	}
}

// trialProcess is what the spans of the process that submits are counted under.
const trialProcess = "trial"

var ownPID = os.Getpid()

func (t *Trial) rootSpan(part, parts uint64, wallNS, cpuNS int64, failure error) stub {
	s := stub{
		Name:        "trial " + t.cfg.CellID,
		SpanContext: t.root(part),
		SpanKind:    oteltrace.SpanKindInternal,
		StartTime:   t.cfg.Epoch.time(t.started),
		EndTime:     t.cfg.Epoch.time(core.Now()),
		Attributes: []attribute.KeyValue{
			keyRunID.String(t.cfg.Identity.RunID), keyCellID.String(t.cfg.CellID), keyWorkload.String(t.cfg.Workload),
			keyBackend.String(t.cfg.Backend), keyWorkers.Int(t.cfg.Workers), keyGOMAXPROCS.Int(t.cfg.GOMAXPROCS),
			keyTrialKind.String("traced"), keyWallNS.Int64(wallNS), keyCPUNS.Int64(cpuNS),
			profileID(t.root(part)),
		},
	}
	if parts > 1 {
		s.Attributes = append(s.Attributes, keyTrialPart.Int64(int64(part)))
	}
	if t.began != 0 {
		began := t.cfg.Epoch.time(t.began)
		s.Events = []sdktrace.Event{
			{Name: "measured part begins", Time: began},
			{Name: "measured part ends", Time: t.cfg.Epoch.time(t.began + core.Stamp(wallNS))},
		}
	}
	if cell := parseTraceparent(t.cfg.Cell); cell.IsValid() {
		s.Links = append(s.Links, sdktrace.Link{SpanContext: cell})
	}
	if part > 0 {
		s.Links = append(s.Links, sdktrace.Link{SpanContext: t.root(0)})
	}
	if failure != nil {
		s.Status = sdktrace.Status{Code: codes.Error, Description: firstLine(failure.Error())}
	}
	return s
}

// spawnSpan is the life of a worker process as its parent sees it.
func (t *Trial) spawnSpan(e *process) stub {
	s := stub{
		Name:        fmt.Sprintf("spawn worker %d", e.Worker),
		SpanContext: spanContext(t.traceID, t.spawnIDs.span(e.number)),
		Parent:      t.root(0),
		SpanKind:    oteltrace.SpanKindClient,
		StartTime:   t.cfg.Epoch.time(e.Started),
		EndTime:     t.cfg.Epoch.time(e.Ended),
		Attributes:  []attribute.KeyValue{keyWorkerIndex.Int(e.Worker), semconv.ProcessPID(e.PID), semconv.ProcessExitCode(e.Code)},
		Events:      []sdktrace.Event{{Name: "ready", Time: t.cfg.Epoch.time(e.Ready)}},
	}
	if e.Code != 0 {
		s.Status = sdktrace.Status{Code: codes.Error, Description: e.Cause}
	}
	return s
}

// Submitted returns how many tasks were submitted since Begin.
func (t *Trial) Submitted() int { return int(t.submitted.n.Load()) }

// Began returns the begin of the measured part.
func (t *Trial) Began() core.Stamp { return t.began }
