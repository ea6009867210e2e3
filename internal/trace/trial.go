package trace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
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
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/f3f4c0de/harness"
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
	started  harness.Stamp
	began    harness.Stamp // of the measured part
	live     stash

	recording atomic.Bool
	submitted atomic.Uint64
	lists     []recordList // by worker
	unstarted recordList   // calls that never got to a worker
	crossings crossings    // what is known of calls that go to other processes

	mu        sync.Mutex
	spawned   uint64           // processes
	spawning  map[int][]uint64 // of each worker, those that have not exited
	processes []process
	remote    []*tracepb.ResourceSpans // as the workers sent them
	counts    Counts                   // of the workers: what they sent, and what their tasks started
	errs      []error
}

// A process is a worker process that has ended.
type process struct {
	harness.ProcessExit
	number uint64 // among those of the trial; a worker may have several
}

// A recordList is what one worker did.
type recordList struct {
	mu      sync.Mutex
	records []record
	_       [64]byte // the next worker's is on another cache line
}

// A record is one call that is over.
type record struct {
	number uint64
	task   string
	parent oteltrace.SpanContext
	timing harness.Timing
	err    string
	ended  string // how, as LaneTask.Outcome
}

// NewTrial starts recording a trial; nothing is kept before Begin. Spans that
// the program itself starts through the global TracerProvider are kept too.
func NewTrial(ctx context.Context, cfg TrialConfig) (*Trial, error) {
	res, err := cfg.Identity.resource(ctx)
	if err != nil {
		return nil, err
	}
	t := &Trial{
		cfg: cfg, resource: res, started: harness.Now(),
		ids: newIDs(), rootIDs: newIDs(), spawnIDs: newIDs(), traceID: newTraceID(),
		lists: make([]recordList, cfg.Workers), spawning: make(map[int][]uint64), counts: make(Counts),
	}
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

// Begin marks the begin of the measured part. Calls that are submitted from
// now on are recorded.
func (t *Trial) Begin() {
	t.began = harness.Now()
	t.recording.Store(true)
}

// Observer returns what the executor is opened with.
func (t *Trial) Observer() *harness.Observer {
	return &harness.Observer{
		Submit: func(c *harness.Call) {
			if t.recording.Load() {
				c.Number = t.submitted.Add(1)
			}
		},
		Header: func(b []byte, c *harness.Call) []byte {
			if c.Number == 0 {
				return b
			}
			parent := t.parent(c.Context(), c.Number)
			return taskHeader{parent.TraceID(), t.ids.span(c.Number, spanTask), c.Number}.appendTo(b)
		},
		Start: func(ctx context.Context, c *harness.Call) context.Context {
			if c.Number == 0 {
				return ctx
			}
			parent := t.parent(ctx, c.Number)
			return oteltrace.ContextWithSpanContext(ctx, spanContext(parent.TraceID(), t.ids.span(c.Number, spanRun)))
		},
		End: func(c *harness.Call, err error) {
			if c.Number == 0 {
				return
			}
			r := record{number: c.Number, task: c.Task(), parent: t.parent(c.Context(), c.Number), timing: c.Timing()}
			if err != nil {
				r.err, r.ended = firstLine(err.Error()), outcome(err)
			}
			list := &t.unstarted
			if r.timing.PID != 0 {
				list = &t.lists[r.timing.Worker]
			}
			list.mu.Lock()
			list.records = append(list.records, r)
			list.mu.Unlock()
		},
		Coded: func(c *harness.Call, what harness.Coding, began harness.Stamp) {
			if c.Number != 0 {
				t.crossings.at(c.Number).note(what, began, harness.Now())
			}
		},
	}
}

// outcome is how a task with that error ended.
func outcome(err error) string {
	if errors.Is(err, harness.ErrCancelled) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return "cancelled"
	}
	return "failed"
}

