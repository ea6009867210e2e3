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
	"github.com/f3f4c0de/harness/internal/fault"
	"github.com/f3f4c0de/harness/internal/results"
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
	t.rootID = t.rootIDs.span(0, 0)
	propagate()
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithResource(res), sdktrace.WithSpanProcessor(&t.live)))
	return t, nil
}

// TraceID returns the id of the trial's trace.
func (t *Trial) TraceID() string { return t.traceID.String() }

// root returns the root span of part p of the trial.
func (t *Trial) root(part uint64) oteltrace.SpanContext {
	id := t.traceID
	if part > 0 {
		for i, b := range t.rootIDs.span(part, 1) {
			id[8+i] ^= b
		}
	}
	return spanContext(id, t.rootIDs.span(part, 0))
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
			return taskHeader{parent.TraceID(), t.ids.span(c.Number, spanTask), c.Number}.appendTo(b)
		},
		// The span of a task is made if somebody asks for it: few do.
		Value: func(c *core.Call, key any) any {
			if key != spanKey || c.Number == 0 {
				return nil
			}
			run := spanContext(t.parent(c.Context(), c.Number).TraceID(), t.ids.span(c.Number, spanRun))
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

// outcome is how a call ended that has an error. One that the function returned
// is its failure, whichever that is, unless the call was cancelled.
func outcome(c *core.Call, err error) string {
	var own *fault.TaskError
	if c.Cancelled() || !errors.As(err, &own) && errors.Is(err, context.DeadlineExceeded) {
		return "cancelled"
	}
	return "failed"
}

// parent returns the span that task n belongs to: that of the submitter's
// context. If it is the trial itself, the part that the task falls into.
func (t *Trial) parent(ctx context.Context, n uint64) oteltrace.SpanContext {
	if sc := oteltrace.SpanContextFromContext(ctx); sc.IsValid() && sc.SpanID() != t.rootID {
		return sc
	}
	return t.root((n - 1) / tasksPerTrace)
}

// parentOf returns the same of a call that is over.
func (t *Trial) parentOf(c call) oteltrace.SpanContext {
	if c.parent.IsValid() {
		return c.parent
	}
	return t.root((c.number - 1) / tasksPerTrace)
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
	ended := t.unstarted.records.n
	for i := range t.lists {
		ended += t.lists[i].records.n
	}
	own := t.live.take()
	parts := uint64(max(1, (ended+tasksPerTrace-1)/tasksPerTrace))

	// What there should be follows from what was counted while it happened,
	// not from the spans that are made below.
	counts := make(Counts)
	exits := t.exits()
	counts.add(trialProcess, int(parts)+len(exits)+len(own), 0)
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
	there := make(map[processKey]int)
	for c := range t.calls() {
		atHome, away := expectedSpans(c.timing())
		counts.add(trialProcess, atHome, 0)
		if away > 0 {
			there[processKey{int(c.worker), int(c.pid)}] += away
		}
	}
	for key, n := range there {
		counts.add(cmp.Or(names[key], WorkerName(key.worker, 0)), n, 0)
	}
	if n := int(t.submitted.n.Load()); n != ended {
		errs = append(errs, fmt.Errorf("%d tasks were submitted and %d ended", n, ended))
	}

	enc, err := newLineEncoder(ctx, t.resource, t.emit)
	if err != nil {
		return counts, errors.Join(append(errs, err)...)
	}
	var others []stub
	for p := range parts {
		if others = append(others, t.rootSpan(p, parts, wallNS, cpuNS, failure)); len(others) == batchSpans {
			errs = append(errs, enc.exportStubs(ctx, others...))
			others = others[:0]
		}
	}
	for _, p := range t.processes {
		if p.ended {
			others = append(others, t.spawnSpan(p))
		}
	}
	for batch := range slices.Chunk(others, batchSpans) {
		errs = append(errs, enc.exportStubs(ctx, batch...))
	}
	for c := range t.calls() {
		if err := t.taskSpans(c, enc); err != nil {
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

// calls yields the calls that are over, by worker.
func (t *Trial) calls() iter.Seq[call] {
	return func(yield func(call) bool) {
		for c := range t.unstarted.all() {
			if !yield(c) {
				return
			}
		}
		for i := range t.lists {
			for c := range t.lists[i].all() {
				if !yield(c) {
					return
				}
			}
		}
	}
}

// trialProcess is what the spans of the process that submits are counted under.
const trialProcess = "trial"

// expectedSpans counts the spans of a task by the stations that it passed:
// those that are made in this process, and in the worker's.
func expectedSpans(tm core.Timing) (here, there int) {
	switch {
	case tm.Sent == 0:
		return 1, 0 // task
	case tm.Started == 0:
		return 2, 0 // task, queue
	case !crossed(tm):
		return 3, 0 // task, queue, run
	case !core.StampsCompare:
		return 2, 1
	}
	return 4, 1 // task, queue, ipc send, ipc receive; run
}

// crossed reports whether the task ran in another process.
func crossed(tm core.Timing) bool { return tm.PID != ownPID }

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
		SpanContext: spanContext(t.traceID, t.spawnIDs.span(e.number, 0)),
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

// taskSpans makes the spans of one task that belong to this process, its own
// last.
func (t *Trial) taskSpans(c call, enc *lineEncoder) error {
	tm := c.timing()
	parent := t.parentOf(c)
	id := func(k uint64) oteltrace.SpanID { return t.ids.span(c.number, k) }
	at := func(s core.Stamp) int64 { return int64(t.cfg.Epoch) + int64(s) }
	var room [6]recordedAttribute
	task := recorded{
		trace: parent.TraceID(), id: id(spanTask), parent: parent.SpanID(), remote: parent.IsRemote(),
		prefix: "task ", task: c.name, kind: oteltrace.SpanKindInternal, err: c.err,
		from: at(tm.Submitted), to: at(max(tm.Received, tm.Sent, tm.Submitted)),
		attributes: append(room[:0], recordedAttribute{key: keyTaskName, s: c.name}, recordedAttribute{key: keyTaskNumber, n: int64(c.number)}),
	}
	if tm.Sent == 0 {
		return enc.add(&task)
	}
	number := func(key attribute.Key, n int64) {
		task.attributes = append(task.attributes, recordedAttribute{key: key, n: n})
	}
	number(keyTaskQueueNS, int64(tm.Queue()))
	number(keyWorkerIndex, int64(tm.Worker))
	child := func(k uint64, name string, from, to core.Stamp) error {
		return enc.add(&recorded{trace: task.trace, id: id(k), parent: task.id, prefix: name, kind: oteltrace.SpanKindInternal, from: at(from), to: at(max(from, to))})
	}
	err := child(spanQueue, "queue", tm.Submitted, tm.Sent)
	switch {
	case tm.Started == 0: // it was lost or could not be encoded
	case crossed(tm):
		task.kind = oteltrace.SpanKindProducer
		number(keyTaskRunNS, int64(tm.Run()))
		number(keyTaskIPCNS, int64(tm.IPC()))
		if core.StampsCompare {
			err = errors.Join(err, child(spanSend, "ipc send", tm.Sent, tm.Started), child(spanReceive, "ipc receive", tm.Ended, tm.Received))
		}
	default:
		number(keyTaskRunNS, int64(tm.Run()))
		run := id(spanRun)
		var room [4]recordedAttribute
		err = errors.Join(err, enc.add(&recorded{
			trace: task.trace, id: run, parent: task.id, prefix: "run ", task: c.name, kind: oteltrace.SpanKindInternal,
			from: at(tm.Started), to: at(tm.Ended), err: c.err, attributes: runAttributes(room[:0], c.name, c.number, tm.Worker, run),
		}))
	}
	return errors.Join(err, enc.add(&task))
}

// runAttributes appends those of the span of a task's function.
func runAttributes(to []recordedAttribute, task string, number uint64, worker int, self oteltrace.SpanID) []recordedAttribute {
	return append(to,
		recordedAttribute{key: keyTaskName, s: task}, recordedAttribute{key: keyTaskNumber, n: int64(number)},
		recordedAttribute{key: keyWorkerIndex, n: int64(worker)}, recordedAttribute{key: keyProfileID, id: self},
	)
}

// Tasks returns the tasks that ran, in the order of submission, of the first
// most that were submitted, for the records of the run. It is called when the
// executor has been closed.
func (t *Trial) Tasks(most int) []results.LaneTask {
	var tasks []results.LaneTask
	since := func(s core.Stamp) int64 {
		if s == 0 {
			return 0
		}
		return int64(s - t.began)
	}
	for c := range t.calls() {
		tm := c.timing()
		if tm.Started == 0 || c.number > uint64(most) {
			continue
		}
		l := results.LaneTask{
			Task: c.name, Worker: tm.Worker, SpanID: t.ids.span(c.number, spanTask).String(), Number: c.number, PID: tm.PID,
			Outcome: c.outcome, SubmittedNS: since(tm.Submitted), StartedNS: since(tm.Started), EndedNS: since(tm.Ended), ReceivedNS: since(tm.Received),
		}
		if crossed(tm) {
			c := t.crossings.at(c.number)
			// An argument that was encoded apart waited afterwards: that counts as
			// time in the queue, so that encoding ends when it is sent.
			sent := max(tm.Sent, c.sent)
			l.EncodingNS, l.SentNS, l.DecodingNS, l.DecodedNS = since(sent-(c.sent-c.encoding)), since(sent), since(c.decoding), since(c.decoded)
			l.EncodedNS, l.ArrivedNS = since(c.encoded), since(c.arrived)
		}
		tasks = append(tasks, l)
	}
	slices.SortFunc(tasks, func(a, b results.LaneTask) int { return cmp.Compare(a.Number, b.Number) })
	return tasks
}

// Submitted returns how many tasks were submitted since Begin.
func (t *Trial) Submitted() int { return int(t.submitted.n.Load()) }

// Began returns the begin of the measured part.
func (t *Trial) Began() core.Stamp { return t.began }
