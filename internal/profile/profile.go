// Package profile collects pprof profiles of the processes of a trial and
// merges them, and reads what a process has used up. It is the only package that
// knows runtime/pprof.
//
// To add a kind of profile, add it to [Kinds] and, if it counts since the
// process started, to counted. The names of functions by which stacks are read are
// in names.go.
package profile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/google/pprof/profile"

	"github.com/f3f4c0de/harness/internal/core"
)

// Kinds are the profiles that are collected, by the name of their files.
var Kinds = []string{"cpu", "allocs", "heap", "block", "mutex", "goroutine"}

// A Set holds the profiles of one process by kind, in the encoding that pprof
// reads: gzipped protocol buffers.
type Set map[string][]byte

// EarlySettings must be called first thing in a process that is to be
// profiled: the rate at which allocations are sampled counts from the start.
func EarlySettings() { runtime.MemProfileRate = 64 << 10 }

// counted are the kinds that count since the process started.
var counted = []string{"allocs", "block", "mutex"}

// Start starts all profiles of this process and returns the function that ends
// them and returns them; called again it returns the same. It must be called.
// Only one set can be under way in a process at a time.
func Start() (stop func() (Set, error), err error) {
	runtime.SetBlockProfileRate(1)
	runtime.SetMutexProfileFraction(1)
	runtime.GC() // what was allocated is counted once the collector has been over it
	before := make(map[string]*profile.Profile)
	for _, kind := range counted {
		if before[kind], err = snapshot(kind); err != nil {
			return nil, err
		}
	}
	var cpu bytes.Buffer
	if err := pprof.StartCPUProfile(&cpu); err != nil {
		return nil, fmt.Errorf("starting the CPU profile: %w", err)
	}
	return sync.OnceValues(func() (Set, error) {
		pprof.StopCPUProfile()
		runtime.SetBlockProfileRate(0)
		runtime.SetMutexProfileFraction(0)
		runtime.GC()
		p, err := profile.Parse(&cpu)
		if err != nil {
			return nil, fmt.Errorf("reading back the CPU profile: %w", err)
		}
		collected := map[string]*profile.Profile{"cpu": p}
		for _, kind := range Kinds[1:] {
			if collected[kind], err = snapshot(kind); err != nil {
				return nil, err
			}
		}
		for _, kind := range counted {
			collected[kind] = subtract(collected[kind], before[kind])
		}
		set := make(Set)
		for kind, p := range collected {
			p.Sample = slices.DeleteFunc(p.Sample, excluded)
			if set[kind], err = encode(p.Compact()); err != nil {
				return nil, err
			}
		}
		return set, nil
	}), nil
}

// Alone starts one kind of profile by itself and throws away what it finds: for
// those who measure what it costs. stop ends it; called again, it does nothing.
// kind is one that does something while the program runs: "cpu", "allocs" (which
// samples for "heap", too), "block" or "mutex".
func Alone(kind string) (stop func() error, err error) {
	switch kind {
	case "cpu":
		if err := pprof.StartCPUProfile(io.Discard); err != nil {
			return nil, fmt.Errorf("starting the CPU profile: %w", err)
		}
		stop = func() error { pprof.StopCPUProfile(); return nil }
	case "allocs":
		before := runtime.MemProfileRate
		EarlySettings()
		stop = func() error { runtime.MemProfileRate = before; return nil }
	case "block":
		runtime.SetBlockProfileRate(1)
		stop = func() error { runtime.SetBlockProfileRate(0); return nil }
	case "mutex":
		runtime.SetMutexProfileFraction(1)
		stop = func() error { runtime.SetMutexProfileFraction(0); return nil }
	default:
		return nil, fmt.Errorf("there is no profile of kind %q to be taken alone", kind)
	}
	return sync.OnceValue(stop), nil
}

// Exclude calls f. What f does on its own goroutine is left out of the
// profiles: its samples are known by this function in their stack.
//
//go:noinline
func Exclude(f func() error) error {
	err := f()
	return err // not a tail call
}

