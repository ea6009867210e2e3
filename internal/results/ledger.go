package results

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// MinSamples is the least number of CPU samples from which shares of processor time
// are stated: 0.3 s of processor time, at 100 samples a second.
const MinSamples = 30

// A Part is a component of a task's time. The parts of a task do not overlap. With
// the residual they add up to its whole time, from its submission until its result
// was back.
type Part int

// The parts, in the order in which a task passes them.
const (
	PartQueue Part = iota
	PartEncode
	PartTransport
	PartDecode
	PartAhead
	PartRunning
	PartRunnable
	PartIOService
	PartIOLate
	PartIOWait
	PartGate
	PartLock
	PartChannel
	PartSleep
	PartSyscall
	PartGC
	PartOther
	PartUnresolved

	parts = iota
)

// A PartDoc describes a part.
type PartDoc struct {
	Name   string
	Doc    string
	Source string // where its time is known from

	// Colour is that of its bars in charts: blue for computing, green for waiting
	// for I/O, red for obstacles. It is empty for a part in which a task is not at a
	// worker: many tasks can be in it at once, so it is no share of the workers' time.
	Colour string

	// Reasons are the Go runtime's reasons for a goroutine's wait
	// (runtime/traceruntime.go) that belong to this part, unless its stack says more.
	Reasons      []string
	Waits        func(*Waits) *int // the counter of such waits; nil if they are not counted
	Placed       bool              // the place at which a task waits is recorded
	Interference bool              // scheduling interference: the task could run, and others run in its place
	Reply        bool              // the task may be waiting for a reply
}

// PartInfo describes the parts, in their order. To add one, add it here. If it is
// more than a wait for one of the runtime's reasons, package ledger must find it,
// too.
var PartInfo = [parts]PartDoc{
	PartQueue:     {Name: "queue", Doc: "submitted, and not yet given to a worker", Source: "time stamps"},
	PartEncode:    {Name: "encode", Doc: "turning the argument and the result into bytes", Source: "time stamps"},
	PartTransport: {Name: "transport", Doc: "between the processes, there and back", Source: "time stamps of one clock"},
	PartDecode:    {Name: "decode", Doc: "turning the bytes back into argument and result", Source: "time stamps"},
	PartAhead:     {Name: "ahead", Doc: "already at the worker process, behind the task that it runs", Source: "time stamps"},
	PartRunning: {
		Name: "running", Doc: "holding a processor of the Go scheduler; being on a CPU is a part of that", Source: "execution trace", Colour: "#0072b2",
	},
	PartRunnable: {
		Name: "runnable", Doc: "able to run, and waiting for the Go scheduler", Source: "execution trace", Colour: "#e69f00",
		Reasons: []string{"preempted"}, Interference: true,
	},
	PartIOService: {
		Name: "io_service", Doc: "waiting until what it asked for was there", Source: "execution trace and the stamp in the reply", Colour: "#009e73", Placed: true,
	},
	PartIOLate: {
		Name: "io_late", Doc: "what it asked for was there, and the task did not run yet", Source: "execution trace and the stamp in the reply", Colour: "#cc79a7", Interference: true,
	},
	PartIOWait: {
		Name: "io_wait", Doc: "waiting on the network; nobody said when the reply was there", Source: "execution trace", Colour: "#7bccb5",
		Reasons: []string{"network"}, Waits: func(w *Waits) *int { return &w.IO }, Placed: true, Reply: true,
	},
	PartGate: {
		Name: "gate", Doc: "waiting for the model's own lock: the GIL, or the turn of the event loop", Source: "execution trace", Colour: "#d55e00", Interference: true,
	},
	PartLock: {
		Name: "lock", Doc: "waiting for a mutex, a condition or a wait group", Source: "execution trace", Colour: "#a50026",
		Reasons: []string{"sync", "sync.(*Cond).Wait"}, Waits: func(w *Waits) *int { return &w.Lock }, Placed: true,
	},
	PartChannel: {
		Name: "channel", Doc: "waiting for a channel", Source: "execution trace", Colour: "#8c6bb1",
		Reasons: []string{"chan send", "chan receive", "select"}, Waits: func(w *Waits) *int { return &w.Channel }, Placed: true, Reply: true,
	},
	PartSleep: {
		Name: "sleep", Doc: "waiting for a timer", Source: "execution trace", Colour: "#b8a800",
		Reasons: []string{"sleep"}, Waits: func(w *Waits) *int { return &w.Sleep }, Placed: true, Reply: true,
	},
	PartSyscall: {
		Name: "syscall", Doc: "in a system call; whether on a CPU or blocked is not known", Source: "execution trace", Colour: "#56b4e9",
	},
	PartGC: {
		Name: "gc", Doc: "helping the garbage collector, or waiting for it", Source: "execution trace", Colour: "#f46d43",
		Reasons: []string{"GC mark assist wait for work", "wait until GC ends", "GC background sweeper wait", "GC weak to strong wait"},
	},
	PartOther:      {Name: "other", Doc: "waiting for something else", Source: "execution trace", Colour: "#777", Reply: true},
	PartUnresolved: {Name: "unresolved", Doc: "in the task's function, of which there is no execution trace", Source: "time stamps", Colour: "#aaa"},
}

