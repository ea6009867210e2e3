package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/exp/trace"

	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/profile"
	"github.com/f3f4c0de/harness/internal/results"
)

// An Interval is a time in which the goroutine of a task did one thing.
type Interval struct {
	From, To core.Stamp
	Part     results.Part

	stack trace.Stack // of a wait
}

// An Executed is the run of one task as an execution trace shows it. Its
// intervals follow each other without a gap; the first ones began before the task.
type Executed struct {
	Number    uint64
	Goroutine int64
	Intervals []Interval
	IOWaits   int   // of which it is known when the reply was there
	Children  int64 // nanoseconds that goroutines it started were running
	OnCPU     int64 // nanoseconds on a processor of the machine; -1 if unknown
	Samples   int   // of a CPU profile, if there was one; of its own goroutine

	sampled map[trace.Stack]int
}

// threadShare is how much of a task's time may be spent waiting for its
// thread's processor time to be taken for its own: while a goroutine waits, the
// scheduler looks for another on its thread.
const threadShare = 0.01

// ReadExecution reads a Go execution trace and calls visit with each task that
// ended in it, and submitted with the stack of each submission that is marked,
// if it is not nil. Their arguments are valid during the call.
func ReadExecution(r io.Reader, visit func(*Executed), submitted func(number uint64, s trace.Stack)) error {
	in, err := trace.NewReader(r)
	if err != nil {
		return fmt.Errorf("reading the execution trace: %w", err)
	}
	x := executionReader{
		goroutines: make(map[trace.GoID]*goroutine), gates: make(map[trace.Stack]results.Part), threads: make(map[trace.ThreadID]thread),
		visit: visit, submitted: submitted,
	}
	for {
		ev, err := in.ReadEvent()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the execution trace: %w", err)
		}
		x.event(ev)
	}
}

type executionReader struct {
	goroutines map[trace.GoID]*goroutine
	threads    map[trace.ThreadID]thread
	clock      trace.ClockSnapshot
	visit      func(*Executed)
	submitted  func(uint64, trace.Stack)
	gates      map[trace.Stack]results.Part // those that were looked at
}

// A thread runs one goroutine after the other.
type thread struct {
	runs    trace.GoID
	changes int // of runs
}

// A goroutine is what is known of one that exists.
type goroutine struct {
	doing     results.Part
	since     trace.Time
	stack     trace.Stack
	assisting bool

	task  *task
	child bool // of the task, not the goroutine that runs it

	// before is what it did last, outside of a task that it runs. A task's first
	// time stamp is a little before its mark in the trace, and in between the
	// goroutine may have to wait for a processor.
	before []Interval
}

// maxBefore bounds what is kept of what a goroutine did before its task.
const maxBefore = 64

// A task is one that is under way.
type task struct {
	Executed
	thread  trace.ThreadID
	before  int   // intervals that ended before its mark
	changes int   // of what the thread ran, when the task began
	cpu     int64 // of the thread, likewise
	own     bool  // nobody else shares the thread
}

// stamp translates a time of the trace.
func (x *executionReader) stamp(t trace.Time) core.Stamp {
	since := int64(t - x.clock.Trace)
	if core.StampsCompare {
		return core.Stamp(int64(x.clock.Mono) + since)
	}
	return core.Stamp(x.clock.Wall.UnixNano() + since)
}

func (x *executionReader) event(ev trace.Event) {
	switch ev.Kind() {
	case trace.EventSync:
		if c := ev.Sync().ClockSnapshot; c != nil {
			x.clock = *c
		}
	case trace.EventStateTransition:
		if st := ev.StateTransition(); st.Resource.Kind == trace.ResourceGoroutine {
			x.transition(ev, st)
		}
	case trace.EventRangeBegin, trace.EventRangeActive, trace.EventRangeEnd:
		if r := ev.Range(); r.Name == "GC mark assist" && r.Scope.Kind == trace.ResourceGoroutine {
			g := x.goroutine(r.Scope.Goroutine(), ev.Time())
			g.assisting = ev.Kind() != trace.EventRangeEnd
			if g.doing == results.PartRunning || g.doing == results.PartGC {
				x.now(g, ev.Time(), g.running(), trace.NoStack)
			}
		}
	case trace.EventStackSample:
		if g := x.goroutines[ev.Goroutine()]; g != nil && g.task != nil && !g.child {
			g.task.sample(ev.Stack())
		}
	case trace.EventLog:
		x.log(ev, ev.Log())
	}
}

