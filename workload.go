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
	// Name is what users type, in lower case. Doc is one line for the list of
	// workloads, an empty line, and what the program does and what it shows.
	Name, Doc string

	// Params points to a struct with the default parameters, or is nil. Its
	// exported fields are numbers, strings, booleans and time.Durations; a
	// yaml tag names each, and a doc tag explains it with its unit. If the
	// pointer has a method Validate() error, parameters for which it returns an
	// error are refused before anything runs.
	Params any

	// Axes are the quantities in which the program can be varied under a name that
	// means the same for every program; it may have none.
	Axes []Axis

	// Tasks are all tasks that the program submits.
	Tasks []executor.AnyTask

	// Workers returns how many workers suit the program on a machine with
	// that many cores; nil means as many as there are cores.
	Workers func(cores int) int

	// NeedsSharedMemory says that the tasks share memory; the workload cannot run on
	// a backend whose tasks do not.
	NeedsSharedMemory bool

	// Serve, if set, is a server that the program talks to. It runs in a
	// process of its own, started before Open and ended after Close. It
	// calls ready with its address once it listens, on loopback, and returns
	// when ctx ends.
	Serve func(ctx context.Context, params any, ready func(addr string)) error

	// Nominal returns about how long the program takes if it runs one task after the
	// other. Only the time estimate before a run uses it; nil means that the time is
	// not known.
	Nominal func(params any) time.Duration

	// Open sets the program up. None of its time is measured.
	Open func(ctx context.Context, env Env) (Session, error)
}

// Validate returns an error that tells what is missing or wrong in the declaration, or
// nil.
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

// An Axis is a quantity in which every program can be varied, whatever the names of its
// parameters. Users know three: "size", how long a task takes; "wait", the share of that
// time in which it waits; and "payload", the bytes of its argument and its result.
type Axis struct {
	Name, Doc string

	// Unit is that of the values: "ns", "B", or "1" for a share, which is at least 0
	// and below 1.
	Unit string

	// Values are the values at which the program is run by default, in ascending
	// order. They should show where the backends differ.
	Values []float64

	// Set gives params, a pointer like Workload.Params, that value of the
	// quantity, and changes other parameters as little as possible.
	Set func(params any, value float64)
}

// An Env is what a workload is opened with.
type Env struct {
	Params  any    // like Workload.Params, with the values of this run
	Workers int    // how many workers the executor has
	Addr    string // of the server that Serve started, if any
	Dir     string // an empty directory for the program's files, removed afterwards
}

// A Session is a program that Workload.Open has set up. Its methods are called in this
// order, once each. Close is also called if another method has failed. A session that
// also is a [Warmer] is warmed up before Run.
type Session interface {
	// Run does the work: it submits tasks to ex and waits for them. Its time is
	// what is measured. The output stays in the session.
	Run(ctx context.Context, ex *executor.Executor) error

	// Check compares the output of Run with that of an independent oracle, and
	// returns the outcome. An error means that the output is wrong.
	Check() (Outcome, error)

	// Close releases what Open made.
	Close() error
}

// A Warmer is a Session in which every worker should do something once before the
// measured part, such as opening a connection.
type Warmer interface {
	// Warm is called before Run. Its time is not measured.
	Warm(ctx context.Context, ex *executor.Executor) error
}

// An Outcome is what a checked run of a workload produced.
type Outcome struct {
	// Digest represents the whole output: equal parameters must give equal
	// digests on every backend. The function [Digest] makes one.
	Digest string

	// Tasks is how many tasks the program ran.
	Tasks int

	// Metrics are measurements that only the program can make.
	Metrics []Metric
}

// A Metric is a measurement that a workload makes itself.
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
