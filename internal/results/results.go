// Package results defines what a run leaves behind: the records, and the
// layout of the folder that holds them.
//
// A record keeps what was measured, not what was concluded from it: statistics
// are computed by those who read it, and can be computed better later. To add
// a field, add it to the record with its unit in its name; to change what a
// field means, raise [Schema].
package results

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/f3f4c0de/harness"
)

// Schema is the version of the records.
const Schema = 1

// A Run is what one experiment did: run.json.
type Run struct {
	Schema  int       `json:"schema"`
	ID      string    `json:"id"` // begins with the time of the start
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"` // of the last part, if it was resumed
	Status  Status    `json:"status"`

	Version Version `json:"version"`
	Machine Machine `json:"machine"`

	Preset string `json:"preset"`
	Seed   uint64 `json:"seed"`
	Rounds int    `json:"rounds"`
	// MaxRounds bounds how many rounds are made to have as many as Rounds that
	// nothing disturbed, or to reach Precision. Where it is 0 no round is made
	// in another's place.
	MaxRounds int `json:"max_rounds,omitempty"`
	// Precision, if not 0, is the half width that the interval of each speed-up
	// is to have, as a share of it: rounds are made until it has.
	Precision float64 `json:"precision,omitempty"`
	// BudgetNS, if not 0, is what the whole run may take: rounds are made as long
	// as they fit, and none is cut short. AskedRounds are those that were asked
	// for beside it, 0 for as many as fit. Rounds is then a bound until the last
	// one was made, and how many were made thereafter, if they are fewer.
	BudgetNS    int64 `json:"budget_ns,omitempty"`
	AskedRounds int   `json:"asked_rounds,omitempty"`
	// TrialNS is the least time that the measured part of a trial takes; a
	// shorter program is repeated.
	TrialNS int64 `json:"trial_ns,omitempty"`
	// ProfileNS is how long a profiled trial lets its program run, not counting
	// what it waits for a processor of a busy machine.
	ProfileNS int64 `json:"profile_ns"`
	// Observers are those whose cost is measured, in ObserverRounds rounds on
	// the cells of the first workload: each in a trial of its own, beside one
	// that nothing observes.
	Observers      []Observer `json:"observers,omitempty"`
	ObserverRounds int        `json:"observer_rounds,omitempty"`
	// TimeoutNS bounds a trial.
	TimeoutNS int64 `json:"timeout_ns"`

	// Environment holds the variables that change how Go programs run.
	Environment map[string]string `json:"environment,omitempty"`

	// Builds are the programs that the run compares, if it compares programs.
	Builds []Build `json:"builds,omitempty"`

	Workloads []WorkloadInfo `json:"workloads"`
	Backends  []BackendInfo  `json:"backends"`
	Cells     []Cell         `json:"cells"`
}

// A Status is how a run stands.
type Status string

// The states of a run.
const (
	Running     Status = "running"     // or its end could not be recorded
	Completed   Status = "completed"   // every trial was made and verified
	Failed      Status = "failed"      // every trial was made, some failed
	Interrupted Status = "interrupted" // it can be resumed
)

// A Version tells what program made the records.
type Version struct {
	Harness    string `json:"harness"`            // module version or "devel"
	Revision   string `json:"revision,omitempty"` // of its source
	Go         string `json:"go"`
	Executable string `json:"executable"` // SHA-256 of the program, 16 digits
}

// A Build is one of several programs that a run compares.
type Build struct {
	Name       string `json:"name"` // "A", "B"
	Path       string `json:"path"`
	Executable string `json:"executable"` // as in Version
	// Source is what it was built from, if that was for the run: Path is then
	// gone when the run has ended.
	Source *Source `json:"source,omitempty"`
	// Settings are the Go version and the flags that it was built with, as the
	// program tells; nil if it does not.
	Settings map[string]string `json:"settings,omitempty"`
}

// A Source is what a build was made from.
type Source struct {
	Revision string `json:"revision"` // as the user wrote it
	Commit   string `json:"commit"`
	Dir      string `json:"dir,omitempty"` // below the top of the repository, where the package was named
	Package  string `json:"package"`
}

// String describes the build for people.
func (b Build) String() string {
	if b.Source != nil {
		return fmt.Sprintf("%s: %s of %s, commit %.12s (%s)", b.Name, b.Source.Package, b.Source.Revision, b.Source.Commit, b.Executable)
	}
	return fmt.Sprintf("%s: %s (%s)", b.Name, b.Path, b.Executable)
}

