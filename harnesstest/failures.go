package harnesstest

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/core"
)

func testTaskError(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 1, core.Config{})
	_, err := fails.Submit(ctx, ex, "while trying").Wait(ctx)
	var te *executor.TaskError
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

// If the methods of a task's error panic, only the task fails.
func testErrorPanics(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 1, core.Config{CancelGrace: -1})
	f := failsBadly.Submit(ctx, ex, nil)
	_, err := f.Wait(ctx)
	var te *executor.TaskError
	if !errors.As(err, &te) || !strings.Contains(err.Error(), "*harnesstest.broken") {
		t.Errorf("error is %v; want a *TaskError that tells its type", err)
	}
	if got := f.State(); got != executor.Done {
		t.Errorf("State() = %v; want done", got)
	}
	started := executor.NewQueue[int64](1)
	defer func() { _ = started.Close(ctx) }()
	f = failsBadly.Submit(ctx, ex, started)
	if _, err := started.Get(ctx); err != nil {
		t.Fatal(err)
	}
	f.Cancel()
	if _, err := f.Wait(ctx); !errors.Is(err, executor.ErrCancelled) || !errors.As(err, &te) || f.State() != executor.Cancelled {
		t.Errorf("after it was cancelled the error is %v, and it is %v; want ErrCancelled with a *TaskError, cancelled", err, f.State())
	}
	if got, err := double.Submit(ctx, ex, 4).Wait(ctx); got != 8 || err != nil {
		t.Errorf("after it a task returned %d, %v; want 8, nil", got, err)
	}
	if ex.Stats().Lost > 0 {
		t.Error("it cost a worker")
	}
}

func testPanic(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 1, core.Config{})
	_, err := panics.Submit(ctx, ex, "kaboom").Wait(ctx)
	var pe *executor.PanicError
	if !errors.As(err, &pe) || pe.Task != panics.Name() || pe.Value != "kaboom" || !strings.Contains(pe.Stack, "harnesstest/backend.go") {
		t.Errorf("error is %#v; want a *PanicError with its value and the stack of the task", err)
	}
	if got, err := double.Submit(ctx, ex, 4).Wait(ctx); got != 8 || err != nil {
		t.Errorf("after a panic a task returned %d, %v; want 8, nil", got, err)
	}
}

func testGoexit(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 1, core.Config{})
	if _, err := exits.Submit(ctx, ex, 0).Wait(ctx); err == nil {
		t.Error("a task that ended its goroutine reported no error")
	}
	if got, err := double.Submit(ctx, ex, 4).Wait(ctx); got != 8 || err != nil {
		t.Errorf("after it a task returned %d, %v; want 8, nil", got, err)
	}
}

// A balky value panics, ends the goroutine or returns an error when it is encoded or
// decoded.
type balky struct{ When string }

func (b *balky) MarshalText() ([]byte, error) { return []byte(b.When), b.balk("encoding") }

func (b *balky) UnmarshalText(text []byte) error {
	b.When = string(text)
	return b.balk("decoding")
}

func (b *balky) balk(when string) error {
	switch b.When {
	case when:
		panic("I will not be " + when)
	case "goexit " + when:
		runtime.Goexit()
	case "refused " + when:
		return refusal("goexit")
	}
	return nil
}

// A panic in a type's own encoding ends the task, not the program.
func testEncodingPanics(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 1, core.Config{})
	for _, when := range []string{"encoding", "decoding"} {
		_, errIn := takes.Submit(ctx, ex, balky{when}).Wait(ctx)
		_, errOut := makes.Submit(ctx, ex, when).Wait(ctx)
		for what, err := range map[string]error{"input": errIn, "result": errOut} {
			switch {
			case s.b.Shared && err != nil:
				t.Errorf("%s: %v; want it passed as it is", what, err)
			case !s.b.Shared && (!errors.Is(err, executor.ErrEncode) || !strings.Contains(err.Error(), "I will not be "+when)):
				t.Errorf("%s that panics when %s: %v; want an error that wraps ErrEncode and has the panic", what, when, err)
			}
		}
	}
	if got, err := makes.Submit(ctx, ex, "never").Wait(ctx); got.When != "never" || err != nil {
		t.Errorf("after them a task returned %v, %v; want never, nil", got, err)
	}
}

// In a batch only that argument fails, and its result is the zero value.
func testBatchEncoding(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 1, core.Config{})
	for _, when := range []string{"encoding", "decoding", "goexit encoding", "goexit decoding", "refused encoding", "refused decoding"} {
		texts := []string{"a", when, "b", when, "c"}
		values := make([]balky, len(texts))
		for i, text := range texts {
			values[i].When = text
		}
		in, errIn := submitBatch(takes, ctx, ex, values).Wait(ctx)
		out, errOut := submitBatch(makes, ctx, ex, texts).Wait(ctx)
		if errIn != nil || errOut != nil {
			t.Errorf("%s: batches ended with %v and %v; want nil", when, errIn, errOut)
			continue
		}
		for i, text := range texts {
			bad := text == when && !s.b.Shared
			if bad {
				text = ""
			}
			if got, err := in.Values[i], in.Errs[i]; got != text || errors.Is(err, executor.ErrEncode) != bad {
				t.Errorf("%s: argument %d gave %q, %v; want %q, and ErrEncode: %v", when, i, got, err, text, bad)
			}
			if got, err := out.Values[i].When, out.Errs[i]; got != text || errors.Is(err, executor.ErrEncode) != bad {
				t.Errorf("%s: result %d is %q, %v; want %q, and ErrEncode: %v", when, i, got, err, text, bad)
			}
		}
	}
}

