package harnesstest

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/f3f4c0de/harness"
)

func testTaskError(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 1, harness.Config{})
	_, err := fails.Submit(ctx, ex, "while trying").Wait(ctx)
	var te *harness.TaskError
	if !errors.As(err, &te) || te.Task != fails.Name() {
		t.Errorf("error is %#v; want a *TaskError of %s", err, fails.Name())
	}
	if !errors.Is(err, errMine) || errors.Is(err, io.EOF) {
		t.Errorf("errors.Is(err, errMine), errors.Is(err, io.EOF) = %v, %v; want true, false", errors.Is(err, errMine), errors.Is(err, io.EOF))
	}
	if want := "task harnesstest.fails: while trying: an error of the task's own"; err == nil || err.Error() != want {
		t.Errorf("error reads %q; want %q", err, want)
	}
}

// An error whose own methods panic is an error of the task, and no more.
func testErrorPanics(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 1, harness.Config{CancelGrace: -1})
	f := failsBadly.Submit(ctx, ex, nil)
	_, err := f.Wait(ctx)
	var te *harness.TaskError
	if !errors.As(err, &te) || !strings.Contains(err.Error(), "*harnesstest.broken") {
		t.Errorf("error is %v; want a *TaskError that tells its type", err)
	}
	if got := f.State(); got != harness.Done {
		t.Errorf("State() = %v; want done", got)
	}
	started := harness.NewQueue[int64](1)
	defer func() { _ = started.Close(ctx) }()
	f = failsBadly.Submit(ctx, ex, started)
	if _, err := started.Get(ctx); err != nil {
		t.Fatal(err)
	}
	f.Cancel()
	if _, err := f.Wait(ctx); !errors.Is(err, harness.ErrCancelled) || !errors.As(err, &te) || f.State() != harness.Cancelled {
		t.Errorf("after it was cancelled the error is %v, and it is %v; want ErrCancelled with a *TaskError, cancelled", err, f.State())
	}
	if got, err := double.Submit(ctx, ex, 4).Wait(ctx); got != 8 || err != nil {
		t.Errorf("after it a task returned %d, %v; want 8, nil", got, err)
	}
	if m, ok := ex.(harness.Manager); ok && m.Stats().Lost > 0 {
		t.Error("it cost a worker")
	}
}

func testPanic(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 1, harness.Config{})
	_, err := panics.Submit(ctx, ex, "kaboom").Wait(ctx)
	var pe *harness.PanicError
	if !errors.As(err, &pe) || pe.Task != panics.Name() || pe.Value != "kaboom" || !strings.Contains(pe.Stack, "harnesstest/backend.go") {
		t.Errorf("error is %#v; want a *PanicError with its value and the stack of the task", err)
	}
	if got, err := double.Submit(ctx, ex, 4).Wait(ctx); got != 8 || err != nil {
		t.Errorf("after a panic a task returned %d, %v; want 8, nil", got, err)
	}
}

func testGoexit(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 1, harness.Config{})
	if _, err := exits.Submit(ctx, ex, 0).Wait(ctx); err == nil {
		t.Error("a task that ended its goroutine reported no error")
	}
	if got, err := double.Submit(ctx, ex, 4).Wait(ctx); got != 8 || err != nil {
		t.Errorf("after it a task returned %d, %v; want 8, nil", got, err)
	}
}

// A balky value panics when it is encoded or decoded.
type balky struct{ When string }

func (b *balky) MarshalText() ([]byte, error) {
	if b.When == "encoding" {
		panic("I will not be " + b.When)
	}
	return []byte(b.When), nil
}

func (b *balky) UnmarshalText(text []byte) error {
	if b.When = string(text); b.When == "decoding" {
		panic("I will not be " + b.When)
	}
	return nil
}

// A panic in a type's own encoding ends the task, not the program.
func testEncodingPanics(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 1, harness.Config{})
	for _, when := range []string{"encoding", "decoding"} {
		_, errIn := takes.Submit(ctx, ex, balky{when}).Wait(ctx)
		_, errOut := makes.Submit(ctx, ex, when).Wait(ctx)
		for what, err := range map[string]error{"input": errIn, "result": errOut} {
			switch {
			case s.b.Shared && err != nil:
				t.Errorf("%s: %v; want it passed as it is", what, err)
			case !s.b.Shared && (!errors.Is(err, harness.ErrEncode) || !strings.Contains(err.Error(), "I will not be "+when)):
				t.Errorf("%s that panics when %s: %v; want an error that wraps ErrEncode and has the panic", what, when, err)
			}
		}
	}
	if got, err := makes.Submit(ctx, ex, "never").Wait(ctx); got.When != "never" || err != nil {
		t.Errorf("after them a task returned %v, %v; want never, nil", got, err)
	}
}

func testUnencodable(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 1, harness.Config{})
	_, errIn := encodes.Submit(ctx, ex, make(chan int)).Wait(ctx)
	_, errOut := unencodable.Submit(ctx, ex, false).Wait(ctx)
	for what, err := range map[string]error{"input": errIn, "result": errOut} {
		switch {
		case s.b.Shared && err != nil:
			t.Errorf("%s: %v; want it passed as it is", what, err)
		case !s.b.Shared && !errors.Is(err, harness.ErrEncode):
			t.Errorf("%s: %v; want an error that wraps ErrEncode", what, err)
		}
	}
	if got, err := unencodable.Submit(ctx, ex, true).Wait(ctx); got != "fine" || err != nil {
		t.Errorf("after it a task returned %v, %v; want fine, nil", got, err)
	}
}

// A refusal does not tell what it is: its method panics or ends the goroutine.
type refusal string

func (r refusal) Error() string {
	switch r {
	case "goexit":
		runtime.Goexit()
	case "panic":
		panic("a refusal")
	}
	return string(r)
}

// refuses panics with a refusal.
var refuses = harness.NewTask("harnesstest.refuses", func(_ context.Context, how string) (int64, error) {
	panic(refusal(how))
})

// Whatever the methods of a panic's value do, the task is over.
func testMethodsRefuse(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 1, harness.Config{})
	for _, how := range []string{"panic", "goexit", "told"} {
		_, err := refuses.Submit(ctx, ex, how).Wait(ctx)
		var pe *harness.PanicError
		if !errors.As(err, &pe) || pe.Stack == "" {
			t.Errorf("%s: the error is %v; want a *PanicError with the stack", how, err)
		}
		if got, err := double.Submit(ctx, ex, 4).Wait(ctx); got != 8 || err != nil {
			t.Errorf("%s: after it a task returned %d, %v; want 8, nil", how, got, err)
		}
	}
}