func (p Part) String() string { return PartInfo[p].Name }

// AtWorker reports whether a task occupies a worker during the part.
func (p Part) AtWorker() bool { return PartInfo[p].Colour != "" }

// WaitingFor returns the part of a wait for one of the Go runtime's reasons.
func WaitingFor(reason string) Part {
	for p, info := range PartInfo {
		if slices.Contains(info.Reasons, reason) {
			return Part(p)
		}
	}
	return PartOther
}

// Parts holds the nanoseconds of each part.
type Parts [parts]int64

// Sum returns the time of all parts together.
func (p *Parts) Sum() (sum int64) {
	for _, ns := range p {
		sum += ns
	}
	return sum
}

// Add adds q's parts to p's.
func (p *Parts) Add(q *Parts) {
	for i, ns := range q {
		p[i] += ns
	}
}

// MarshalJSON implements [json.Marshaler]. It writes the parts that are not zero
// under their names.
func (p Parts) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, ns := range p {
		if ns != 0 {
			if len(b) > 1 {
				b = append(b, ',')
			}
			b = fmt.Appendf(b, `"%s_ns":%d`, PartInfo[i].Name, ns)
		}
	}
	return append(b, '}'), nil
}

// UnmarshalJSON implements [json.Unmarshaler].
func (p *Parts) UnmarshalJSON(b []byte) error {
	m := make(map[string]int64)
	if err := json.NewDecoder(bytes.NewReader(b)).Decode(&m); err != nil {
		return err
	}
	*p = Parts{}
	for i, info := range PartInfo {
		p[i] = m[info.Name+"_ns"]
	}
	return nil
}

// Waits counts how often a task waited.
type Waits struct {
	IO      int `json:"io,omitempty"`
	Lock    int `json:"lock,omitempty"`
	Channel int `json:"channel,omitempty"`
	Sleep   int `json:"sleep,omitempty"`
}

// Add adds w's counts to those of the receiver.
func (w *Waits) Add(v Waits) {
	w.IO += v.IO
	w.Lock += v.Lock
	w.Channel += v.Channel
	w.Sleep += v.Sleep
}

