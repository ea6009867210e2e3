package findings

import (
	"fmt"
	"time"

	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/stats"
)

// AwaitInALoop finds a program that submits each task only when the one before it
// is done.
var AwaitInALoop = &Rule{
	Name: "await-in-a-loop",
	Doc:  "there was never more than one task at a time, though there were several workers and tasks",
	Check: func(c *Cell) *Finding {
		l := &c.Ledger
		if c.Workers < 2 || l.Tasks < 4 || l.MaxInFlight != 1 {
			return nil
		}
		idle := c.ofWorkers(noTask, c.idle())
		return (&Finding{
			Figure: idle,
			Says:   fmt.Sprintf("Each task is submitted after the result of the one before it, so one of %d workers is used. Submit all first, then wait.", c.Workers),
			Evidence: []string{
				fmt.Sprintf("%d tasks, never more than 1 between submission and result", l.Tasks),
				c.spent(idle),
			},
		}).show(l.Longest).at("submitted", c.submitted().Where, c.submitted().Stack)
	},
}

// PollingLoop finds tasks that wait by sleeping again and again.
var PollingLoop = &Rule{
	Name: "polling-loop",
	Doc:  "tasks sleep at least 5 times each at one place, for at least a fifth of their time",
	Check: func(c *Cell) *Finding {
		at, of := c.place(results.PartSleep)
		if c.share(results.PartSleep) < 0.2 || of < 0.5 || at.Waits < 5*c.Ledger.Tasks {
			return nil
		}
		asleep := c.ofWorkers("asleep", c.Ledger.Parts[results.PartSleep])
		return (&Finding{
			Figure: asleep,
			Says:   fmt.Sprintf("Tasks poll: they sleep again and again at %s. What they wait for could wake them.", at.Where),
			Evidence: []string{
				fmt.Sprintf("%d sleeps in %d tasks, %v each", at.Waits, c.Ledger.Tasks, about(time.Duration(at.NS/int64(at.Waits)))),
				c.spent(asleep),
			},
			Stack: at.Stack,
		}).show(c.most(results.PartSleep))
	},
}

// SerialIO finds tasks that wait for several replies one after the other.
var SerialIO = &Rule{
	Name: "serial-io",
	Doc:  "tasks that hardly do anything else wait for at least 3 replies each, one after the other, for at least half of their time",
	Check: func(c *Cell) *Finding {
		w := c.Ledger.Waits
		// A task that also waits for others is part of something larger, such
		// as a producer: its waits may have to be where they are.
		if c.Baseline || c.Ledger.Tasks < 2*c.Workers || c.share(results.PartIOService) < 0.5 || w.IO < 3*c.Ledger.Tasks || 10*(w.Channel+w.Sleep+w.Lock) > w.IO {
			return nil
		}
		at, of := c.place(results.PartIOService)
		if of < 0.8 {
			return nil
		}
		waiting := c.ofWorkers("waiting for replies", c.Ledger.Parts[results.PartIOService])
		return (&Finding{
			Figure: waiting,
			Says:   fmt.Sprintf("Each task waits for %d replies, one after the other, at %s. If none needs the one before it, ask for all at once.", w.IO/c.Ledger.Tasks, at.Where),
			Evidence: []string{
				fmt.Sprintf("%d waits in %d tasks, %v each", w.IO, c.Ledger.Tasks, about(time.Duration(c.Ledger.Parts[results.PartIOService]/int64(w.IO)))),
				c.spent(waiting),
			},
			Stack: at.Stack,
		}).show(c.most(results.PartIOService))
	},
}

