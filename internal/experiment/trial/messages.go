package trial

import (
	"time"

	"github.com/f3f4c0de/harness/internal/profile"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/trace"
)

// This file has the messages between the processes of a run. They are plain data, and
// their JSON keys stay as they are: the parent may be of another build than the trial.

// The roles in which this package starts this program again. Backends have their own.
const (
	Role       = "trial"
	ServerRole = "server"
	// ProbeRole is the process that measures how much work the machine does in parallel.
	// It is a process of its own for the same reasons as a trial.
	ProbeRole = "probe"
)

// EndTimeout is how long a process may take to exit after its input was closed.
const EndTimeout = 30 * time.Second

// An Order tells the process of a trial what to run.
type Order struct {
	RunID    string         `json:"run_id"`
	Version  string         `json:"version"`
	Cell     results.Cell   `json:"cell"`
	Workload string         `json:"workload"` // name, where Cell has the label
	Params   results.Params `json:"params"`
	Kind     results.Kind   `json:"kind"`
	Observer string         `json:"observer,omitempty"` // the one whose cost is measured, in a trial of kind ObserverTrial; empty for none
	Dir      string         `json:"dir"`                // for the program's files; it is empty
	LeastNS  int64          `json:"least_ns,omitempty"` // a timed program that takes less is repeated
	Evidence EvidenceOrder  `json:"evidence"`
}

// An EvidenceOrder tells a trial where to write what its instrumentation records.
type EvidenceOrder struct {
	Epoch     trace.Epoch   `json:"epoch,omitempty"`
	CellSpan  string        `json:"cell_span,omitempty"`  // traceparent
	SpansFile string        `json:"spans_file,omitempty"` // to be written
	Execution string        `json:"execution,omitempty"`  // folder for execution traces, to be made
	Profiles  string        `json:"profiles,omitempty"`   // folder to be written
	ProfileNS time.Duration `json:"profile_ns,omitempty"`
}

// A Reply is the answer to an [Order].
type Reply struct {
	Error    string            `json:"error,omitempty"`
	Measured results.Measured  `json:"measured"`
	Timeline *results.Timeline `json:"lanes,omitempty"`
}

// A serverOrder tells the process of a workload's server which workload it is for.
type serverOrder struct {
	Workload string         `json:"workload"`
	Params   results.Params `json:"params"`
}

// A serverReply is its answer, once it listens or has failed to.
type serverReply struct {
	Addr  string `json:"addr,omitempty"`
	Error string `json:"error,omitempty"`
}

// The requests that a worker process answers.
const (
	requestUsage        = "usage"
	requestAll          = "usage.all" // with the time that threads waited for a processor
	requestRuntime      = "runtime"
	requestProfileStart = "profile.start"
	requestProfileStop  = "profile.stop"
)

// The topics of the messages that a worker process sends when it exits: its usage, and
// its profiles unless a request has fetched them before.
const (
	topicUsage    = "usage"
	topicProfiles = "profiles"
)

// The environment variables that tell a worker process how it is observed.
const (
	executionEnv  = "HARNESS_EXECUTION"   // an executionOrder, in a traced trial
	profileEnv    = "HARNESS_PROFILE"     // the labels to use, in a profiled trial
	profileNowEnv = "HARNESS_PROFILE_NOW" // start profiling at once: the measured part has begun
	observerEnv   = "HARNESS_OBSERVER"    // an observerOrder, in a trial that measures what an observer costs
)

// An executionOrder tells a worker process of a traced trial where to write.
type executionOrder struct {
	Dir    string         `json:"dir"` // for the execution trace and the CPU profile
	Labels profile.Labels `json:"labels"`
}

// An observerOrder tells a worker process which single observer to start.
type observerOrder struct {
	Name    string         `json:"name"`
	Dir     string         `json:"dir"` // for observers that write a file
	Workers int            `json:"workers"`
	Labels  profile.Labels `json:"labels"`
}
