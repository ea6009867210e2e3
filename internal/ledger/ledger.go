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
	"cmp"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

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
	var most [len(results.PartInfo)]results.MostTask
	for _, lane := range lanes.Tasks {
		t := taskOf(lane, names[lane.PID], runs[lane.Number])
		add(l, &t, lane.EndedNS-lane.StartedNS, runs[lane.Number] != nil)
		for p, ns := range t.Parts {
			if ns > most[p].NS {
				most[p] = results.MostTask{Part: results.Part(p).String(), Number: t.Number, SpanID: t.SpanID, NS: ns}
			}
		}
		tasks = append(tasks, t)
	}
	l.Most = slices.DeleteFunc(most[:], func(m results.MostTask) bool { return m.NS == 0 })
	summary(l, lanes, runs)
	note(l)
	if lanes.Submitted > 0 {
		l.Notes = append(l.Notes, fmt.Sprintf("This is of the first %d of %d tasks; spans there are of all.", len(tasks), lanes.Submitted))
	}
	return l, tasks
}

// summary finds what stands out among the tasks.
func summary(l *results.Ledger, lanes *results.Lanes, runs map[uint64]*run) {
	known := make(map[trace.Stack]place)
	waited := make(map[results.Part]map[string]*results.Place)
	for _, r := range runs {
		for k, w := range r.waited {
			at, ok := known[k.stack]
			if !ok {
				at.where, at.stack = frames(k.stack)
				known[k.stack] = at
			}
			if waited[k.part] == nil {
				waited[k.part] = make(map[string]*results.Place)
			}
			p := waited[k.part][at.where]
			if p == nil {
				p = &results.Place{Part: k.part.String(), Where: at.where, Stack: at.stack}
				waited[k.part][at.where] = p
			}
			p.NS += w.ns
			p.Waits += w.n
		}
	}
	for _, of := range waited {
		for _, p := range of {
			l.Places = append(l.Places, *p)
		}
	}
	slices.SortFunc(l.Places, func(a, b results.Place) int {
		return cmp.Or(cmp.Compare(b.NS, a.NS), cmp.Compare(a.Where, b.Where))
	})
	l.Places = l.Places[:min(maxPlaces, len(l.Places))]

	type change struct {
		at int64
		by int
	}
	var changes []change
	last := make(map[int]int64) // end of a worker's last task
	for _, t := range lanes.Tasks {
		changes = append(changes, change{t.SubmittedNS, 1}, change{t.ReceivedNS, -1})
		last[t.Worker] = max(last[t.Worker], t.EndedNS)
		if run := t.EndedNS - t.StartedNS; run > l.Longest.NS {
			l.Longest = results.MostTask{Number: t.Number, SpanID: t.SpanID, NS: run}
		}
	}
	slices.SortFunc(changes, func(a, b change) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.by, b.by)) })
	inFlight := 0
	for _, c := range changes {
		inFlight += c.by
		l.MaxInFlight = max(l.MaxInFlight, inFlight)
	}
	end := int64(0)
	for _, at := range last {
		end = max(end, at)
	}
	for w := range lanes.Workers {
		l.TailNS += end - last[w]
	}
}

// maxPlaces bounds the places that a ledger names.
const maxPlaces = 5

// A run is what is kept of an [Executed].
type run struct {
	parts    results.Parts
	waits    results.Waits
	children int64
	onCPU    int64
	where    string
	whereNS  int64
	stack    []string
	waited   map[placeKey]wait
}

// A placeKey is a place and what the time there was spent on.
type placeKey struct {
	part  results.Part
	stack trace.Stack
}

type wait struct {
	ns int64
	n  int
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
		case results.PartIOService:
		default:
			continue
		}
		k := placeKey{in.Part, in.stack}
		w := r.waited[k]
		if r.waited == nil {
			r.waited = make(map[placeKey]wait)
		}
		r.waited[k] = wait{w.ns + ns, w.n + 1}
	}
	for k, w := range r.waited {
		if w.ns <= r.whereNS {
			continue
		}
		p, ok := places[k.stack]
		if !ok {
			p.where, p.stack = frames(k.stack)
			places[k.stack] = p
		}
		r.where, r.whereNS, r.stack = p.where, w.ns, p.stack
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