// excluded reports whether a sample is of a function called by [Exclude], or of
// profiling itself.
func excluded(s *profile.Sample) bool {
	return slices.ContainsFunc(s.Location, func(l *profile.Location) bool {
		return slices.ContainsFunc(l.Line, func(l profile.Line) bool {
			return observes.Has(l.Function.Name) && !callsLabelled.Has(l.Function.Name)
		})
	})
}

func snapshot(kind string) (*profile.Profile, error) {
	var b bytes.Buffer
	if err := pprof.Lookup(kind).WriteTo(&b, 0); err != nil {
		return nil, fmt.Errorf("taking the %s profile: %w", kind, err)
	}
	p, err := profile.Parse(&b)
	if err != nil {
		return nil, fmt.Errorf("reading back the %s profile: %w", kind, err)
	}
	if kind == "allocs" {
		// It says what is in use, too, which cannot be added up; that is in
		// the heap profile.
		p.SampleType, p.DefaultSampleType = p.SampleType[:2], "alloc_space"
		for _, s := range p.Sample {
			s.Value = s.Value[:2]
		}
	}
	return p, nil
}

// subtract returns what after has more than before.
func subtract(after, before *profile.Profile) *profile.Profile {
	before = before.Copy()
	before.Scale(-1)
	diff, err := profile.Merge([]*profile.Profile{after, before})
	if err != nil {
		return after // never: both are of one kind
	}
	diff.TimeNanos, diff.DurationNanos = after.TimeNanos, after.DurationNanos
	return diff
}

func encode(p *profile.Profile) ([]byte, error) {
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		return nil, fmt.Errorf("encoding a profile: %w", err)
	}
	return b.Bytes(), nil
}

// Labels are put on the samples of the CPU and goroutine profiles while a task
// runs, in addition to the name of the task and the index of its worker.
type Labels struct {
	Workload string `json:"workload"`
	Backend  string `json:"backend"`

	// The span that the samples belong to, if there is one.
	TraceID string `json:"trace_id,omitempty"`
	SpanID  string `json:"span_id,omitempty"`
}

// The keys of the labels. Those of traces are the ones by which Pyroscope and
// Grafana find the profile of a span.
const (
	labelWorkload = "workload"
	labelBackend  = "backend"
	labelTask     = "task"
	labelWorker   = "worker"
	labelProcess  = "process"
	labelCell     = "cell"
	labelTraceID  = "trace_id"
	labelSpanID   = "span_id"
)

// What the label worker says of a sample that is of none of them, and of one
// whose kind of profile does not tell.
const (
	noWorker      = "none"
	unknownWorker = "unknown"
)

// with returns a context whose goroutine gets the labels, and those of the
// worker and the task if there are any.
func (l Labels) with(worker, task string) context.Context {
	pairs := []string{labelWorkload, l.Workload, labelBackend, l.Backend}
	if worker != "" {
		pairs = append(pairs, labelWorker, worker)
	}
	if task != "" {
		pairs = append(pairs, labelTask, task)
	}
	if l.SpanID != "" {
		pairs = append(pairs, labelTraceID, l.TraceID, labelSpanID, l.SpanID)
	}
	return pprof.WithLabels(context.Background(), pprof.Labels(pairs...))
}

// Set labels the calling goroutine, and those that it starts from now on.
func (l Labels) Set() { pprof.SetGoroutineLabels(l.with("", "")) }

// A labeller labels the goroutines of workers. It prepares each set of labels
// once, where they do not differ from call to call.
type labeller struct {
	labels   Labels
	prepared sync.Map // labelled -> context with its labels
}

// labelled is what differs between the labels of two goroutines; the task is
// empty between two tasks.
type labelled struct {
	worker int
	task   string
}

func (l Labels) labeller() *labeller { return &labeller{labels: l} }

func (l *labeller) context(worker int, task string) context.Context {
	key := labelled{worker, task}
	ctx, ok := l.prepared.Load(key)
	if !ok {
		labels := l.labels
		if task == "" {
			labels.TraceID, labels.SpanID = "", "" // spans have the tasks' samples
		}
		ctx, _ = l.prepared.LoadOrStore(key, labels.with(strconv.Itoa(worker), task))
	}
	return ctx.(context.Context)
}

