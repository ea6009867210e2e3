package trace

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/fault"
	"github.com/f3f4c0de/harness/internal/results"
)

// A task is a call that is over, with what its spans need beside its record.
type task struct {
	results.TaskRecord
	began  core.Stamp // of the measured part
	id     oteltrace.SpanID
	parent oteltrace.SpanContext
	nested bool // parent is not one of the trial's own spans
}

// tasks yields the tasks whose calls are over, by worker, in the order in which
// they ended. Each is valid until the next. Their records do not name spans; see
// [task.named].
func (t *Trial) tasks() iter.Seq[*task] {
	return func(yield func(*task) bool) {
		var of task
		for l := range t.allLists() {
			for r := range l.records.each() {
				var x extra
				if r.more > 0 {
					x = l.extras[r.more-1]
				}
				t.fill(&of, r, l.names[r.task], x)
				if !yield(&of) {
					return
				}
			}
		}
	}
}

// fill makes a task of a record: the one place where a task's stamps become its
// moments.
func (t *Trial) fill(of *task, r *record, name string, x extra) {
	since := func(s core.Stamp) int64 {
		if s == 0 {
			return 0
		}
		return cmp.Or(int64(s-t.began), 1) // 0 is a moment that was not reached
	}
	*of = task{began: t.began, id: t.ids.span(r.number), parent: x.parent, TaskRecord: results.TaskRecord{
		Number: r.number, Task: name, Worker: int(r.worker), PID: int(r.pid), Outcome: x.outcome, Error: x.err,
		SubmittedNS: since(r.submitted), StartedNS: since(r.started), EndedNS: since(r.ended), ReceivedNS: since(r.received),
	}}
	if of.nested = of.parent.IsValid(); !of.nested {
		of.parent = t.root((r.number - 1) / tasksPerTrace)
	}
	if r.pid == int32(ownPID) || r.sent == 0 {
		return
	}
	// An argument that was encoded apart waited afterwards: that counts as time in
	// the queue, so that encoding ends when it is sent.
	c := t.crossings.at(r.number)
	sent := max(r.sent, c.sent)
	of.SentNS, of.EncodingNS = since(sent), since(sent-(c.sent-c.encoding))
	of.DecodingNS, of.DecodedNS, of.EncodedNS, of.ArrivedNS = since(c.decoding), since(c.decoded), since(c.encoded), since(c.arrived)
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

// Tasks returns the tasks that ran, in the order of submission, of the first
// most that were submitted, for the records of the run. It is called when the
// executor has been closed.
func (t *Trial) Tasks(most int) []results.TaskRecord {
	var all []results.TaskRecord
	for task := range t.tasks() {
		if task.StartedNS != 0 && task.Number <= uint64(most) {
			all = append(all, task.named(t.traceID))
		}
	}
	slices.SortFunc(all, func(a, b results.TaskRecord) int { return cmp.Compare(a.Number, b.Number) })
	return all
}

// named returns the record with the ids of the task's spans.
func (t *task) named(trial oteltrace.TraceID) results.TaskRecord {
	r := t.TaskRecord
	r.SpanID, r.RunSpanID = t.id.String(), below(t.id, spanRun).String()
	if t.parent.TraceID() != trial {
		r.TraceID = t.parent.TraceID().String()
	}
	if t.nested {
		r.ParentSpanID = t.parent.SpanID().String()
	}
	return r
}

// expected counts the task's spans by the stations that it passed: those that are
// made in this process, and in the worker's.
func (t *task) expected() (here, there int) {
	switch {
	case t.StartedNS == 0 && !t.Crossed():
		return 1, 0 // task
	case t.StartedNS == 0:
		return 2, 0 // task, queue
	case !t.Crossed():
		return 3, 0 // task, queue, run
	case !core.StampsCompare:
		return 2, 1
	}
	return 4, 1 // task, queue, ipc send, ipc receive; run
}

// spans makes the spans of the task that belong to this process, its own last.
func (t *task) spans(enc *lineEncoder, epoch Epoch) error {
	at := func(ns int64) int64 { return int64(epoch) + int64(t.began) + ns }
	var room [6]recordedAttribute
	self := recorded{
		trace: t.parent.TraceID(), id: t.id, parent: t.parent.SpanID(), remote: t.parent.IsRemote(),
		prefix: "task ", task: t.Task, kind: oteltrace.SpanKindInternal, err: t.Error,
		from: at(t.SubmittedNS), to: at(max(t.ReceivedNS, t.SentNS, t.SubmittedNS)),
		attributes: append(room[:0], recordedAttribute{key: keyTaskName, s: t.Task}, recordedAttribute{key: keyTaskNumber, n: int64(t.Number)}),
	}
	if t.StartedNS == 0 && !t.Crossed() {
		return enc.add(&self)
	}
	number := func(key attribute.Key, n int64) {
		self.attributes = append(self.attributes, recordedAttribute{key: key, n: n})
	}
	child := func(k uint64, name string, from, to int64) error {
		return enc.add(&recorded{trace: self.trace, id: below(t.id, k), parent: t.id, prefix: name, kind: oteltrace.SpanKindInternal, from: at(from), to: at(max(from, to))})
	}
	number(keyTaskQueueNS, t.QueueNS())
	number(keyWorkerIndex, int64(t.Worker))
	err := child(spanQueue, "queue", t.SubmittedNS, t.SubmittedNS+t.QueueNS())
	switch {
	case t.StartedNS == 0: // it was lost or could not be encoded
	case t.Crossed():
		self.kind = oteltrace.SpanKindProducer
		number(keyTaskRunNS, t.RunNS())
		number(keyTaskIPCNS, t.WayNS())
		if core.StampsCompare {
			err = errors.Join(err, child(spanSend, "ipc send", t.SentNS, t.StartedNS), child(spanReceive, "ipc receive", t.EndedNS, t.ReceivedNS))
		}
	default:
		number(keyTaskRunNS, t.RunNS())
		var more [4]recordedAttribute
		run := runSpan(more[:0], self.trace, t.id, t.Task, t.Number, t.Worker)
		run.from, run.to, run.err = at(t.StartedNS), at(t.EndedNS), t.Error
		err = errors.Join(err, enc.add(&run))
	}
	return errors.Join(err, enc.add(&self))
}

// runSpan begins the span of a task's function, below that of the task. Its
// attributes are appended to room.
func runSpan(room []recordedAttribute, trace oteltrace.TraceID, of oteltrace.SpanID, task string, number uint64, worker int) recorded {
	self := below(of, spanRun)
	return recorded{
		trace: trace, id: self, parent: of, prefix: "run ", task: task, kind: oteltrace.SpanKindInternal,
		attributes: append(room,
			recordedAttribute{key: keyTaskName, s: task}, recordedAttribute{key: keyTaskNumber, n: int64(number)},
			recordedAttribute{key: keyWorkerIndex, n: int64(worker)}, recordedAttribute{key: keyProfileID, id: self},
		),
	}
}
