package ledger

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/results"
)

// An event is one of the Chrome trace event format, which Perfetto opens
// ("Trace Event Format", the JSON one). Times are microseconds.
type event struct {
	Name  string         `json:"name"`
	Phase string         `json:"ph"`
	TS    float64        `json:"ts"`
	Dur   *float64       `json:"dur,omitempty"` // of a slice, also if it is 0
	PID   int            `json:"pid"`
	TID   int            `json:"tid"`
	ID    string         `json:"id,omitempty"`
	Bind  string         `json:"bp,omitempty"`
	Cat   string         `json:"cat,omitempty"`
	Args  map[string]any `json:"args,omitempty"`
}

// The rows of a process: what the program submits, then its workers.
const (
	rowProgram = 0
	rowWorkers = 1
)

// Perfetto writes the traced trials for Perfetto and chrome://tracing: a group
// for each process, in it a row for each worker with its tasks, and inside of
// these what their goroutine did. Arrows lead from a task's submission to its
// run. All trials begin at 0, so that cells can be compared. The execution
// traces of a cell lie in the folder that dir returns.
func Perfetto(w io.Writer, all []results.Timeline, dir func(cell string) string) error {
	p := perfetto{first: true}
	p.WriteString(`{"displayTimeUnit":"ns","traceEvents":[`)
	for i := range all {
		if err := p.cell(&all[i], i, dir(all[i].Cell)); err != nil {
			return fmt.Errorf("%s: %w", all[i].Cell, err)
		}
	}
	p.WriteString("\n]}\n")
	_, err := p.WriteTo(w)
	return err
}

type perfetto struct {
	bytes.Buffer
	first bool
}

func (p *perfetto) emit(e event) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if !p.first {
		p.WriteByte(',')
	}
	p.first = false
	p.WriteByte('\n')
	p.Write(b)
	return nil
}

func micros(ns int64) float64 { return float64(ns) / 1e3 }

func lasts(ns int64) *float64 {
	us := micros(ns)
	return &us
}

func (p *perfetto) cell(l *results.Timeline, order int, dir string) error {
	if len(l.Processes) == 0 {
		return fmt.Errorf("the run was made by an older harness, which did not record its processes")
	}
	home := l.Processes[0].PID // the one that submits
	for i, proc := range l.Processes {
		name := event{Name: "process_name", Phase: "M", PID: proc.PID, Args: map[string]any{"name": l.Cell + ": " + proc.Name}}
		sort := event{Name: "process_sort_index", Phase: "M", PID: proc.PID, Args: map[string]any{"sort_index": 1000*order + i}}
		if err := cmp.Or(p.emit(name), p.emit(sort)); err != nil {
			return err
		}
	}
	rows := map[[2]int]string{{home, rowProgram}: "submitted"}
	lane := make(map[uint64]*results.TaskRecord)
	tasks := slices.Clone(l.Tasks)
	slices.SortFunc(tasks, func(a, b results.TaskRecord) int { return cmp.Compare(a.SubmittedNS, b.SubmittedNS) })
	for i := range tasks {
		t := &tasks[i]
		lane[t.Number] = t
		rows[[2]int{t.PID, rowWorkers + t.Worker}] = fmt.Sprintf("worker %d", t.Worker)
		id := fmt.Sprint(l.Cell, "/", t.Number)
		short := int64(1000) // a moment, drawn as a microsecond if there is room
		if i+1 < len(tasks) {
			short = min(short, tasks[i+1].SubmittedNS-t.SubmittedNS)
		}
		for _, e := range []event{
			{Name: "submit " + t.Task, Phase: "X", TS: micros(t.SubmittedNS), Dur: lasts(short), PID: home, TID: rowProgram},
			{Name: "to worker", Phase: "s", Cat: "task", ID: id, TS: micros(t.SubmittedNS), PID: home, TID: rowProgram},
			{Name: "to worker", Phase: "f", Bind: "e", Cat: "task", ID: id, TS: micros(t.StartedNS), PID: t.PID, TID: rowWorkers + t.Worker},
			{Name: t.Task, Phase: "X", Cat: "task", TS: micros(t.StartedNS), Dur: lasts(t.EndedNS - t.StartedNS), PID: t.PID, TID: rowWorkers + t.Worker,
				Args: map[string]any{"number": t.Number, "span_id": t.SpanID, "queue_ns": t.StartedNS - t.SubmittedNS, "back_ns": t.ReceivedNS - t.EndedNS}},
		} {
			if err := p.emit(e); err != nil {
				return err
			}
		}
	}
	if err := p.names(rows); err != nil {
		return err
	}
	for _, proc := range l.Processes {
		if proc.Execution == "" {
			continue
		}
		if err := p.states(filepath.Join(dir, proc.Execution), core.Stamp(l.BeganNS), lane); err != nil {
			return err
		}
	}
	return nil
}

// names gives the rows their names, in an order that is always the same.
func (p *perfetto) names(rows map[[2]int]string) error {
	byProcess := func(a, b [2]int) int { return slices.Compare(a[:], b[:]) }
	for _, row := range slices.SortedFunc(maps.Keys(rows), byProcess) {
		if err := p.emit(event{Name: "thread_name", Phase: "M", PID: row[0], TID: row[1], Args: map[string]any{"name": rows[row]}}); err != nil {
			return err
		}
	}
	return nil
}

// states draws what the goroutines of the tasks did.
func (p *perfetto) states(path string, began core.Stamp, lane map[uint64]*results.TaskRecord) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var bad error
	err = ReadExecution(bufio.NewReader(f), func(x *Executed) {
		t := lane[x.Number]
		if t == nil {
			return
		}
		for _, in := range oneAfterAnother(x.Intervals, began, t) {
			e := event{Name: in.Part.String(), Phase: "X", Cat: "state", TS: micros(int64(in.From)), Dur: lasts(int64(in.To - in.From)), PID: t.PID, TID: rowWorkers + t.Worker}
			if where, _ := frames(in.stack); where != "" {
				e.Args = map[string]any{"at": where}
			}
			bad = cmp.Or(bad, p.emit(e))
		}
	}, nil)
	return cmp.Or(err, bad)
}

// oneAfterAnother returns what a task's goroutine did, in the time of the lanes,
// without what overlaps: a viewer drops that. Each second the execution trace
// compares the clocks anew, which moves a moment by some nanoseconds.
func oneAfterAnother(intervals []Interval, began core.Stamp, t *results.TaskRecord) []Interval {
	var drawn []Interval
	last, end := core.Stamp(t.StartedNS), core.Stamp(t.EndedNS)
	for _, in := range intervals {
		in.From, in.To = max(in.From-began, last), min(in.To-began, end)
		if in.From < in.To {
			drawn, last = append(drawn, in), in.To
		}
	}
	return drawn
}