// LockConvoy finds tasks that queue up for a lock of the program.
var LockConvoy = &Rule{
	Name: "lock-convoy",
	Doc:  "tasks wait at one lock for at least a fifth of their time",
	Check: func(c *Cell) *Finding {
		at, of := c.place(results.PartLock)
		if c.Workers < 2 || c.share(results.PartLock) < 0.2 || of < 0.5 || at.Waits < c.Ledger.Tasks/2 {
			return nil
		}
		waiting := c.ofWorkers("waiting for a lock", c.Ledger.Parts[results.PartLock])
		return (&Finding{
			Figure: waiting,
			Says:   fmt.Sprintf("Tasks queue up for a lock at %s. More workers make the queue longer. Hold it for less, or give each worker its own.", at.Where),
			Evidence: []string{
				fmt.Sprintf("%d waits in %d tasks, %v each", at.Waits, c.Ledger.Tasks, about(time.Duration(at.NS/int64(at.Waits)))),
				c.spent(waiting),
			},
			Stack: at.Stack,
		}).show(c.most(results.PartLock))
	},
}

// LateIO finds tasks that go on late after their reply has come, because another
// task computes.
var LateIO = &Rule{
	Name: "late-io",
	Doc: "outside of an event loop, tasks go on at least 1 ms after their replies have come, on average, and at least a third as long after as they waited for them; " +
		"at least half of it behind tasks that compute 4 times as long as they do",
	Check: func(c *Cell) *Finding {
		n := int64(c.Ledger.Waits.IO)
		late, behindLong := c.behind(results.PartIOLate, results.PartGate)
		service := c.Ledger.Parts[results.PartIOService] + c.Ledger.Parts[results.PartIOWait]
		if c.Backend.Cooperative || n == 0 || time.Duration(late/n) < time.Millisecond || 3*late < service || 2*behindLong < late {
			return nil
		}
		return (&Finding{
			Figure: Figure{What: "going on after a reply has come", Value: float64(late) / float64(n), Unit: "ns", Of: "reply"},
			Says: fmt.Sprintf("Replies are there and nobody takes them: a task goes on %v after its reply has come, on average, behind one that computes. Compute elsewhere, or in smaller pieces.",
				about(time.Duration(late/n))),
			Evidence: []string{
				fmt.Sprintf("%d times waiting for a reply %v, then for its turn %v", n, about(time.Duration(service/n)), about(time.Duration(late/n))),
			},
		}).blamed(c)
	},
}

// HeadOfLine finds tasks that hold up the others in an event loop.
var HeadOfLine = &Rule{
	Name: "head-of-line",
	Doc:  "in an event loop, tasks wait for their turn at least a fifth of their time, at least half of it behind tasks that compute 4 times as long as they do",
	Check: func(c *Cell) *Finding {
		waited, behindLong := c.behind(results.PartGate, results.PartIOLate)
		if !c.Backend.Cooperative || ratio(waited, c.Ledger.BusyNS) < 0.2 || 2*behindLong < waited {
			return nil
		}
		waiting := c.ofWorkers("waiting for the loop's turn", waited)
		return (&Finding{
			Figure: waiting,
			Says: fmt.Sprintf("A task that computes holds up the loop: the others, whose wait is over, wait for their turn, %v each. Compute elsewhere, or in smaller pieces.",
				about(time.Duration(waited/int64(c.Ledger.Tasks)))),
			Evidence: []string{
				c.spent(waiting),
			},
		}).blamed(c)
	},
}

// TooManyWorkers finds more computing workers than processors.
var TooManyWorkers = &Rule{
	Name: "more-workers-than-cores",
	Doc:  "with more workers than cores, tasks that use at least 4 times as much processor time as they wait for anything, and do nothing else for four fifths of theirs, wait a quarter of it for a processor",
	Check: func(c *Cell) *Finding {
		cpu, waited := c.cpu(), int64(0)
		for _, p := range []results.Part{results.PartIOService, results.PartIOWait, results.PartIOLate, results.PartLock, results.PartChannel, results.PartSleep, results.PartOther} {
			waited += c.Ledger.Parts[p]
		}
		if c.Backend.Serial || min(c.Workers, c.Ledger.MaxInFlight) <= c.Cores || cpu < 4*waited || c.share(results.PartRunning, results.PartRunnable) < 0.8 || c.share(results.PartRunnable) < 0.25 {
			return nil
		}
		waiting := c.ofWorkers("waiting for a processor", c.Ledger.Parts[results.PartRunnable])
		return (&Finding{
			Figure: waiting,
			Says:   fmt.Sprintf("%d workers compute on %d processors: a task waits for one %v. %d workers would be as fast.", c.Workers, c.Cores, about(c.each(results.PartRunnable)), c.Cores),
			Evidence: []string{
				fmt.Sprintf("running %v a task, runnable %v", about(c.each(results.PartRunning)), about(c.each(results.PartRunnable))),
				c.spent(waiting),
			},
		}).show(c.most(results.PartRunnable)).at("they compute", c.computing().Where, c.computing().Stack)
	},
}