// A Ledger says where the time of a cell's traced trial went: a line of
// ledger.ndjson.
type Ledger struct {
	Cell    string `json:"cell"`
	TraceID string `json:"trace_id"`
	Workers int    `json:"workers"`
	WallNS  int64  `json:"wall_ns"`

	Tasks      int   `json:"tasks"`
	Resolved   int   `json:"resolved"` // tasks that an execution trace shows
	TasksNS    int64 `json:"tasks_ns"` // sum of the tasks' times
	Parts      Parts `json:"parts"`    // sums of the tasks' parts
	ResidualNS int64 `json:"residual_ns"`
	// LargestResidual is the largest residual of a single task, as a share of its
	// time.
	LargestResidual float64 `json:"largest_residual"`

	// BusyNS is the time that workers spent inside of tasks. For the rest of
	// Workers × WallNS they were idle.
	BusyNS int64 `json:"busy_ns"`
	// SpawnNS is the time that starting the workers took. It is in no task's time.
	SpawnNS int64 `json:"spawn_ns"`

	OnCPUKnown int   `json:"on_cpu_known"` // tasks whose time on a CPU is known
	OnCPUNS    int64 `json:"on_cpu_ns"`
	OSQueueNS  int64 `json:"os_queue_ns"`
	Waits      Waits `json:"waits"`
	ChildrenNS int64 `json:"children_running_ns,omitempty"`

	// Most has, for every part, the task that spent most time on it. Places are
	// the places where all tasks together waited longest, Computing those where
	// they used the processor, by the samples of the profiler, and Submitted those
	// where the first of them were submitted.
	Most      []MostTask `json:"most,omitempty"`
	Places    []Place    `json:"places,omitempty"`
	Computing []Place    `json:"computing,omitempty"`
	Submitted []Place    `json:"submitted,omitempty"`

	// Scheduling interference: HeldUp is how long tasks that could run (runnable,
	// gate, io_late) waited while another task of their process ran. BehindLong is
	// the part of it in which a task ran that computes at least LongTask times as
	// long as the one that waited. Blockers are these long tasks.
	HeldUp     Parts     `json:"held_up,omitzero"`
	BehindLong Parts     `json:"behind_long,omitzero"`
	Blockers   []Blocker `json:"blockers,omitempty"`

	// MaxInFlight is the largest number of tasks that were between submission and
	// result at once.
	MaxInFlight int `json:"max_in_flight"`
	// TailNS is how long workers were idle at the end, added up, until the last
	// task was done. Longest is the task that ran longest.
	TailNS  int64    `json:"tail_ns"`
	Longest MostTask `json:"longest"`

	// RunQueueNS is how long the threads of all processes waited for a processor of
	// the machine, added up; null if unknown.
	RunQueueNS *int64 `json:"run_queue_ns"`

	Processes []Process `json:"processes,omitempty"`
	Notes     []string  `json:"notes,omitempty"` // what is not known, and why
}

// LongTask is how many times as long as a waiting task another task must compute to
// count as one that holds it up.
const LongTask = 4

// A Blocker is a task that held up others by computing.
type Blocker struct {
	Number   uint64   `json:"number"`
	Task     string   `json:"task"`
	SpanID   string   `json:"span_id"`
	CPUNS    int64    `json:"cpu_ns"`     // that it used, at least
	HeldUpNS int64    `json:"held_up_ns"` // how long it held up others, added up
	Tasks    int      `json:"tasks"`      // how many it held up
	Where    string   `json:"where,omitempty"`
	Stack    []string `json:"stack,omitempty"`
}

// A MostTask is the task with the most time of a part, or with the longest time.
type MostTask struct {
	Part   string `json:"part,omitempty"`
	Number uint64 `json:"number"`
	SpanID string `json:"span_id"`
	NS     int64  `json:"ns"`

	// Of the longest task: the processor time that it used, at least, and where.
	CPUNS int64    `json:"cpu_ns,omitempty"`
	Where string   `json:"where,omitempty"`
	Stack []string `json:"stack,omitempty"`
}

// A Place is a place in the program at which tasks waited, computed or were
// submitted.
type Place struct {
	Part  string   `json:"part,omitempty"` // of the tasks' time
	Where string   `json:"where"`
	NS    int64    `json:"ns,omitempty"`
	Waits int      `json:"waits"` // or samples, or submissions
	Stack []string `json:"stack"`
}

// A Process is one process of an observed trial and what it used in the
// measured part.
type Process struct {
	Name       string `json:"name"` // "trial", "worker-0", …
	PID        int    `json:"pid"`
	CPUNS      int64  `json:"cpu_ns"`
	RunQueueNS int64  `json:"run_queue_ns"` // how long its threads waited for a processor of the machine
	GCCycles   int64  `json:"gc_cycles"`
	Switches   int64  `json:"involuntary_switches"`

	// Nil in records of older versions.
	SystemNS          *int64 `json:"system_ns,omitempty"` // of CPUNS, in the kernel
	VoluntarySwitches *int64 `json:"voluntary_switches,omitempty"`

	// The number of spans that were expected, and that were exported.
	SpansExpected int `json:"spans_expected"`
	SpansExported int `json:"spans_exported"`

	// Execution is the file of its execution trace, in the cell's folder; empty if
	// it made none.
	Execution string `json:"execution,omitempty"`
}
