// Package profile collects pprof profiles of the processes of a trial and
// merges them. It is the only package that knows runtime/pprof, and the
// accounting of the operating system.
//
// To add a kind of profile, add it to [Kinds] and to collector.stop.
package profile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/pprof"
	"sync"

	"github.com/google/pprof/profile"

	"github.com/f3f4c0de/harness"
)

// Kinds are the profiles that are collected, by the name of their files.
var Kinds = []string{"cpu", "allocs", "heap", "block", "mutex", "goroutine"}

// A Set holds the profiles of one process by kind, in the encoding that pprof
// reads: gzipped protocol buffers.
type Set map[string][]byte

// EarlySettings must be called first thing in a process that is to be
// profiled: the rate at which allocations are sampled counts from the start.
func EarlySettings() { runtime.MemProfileRate = 64 << 10 }

// Start starts all profiles of this process. stop ends them and returns them;
// stopping twice returns the same set. Only one set can be under way in a
// process at a time.
func Start() (stop func() (Set, error), err error) {
	c := &collector{}
	if err := pprof.StartCPUProfile(&c.cpu); err != nil {
		return nil, err
	}
	runtime.SetBlockProfileRate(1)
	runtime.SetMutexProfileFraction(1)
	for _, kind := range []string{"allocs", "block", "mutex"} {
		p, err := snapshot(kind)
		if err != nil {
			pprof.StopCPUProfile()
			return nil, err
		}
		c.before = append(c.before, p)
	}
	return sync.OnceValues(c.stop), nil
}

type collector struct {
	cpu    bytes.Buffer
	before []*profile.Profile // allocs, block, mutex as they were at the start
}

func (c *collector) stop() (Set, error) {
	pprof.StopCPUProfile()
	set := Set{"cpu": c.cpu.Bytes()}
	var errs []error
	// What was counted before the start does not belong to the trial.
	for i, kind := range []string{"allocs", "block", "mutex"} {
		after, err := snapshot(kind)
		if err == nil {
			set[kind], err = encode(subtract(after, c.before[i]))
		}
		errs = append(errs, err)
	}
	runtime.SetBlockProfileRate(0)
	runtime.SetMutexProfileFraction(0)
	for _, kind := range []string{"heap", "goroutine"} {
		p, err := snapshot(kind)
		if err == nil {
			set[kind], err = encode(p)
		}
		errs = append(errs, err)
	}
	return set, errors.Join(errs...)
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
	return diff.Compact()
}

func encode(p *profile.Profile) ([]byte, error) {
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		return nil, fmt.Errorf("encoding a profile: %w", err)
	}
	return b.Bytes(), nil
}

// Labels are put on the samples of the CPU and goroutine profiles while a task
// runs, in addition to the name of the task.
type Labels struct {
	Workload string `json:"workload"`
	Backend  string `json:"backend"`
}

// The keys of the labels.
const (
	labelWorkload = "workload"
	labelBackend  = "backend"
	labelTask     = "task"
	labelProcess  = "process"
	labelCell     = "cell"
)

// Observer returns an observer that labels the goroutine of every task while
// the task runs. Goroutines that the task starts inherit the labels.
func (l Labels) Observer() *harness.Observer {
	var prepared sync.Map // task name -> context with its labels
	return &harness.Observer{
		Start: func(ctx context.Context, c *harness.Call) context.Context {
			labels, ok := prepared.Load(c.Task())
			if !ok {
				labels, _ = prepared.LoadOrStore(c.Task(), pprof.WithLabels(context.Background(),
					pprof.Labels(labelWorkload, l.Workload, labelBackend, l.Backend, labelTask, c.Task())))
			}
			pprof.SetGoroutineLabels(labels.(context.Context))
			return ctx
		},
		End: func(*harness.Call, error) { pprof.SetGoroutineLabels(context.Background()) },
	}
}

// A Part is one process's share of a cell's profiles.
type Part struct {
	Process string // "trial", "worker-0", …
	Set     Set
}

// Merge merges the profiles of one kind over the processes of a cell. Each
// sample says in its labels which process it is from. The duration is that of
// the longest part: the parts ran at the same time.
func Merge(kind, cell string, parts []Part) ([]byte, error) {
	var all []*profile.Profile
	longest := int64(0)
	for _, part := range parts {
		p, err := profile.ParseData(part.Set[kind])
		if err != nil {
			return nil, fmt.Errorf("reading the %s profile of %s: %w", kind, part.Process, err)
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