func (t *task) sample(s trace.Stack) {
	if t.sampled == nil {
		t.sampled = make(map[trace.Stack]int)
	}
	t.sampled[s]++
	t.Samples++
}

func (x *executionReader) goroutine(id trace.GoID, t trace.Time) *goroutine {
	g := x.goroutines[id]
	if g == nil {
		g = &goroutine{doing: results.PartRunning, since: t}
		x.goroutines[id] = g
	}
	return g
}

func (g *goroutine) running() results.Part {
	if g.assisting {
		return results.PartGC
	}
	return results.PartRunning
}

// now ends what the goroutine did and begins something else.
func (x *executionReader) now(g *goroutine, t trace.Time, doing results.Part, stack trace.Stack) {
	if t > g.since {
		in := Interval{x.stamp(g.since), x.stamp(t), g.doing, g.stack}
		switch {
		case g.task != nil && !g.child:
			g.task.Intervals = append(g.task.Intervals, in)
		default:
			if g.task != nil && g.doing == results.PartRunning {
				g.task.Children += int64(t - g.since)
			}
			if len(g.before) == maxBefore {
				g.before = g.before[:copy(g.before, g.before[1:])]
			}
			g.before = append(g.before, in)
		}
	}
	g.doing, g.since, g.stack = doing, t, stack
}

func (x *executionReader) transition(ev trace.Event, st trace.StateTransition) {
	id := st.Resource.Goroutine()
	from, to := st.Goroutine()
	g := x.goroutine(id, ev.Time())
	if from == trace.GoNotExist {
		// A goroutine that the runtime starts for itself is nobody's child.
		if parent := x.goroutines[ev.Goroutine()]; parent != nil && parent.task != nil && !strings.HasPrefix(entry(st.Stack), "runtime.") {
			g.task, g.child = parent.task, true
		}
	}
	switch to {
	case trace.GoNotExist:
		x.now(g, ev.Time(), results.PartOther, trace.NoStack)
		delete(x.goroutines, id)
	case trace.GoRunning:
		if on := x.threads[ev.Thread()]; on.runs != id {
			x.threads[ev.Thread()] = thread{id, on.changes + 1}
		}
		x.now(g, ev.Time(), g.running(), trace.NoStack)
	case trace.GoRunnable:
		x.now(g, ev.Time(), results.PartRunnable, trace.NoStack)
	case trace.GoSyscall:
		x.now(g, ev.Time(), results.PartSyscall, trace.NoStack)
	case trace.GoWaiting:
		if from == trace.GoWaiting {
			return // it is told again, without the reason, about once a second
		}
		doing := results.WaitingFor(st.Reason)
		if doing == results.PartChannel || doing == results.PartLock {
			doing = cmp.Or(x.special(st.Stack, doing), doing)
		}
		x.now(g, ev.Time(), doing, st.Stack)
	}
}

// special returns what a task that waits for a lock or a channel really waits
// for, by its stack: the lock of its model, or something of the garbage
// collector's; or 0.
func (x *executionReader) special(s trace.Stack, doing results.Part) (part results.Part) {
	part, ok := x.gates[s]
	if ok {
		return part
	}
	inRuntime, first := true, ""
	for f := range s.Frames() {
		if inRuntime && !strings.HasPrefix(f.Func, "runtime.") {
			inRuntime, first = false, f.Func
		}
		switch {
		case profile.WaitsAtGate.Has(f.Func):
			part = results.PartGate
		case inRuntime && profile.Allocates.Has(f.Func):
			part = results.PartGC
		}
	}
	// A program's locks are those of the standard library: who waits for one
	// in the runtime has allocated, by whatever function.
	if part == 0 && doing == results.PartLock && first != "" && !profile.WaitsForLock.Has(first) {
		part = results.PartGC
	}
	x.gates[s] = part
	return part
}