func testUnencodable(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 1, core.Config{})
	_, errIn := encodes.Submit(ctx, ex, make(chan int)).Wait(ctx)
	_, errOut := unencodable.Submit(ctx, ex, false).Wait(ctx)
	for what, err := range map[string]error{"input": errIn, "result": errOut} {
		switch {
		case s.b.Shared && err != nil:
			t.Errorf("%s: %v; want it passed as it is", what, err)
		case !s.b.Shared && !errors.Is(err, executor.ErrEncode):
			t.Errorf("%s: %v; want an error that wraps ErrEncode", what, err)
		}
	}
	if got, err := unencodable.Submit(ctx, ex, true).Wait(ctx); got != "fine" || err != nil {
		t.Errorf("after it a task returned %v, %v; want fine, nil", got, err)
	}
}

// A refusal is an error whose Error panics or ends the goroutine.
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
var refuses = executor.NewTask("harnesstest.refuses", func(_ context.Context, how string) (int64, error) {
	panic(refusal(how))
})

// A mixture wraps errors that other processes know, and one of refusals.
type mixture struct{ errs []error }

func (m *mixture) Error() string   { return "a mixture" }
func (m *mixture) Unwrap() []error { return m.errs }

// A registered error has a type that other processes know. Encoding it may end the
// goroutine.
type registered struct{ Text balky }

func (e registered) Error() string { return "told: " + e.Text.When }

// A closed error is one whose Unwrap ends the goroutine.
type closed struct{}

func (closed) Error() string { return "closed" }
func (closed) Unwrap() error { runtime.Goexit(); return nil }

func init() { executor.Register[registered]() }

var refusals = map[string]error{
	"Error panics":                    refusal("panic"),
	"Error ends the goroutine":        refusal("goexit"),
	"Unwrap ends the goroutine":       closed{},
	"the encoding ends the goroutine": registered{balky{"goexit encoding"}},
}

// mixes fails with a mixture, or panics with it.
var mixes = executor.NewTask("harnesstest.mixes", func(_ context.Context, m mix) (int64, error) {
	bad := refusals[m.Refusal]
	err := &mixture{[]error{errMine, registered{balky{"fine"}}, &executor.InitError{Worker: 7, Err: bad}, bad}}
	if m.Panics {
		panic(err)
	}
	return 0, err
})

type mix struct {
	Refusal string
	Panics  bool
}

// An error loses in another process only the parts whose own methods fail.
func testErrorPartRefuses(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 1, core.Config{})
	for refusal := range refusals {
		for _, panics := range []bool{false, true} {
			m := mix{refusal, panics}
			_, err := mixes.Submit(ctx, ex, m).Wait(ctx)
			b, errBatch := submitBatch(mixes, ctx, ex, []mix{m, m}).Wait(ctx)
			if errBatch != nil {
				t.Errorf("%v: the batch ended with %v; want nil", m, errBatch)
			}
			for _, err := range []error{err, b.Errs[0], b.Errs[1]} {
				var te *executor.TaskError
				var pe *executor.PanicError
				var known registered
				var around *executor.InitError
				if panics && !errors.As(err, &pe) || !panics && !errors.As(err, &te) || !strings.HasSuffix(err.Error(), "a mixture") {
					t.Errorf("%v: the error is %#v; want a *TaskError or a *PanicError of a mixture", m, err)
				} else if !errors.Is(err, errMine) || !errors.As(err, &known) || known.Text.When != "fine" || !errors.As(err, &around) || around.Worker != 7 {
					t.Errorf("%v: the error is %#v; want it to wrap errMine, a registered and an *InitError", m, err)
				}
			}
		}
	}
}

// Whatever the methods of a panic's value do, the task ends.
func testMethodsRefuse(t *testing.T, s *suite) {
	ctx, ex, _ := s.open(t, 1, core.Config{})
	for _, how := range []string{"panic", "goexit", "told"} {
		_, err := refuses.Submit(ctx, ex, how).Wait(ctx)
		var pe *executor.PanicError
		if !errors.As(err, &pe) || pe.Stack == "" || how != "told" && !strings.Contains(pe.Value, "harnesstest.refusal") {
			t.Errorf("%s: the error is %#v; want a *PanicError with the stack, whose value tells its type", how, err)
		}
		if got, err := double.Submit(ctx, ex, 4).Wait(ctx); got != 8 || err != nil {
			t.Errorf("%s: after it a task returned %d, %v; want 8, nil", how, got, err)
		}
	}
}
