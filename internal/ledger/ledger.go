// Package ledger says where the time of every task went, over process borders:
// from the moments that were stamped on its way, and from the Go execution
// traces of the processes that ran it.
//
// The moments are readings of one clock, one after the other, so what lies
// between them adds up. What the task's goroutine did in its function comes
// from the execution trace, whose clock is translated; what the two differ by
// is the residual, and it is shown.
//
// To add a part, add it to package results and say in waitingFor, or in
// stations, what belongs to it.
package ledger

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"golang.org/x/exp/trace"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/internal/profile"
	"github.com/f3f4c0de/harness/internal/results"
)

// Build makes the ledger of a traced trial and of each of its tasks, from its
// lanes and from the execution traces of its processes, which lie in dir.
func Build(lanes *results.Lanes, spawnNS int64, dir string) (*results.Ledger, []results.LedgerTask) {
	l := &results.Ledger{
		Cell: lanes.Cell, TraceID: lanes.TraceID, Workers: lanes.Workers, WallNS: lanes.WallNS,
		SpawnNS: spawnNS, Processes: lanes.Processes,
	}
	names := make(map[int]string)
	runs := make(map[uint64]*run)
	within := make(map[uint64]span)
	for _, lane := range lanes.Tasks {
		began := harness.Stamp(lanes.BeganNS)
		within[lane.Number] = span{began + harness.Stamp(lane.StartedNS), began + harness.Stamp(lane.EndedNS)}
	}
	for _, p := range lanes.Processes {
		names[p.PID] = p.Name
		if p.Execution == "" {
			continue
		}
		if err := readRuns(filepath.Join(dir, p.Execution), within, runs); err != nil {
			l.Notes = append(l.Notes, fmt.Sprintf("Not all of %s is known: %v.", p.Name, err))
		}
	}
	tasks := make([]results.LedgerTask, 0, len(lanes.Tasks))
	for _, lane := range lanes.Tasks {
		t := taskOf(lane, names[lane.PID], runs[lane.Number])
		add(l, &t, lane.EndedNS-lane.StartedNS, runs[lane.Number] != nil)
		tasks = append(tasks, t)
	}
	note(l)
	return l, tasks
}

// A run is what is kept of an [Executed].
type run struct {
	parts    results.Parts
	waits    results.Waits
	children int64
	onCPU    int64
	where    string
	whereNS  int64
	stack    []string
}

// A span is the time in which a task's function ran, by its time stamps. The
// marks in the execution trace lie a little after it begins and after it ends.
type span struct{ from, to harness.Stamp }

// readRuns adds the runs that an execution trace shows.
func readRuns(path string, within map[uint64]span, runs map[uint64]*run) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	places := make(map[trace.Stack]place)
	return ReadExecution(bufio.NewReaderSize(f, 1<<20), func(x *Executed) {
		if s, ok := within[x.Number]; ok {
			runs[x.Number] = summarize(x, s, places)
		}
	})
}

type place struct {
	where string
	stack []string
}

func summarize(x *Executed, within span, places map[trace.Stack]place) *run {
	r := &run{children: x.Children, onCPU: x.OnCPU}
	waited := make(map[trace.Stack]int64)
	r.waits.IO = x.IOWaits
	for _, in := range x.Intervals {
		ns := int64(min(in.To, within.to) - max(in.From, within.from))
		if ns <= 0 {
			continue
		}
		r.parts[in.Part] += ns
		switch in.Part {
		case results.PartIOWait:
			r.waits.IO++
		case results.PartLock:
			r.waits.Lock++
		case results.PartChannel:
			r.waits.Channel++
		case results.PartSleep:
			r.waits.Sleep++
		default:
			continue
		}
		waited[in.stack] += ns
	}
	for s, ns := range waited {
		if ns <= r.whereNS {
			continue
		}
		p, ok := places[s]
		if !ok {
			p.where, p.stack = frames(s)
			places[s] = p
		}
		r.where, r.whereNS, r.stack = p.where, ns, p.stack
	}
	return r
}