// start labels the calling goroutine, which is about to run c.
func (l *labeller) start(c *core.Call) {
	pprof.SetGoroutineLabels(l.context(c.Worker().Index, c.Task()))
}

// end labels the calling goroutine as its worker's, if it has run c.
func (l *labeller) end(c *core.Call) {
	if w := c.Worker(); w != nil {
		pprof.SetGoroutineLabels(l.context(w.Index, ""))
	}
}

// Observer returns an observer that labels the goroutine of every task while
// the task runs, and afterwards as its worker's. Goroutines that the task starts
// inherit the labels.
func (l Labels) Observer() *core.Observer {
	goroutines := l.labeller()
	return &core.Observer{
		Untimed: true,
		Start: func(ctx context.Context, c *core.Call) context.Context {
			goroutines.start(c)
			return ctx
		},
		End: func(c *core.Call, _ error) { goroutines.end(c) },
	}
}

// LabelTasks returns an observer that does what o does, and labels the goroutine
// of every task while the task runs with what ids says of its context: the span
// that it is.
func (l Labels) LabelTasks(o core.Observer, ids func(context.Context) (traceID, spanID string)) *core.Observer {
	goroutines := l.labeller()
	start, end := o.Start, o.End
	o.Start = func(ctx context.Context, c *core.Call) context.Context {
		if start != nil {
			ctx = start(ctx, c)
		}
		if c.Number != 0 {
			of := l
			of.TraceID, of.SpanID = ids(ctx)
			pprof.SetGoroutineLabels(of.with(strconv.Itoa(c.Timing().Worker), c.Task()))
		}
		return ctx
	}
	o.End = func(c *core.Call, err error) {
		if c.Number != 0 {
			goroutines.end(c)
		}
		if end != nil {
			end(c, err)
		}
	}
	return &o
}

// CPU starts a CPU profile of this process and writes it to the file when it
// ends. stop ends it; called again, it does nothing.
func CPU(path string) (stop func() error, err error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("opening the file for the CPU profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the CPU profile: %w", err), f.Close())
	}
	return sync.OnceValue(func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}), nil
}

// A Part is one process's share of a cell's profiles.
type Part struct {
	Process string // "trial", "worker-0", …
	Set     Set
}

// Merge merges the profiles of one kind over the processes of a cell. Each
// sample says in its labels which process it is from, and which worker: one of
// their indexes, "none", or "unknown" where samples of that kind do not tell.
// The duration is that of the longest part: the parts ran at the same time.
func Merge(kind, cell string, parts []Part) ([]byte, error) {
	var all []*profile.Profile
	longest := int64(0)
	for _, part := range parts {
		p, err := profile.ParseData(part.Set[kind])
		if err != nil {
			return nil, fmt.Errorf("reading the %s profile of %s: %w", kind, part.Process, err)
		}
		otherwise := part.otherWorker(kind, len(parts) > 1)
		for _, s := range p.Sample {
			if len(s.Label[labelWorker]) == 0 {
				if s.Label == nil {
					s.Label = make(map[string][]string)
				}
				s.Label[labelWorker] = []string{otherwise}
			}
		}
		p.SetLabel(labelProcess, []string{part.Process})
		p.SetLabel(labelCell, []string{cell})
		longest = max(longest, p.DurationNanos)
		all = append(all, p)
	}
	merged, err := profile.Merge(all)
	if err != nil {
		return nil, fmt.Errorf("merging the %s profiles of %s: %w", kind, cell, err)
	}
	merged.DurationNanos = longest
	return encode(merged)
}

// otherWorker returns the worker of those samples of a part that do not name it.
// The workers may be processes of their own.
func (p Part) otherWorker(kind string, processes bool) string {
	if index, ok := strings.CutPrefix(p.Process, "worker-"); ok {
		return index
	}
	if processes || slices.Contains(carriers, kind) {
		return noWorker
	}
	return unknownWorker
}

// carriers are the kinds whose samples carry the labels of their goroutine.
var carriers = []string{"cpu", "goroutine"}