// IdleWorkers finds workers that have nothing to do at the end.
var IdleWorkers = &Rule{
	Name: "idle-workers",
	Doc:  "on a model that runs several tasks' code at once, workers idle for at least a quarter of their time at the end, and the longest task uses three times as much processor time as a task does on average",
	Check: func(c *Cell) *Finding {
		l := &c.Ledger
		tail := ratio(l.TailNS, l.WallNS*int64(c.Workers))
		mean := c.cpu() / int64(l.Tasks)
		if c.Backend.Serial || c.Workers < 2 || l.Tasks < 2*c.Workers || tail < 0.25 || l.Longest.CPUNS < 3*mean {
			return nil
		}
		atEnd := c.ofWorkers("idle at the end", l.TailNS)
		return (&Finding{
			Figure: atEnd,
			Says:   "The work is badly divided: at the end workers idle while the longest tasks are done. Divide those, or start them first.",
			Evidence: []string{
				c.spent(atEnd),
				fmt.Sprintf("the longest task lasts %v and computes for at least %v; the mean is %v", about(time.Duration(l.Longest.NS)), about(time.Duration(l.Longest.CPUNS)), about(time.Duration(mean))),
			},
		}).show(l.Longest).at("the longest computes", l.Longest.Where, l.Longest.Stack)
	},
}

// Starved finds a program that does not submit enough.
var Starved = &Rule{
	Name: "queue-starvation",
	Doc:  "fewer tasks at a time than workers, which are busy for less than half of the time",
	Check: func(c *Cell) *Finding {
		l := &c.Ledger
		if l.MaxInFlight < 2 || l.MaxInFlight >= c.Workers || l.Tasks < 2*c.Workers || c.busy() > 0.5 {
			return nil
		}
		idle := c.ofWorkers(noTask, c.idle())
		return (&Finding{
			Figure: idle,
			Says:   fmt.Sprintf("The workers wait for the program: it has at most %d tasks submitted at a time, for %d workers.", l.MaxInFlight, c.Workers),
			Evidence: []string{
				fmt.Sprintf("%d tasks, never more than %d between submission and result", l.Tasks, l.MaxInFlight),
				c.spent(idle),
			},
		}).show(l.Longest).at("submitted", c.submitted().Where, c.submitted().Stack)
	},
}

// IPCBound finds tasks whose transport between processes takes longer than their
// work.
var IPCBound = &Rule{
	Name: "ipc-bound",
	Doc:  "carrying the tasks to other processes and back takes longer than running them, and workers are idle meanwhile, or encoding and decoding alone takes half as long; and the timed trials cost half as much processor time again as the leanest model needs",
	Check: func(c *Cell) *Finding {
		p := &c.Ledger.Parts
		carried := p[results.PartEncode] + p[results.PartTransport] + p[results.PartDecode]
		coded := p[results.PartEncode] + p[results.PartDecode]
		idle := carried > c.Ledger.BusyNS && 10*coded > carried && c.busy() < 0.5 && c.Ledger.MaxInFlight > 1
		if coded == 0 || !idle && 2*coded < c.Ledger.BusyNS || c.CPUNS < 1.5*c.LeastCPUNS {
			return nil
		}
		part := results.PartTransport
		if coded > p[part] {
			part = results.PartEncode
		}
		return (&Finding{
			Figure: c.aTask("between processes", carried),
			Says: fmt.Sprintf("The tasks are carried for longer than they compute: %v a task between processes, %v running. Carry less, or do more in a task.",
				about(time.Duration(carried/int64(c.Ledger.Tasks))), about(c.each(results.PartRunning))),
			Evidence: []string{
				fmt.Sprintf("encoding %v, transport %v, decoding %v a task", about(c.each(results.PartEncode)), about(c.each(results.PartTransport)), about(c.each(results.PartDecode))),
				c.spent(c.ofWorkers(noTask, c.idle())), c.extra(),
			},
		}).show(c.most(part)).at("submitted", c.submitted().Where, c.submitted().Stack)
	},
}