// A Machine tells where they were made.
type Machine struct {
	OS     string `json:"os"`
	Arch   string `json:"arch"`
	Kernel string `json:"kernel,omitempty"`
	CPU    string `json:"cpu,omitempty"` // model
	Cores  int    `json:"cores"`         // that the program may use
	Memory int64  `json:"memory_bytes,omitempty"`
}

// A WorkloadInfo is a workload of the run, with its parameters.
type WorkloadInfo struct {
	Name   string `json:"name"`
	Label  string `json:"label"` // tells two with different parameters apart
	Doc    string `json:"doc"`   // first line
	Params Params `json:"params,omitempty"`

	// Axis is where the workload stands on the axis along which the run varied
	// it; nil if it did not, or by a parameter or the workers.
	Axis *AxisValue `json:"axis,omitempty"`
}

// An AxisValue is a place on an axis.
type AxisValue struct {
	Name  string  `json:"name"` // "size", "wait" or "payload"
	Unit  string  `json:"unit"` // "ns", "1" or "B"
	Value float64 `json:"value"`
}

// Params are the parameters of a workload by name. Whole numbers stay whole,
// however large, when they are read back.
type Params map[string]any

// UnmarshalJSON implements [json.Unmarshaler].
func (p *Params) UnmarshalJSON(b []byte) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var m map[string]any
	if err := dec.Decode(&m); err != nil {
		return err
	}
	for k, v := range m {
		n, ok := v.(json.Number)
		if !ok {
			continue
		}
		if i, err := strconv.ParseInt(n.String(), 10, 64); err == nil {
			m[k] = i
		} else if u, err := strconv.ParseUint(n.String(), 10, 64); err == nil {
			m[k] = u
		} else if f, err := n.Float64(); err == nil {
			m[k] = f
		}
	}
	*p = m
	return nil
}

// A BackendInfo is a backend of the run.
type BackendInfo struct {
	Name   string `json:"name"`
	Doc    string `json:"doc"` // first line
	Shared bool   `json:"shared"`
	Serial bool   `json:"serial"`

	// Turn is what a task waits for while the code of another one runs. Older
	// runs do not have it.
	Turn string `json:"turn,omitempty"`
	// Cooperative tells that a task has its turn until it waits. Older runs do
	// not have it.
	Cooperative bool `json:"cooperative,omitempty"`

	GOMAXPROCS int `json:"gomaxprocs,omitempty"`
}

// A Cell is one workload with its parameters on one backend with its workers.
type Cell struct {
	ID       string `json:"id"`       // also the name of its folder
	Workload string `json:"workload"` // label of the workload
	Backend  string `json:"backend"`
	Workers  int    `json:"workers"`
	Build    string `json:"build,omitempty"`    // name of the program, if the run compares programs
	Baseline bool   `json:"baseline,omitempty"` // what the workload's other cells are compared with
	// NotApplicable tells why the cell is not run; empty if it is.
	NotApplicable string `json:"not_applicable,omitempty"`
}

// An Observer is something that can watch a trial.
type Observer struct {
	Name string `json:"name"` // "spans", "cpu", …
	Doc  string `json:"doc"`  // what costs: "recording spans"
}

// A Kind is what a trial is made for.
type Kind string

// The kinds of trials. Only timed ones enter the statistics: the others are
// evidence, and observing costs time.
const (
	Pilot    Kind = "pilot" // one of each workload on the baseline, before the rounds
	Timed    Kind = "timed"
	Traced   Kind = "traced"
	Profiled Kind = "profiled"

	// Cost is one of a round by which the cost of observing is measured: with
	// one observer, or with none.
	Cost Kind = "cost"

	// Probe is no trial of a cell: it measures how much runs at once on the
	// machine, once before each round.
	Probe Kind = "probe"
)

// A Trial is one fresh process that ran one cell once: a line of
// trials.ndjson.
type Trial struct {
	Cell  string `json:"cell"`
	Kind  Kind   `json:"kind"`
	Round int    `json:"round"`          // from 0; 0 for evidence
	Copy  bool   `json:"copy,omitempty"` // the second trial of the baseline in its round
	Order int    `json:"order"`          // place in the round, from 0
	// Observer is what watched a trial of kind Cost; empty if nothing did.
	Observer string `json:"observer,omitempty"`

	Started time.Time `json:"started"`

	// Error tells why the trial failed; the rest is then incomplete.
	Error string `json:"error,omitempty"`

	// Load is what the machine did meanwhile; nil if that is unknown.
	Load *Load `json:"load,omitempty"`

	Measured
}

