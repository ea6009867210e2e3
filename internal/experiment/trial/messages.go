package trial

import (
	"time"

	"github.com/f3f4c0de/harness/internal/profile"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/trace"
)

// What the processes of a run say to each other is here, as plain data: the parent
// may be of another build than the trial.

// The roles of this program's processes beside those of the backends.
const (
	Role       = "trial"
	ServerRole = "server"
	// ProbeRole is the process that measures how much runs at once. It is a process
	// of its own for the same reasons as a trial is.
	ProbeRole = "probe"
)

// EndTimeout is how long a process may take to end when it is done.
const EndTimeout = 30 * time.Second

// An Order is what the process of a trial is told.
type Order struct {
	RunID    string         `json:"run_id"`
	Version  string         `json:"version"`
	Cell     results.Cell   `json:"cell"`
	Workload string         `json:"workload"` // name, where Cell has the label
	Params   results.Params `json:"params"`
	Kind     results.Kind   `json:"kind"`
	Observer string         `json:"observer,omitempty"` // of a trial of kind Cost
	Dir      string         `json:"dir"`                // empty, for the program's files
	LeastNS  int64          `json:"least_ns,omitempty"` // a timed program that is done sooner is run again
	Evidence EvidenceOrder  `json:"evidence"`
}

// An EvidenceOrder is what a trial that is observed is told in addition.
type EvidenceOrder struct {
	Epoch     trace.Epoch   `json:"epoch,omitempty"`
	CellSpan  string        `json:"cell_span,omitempty"`  // traceparent
	SpansFile string        `json:"spans_file,omitempty"` // to be written
	Execution string        `json:"execution,omitempty"`  // folder for execution traces, to be made
	Profiles  string        `json:"profiles,omitempty"`   // folder to be written
	ProfileNS time.Duration `json:"profile_ns,omitempty"`
}

// A Reply is what it answers.
type Reply struct {
	Error    string            `json:"error,omitempty"`
	Measured results.Measured  `json:"measured"`
	Timeline *results.Timeline `json:"lanes,omitempty"`
}

// A serverOrder is what the process of a workload's server is told.
type serverOrder struct {
	Workload string         `json:"workload"`
	Params   results.Params `json:"params"`
}

// A serverReply is what it answers when it listens, or cannot.
type serverReply struct {
	Addr  string `json:"addr,omitempty"`
	Error string `json:"error,omitempty"`
}

// What a worker process can be asked for.
const (
	requestUsage        = "usage"
	requestAll          = "usage.all" // with the waiting for processors
	requestRuntime      = "runtime"
	requestProfileStart = "profile.start"
	requestProfileStop  = "profile.stop"
)

// What a worker process says when it ends: what it has used, and its profiles if
// nobody has asked for them before.
const (
	topicUsage    = "usage"
	topicProfiles = "profiles"
)

// The variables that tell a worker process how it is observed.
const (
	executionEnv  = "HARNESS_EXECUTION"   // an executionOrder: the trial is traced
	profileEnv    = "HARNESS_PROFILE"     // the labels to use: the trial is profiled
	profileNowEnv = "HARNESS_PROFILE_NOW" // begin at once: the program runs already
	observerEnv   = "HARNESS_OBSERVER"    // an observerOrder
)

// An executionOrder is what a worker process of a traced trial is told.
type executionOrder struct {
	Dir    string         `json:"dir"` // for the execution trace and the CPU profile
	Labels profile.Labels `json:"labels"`
}

// An observerOrder is what one is told that is watched by one observer.
type observerOrder struct {
	Name    string         `json:"name"`
	Dir     string         `json:"dir"` // for what must be a file
	Workers int            `json:"workers"`
	Labels  profile.Labels `json:"labels"`
}
