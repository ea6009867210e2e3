package ledger

import (
	"cmp"
	"slices"

	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/results"
)

// turns says who ran while others waited for their turn: for a processor or for
// the lock of the model.
type turns struct {
	ran, waited []turn
	heldUp      map[uint64]*blocked // by the number of the one that ran
}

type turn struct {
	span
	number uint64
	part   results.Part
}

type blocked struct {
	ns    int64
	tasks map[uint64]bool
}

// shortTurn is what is too short to hold somebody up.
const shortTurn = 100_000

// add notes the turns of a task.
func (t *turns) add(x *Executed, within span) {
	for _, in := range x.Intervals {
		at := turn{span{max(in.From, within.from), min(in.To, within.to)}, x.Number, in.Part}
		if at.to-at.from < shortTurn {
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

// settle holds the turns of one process against each other and forgets them.
func (t *turns) settle(l *results.Ledger, runs map[uint64]*run) {
	slices.SortFunc(t.ran, func(a, b turn) int { return cmp.Compare(a.from, b.from) })
	ended := make([]core.Stamp, len(t.ran)) // the latest end of this one and all before
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
			if runs[r.number].cpu() < results.LongTask*max(shortTurn, runs[w.number].parts[results.PartRunning]) {
				continue // they take turns
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

// blockers returns those that held up the others most.
func (t *turns) blockers(lanes *results.Timeline, runs map[uint64]*run) []results.Blocker {
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