// OK reports whether the trial ran and its output was verified.
func (t *Trial) OK() bool { return t.Error == "" }

// Load is what the machine did from just before a trial's process was started
// until just after it had ended, on the processors that it could use.
type Load struct {
	WindowNS    int64 `json:"window_ns"`
	BusyNS      int64 `json:"busy_ns"`                // of all processors together, stolen time included
	OwnNS       int64 `json:"own_ns"`                 // of it, the trial's and the runner's
	StealNS     int64 `json:"steal_ns,omitempty"`     // of it, stolen by other guests of the host
	PressureNS  int64 `json:"pressure_ns,omitempty"`  // in which something waited for a processor
	ThrottledNS int64 `json:"throttled_ns,omitempty"` // in which the quota kept the trial from running
}

// Measured is what the process of a trial found out.
type Measured struct {
	GOMAXPROCS int `json:"gomaxprocs"`
	Workers    int `json:"workers"`
	PID        int `json:"pid"`

	OpenNS  int64 `json:"open_ns"`  // setting up the workload, its server included
	StartNS int64 `json:"start_ns"` // starting the backend's workers
	WarmNS  int64 `json:"warm_ns"`  // warming up
	WallNS  int64 `json:"wall_ns"`  // the measured part
	CloseNS int64 `json:"close_ns"` // ending the workers

	// Of all processes that ran the program, in the measured part.
	Usage

	Tasks   int              `json:"tasks"`
	Digest  string           `json:"digest"`
	Metrics []harness.Metric `json:"metrics,omitempty"`

	// Of a traced trial.
	TraceID       string `json:"trace_id,omitempty"`
	SpansExpected int    `json:"spans_expected,omitempty"`
	SpansExported int    `json:"spans_exported,omitempty"`

	// How often the program ran, if more than once. The times, the accounting
	// and the metrics of a timed trial are then the means, those of a profiled
	// one the first run's.
	Repeats int `json:"repeats,omitempty"`
	// CPUSamples of its program, and those of them that the garbage collector
	// was at work in.
	CPUSamples int64 `json:"cpu_samples,omitempty"`
	GCSamples  int64 `json:"gc_samples,omitempty"`
	// Allocates is where a profiled program allocated most.
	Allocates *Allocations `json:"allocates,omitempty"`

	// Of a probe: the time that some work takes on one processor, and that the
	// same work takes on each of all processors at once.
	AloneNS    int64 `json:"alone_ns,omitempty"`
	TogetherNS int64 `json:"together_ns,omitempty"`
}

// Allocations are those of a program, by the samples of a profile.
type Allocations struct {
	Bytes int64    `json:"bytes"` // in all
	Where string   `json:"where"` // that most of them are made
	Share float64  `json:"share"` // of them, there
	Stack []string `json:"stack"`
}

// ColdNS is the time of the measured part together with that of starting and
// warming up the workers before it.
func (m *Measured) ColdNS() int64 { return m.StartNS + m.WarmNS + m.WallNS }

// Lanes are what the workers of a traced trial did, task by task: a line of
// lanes.ndjson. All times are nanoseconds since the start of the measured part.
type Lanes struct {
	Cell    string       `json:"cell"`
	TraceID string       `json:"trace_id"`
	WallNS  int64        `json:"wall_ns"`
	Workers int          `json:"workers"`
	Tasks   []TaskRecord `json:"tasks"`
	// Submitted is how many tasks there were, if Tasks has only the first.
	Submitted int `json:"submitted,omitempty"`

	// BeganNS is the reading of the host's monotonic clock at the begin.
	BeganNS   int64     `json:"began_ns,omitempty"`
	Processes []Process `json:"processes,omitempty"`
	// Runtime has what the Go runtime of each process said about itself at the
	// end, by the process's name.
	Runtime map[string][]Point `json:"runtime,omitempty"`
}

// A Point is one figure of a process, as OpenTelemetry names it.
type Point struct {
	Name       string            `json:"name"`
	Unit       string            `json:"unit,omitempty"`
	Doc        string            `json:"doc,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`

	// Value is the figure, or the sum of the values in a histogram. A Counter
	// only grows.
	Value   float64 `json:"value"`
	Counter bool    `json:"counter,omitempty"`

	// Of a histogram: the upper bounds of its buckets but the last, and what is
	// in each.
	Bounds []float64 `json:"bounds,omitempty"`
	Counts []uint64  `json:"counts,omitempty"`
}
