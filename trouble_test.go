package harness_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/executor"
)

// trouble is a workload that goes wrong as it is told, in its third task.
var trouble = harness.Workload{
	Name:    "trouble",
	Doc:     "goes wrong as it is told",
	Params:  &troubleParams{Mode: "none"},
	Tasks:   []executor.AnyTask{troubleTask},
	Workers: func(int) int { return 2 },
	Open: func(_ context.Context, env harness.Env) (harness.Session, error) {
		p := *env.Params.(*troubleParams)
		if p.Mode == "open" {
			return nil, errors.New("cannot be set up")
		}
		return &troubleSession{mode: p.Mode}, nil
	},
}

type troubleParams struct {
	Mode string `yaml:"mode" doc:"what goes wrong"`
}

type troubleIn struct {
	Mode string
	I    int
	Home int // process that submitted it
}

var troubleTask = executor.NewTask("trouble", func(ctx context.Context, in troubleIn) (int, error) {
	if in.I != 2 {
		return in.I, nil
	}
	away := os.Getpid() != in.Home
	switch in.Mode {
	case "print":
		fmt.Println("this must not disturb anything")
		fmt.Fprintln(os.Stderr, "nor this")
	case "error":
		return 0, errors.New("deliberate")
	case "panic":
		panic("deliberate")
	case "exit":
		if away {
			fmt.Fprintln(os.Stderr, "last words")
			os.Exit(3)
		}
	case "hang":
		if away {
			<-ctx.Done()
			select {}
		}
	case "other":
		if away {
			return 17, nil
		}
	case "wait", "wait away":
		if (in.Mode == "wait away") == away && first() {
			select {} // it is killed
		}
	case "slow":
		executor.Blocking(ctx, func() {
			select {
			case <-time.After(5 * time.Second):
			case <-ctx.Done():
			}
		})
	}
	return in.I, nil
})

// waitingFile has the id of a process that waits to be killed. It is in the
// folder of the script.
const waitingFile = "waiting"

// first reports whether it is called for the first time in a script. Then it
// writes that file.
func first() bool {
	name := filepath.Join(os.Getenv("WORK"), waitingFile)
	if _, err := os.Stat(name); err == nil {
		return false
	}
	if err := os.WriteFile(name+".new", []byte(strconv.Itoa(os.Getpid())), 0o666); err != nil {
		panic(err)
	}
	if err := os.Rename(name+".new", name); err != nil { // in one piece
		panic(err)
	}
	return true
}

type troubleSession struct {
	mode string
	got  []int
}

func (s *troubleSession) Run(ctx context.Context, ex *executor.Executor) error {
	away := ex.Traits()&executor.SharedMemory == 0
	switch traced := oteltrace.SpanContextFromContext(ctx).IsValid(); {
	case s.mode == "resize":
		return s.resize(ctx, ex)
	case s.mode == "interrupt" && away && traced, s.mode == "interrupt once" && away && first(): // as Ctrl-C would
		defer func() { _ = syscall.Kill(os.Getppid(), syscall.SIGINT) }()
	}
	return s.submit(ctx, ex)
}

// resize has worker processes end and others start while the program runs.
func (s *troubleSession) resize(ctx context.Context, ex *executor.Executor) error {
	if ex.Traits()&executor.SharedMemory != 0 {
		return s.submit(ctx, ex)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for _, n := range []int{1, 3, 1} {
		if err := errors.Join(s.submit(ctx, ex), ex.Resize(n)); err != nil {
			return err
		}
		// A worker starts when there is work for it.
		for started := ex.Stats().Started; n == 1 && ex.Stats().Alive > 1 || n > 1 && ex.Stats().Started == started; {
			if err := s.submit(ctx, ex); err != nil {
				return err
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
	s.got = nil // of how many there were until then
	return s.submit(ctx, ex)
}

func (s *troubleSession) submit(ctx context.Context, ex *executor.Executor) error {
	var futures []*executor.Future[int]
	for i := range 4 {
		futures = append(futures, troubleTask.Submit(ctx, ex, troubleIn{s.mode, i, os.Getpid()}))
	}
	var errs []error
	for _, f := range futures {
		v, err := f.Wait(ctx)
		s.got, errs = append(s.got, v), append(errs, err)
	}
	return errors.Join(errs...)
}

func (s *troubleSession) Check() (harness.Outcome, error) {
	if s.mode == "wrong" {
		return harness.Outcome{}, errors.New("not what was expected")
	}
	return harness.Outcome{Digest: harness.Digest(s.got), Tasks: len(s.got)}, nil
}

func (s *troubleSession) Close() error {
	if s.mode == "close" {
		return errors.New("cannot be closed")
	}
	return nil
}
