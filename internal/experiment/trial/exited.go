package trial

import (
	"cmp"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"sync"

	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/profile"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/trace"
)

// exitAccounting keeps what those worker processes of a trial have used that have
// exited: a worker may be replaced, or lost, while the program runs. It acts only when a
// process exits, so timed trials have it, too.
type exitAccounting struct {
	mu       sync.Mutex
	reported map[int]profile.Usage // by worker, reported by its latest process
	lastRead map[int]profile.Usage // by process id, when it was last read
	final    map[int]profile.Usage // by process id, when it exited
}

func newExitAccounting() *exitAccounting {
	return &exitAccounting{reported: make(map[int]profile.Usage), lastRead: make(map[int]profile.Usage), final: make(map[int]profile.Usage)}
}

// observe adds an observer of exits to the configuration of an executor that is to be
// opened.
func (e *exitAccounting) observe(cfg *core.Config) {
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
		e.reported[worker] = u
	}
	p.Exited = func(x core.ProcessExit) {
		e.mu.Lock()
		u, ok := e.reported[x.Worker]
		if !ok { // it was killed and reported nothing
			u = e.lastRead[x.PID]
		}
		e.final[x.PID] = u
		delete(e.reported, x.Worker)
		e.mu.Unlock()
		if exited != nil {
			exited(x)
		}
	}
	cfg.Processes = &p
}

// total returns what all exited processes have used together. alive holds the usage of
// those that still run, by process id; it is kept in case one of them is killed.
func (e *exitAccounting) total(alive map[int]profile.Usage) (sum profile.Usage) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for pid, u := range e.final {
		if _, ok := alive[pid]; !ok {
			sum = sum.Plus(u)
		}
	}
	maps.Copy(e.lastRead, alive)
	sum.MaxRSSBytes = 0 // an exited process holds no memory
	return sum
}

// complete returns the processes of a trial and what each used in the measured
// part. before and after hold the usage of the running processes at its begin and at
// its end, by process id. A worker process that exited in between reported its usage
// when it exited; for one that was killed, the last reading is used. Each process has
// the name under which its spans are counted.
func (e *exitAccounting) complete(before, after map[int]profile.Usage, began core.Stamp, exits []trace.Exit) []results.Process {
	e.mu.Lock()
	defer e.mu.Unlock()
	// Workers are started concurrently, so exits are in no fixed order of workers.
	slices.SortStableFunc(exits, func(a, b trace.Exit) int { return cmp.Compare(a.Worker, b.Worker) })
	var all, earlier []results.Process
	add := func(name string, pid int, u profile.Usage) {
		all = append(all, processOf(name, pid, u.Since(before[pid])))
	}
	if u, ok := after[os.Getpid()]; ok {
		add(trialName, os.Getpid(), u)
	}
	for _, x := range exits {
		switch u, alive := after[x.PID]; {
		case alive:
			add(x.Name, x.PID, u)
		case x.Ended < began: // it used nothing in the measured part
			earlier = append(earlier, processOf(x.Name, x.PID, profile.Usage{}))
		default:
			add(x.Name, x.PID, e.final[x.PID])
		}
	}
	return append(all, earlier...)
}
