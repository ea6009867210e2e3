// Package ledger says where the time of every task went, over process borders:
// from the moments that were stamped on its way, and from the Go execution
// traces of the processes that ran it.
//
// The moments are readings of one clock, one after the other, so what lies
// between them adds up. What the task's goroutine did in its function comes
// from the execution trace, whose clock is translated; what the two differ by
// is the residual, and it is shown.
//
// A part of a task's time is an entry of results.PartInfo. What the time stamps say
// of it is in stations, what a stack says in special.
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

	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/profile"
	"github.com/f3f4c0de/harness/internal/results"
)

// Build makes the ledger of a traced trial and of each of its tasks, from its
// lanes and from the execution traces of its processes, which lie in dir.
func Build(lanes *results.Timeline, spawnNS int64, dir string) (*results.Ledger, []results.LedgerTask) {
	l := &results.Ledger{
		Cell: lanes.Cell, TraceID: lanes.TraceID, Workers: lanes.Workers, WallNS: lanes.WallNS,
		SpawnNS: spawnNS, Processes: lanes.Processes,
	}
	if profile.KnowsRunQueue {
		l.RunQueueNS = new(int64)
	}
	x := executionsOf(lanes)
	names := make(map[int]string)
	for _, p := range lanes.Processes {
		names[p.PID] = p.Name
		if l.RunQueueNS != nil {
			*l.RunQueueNS += p.RunQueueNS
		}
		if p.Execution == "" {
			continue
		}
		if err := x.read(filepath.Join(dir, p.Execution)); err != nil {
			l.Notes = append(l.Notes, fmt.Sprintf("Not all of %s is known: %v.", p.Name, err))
		}
		x.turns.settle(l, x.runs) // tasks wait for those of their own process
	}
	tasks := make([]results.LedgerTask, 0, len(lanes.Tasks))
	var most [len(results.PartInfo)]results.MostTask
	for _, record := range lanes.Tasks {
		r := x.runs[record.Number]
		t := taskOf(record, names[record.PID], r)
		add(l, &t, r != nil)
		for p, ns := range t.Parts {
			if ns > most[p].NS {
				most[p] = results.MostTask{Part: results.Part(p).String(), Number: t.Number, SpanID: t.SpanID, NS: ns}
			}
		}
		tasks = append(tasks, t)
	}
	l.Most = slices.DeleteFunc(most[:], func(m results.MostTask) bool { return m.NS == 0 })
	summary(l, lanes)
	x.places(l)
	l.Blockers = x.turns.blockers(lanes, x.runs)
	if r := x.runs[l.Longest.Number]; r != nil {
		l.Longest.CPUNS = r.cpu()
		l.Longest.Where, l.Longest.Stack = r.computes()
	}
	note(l)
	if lanes.Submitted > 0 {
		l.Notes = append(l.Notes, fmt.Sprintf("This is of the first %d of %d tasks; spans there are of all.", len(tasks), lanes.Submitted))
	}
	return l, tasks
}

// places finds where tasks waited, computed and were submitted.
func (x *executions) places(l *results.Ledger) {
	known := make(map[trace.Stack]place)
	waited, computed := make(map[string]*results.Place), make(map[string]*results.Place)
	at := func(s trace.Stack, part string, of map[string]*results.Place) *results.Place {
		p, ok := known[s]
		if !ok {
			p.where, p.stack = frames(s)
			known[s] = p
		}
		return placeIn(of, part, p)
	}
	for _, r := range x.runs {
		for k, w := range r.waited {
			p := at(k.stack, k.part.String(), waited)
			p.NS += w.ns
			p.Waits += w.n
		}
		for s, n := range r.sampled {
			p := at(s, results.PartRunning.String(), computed)
			p.NS += int64(n) * int64(profile.SamplePeriod)
			p.Waits += n
		}
	}
	l.Places, l.Computing, l.Submitted = largest(waited), largest(computed), largest(x.submitted)
}

func placeIn(of map[string]*results.Place, part string, at place) *results.Place {
	key := part + " " + at.where
	p := of[key]
	if p == nil {
		p = &results.Place{Part: part, Where: at.where, Stack: at.stack}
		of[key] = p
	}
	return p
}

func largest(places map[string]*results.Place) []results.Place {
	var all []results.Place
	for _, p := range places {
		all = append(all, *p)
	}
	slices.SortFunc(all, func(a, b results.Place) int {
		return cmp.Or(cmp.Compare(b.NS, a.NS), cmp.Compare(b.Waits, a.Waits), cmp.Compare(a.Where, b.Where))
	})
	return all[:min(maxPlaces, len(all))]
}

// summary finds what stands out among the tasks.
func summary(l *results.Ledger, lanes *results.Timeline) {
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
	samples  int
	sampled  map[trace.Stack]int
}

