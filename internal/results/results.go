// Package results defines the records of a run and the layout of its folder.
//
// A record keeps what was measured and no conclusions: whoever reads it computes
// the statistics, so that they can be computed better later. To add a field, add it
// to the record with its unit in its name; to change what a field means, raise
// [Schema].
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

// A Run describes a run: run.json.
type Run struct {
	Schema  int       `json:"schema"`
	ID      string    `json:"id"` // begins with the time at which the run started
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"` // of the last part, if the run was resumed
	Status  Status    `json:"status"`

	Version Version `json:"version"`
	Machine Machine `json:"machine"`

	Preset string `json:"preset"`
	Seed   uint64 `json:"seed"`
	Rounds int    `json:"rounds"`
	// MaxRounds is the most rounds that are made to get Rounds undisturbed ones, or
	// to reach Precision. If it is 0, disturbed rounds are not repeated.
	MaxRounds int `json:"max_rounds,omitempty"`
	// Precision, if not 0, is the largest half width of the interval of each
	// speed-up, as a share of the speed-up: rounds are made until it is reached.
	Precision float64 `json:"precision,omitempty"`
	// BudgetNS, if not 0, is the time that the whole run may take: rounds are made
	// as long as whole rounds fit. AskedRounds is the number of rounds that was also
	// asked for; 0 means as many as fit. With a budget, Rounds is an upper bound
	// while the run is under way, and the number of rounds made when it has ended,
	// if that is smaller.
	BudgetNS    int64 `json:"budget_ns,omitempty"`
	AskedRounds int   `json:"asked_rounds,omitempty"`
	// TrialNS is the least time of the measured part of a trial; a shorter program
	// is repeated.
	TrialNS int64 `json:"trial_ns,omitempty"`
	// ProfileNS is how long a profiled trial lets its program run. The time for
	// which the program waits for a processor of a busy machine does not count.
	ProfileNS int64 `json:"profile_ns"`
	// Observers are those whose cost is measured, in ObserverRounds rounds on
	// the cells of the first workload. In a round each observer has a trial of its
	// own, and one trial has none.
	Observers      []ObserverInfo `json:"observers,omitempty"`
	ObserverRounds int            `json:"observer_rounds,omitempty"`
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

// A Status is the state of a run.
type Status string

// The states of a run.
const (
	Running     Status = "running"     // or its end could not be recorded
	Completed   Status = "completed"   // every trial was made and verified
	Failed      Status = "failed"      // every trial was made, some failed
	Interrupted Status = "interrupted" // it can be resumed
)

// A Version identifies the program that made the records.
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
	// Source is what it was built from, if it was built for the run. Path then no
	// longer exists when the run has ended.
	Source *Source `json:"source,omitempty"`
	// Settings are the Go version and the flags that it was built with; nil if the
	// program does not record them.
	Settings map[string]string `json:"settings,omitempty"`
}

// A Source is what a build was made from.
type Source struct {
	Revision string `json:"revision"` // as the user wrote it
	Commit   string `json:"commit"`
	Dir      string `json:"dir,omitempty"` // folder in the repository that Package is relative to
	Package  string `json:"package"`
}

// String describes the build for people.
func (b Build) String() string {
	if b.Source != nil {
		return fmt.Sprintf("%s: %s of %s, commit %.12s (%s)", b.Name, b.Source.Package, b.Source.Revision, b.Source.Commit, b.Executable)
	}
	return fmt.Sprintf("%s: %s (%s)", b.Name, b.Path, b.Executable)
}

// A Machine describes the machine on which the records were made.
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
	Label  string `json:"label"` // differs for two with different parameters
	Doc    string `json:"doc"`   // first line
	Params Params `json:"params,omitempty"`

	// Axis is the workload's value on the axis along which the run varied it; nil
	// if the run varied nothing, a parameter or the workers.
	Axis *AxisValue `json:"axis,omitempty"`
}

// An AxisValue is a value on an axis.
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

// A BackendInfo describes a backend of the run.
type BackendInfo struct {
	Name   string `json:"name"`
	Doc    string `json:"doc"` // first line
	Shared bool   `json:"shared"`
	Serial bool   `json:"serial"`

	// Turn names what a task waits for while the code of another task runs. Older
	// runs do not have it.
	Turn string `json:"turn,omitempty"`
	// Cooperative tells that a running task is not preempted: others run when it
	// waits. Older runs do not have it.
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
	Baseline bool   `json:"baseline,omitempty"` // the workload's other cells are compared with it
	// NotApplicable says why the cell is not run; empty if it is run.
	NotApplicable string `json:"not_applicable,omitempty"`
}

// An ObserverInfo describes an observer: something that can record a trial.
type ObserverInfo struct {
	Name string `json:"name"` // "spans", "cpu", …
	Doc  string `json:"doc"`  // what it does, such as "recording spans"
}

// A Kind is the purpose of a trial.
type Kind string

