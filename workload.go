package harness

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/f3f4c0de/harness/executor"
)

// A Workload is a program that can be run on any backend.
type Workload struct {
	// Name is what users type, lower case. Doc is a line for the list, then
	// what the program does and what it is made to show.
	Name, Doc string

	// Params points to a struct with the default parameters, or is nil. Its
	// exported fields are numbers, strings, booleans and time.Durations; a
	// yaml tag names each, and a doc tag explains it with its unit. If the
	// pointer has a method Validate() error, values that it refuses are
	// refused before anything runs.
	Params any

	// Axes are the quantities along which the program can be varied by a name
	// that means the same for every program; none if it has no such.
	Axes []Axis

	// Tasks are all tasks that the program submits.
	Tasks []executor.AnyTask

	// Workers returns how many workers suit the program on a machine with
	// that many cores; nil means as many as there are cores.
	Workers func(cores int) int

	// NeedsSharedMemory tells that the tasks share memory; the workload is
	// not applicable on a backend that does not.
	NeedsSharedMemory bool

	// Serve, if set, is a server that the program talks to. It runs in a
	// process of its own, started before Open and ended after Close. It
	// calls ready with its address once it listens, on loopback, and returns
	// when ctx ends.
	Serve func(ctx context.Context, params any, ready func(addr string)) error

	// Nominal returns about how long the program takes one task after the
	// other. It is used for the time estimate before a run only; nil means
	// that nobody knows.
	Nominal func(params any) time.Duration

	// Open sets the program up. None of its time is measured.
	Open func(ctx context.Context, env Env) (Session, error)
}

// Validate tells what is missing or wrong in the declaration, or returns nil.
func (w *Workload) Validate() error {
	switch {
	case w == nil:
		return errors.New("the workload is nil")
	case w.Name == "" || strings.ContainsFunc(w.Name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' && r != '-'
	}):
		return fmt.Errorf("a workload is named %q; want lower-case letters, digits, hyphens and underscores", w.Name)
	case w.Open == nil:
		return fmt.Errorf("workload %s has no Open", w.Name)
	case w.Params != nil && (reflect.TypeOf(w.Params).Kind() != reflect.Pointer || reflect.TypeOf(w.Params).Elem().Kind() != reflect.Struct):
		return fmt.Errorf("workload %s has Params of type %T; want a pointer to a struct", w.Name, w.Params)
	}
	for i, t := range w.Tasks {
		if t == nil || reflect.ValueOf(t).IsNil() {
			return fmt.Errorf("workload %s has %d Tasks, of which number %d is nil", w.Name, len(w.Tasks), i+1)
		}
	}
	return nil
}

// An Axis is a quantity along which a program can be varied whatever it calls its
// parameters. Users know three: "size", how long a task lasts; "wait", what share
// of that it waits; and "payload", the bytes that it takes and gives.
type Axis struct {
	Name, Doc string

	// Unit is that of the values: "ns", "B", or "1" for a share, at least 0 and
	// below 1.
	Unit string

	// Values are those that show what there is to be seen, in ascending order.
	Values []float64

	// Set gives params, a pointer like Workload.Params, that value of the
	// quantity, and leaves all else as it is as far as it can.
	Set func(params any, value float64)
}

// An Env is what a workload is opened with.
type Env struct {
	Params  any    // like Workload.Params, with the values of this run
	Workers int    // how many workers the executor has
	Addr    string // of the server that Serve started, if any
	Dir     string // an empty directory for the program's files, removed afterwards
}

// A Session is one set-up program. Its methods are called in this order, once
// each, except that Close is called whatever happened before. A session that
// also is a [Warmer] is warmed up before Run.
type Session interface {
	// Run does the work: it submits tasks to ex and waits for them. This is
	// what is measured. The output stays in the session.
	Run(ctx context.Context, ex *executor.Executor) error

	// Check holds the output of Run against an independent oracle, and tells
	// what came out. An error means that the output is wrong.
	Check() (Outcome, error)

	// Close releases what Open made.
	Close() error
}

// A Warmer is a Session with something to do before the measured part that
// every worker should have done once, such as opening a connection.
type Warmer interface {
	Warm(ctx context.Context, ex *executor.Executor) error
}

// An Outcome is what a checked run of a workload produced.
type Outcome struct {
	// Digest stands for the whole output: equal parameters must give equal
	// digests on every backend. See [Digest].
	Digest string

	// Tasks is how many tasks the program ran.
	Tasks int

	// Metrics are measurements that only the program can make.
	Metrics []Metric
}

// A Metric is a measurement of a workload's own.
type Metric struct {
	Name  string  `json:"name"` // lower case, words joined by _
	Unit  string  `json:"unit"` // "ns", "1/s", "B", …
	Value float64 `json:"value"`
}

// Digest returns the SHA-256 of v's JSON form, shortened to 16 hexadecimal
// digits. It panics if v has no JSON form.
func Digest(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("harness: digest: %v", err))
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}