// smallTask is the duration from which a task's overhead does not matter on any
// model. tooMuch is the overhead, as a share of the work, from which it matters.
const (
	smallTask = 20 * time.Microsecond
	tooMuch   = 0.5
)

// TooSmall finds tasks that are shorter than what running them costs.
var TooSmall = &Rule{
	Name: "too-small",
	Doc:  "timed trials of at least 1,000 tasks below 20 µs cost half as much processor time again as the leanest model needs",
	Check: func(c *Cell) *Finding {
		n := c.Ledger.Tasks
		mean := time.Duration(c.LeastCPUNS / float64(n))
		if n < 1000 || c.LeastCPUNS <= 0 || mean > smallTask || c.CPUNS/c.LeastCPUNS-1 < tooMuch {
			return nil
		}
		return (&Finding{
			Figure: Figure{What: "processor time beyond what the leanest model takes", Value: (c.CPUNS - c.LeastCPUNS) / float64(n), Unit: "ns", Of: "task"},
			Says:   fmt.Sprintf("The tasks are too small for this model: each needs %v of processor time and costs %v. Put more into one.", about(mean), about(time.Duration(c.CPUNS/float64(n)))),
			Evidence: []string{
				fmt.Sprintf("%d tasks; they cost %s more than on the leanest model", n, percent(c.CPUNS/c.LeastCPUNS-1)), c.extra(),
			},
		}).show(c.Ledger.Longest).at("submitted", c.submitted().Where, c.submitted().Stack)
	},
}

// GCBound finds programs whose processor time goes to the garbage collector.
var GCBound = &Rule{
	Name: "gc-bound",
	Doc:  "of 30 or more CPU samples so many are the garbage collector's that it takes a fifth of the processor time or more, chance allowed for; it also ran twice or more in the measured part of the timed trials; and one place in the program allocates at least a fifth of the bytes",
	Check: func(c *Cell) *Finding {
		t := c.Profiled
		if t == nil || t.Allocates == nil || t.Allocates.Share < 0.2 || c.Collections < 2 || t.CPUSamples < results.MinSamples || stats.AtLeast(t.GCSamples, t.CPUSamples) < 0.2 {
			return nil
		}
		a := t.Allocates
		share := float64(t.GCSamples) / float64(t.CPUSamples)
		shown := c.most(results.PartGC)
		if shown.Number == 0 {
			shown = c.Ledger.Longest
		}
		return (&Finding{
			Figure: Figure{What: "in the garbage collector", Value: share, Unit: "1", Of: "the processor time"},
			Says:   fmt.Sprintf("Much of the processor time goes to the garbage collector. Allocate less: %s of the bytes that are allocated come from %s.", percent(a.Share), a.Where),
			Evidence: []string{
				fmt.Sprintf("%d of %d CPU samples, %s of the processor time", t.GCSamples, t.CPUSamples, percent(share)),
				fmt.Sprintf("%g collections in a timed trial; helping or waiting for them %v a task", c.Collections, about(c.each(results.PartGC))),
			},
			Stack:   a.Stack,
			Command: fmt.Sprintf("harness profile DIR --cell %s --kind allocs --lines", c.ID),
		}).show(shown)
	},
}
