package results

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
)

// MaxTasks is the largest number of tasks of a trial that are recorded, the first
// ones. Records are held in memory by several processes. Spans are made of all
// tasks.
const MaxTasks = 100_000

// A TaskRecord has the time stamps of one task of a traced trial. It is in
// lanes.ndjson, and in ledger/CELL.ndjson as a part of a [LedgerTask]. The task's
// spans are made from it, too. Times are nanoseconds since the start of the measured
// part; 0 is a moment that was not reached, or is not known.
type TaskRecord struct {
	Number  uint64 `json:"number,omitempty"` // in the order of submission, from 1
	Task    string `json:"task"`
	Worker  int    `json:"worker"`
	PID     int    `json:"pid,omitempty"`
	Outcome string `json:"outcome,omitempty"` // "failed" or "cancelled"; empty if it was done
	Error   string `json:"error,omitempty"`   // first line

	// The ids of its spans, in hexadecimal: of the task's span, and of its function's
	// span, which the samples of CPU profiles name.
	SpanID    string `json:"span_id"`
	RunSpanID string `json:"run_span_id,omitempty"` // empty in older records
	TraceID   string `json:"trace_id,omitempty"`    // empty if it is the trial's first trace
	// ParentSpanID is the span in which it was submitted; empty if that is the trial's.
	ParentSpanID string `json:"parent_span_id,omitempty"`

	SubmittedNS int64 `json:"submitted_ns,omitempty"`
	StartedNS   int64 `json:"started_ns"`
	EndedNS     int64 `json:"ended_ns,omitempty"`
	ReceivedNS  int64 `json:"received_ns,omitempty"` // its result was back and decoded

	// Of a task that crossed to another process.
	EncodingNS int64 `json:"encoding_ns,omitempty"` // its argument began to be encoded
	SentNS     int64 `json:"sent_ns,omitempty"`     // it was ready to be sent
	DecodingNS int64 `json:"decoding_ns,omitempty"` // the worker began to decode it
	DecodedNS  int64 `json:"decoded_ns,omitempty"`  // the worker had decoded it
	EncodedNS  int64 `json:"encoded_ns,omitempty"`  // its result was encoded
	ArrivedNS  int64 `json:"arrived_ns,omitempty"`  // its result was back, still encoded
}

// Crossed reports whether the task was sent to another process.
func (t *TaskRecord) Crossed() bool { return t.SentNS != 0 }

// QueueNS returns the time until the task was given to a worker.
func (t *TaskRecord) QueueNS() int64 {
	if t.Crossed() {
		return t.SentNS - t.SubmittedNS
	}
	return t.StartedNS - t.SubmittedNS
}

// RunNS returns the time inside of the task's function.
func (t *TaskRecord) RunNS() int64 { return t.EndedNS - t.StartedNS }

// WayNS returns the time between processes of a task that was sent to another, and
// of its result, including decoding and waiting there.
func (t *TaskRecord) WayNS() int64 { return t.ReceivedNS - t.SentNS - t.RunNS() }

// A LedgerTask says where the time of one task went: a line of
// ledger/CELL.ndjson.
type LedgerTask struct {
	TaskRecord        // those of older runs have no time but StartedNS
	Process    string `json:"process"`

	WallNS     int64 `json:"wall_ns"` // submission until the result was back
	Parts      Parts `json:"parts"`
	ResidualNS int64 `json:"residual_ns"` // WallNS less the parts

	// The parts of Running on a processor of the machine, and waiting for one. Null
	// if unknown: they are known only for a task that stayed on its thread.
	OnCPUNS   *int64 `json:"on_cpu_ns"`
	OSQueueNS *int64 `json:"os_queue_ns"`
	// CPUSamples is the number of the profiler's samples of the task's own
	// goroutine, one for each SamplePeriod of processor time.
	CPUSamples int `json:"cpu_samples,omitempty"`

	Waits Waits `json:"waits"`
	// ChildrenNS is how long goroutines that the task started were running beside
	// it.
	ChildrenNS int64 `json:"children_running_ns,omitempty"`
	// Where is the place at which the task waited longest for a lock, a
	// channel or a timer, and Stack its call stack there.
	Where   string   `json:"where,omitempty"`
	WhereNS int64    `json:"where_ns,omitempty"`
	Stack   []string `json:"stack,omitempty"`
}

// ReadLedger reads the ledgers of the tasks of a cell's traced trial.
func ReadLedger(dir, cell string) ([]LedgerTask, error) {
	return readLines[LedgerTask](filepath.Join(dir, LedgerDir, cell+".ndjson"))
}

// LedgerOfSpan returns the ledger of the run in dir that has the span with this
// whole id, and the record of the task that it belongs to. If tasks of the cell were
// submitted inside of others, it returns the records of all tasks. It returns nil if
// no ledger has the span, such as in a run of an older version.
func LedgerOfSpan(dir, id string) (*Ledger, []TaskRecord, error) {
	files, err := filepath.Glob(filepath.Join(dir, LedgerDir, "*.ndjson"))
	if err != nil {
		return nil, nil, err
	}
	for _, file := range files {
		nested := false
		tasks, err := readLinesWith[TaskRecord](file, func(line []byte) bool {
			nested = nested || bytes.Contains(line, []byte(`"parent_span_id":`))
			return bytes.Contains(line, []byte(id))
		})
		if len(tasks) > 0 && nested {
			tasks, err = readLines[TaskRecord](file)
		}
		if err != nil {
			return nil, nil, err
		}
		if !slices.ContainsFunc(tasks, func(t TaskRecord) bool { return t.SpanID == id || t.RunSpanID == id }) {
			continue
		}
		all, err := readLines[Ledger](filepath.Join(dir, LedgerFile))
		for _, l := range slices.Backward(all) { // a resumed run may have made one again
			if l.Cell == strings.TrimSuffix(filepath.Base(file), ".ndjson") {
				return &l, tasks, err
			}
		}
		return nil, nil, err
	}
	return nil, nil, nil
}