// cpu returns how much processor time the task used, at least.
func (r *run) cpu() int64 {
	if r.onCPU >= 0 {
		return r.onCPU
	}
	return min(r.parts[results.PartRunning], int64(max(0, r.samples-1))*int64(profile.SamplePeriod))
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
type span struct{ from, to core.Stamp }

// computes returns where the task used most of its processor time, by the
// profiler's samples; nothing if there are none.
func (r *run) computes() (where string, stack []string) {
	most := 0
	for s, n := range r.sampled {
		if n > most {
			most = n
			where, stack = frames(s)
		}
	}
	return where, stack
}

// executions is what the execution traces of a trial show.
type executions struct {
	within    map[uint64]span
	runs      map[uint64]*run
	submitted map[string]*results.Place
	turns     turns
}

func executionsOf(lanes *results.Timeline) *executions {
	x := &executions{runs: make(map[uint64]*run), within: make(map[uint64]span), submitted: make(map[string]*results.Place)}
	began := core.Stamp(lanes.BeganNS)
	for _, t := range lanes.Tasks {
		x.within[t.Number] = span{began + core.Stamp(t.StartedNS), began + core.Stamp(t.EndedNS)}
	}
	return x
}

// read reads one of them.
func (x *executions) read(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	places := make(map[trace.Stack]place)
	return ReadExecution(bufio.NewReaderSize(f, 1<<20), func(e *Executed) {
		if s, ok := x.within[e.Number]; ok {
			x.runs[e.Number] = summarize(e, s, places)
			x.turns.add(e, s)
		}
	}, func(_ uint64, s trace.Stack) {
		where, stack := frames(s)
		stack = stack[max(0, slices.Index(stack, where)):] // without our own way to the mark
		placeIn(x.submitted, "", place{where, stack}).Waits++
	})
}

type place struct {
	where string
	stack []string
}

func summarize(x *Executed, within span, places map[trace.Stack]place) *run {
	r := &run{children: x.Children, onCPU: x.OnCPU, samples: x.Samples, sampled: x.sampled}
	r.waits.IO = x.IOWaits
	for _, in := range x.Intervals {
		ns := int64(min(in.To, within.to) - max(in.From, within.from))
		if ns <= 0 {
			continue
		}
		r.parts[in.Part] += ns
		info := &results.PartInfo[in.Part]
		if info.Waits != nil {
			*info.Waits(&r.waits)++
		}
		if !info.Placed {
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
func taskOf(record results.TaskRecord, process string, r *run) results.LedgerTask {
	t := results.LedgerTask{TaskRecord: record, Process: process, WallNS: record.ReceivedNS - record.SubmittedNS, Parts: stations(&record)}
	if r == nil {
		t.Parts[results.PartUnresolved] = record.RunNS()
	} else {
		t.Parts.Add(&r.parts)
		t.CPUSamples = r.samples
		t.Waits, t.ChildrenNS, t.Where, t.WhereNS, t.Stack = r.waits, r.children, r.where, r.whereNS, r.stack
		if r.onCPU >= 0 {
			on := min(r.onCPU, r.parts[results.PartRunning])
			queued := r.parts[results.PartRunning] - on
			t.OnCPUNS, t.OSQueueNS = &on, &queued
		}
	}
	t.ResidualNS = t.WallNS - t.Parts.Sum()
	return t
}

// stations is what the moments on a task's way say: all but its function.
func stations(t *results.TaskRecord) (p results.Parts) {
	if !t.Crossed() || t.EncodingNS == 0 || t.DecodingNS == 0 || !core.StampsCompare {
		p[results.PartQueue] = t.QueueNS()
		if t.Crossed() {
			p[results.PartTransport] = t.WayNS()
		}
		return p
	}
	p[results.PartQueue] = t.EncodingNS - t.SubmittedNS
	p[results.PartEncode] = t.SentNS - t.EncodingNS + t.EncodedNS - t.EndedNS
	p[results.PartTransport] = t.DecodingNS - t.SentNS + t.ArrivedNS - t.EncodedNS
	p[results.PartDecode] = t.DecodedNS - t.DecodingNS + t.ReceivedNS - t.ArrivedNS
	p[results.PartAhead] = t.StartedNS - t.DecodedNS
	return p
}

func add(l *results.Ledger, t *results.LedgerTask, resolved bool) {
	l.Tasks++
	l.TasksNS += t.WallNS
	l.Parts.Add(&t.Parts)
	l.ResidualNS += t.ResidualNS
	l.BusyNS += t.RunNS()
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
		say("How much of their running %d of %d tasks were on a processor of the machine is unknown: they waited, or did not have a thread to themselves, so that no thread's clock is theirs. What their processes waited for one is known.", n, l.Tasks)
	}
	if !core.StampsCompare {
		say("Encoding, transport and decoding are one part here: the processes of this system share no clock that can be read.")
	}
	if !profile.KnowsRunQueue {
		say("What processes waited for a processor of the machine is unknown on this system.")
	}
}