func (x *executionReader) log(ev trace.Event, l trace.Log) {
	switch l.Category {
	case profile.TaskSubmitted:
		if number, err := strconv.ParseUint(l.Message, 10, 64); err == nil && x.submitted != nil {
			x.submitted(number, ev.Stack())
		}
		return
	case profile.TaskBegins, profile.TaskEnds, profile.TaskServed:
	default:
		return
	}
	message, own := strings.CutSuffix(l.Message, profile.OwnThread)
	first, second, _ := strings.Cut(message, " ")
	a, err1 := strconv.ParseInt(first, 10, 64)
	b, err2 := strconv.ParseInt(second, 10, 64)
	if err1 != nil || err2 != nil {
		return // somebody else's log under our name
	}
	g := x.goroutine(ev.Goroutine(), ev.Time())
	switch {
	case l.Category == profile.TaskBegins:
		g.task, g.child = &task{
			Executed: Executed{Number: uint64(a), Goroutine: int64(ev.Goroutine()), Intervals: slices.Clone(g.before)},
			before:   len(g.before), thread: ev.Thread(), changes: x.threads[ev.Thread()].changes, cpu: b, own: own,
		}, false
		g.before = g.before[:0]
	case g.task == nil || g.child:
	case l.Category == profile.TaskServed:
		x.now(g, ev.Time(), g.running(), trace.NoStack)
		g.task.served(core.Stamp(a), core.Stamp(b))
	case g.task.Number == uint64(a):
		x.now(g, ev.Time(), g.running(), trace.NoStack)
		t := g.task
		g.task = nil
		t.OnCPU = t.onCPU(ev.Thread(), x.threads[ev.Thread()].changes, b)
		x.visit(&t.Executed)
	}
}

// served splits what the task has waited since asked into the time of the one
// whom it asked, until ready, and the time in which it could have gone on.
func (t *task) served(asked, ready core.Stamp) {
	var split []Interval
	first := len(t.Intervals)
	for first > 0 && t.Intervals[first-1].To > asked {
		first--
	}
	for _, in := range t.Intervals[first:] {
		waits := results.PartInfo[in.Part].Reply
		if !waits && in.Part != results.PartRunnable {
			split = append(split, in)
			continue
		}
		for _, piece := range []struct {
			from, to core.Stamp
			part     results.Part
		}{
			{in.From, min(in.To, asked), in.Part},
			{max(in.From, asked), min(in.To, ready), results.PartIOService},
			{max(in.From, asked, ready), in.To, results.PartIOLate},
		} {
			if piece.part == results.PartIOService && !waits {
				piece.part = in.Part
			}
			if piece.to > piece.from {
				split = append(split, Interval{piece.from, piece.to, piece.part, in.stack})
			}
		}
	}
	t.Intervals = append(t.Intervals[:first], split...)
	t.IOWaits++
}

// onCPU returns the processor time of the task's thread, if that is the task's:
// it stayed on it, nobody else ran there, and it did not wait, unless the thread
// was its worker's own.
func (t *task) onCPU(on trace.ThreadID, changes int, cpu int64) int64 {
	var all, waited, ran int64
	for _, in := range t.Intervals[t.before:] {
		ns := int64(in.To - in.From)
		all += ns
		switch in.Part {
		case results.PartRunning:
			ran += ns
		case results.PartRunnable:
		default:
			waited += ns
		}
	}
	if cpu == 0 || on != t.thread || changes != t.changes || !t.own && float64(waited) > threadShare*float64(all) {
		return -1
	}
	return min(cpu-t.cpu, ran)
}

// entry returns the function that a new goroutine begins with.
func entry(s trace.Stack) (name string) {
	for f := range s.Frames() {
		name = f.Func
	}
	return name
}

// frames returns the place of the program's own code that waited, and how it got
// there.
func frames(s trace.Stack) (where string, stack []string) {
	for f := range s.Frames() {
		place := fmt.Sprintf("%s (%s:%d)", f.Func, filepath.Base(f.File), f.Line)
		pkg := packageOf(f.Func)
		if where == "" && profile.Own(f.Func) {
			where = place
		}
		if pkg != "runtime" && !strings.HasPrefix(pkg, "internal/") && len(stack) < maxFrames {
			stack = append(stack, place)
		}
	}
	if where == "" && len(stack) > 0 {
		where = stack[0]
	}
	return where, stack
}

// packageOf returns the path of a function's package.
func packageOf(name string) string {
	slash := strings.LastIndexByte(name, '/') + 1
	pkg, _, _ := strings.Cut(name[slash:], ".")
	return name[:slash] + pkg
}

const maxFrames = 8
