package trial

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"sync"

	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/profile"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/trace"
)

// ends has what the worker processes of a trial have used that are no more: a
// worker may be replaced, or lost, while the program runs. Nothing is noted but
// the end of a process, so timed trials have it, too.
type ends struct {
	mu   sync.Mutex
	said map[int]profile.Usage // by worker, of its latest process
	last map[int]profile.Usage // by process id, when it was last asked
	used map[int]profile.Usage // by process id, when it ended
}

func newEnds() *ends {
	return &ends{said: make(map[int]profile.Usage), last: make(map[int]profile.Usage), used: make(map[int]profile.Usage)}
}

// watch listens for the ends of the processes of an executor that is to be
// opened so.
func (e *ends) watch(cfg *core.Config) {
	var p core.ProcessObserver
	if cfg.Processes != nil {
		p = *cfg.Processes
	}
	message, exited := p.Message, p.Exited
	p.Message = func(worker int, topic string, payload []byte) {
		var u profile.Usage
		if topic != topicUsage || json.Unmarshal(payload, &u) != nil {
			if message != nil {
				message(worker, topic, payload)
			}
			return
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.said[worker] = u
	}
	p.Exited = func(x core.ProcessExit) {
		e.mu.Lock()
		u, ok := e.said[x.Worker]
		if !ok { // it was killed
			u = e.last[x.PID]
		}
		e.used[x.PID] = u
		delete(e.said, x.Worker)
		e.mu.Unlock()
		if exited != nil {
			exited(x)
		}
	}
	cfg.Processes = &p
}

// ended adds up what the processes have used that have ended, and notes what
// those have used that have not.
func (e *ends) ended(alive map[int]profile.Usage) (total profile.Usage) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for pid, u := range e.used {
		if _, ok := alive[pid]; !ok {
			total = total.Plus(u)
		}
	}
	maps.Copy(e.last, alive)
	total.MaxRSSBytes = 0 // they need no memory any more
	return total
}

// complete returns the processes of a trial and what each used in the measured
// part, from what they said at its begin and at its end. A worker process that
// had ended by then said so when it did; of one that was killed, what is known is
// what it had used when it was last asked.
// Each has the name under which its spans are counted.
func (e *ends) complete(before, after []results.Process, began core.Stamp, exits []trace.Exit) []results.Process {
	e.mu.Lock()
	defer e.mu.Unlock()
	// They were started side by side.
	slices.SortStableFunc(exits, func(a, b trace.Exit) int { return cmp.Compare(a.Worker, b.Worker) })
	var all, earlier []results.Process
	for _, p := range after {
		if p.Name == trialName {
			all = append(all, p)
		}
	}
	for _, x := range exits {
		if i := slices.IndexFunc(after, func(p results.Process) bool { return p.PID == x.PID }); i >= 0 {
			p := after[i]
			p.Name = x.Name
			all = append(all, p)
			continue
		}
		if x.Ended < began {
			earlier = append(earlier, processOf(x.Name, x.PID, profile.Usage{}))
			continue
		}
		all = append(all, processOf(x.Name, x.PID, e.used[x.PID]))
	}
	return append(usedBy(all, before), earlier...)
}
