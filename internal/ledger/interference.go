package ledger

import (
	"cmp"
	"slices"

	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/results"
)

// interference finds which tasks ran while other tasks of the same process waited to run:
// for a processor, or for the lock of the execution model.
type interference struct {
	ran, waited []taskInterval
	heldUp      map[uint64]*blocked // by the number of the task that ran
}

// A taskInterval is a time in which one task ran or waited to run.
type taskInterval struct {
	window
	number uint64
	part   results.Part
}

// blocked sums the waiting of other tasks while one task ran.
type blocked struct {
	ns    int64
	tasks map[uint64]bool
}

// minInterference is the shortest interval, in nanoseconds, that is considered.
const minInterference = 100_000

// add adds the intervals in which a task ran or waited to run.
func (t *interference) add(x *ExecutedTask, within window) {
	for _, in := range x.Intervals {
		at := taskInterval{window{max(in.From, within.from), min(in.To, within.to)}, x.Number, in.Part}
		if at.to-at.from < minInterference {
			continue
		}
		switch {
		case in.Part == results.PartRunning:
			t.ran = append(t.ran, at)
		case results.PartInfo[in.Part].Interference:
			t.waited = append(t.waited, at)
		}
	}
}

// attribute compares the intervals of one process with each other, adds what tasks waited
// while others ran to the ledger, and forgets the intervals.
func (t *interference) attribute(l *results.Ledger, runs map[uint64]*taskRun) {
	slices.SortFunc(t.ran, func(a, b taskInterval) int { return cmp.Compare(a.from, b.from) })
	ended := make([]core.Stamp, len(t.ran)) // the latest end of this interval and all before it
	for i, r := range t.ran {
		ended[i] = r.to
		if i > 0 {
			ended[i] = max(ended[i], ended[i-1])
		}
	}
	for _, w := range t.waited {
		i, _ := slices.BinarySearch(ended, w.from+1)
		for ; i < len(t.ran) && t.ran[i].from < w.to; i++ {
			r := t.ran[i]
			ns := int64(min(r.to, w.to) - max(r.from, w.from))
			if ns <= 0 || r.number == w.number {
				continue
			}
			l.HeldUp[w.part] += ns
			if runs[r.number].cpu() < results.LongTask*max(minInterference, runs[w.number].parts[results.PartRunning]) {
				continue // they wait for each other in turn, and none is long
			}
			l.BehindLong[w.part] += ns
			if t.heldUp == nil {
				t.heldUp = make(map[uint64]*blocked)
			}
			b := t.heldUp[r.number]
			if b == nil {
				b = &blocked{tasks: make(map[uint64]bool)}
				t.heldUp[r.number] = b
			}
			b.ns += ns
			b.tasks[w.number] = true
		}
	}
	t.ran, t.waited = nil, nil
}

// blockers returns the tasks behind which the others waited longest.
func (t *interference) blockers(lanes *results.Timeline, runs map[uint64]*taskRun) []results.Blocker {
	var all []results.Blocker
	for _, lane := range lanes.Tasks {
		b := t.heldUp[lane.Number]
		if b == nil {
			continue
		}
		r := runs[lane.Number]
		of := results.Blocker{Number: lane.Number, Task: lane.Task, SpanID: lane.SpanID, CPUNS: r.cpu(), HeldUpNS: b.ns, Tasks: len(b.tasks)}
		of.Where, of.Stack = r.computes()
		all = append(all, of)
	}
	slices.SortStableFunc(all, func(a, b results.Blocker) int { return cmp.Compare(b.HeldUpNS, a.HeldUpNS) })
	return all[:min(maxPlaces, len(all))]
}