// parent returns the span that task n belongs to: that of the submitter's
// context. If it is the trial itself, the part that the task falls into.
func (t *Trial) parent(ctx context.Context, n uint64) oteltrace.SpanContext {
	sc := oteltrace.SpanContextFromContext(ctx)
	if root := t.root(0); !sc.IsValid() || sc.SpanID() == root.SpanID() {
		if part := (n - 1) / tasksPerTrace; part > 0 {
			return t.root(part)
		}
		return root
	}
	return sc
}

// Processes returns what a backend with worker processes is opened with.
func (t *Trial) Processes() *harness.ProcessObserver {
	return &harness.ProcessObserver{
		Spawning: func(worker int) []string {
			id := t.cfg.Identity
			id.Role = "worker"
			env, err := json.Marshal(workerConfig{Identity: id, Epoch: t.cfg.Epoch, Worker: worker})
			if err != nil {
				t.fail(err)
			}
			t.mu.Lock()
			number := t.spawned
			t.spawned++
			t.spawning[worker] = append(t.spawning[worker], number)
			t.mu.Unlock()
			sc := spanContext(t.traceID, t.spawnIDs.span(number, 0))
			return []string{workerEnv + "=" + string(env), "TRACEPARENT=" + traceparent(sc)}
		},
		Message: func(worker int, topic string, payload []byte) {
			if err := t.message(workerName(worker), topic, payload); err != nil {
				t.fail(fmt.Errorf("message %q of worker %d: %w", topic, worker, err))
			}
		},
		Exited: func(e harness.ProcessExit) {
			t.mu.Lock()
			defer t.mu.Unlock()
			p := process{ProcessExit: e}
			if waiting := t.spawning[e.Worker]; len(waiting) > 0 {
				p.number, t.spawning[e.Worker] = waiting[0], waiting[1:]
			}
			t.processes = append(t.processes, p)
		},
	}
}

// workerName is what a worker's processes are counted under.
func workerName(worker int) string { return fmt.Sprintf("worker-%d", worker) }