// The kinds of trials. Only timed trials enter the comparisons. The others are
// observed, which costs time, or measure something else.
const (
	Pilot    Kind = "pilot" // one of each workload on the baseline, before the rounds
	Timed    Kind = "timed"
	Traced   Kind = "traced"
	Profiled Kind = "profiled"

	// ObserverTrial is a trial by which the cost of observing is measured, with one
	// observer or with none.
	ObserverTrial Kind = "cost"

	// Probe measures the capacity of the machine, once before each round. It has no
	// cell.
	Probe Kind = "probe"
)

// A Trial is one fresh process that ran one cell once: a line of
// trials.ndjson.
type Trial struct {
	Cell      string `json:"cell"`
	Kind      Kind   `json:"kind"`
	Round     int    `json:"round"`          // from 0; 0 for evidence
	Replicate bool   `json:"copy,omitempty"` // the A/A replicate: the second trial of the baseline in its round
	Order     int    `json:"order"`          // place in the round, from 0
	// Observer is the observer of an ObserverTrial; empty if it had none.
	Observer string `json:"observer,omitempty"`

	Started time.Time `json:"started"`

	// Error says why the trial failed; the rest is then incomplete.
	Error string `json:"error,omitempty"`

	// Load is the load of the machine during the trial; nil if that is unknown.
	Load *Load `json:"load,omitempty"`

	Measured
}

// OK reports whether the trial ran and its output was verified.
func (t *Trial) OK() bool { return t.Error == "" }

// Load is the load of the processors that a trial could use, from just before its
// process was started until just after it ended.
type Load struct {
	WindowNS    int64 `json:"window_ns"`
	BusyNS      int64 `json:"busy_ns"`                // of all processors together, stolen time included
	OwnNS       int64 `json:"own_ns"`                 // of BusyNS, used by the trial and the runner
	StealNS     int64 `json:"steal_ns,omitempty"`     // of BusyNS, stolen by other guests of the host
	PressureNS  int64 `json:"pressure_ns,omitempty"`  // for which something waited for a processor
	ThrottledNS int64 `json:"throttled_ns,omitempty"` // for which the quota kept the trial from running
}

// Measured is what the process of a trial measured.
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

	// Repeats is how often the program ran, if more than once. The times, the
	// usage and the metrics are then the means in a timed trial, and those of the
	// first run in a profiled trial.
	Repeats int `json:"repeats,omitempty"`
	// CPUSamples are the samples of the program in a profiled trial, and GCSamples
	// those of them in which the garbage collector was at work.
	CPUSamples int64 `json:"cpu_samples,omitempty"`
	GCSamples  int64 `json:"gc_samples,omitempty"`
	// Allocates is where a profiled program allocated most.
	Allocates *Allocations `json:"allocates,omitempty"`

	// Of a probe: the time that a piece of work takes on one processor, and the
	// time that it takes on each processor if all do it at once.
	AloneNS    int64 `json:"alone_ns,omitempty"`
	TogetherNS int64 `json:"together_ns,omitempty"`
}

// Allocations are the allocations of a program, estimated from the samples of a
// profile.
type Allocations struct {
	Bytes int64    `json:"bytes"` // in all
	Where string   `json:"where"` // the place that allocates most
	Share float64  `json:"share"` // of the bytes that this place allocates
	Stack []string `json:"stack"` // of this place
}

// ColdNS returns the time of starting the workers, warming them up and the measured
// part.
func (m *Measured) ColdNS() int64 { return m.StartNS + m.WarmNS + m.WallNS }

// A Timeline has the tasks of a traced trial with their times and workers: a line of
// lanes.ndjson. All times are nanoseconds since the start of the measured part.
type Timeline struct {
	Cell    string       `json:"cell"`
	TraceID string       `json:"trace_id"`
	WallNS  int64        `json:"wall_ns"`
	Workers int          `json:"workers"`
	Tasks   []TaskRecord `json:"tasks"`
	// Submitted is how many tasks there were, if Tasks has only the first of them.
	Submitted int `json:"submitted,omitempty"`

	// BeganNS is the reading of the host's monotonic clock at the start.
	BeganNS   int64     `json:"began_ns,omitempty"`
	Processes []Process `json:"processes,omitempty"`
	// Runtime has the metrics of the Go runtime of each process at the end, by the
	// name of the process.
	Runtime map[string][]Point `json:"runtime,omitempty"`
}

// A Point is the value of a metric of a process, as OpenTelemetry names it.
type Point struct {
	Name       string            `json:"name"`
	Unit       string            `json:"unit,omitempty"`
	Doc        string            `json:"doc,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`

	// Value is the value, or the sum of the values in a histogram. A Counter only
	// grows.
	Value   float64 `json:"value"`
	Counter bool    `json:"counter,omitempty"`

	// Of a histogram: the upper bounds of its buckets without the last, and the
	// count of each bucket.
	Bounds []float64 `json:"bounds,omitempty"`
	Counts []uint64  `json:"counts,omitempty"`
}
