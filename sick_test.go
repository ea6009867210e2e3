package harness_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/f3f4c0de/harness"
)

// sick is a workload with the fault that its parameter names.
var sick = harness.Workload{
	Name:    "sick",
	Doc:     "has the fault that it is asked for",
	Params:  &sickParams{Fault: "none", Tasks: 12},
	Tasks:   []harness.AnyTask{sickTask, carriedTask},
	Workers: func(int) int { return 4 },
	Open: func(_ context.Context, env harness.Env) (harness.Session, error) {
		return &sickSession{*env.Params.(*sickParams)}, nil
	},
}

type sickParams struct {
	Fault string `yaml:"fault" doc:"what is wrong"`
	Tasks int    `yaml:"tasks" doc:"tasks"`
}

var (
	sickLock sync.Mutex
	garbage  atomic.Pointer[[]*[64]*int]
)

var sickTask = harness.NewTask("sick", func(_ context.Context, fault string) (int, error) {
	switch fault {
	case "poll":
		for range 20 {
			sleepAwhile()
		}
	case "convoy":
		for range 5 {
			underTheLock()
		}
	case "long":
		spinFor(60 * time.Millisecond)
	case "garbage":
		var kept []*[64]*int
		for range 20_000 {
			kept = append(kept, new([64]*int))
		}
		garbage.Store(&kept)
	default:
		spinFor(2 * time.Millisecond)
	}
	return 1, nil
})

// carriedTask takes far longer to be carried than to be run.
var carriedTask = harness.NewTask("sick.carried", func(_ context.Context, in carried) (carried, error) { return in, nil })

//go:noinline
func sleepAwhile() { time.Sleep(time.Millisecond) } //nolint:forbidigo // it is what is to be found

//go:noinline
func underTheLock() {
	sickLock.Lock()
	defer sickLock.Unlock()
	spinFor(time.Millisecond)
}

type sickSession struct{ sickParams }

func (s *sickSession) Run(ctx context.Context, ex harness.Executor) error {
	var errs []error
	if s.Fault == "carry" {
		var all []*harness.Future[carried]
		for range s.Tasks {
			all = append(all, carriedTask.Submit(ctx, ex, carried{Slow: true}))
		}
		for _, f := range all {
			_, err := f.Wait(ctx)
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}
	var all []*harness.Future[int]
	for i := range s.Tasks {
		fault := s.Fault
		if fault == "long" && i < s.Tasks-1 {
			fault = ""
		}
		f := sickTask.Submit(ctx, ex, fault)
		if fault == "await" {
			_, err := f.Wait(ctx)
			errs = append(errs, err)
		}
		all = append(all, f)
	}
	for _, f := range all {
		_, err := f.Wait(ctx)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (s *sickSession) Check() (harness.Outcome, error) {
	return harness.Outcome{Digest: "the same", Tasks: s.Tasks}, nil
}

func (s *sickSession) Close() error { return nil }