// taskOf is the ledger of one task.
func taskOf(lane results.LaneTask, process string, r *run) results.LedgerTask {
	t := results.LedgerTask{
		Number: lane.Number, Task: lane.Task, Worker: lane.Worker, Process: process, SpanID: lane.SpanID,
		StartedNS: lane.StartedNS, WallNS: lane.ReceivedNS - lane.SubmittedNS, Parts: stations(lane),
	}
	if r == nil {
		t.Parts[results.PartUnresolved] = lane.EndedNS - lane.StartedNS
	} else {
		t.Parts.Add(&r.parts)
		t.Waits, t.ChildrenNS, t.Where, t.WhereNS, t.Stack = r.waits, r.children, r.where, r.whereNS, r.stack
		if r.onCPU >= 0 {
			queued := max(0, r.parts[results.PartRunning]-r.onCPU)
			t.OnCPUNS, t.OSQueueNS = &r.onCPU, &queued
		}
	}
	t.ResidualNS = t.WallNS - t.Parts.Sum()
	return t
}

// stations is what the moments on a task's way say: all but its function.
func stations(lane results.LaneTask) (p results.Parts) {
	switch {
	case lane.SentNS == 0: // it stayed in its process
		p[results.PartQueue] = lane.StartedNS - lane.SubmittedNS
	case lane.EncodingNS == 0 || lane.DecodingNS == 0 || !harness.StampsCompare:
		p[results.PartQueue] = lane.SentNS - lane.SubmittedNS
		p[results.PartTransport] = lane.ReceivedNS - lane.SentNS - (lane.EndedNS - lane.StartedNS)
	default:
		p[results.PartQueue] = lane.EncodingNS - lane.SubmittedNS
		p[results.PartEncode] = lane.SentNS - lane.EncodingNS + lane.EncodedNS - lane.EndedNS
		p[results.PartTransport] = lane.DecodingNS - lane.SentNS + lane.ArrivedNS - lane.EncodedNS
		p[results.PartDecode] = lane.DecodedNS - lane.DecodingNS + lane.ReceivedNS - lane.ArrivedNS
		p[results.PartAhead] = lane.StartedNS - lane.DecodedNS
	}
	return p
}

func add(l *results.Ledger, t *results.LedgerTask, busy int64, resolved bool) {
	l.Tasks++
	l.TasksNS += t.WallNS
	l.Parts.Add(&t.Parts)
	l.ResidualNS += t.ResidualNS
	l.BusyNS += busy
	l.Waits.Add(t.Waits)
	l.ChildrenNS += t.ChildrenNS
	if resolved {
		l.Resolved++
	}
	if t.OnCPUNS != nil {
		l.OnCPUKnown++
		l.OnCPUNS += *t.OnCPUNS
		l.OSQueueNS += *t.OSQueueNS
	}
	if t.WallNS > 0 {
		l.LargestResidual = max(l.LargestResidual, math.Abs(float64(t.ResidualNS))/float64(t.WallNS))
	}
}

// note says what is not known.
func note(l *results.Ledger) {
	say := func(format string, args ...any) { l.Notes = append(l.Notes, fmt.Sprintf(format, args...)) }
	if n := l.Tasks - l.Resolved; n > 0 {
		say("What %d of %d tasks did in their functions is unknown: no execution trace shows it.", n, l.Tasks)
	}
	if n := l.Resolved - l.OnCPUKnown; n > 0 {
		say("How much of their running %d of %d tasks were on a processor of the machine is unknown: they did not stay on one thread. What their processes waited for one is known.", n, l.Tasks)
	}
	if !harness.StampsCompare {
		say("Encoding, transport and decoding are one part here: the processes of this system share no clock that can be read.")
	}
	if !profile.KnowsRunQueue {
		say("What processes waited for a processor of the machine is unknown on this system.")
	}
}