func (t *Trial) message(from, topic string, payload []byte) error {
	switch topic {
	case topicSpans:
		var data tracepb.TracesData
		if err := proto.Unmarshal(payload, &data); err != nil {
			return err
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		t.remote = append(t.remote, data.ResourceSpans...)
		for _, rs := range data.ResourceSpans {
			t.counts.add(from, 0, countSpans(rs))
		}
	case topicOwn:
		var own int
		if err := json.Unmarshal(payload, &own); err != nil {
			return err
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		t.counts.add(from, own, 0)
	case topicCrossings:
		for len(payload) > 0 {
			n, there, err := parseWorkerCrossing(payload)
			if err != nil {
				return err
			}
			payload = payload[workerCrossingBytes:]
			c := t.crossings.at(n)
			c.decoding, c.decoded, c.encoded = there.decoding, there.decoded, there.encoded
		}
	default:
		return errors.New("unknown topic")
	}
	return nil
}

func (t *Trial) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.errs = append(t.errs, err)
}

// A Count compares the spans there should be with those that were written.
type Count struct{ Expected, Exported int }

// Counts are those of each process: "trial", "worker-0" and so on.
type Counts map[string]Count

func (c Counts) add(process string, expected, exported int) {
	n := c[process]
	c[process] = Count{n.Expected + expected, n.Exported + exported}
}

// Total adds them up.
func (c Counts) Total() (sum Count) {
	for _, n := range c {
		sum.Expected += n.Expected
		sum.Exported += n.Exported
	}
	return sum
}

// Err reports a difference.
func (c Counts) Err() error {
	var errs []error
	for _, process := range slices.Sorted(maps.Keys(c)) {
		if n := c[process]; n.Expected != n.Exported {
			errs = append(errs, fmt.Errorf("%d spans of %s were expected and %d were exported", n.Expected, process, n.Exported))
		}
	}
	return errors.Join(errs...)
}

// Export makes the spans of the trial and writes them to w. It is called once,
// when the executor has been closed. failure is the trial's own error, if any.
func (t *Trial) Export(ctx context.Context, w *Writer, wallNS, cpuNS int64, failure error) (Counts, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := errors.Join(t.errs...); err != nil {
		return nil, err
	}
	records := t.records()
	own := t.live.take()
	parts := uint64(max(1, (len(records)+tasksPerTrace-1)/tasksPerTrace))

	// What there should be follows from what was counted while it happened,
	// not from the spans that are made below.
	counts := t.counts
	counts.add(trialProcess, int(parts)+len(t.processes)+len(own), 0)
	for _, p := range t.processes {
		counts.add(workerName(p.Worker), 1, 0) // the worker's own
	}
	for _, r := range records {
		here, there := expectedSpans(r.timing)
		counts.add(trialProcess, here, 0)
		if there > 0 {
			counts.add(workerName(r.timing.Worker), there, 0)
		}
	}
	var errs []error
	if n := int(t.submitted.Load()); n != len(records) {
		errs = append(errs, fmt.Errorf("%d tasks were submitted and %d ended", n, len(records)))
	}

	before := w.spans
	batch := make([]sdktrace.ReadOnlySpan, 0, batchSpans)
	flush := func() {
		errs = append(errs, w.export(ctx, batch))
		batch = batch[:0]
	}
	add := func(s stub) {
		s.Resource, s.InstrumentationScope = t.resource, scope
		if batch = append(batch, s.Snapshot()); len(batch) == batchSpans {
			flush()
		}
	}
	for p := range parts {
		add(t.rootSpan(p, parts, wallNS, cpuNS, failure))
	}
	for _, e := range t.processes {
		add(t.spawnSpan(e))
	}
	for _, r := range records {
		t.taskSpans(r, add)
	}
	for _, s := range own {
		if batch = append(batch, s); len(batch) == batchSpans {
			flush()
		}
	}
	flush()
	counts.add(trialProcess, 0, w.spans-before)
	for _, rs := range t.remote {
		errs = append(errs, w.upload(ctx, rs))
	}
	return counts, errors.Join(errs...)
}

// trialProcess is what the spans of the process that submits are counted under.
const trialProcess = "trial"

// records returns all records in the order of submission.
func (t *Trial) records() []record {
	all := slices.Clone(t.unstarted.records)
	for i := range t.lists {
		all = append(all, t.lists[i].records...)
	}
	slices.SortFunc(all, func(a, b record) int { return int(a.number) - int(b.number) })
	return all
}

// expectedSpans counts the spans of a task by the stations that it passed:
// those that are made in this process, and in the worker's.
func expectedSpans(tm harness.Timing) (here, there int) {
	switch {
	case tm.Sent == 0:
		return 1, 0 // task
	case tm.Started == 0:
		return 2, 0 // task, queue
	case !crossed(tm):
		return 3, 0 // task, queue, run
	case !harness.StampsCompare:
		return 2, 1
	}
	return 4, 1 // task, queue, ipc send, ipc receive; run
}

// crossed reports whether the task ran in another process.
func crossed(tm harness.Timing) bool { return tm.PID != os.Getpid() }

func (t *Trial) rootSpan(part, parts uint64, wallNS, cpuNS int64, failure error) stub {
	s := stub{
		Name:        "trial " + t.cfg.CellID,
		SpanContext: t.root(part),
		SpanKind:    oteltrace.SpanKindInternal,
		StartTime:   t.cfg.Epoch.time(t.started),
		EndTime:     t.cfg.Epoch.time(harness.Now()),
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
			{Name: "measured part ends", Time: t.cfg.Epoch.time(t.began + harness.Stamp(wallNS))},
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
func (t *Trial) spawnSpan(e process) stub {
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

// taskSpans makes the spans of one task that belong to this process.
func (t *Trial) taskSpans(r record, add func(stub)) {
	tm := r.timing
	id := func(k uint64) oteltrace.SpanContext {
		return spanContext(r.parent.TraceID(), t.ids.span(r.number, k))
	}
	at := t.cfg.Epoch.time
	task := stub{
		Name:        "task " + r.task,
		SpanContext: id(spanTask),
		Parent:      r.parent,
		SpanKind:    oteltrace.SpanKindInternal,
		StartTime:   at(tm.Submitted),
		EndTime:     at(max(tm.Received, tm.Sent, tm.Submitted)),
		Attributes:  []attribute.KeyValue{keyTaskName.String(r.task), keyTaskNumber.Int64(int64(r.number))},
	}
	if r.err != "" {
		task.Status = sdktrace.Status{Code: codes.Error, Description: r.err}
	}
	if tm.Sent == 0 {
		add(task)
		return
	}
	task.Attributes = append(task.Attributes, keyTaskQueueNS.Int64(int64(tm.Queue())), keyWorkerIndex.Int(tm.Worker))
	child := func(k uint64, name string, from, to harness.Stamp) {
		add(stub{Name: name, SpanContext: id(k), Parent: task.SpanContext, SpanKind: oteltrace.SpanKindInternal, StartTime: at(from), EndTime: at(max(from, to))})
	}
	child(spanQueue, "queue", tm.Submitted, tm.Sent)
	switch {
	case tm.Started == 0: // it was lost or could not be encoded
	case crossed(tm):
		task.SpanKind = oteltrace.SpanKindProducer
		task.Attributes = append(task.Attributes, keyTaskRunNS.Int64(int64(tm.Run())), keyTaskIPCNS.Int64(int64(tm.IPC())))
		if harness.StampsCompare {
			child(spanSend, "ipc send", tm.Sent, tm.Started)
			child(spanReceive, "ipc receive", tm.Ended, tm.Received)
		}
	default:
		task.Attributes = append(task.Attributes, keyTaskRunNS.Int64(int64(tm.Run())))
		add(stub{
			Name: "run " + r.task, SpanContext: id(spanRun), Parent: task.SpanContext, SpanKind: oteltrace.SpanKindInternal,
			StartTime: at(tm.Started), EndTime: at(tm.Ended), Status: task.Status,
			Attributes: []attribute.KeyValue{
				keyTaskName.String(r.task), keyTaskNumber.Int64(int64(r.number)), keyWorkerIndex.Int(tm.Worker), profileID(id(spanRun)),
			},
		})
	}
	add(task)
}

// Tasks returns the tasks that ran, in the order of submission, for the records
// of the run. It is called when the executor has been closed.
func (t *Trial) Tasks() []results.LaneTask {
	var tasks []results.LaneTask
	since := func(s harness.Stamp) int64 {
		if s == 0 {
			return 0
		}
		return int64(s - t.began)
	}
	for _, r := range t.records() {
		tm := r.timing
		if tm.Started == 0 {
			continue
		}
		l := results.LaneTask{
			Task: r.task, Worker: tm.Worker, SpanID: t.ids.span(r.number, spanTask).String(), Number: r.number, PID: tm.PID,
			Outcome: r.ended, SubmittedNS: since(tm.Submitted), StartedNS: since(tm.Started), EndedNS: since(tm.Ended), ReceivedNS: since(tm.Received),
		}
		if crossed(tm) {
			c := t.crossings.at(r.number)
			l.EncodingNS, l.SentNS, l.DecodingNS, l.DecodedNS = since(c.encoding), since(max(tm.Sent, c.sent)), since(c.decoding), since(c.decoded)
			l.EncodedNS, l.ArrivedNS = since(c.encoded), since(c.arrived)
		}
		tasks = append(tasks, l)
	}
	return tasks
}

// Began returns the begin of the measured part.
func (t *Trial) Began() harness.Stamp { return t.began }
