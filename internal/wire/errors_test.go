package wire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/f3f4c0de/harness/internal/fault"
)

func TestRemoteErrorFindsWhatItWrapped(t *testing.T) {
	mine := errors.New("mine")
	original := fmt.Errorf("outer: %w", errors.Join(fmt.Errorf("inner: %w", mine), io.EOF, context.DeadlineExceeded))
	b, err := json.Marshal(NewRemoteError(original))
	if err != nil {
		t.Fatal(err)
	}
	far := &RemoteError{}
	if err := json.Unmarshal(b, far); err != nil {
		t.Fatal(err)
	}
	if far.Error() != original.Error() {
		t.Errorf("Error() = %q; want %q", far.Error(), original.Error())
	}
	for _, target := range []error{mine, io.EOF, context.DeadlineExceeded} {
		if !errors.Is(far, target) {
			t.Errorf("errors.Is(far, %v) = false; want true", target)
		}
	}
	for _, target := range []error{errors.New("another"), fs.ErrNotExist, context.Canceled} {
		if errors.Is(far, target) {
			t.Errorf("errors.Is(far, %v) = true; want false", target)
		}
	}
	// It may cross once more.
	if again := NewRemoteError(fmt.Errorf("further: %w", far)); !errors.Is(again, mine) {
		t.Errorf("after a second process the error is %+v; want it to find %v", again, mine)
	}
	if (&RemoteError{}).Error() == "" {
		t.Error("an empty RemoteError has no text")
	}
}

// An error number of the system counts as errors that it does not wrap.
func TestRemoteErrorCountsAsWhatItDid(t *testing.T) {
	_, err := os.Open("no such file")
	for _, e := range []error{err, NewRemoteError(err)} {
		for _, target := range []error{fs.ErrNotExist, syscall.ENOENT} {
			if !errors.Is(e, target) {
				t.Errorf("errors.Is(%T, %v) = false; want true", e, target)
			}
		}
		if errors.Is(e, fs.ErrExist) {
			t.Errorf("errors.Is(%T, %v) = true; want false", e, fs.ErrExist)
		}
	}
}

// cross sends an error to another process and back again.
func cross(err error) error {
	return DecodeError(told(DecodeError(told(err))))
}

// told returns what TellError tells, on a goroutine that its methods may end.
func told(err error) []byte {
	encoded := make(chan []byte)
	go TellError(err, func(b []byte) { encoded <- b })
	return <-encoded
}

// times reports whether an error tells of a timeout by its method.
func times(err error) bool {
	var e interface{ Timeout() bool }
	return errors.As(err, &e) && e.Timeout()
}

func TestRegisteredErrorsCross(t *testing.T) {
	_, open := os.Open("no such file")
	_, number := strconv.Atoi("x")
	tests := []struct {
		name string
		err  error
		as   func(error) bool
		is   []error
	}{
		{"own, around what is not known", &codedError{7, errors.New("inner")}, func(err error) bool {
			var e *codedError
			return errors.As(err, &e) && e.Code == 7 && e.Err.Error() == "inner"
		}, []error{errCoded}},
		{"wrapped", fmt.Errorf("outer: %w", &codedError{8, io.EOF}), func(err error) bool {
			var e *codedError
			return errors.As(err, &e) && e.Code == 8 && e.Err == io.EOF //nolint:errorlint // the very same
		}, []error{errCoded, io.EOF}},
		{"joined", errors.Join(io.EOF, &codedError{9, nil}), func(err error) bool {
			var e *codedError
			return errors.As(err, &e) && e.Code == 9 && e.Err == nil
		}, []error{io.EOF, errCoded}},
		{"of a file", open, func(err error) bool {
			var e *fs.PathError
			return errors.As(err, &e) && e.Path == "no such file" && e.Err == syscall.ENOENT //nolint:errorlint // the very same
		}, []error{fs.ErrNotExist, syscall.ENOENT}},
		{"of a number", number, func(err error) bool {
			var e *strconv.NumError
			return errors.As(err, &e) && e.Num == "x" && e.Err == strconv.ErrSyntax //nolint:errorlint // the very same
		}, []error{strconv.ErrSyntax}},
		{"an interface", fmt.Errorf("outer: %w", os.ErrDeadlineExceeded), func(err error) bool {
			var e interface{ Code() int }
			return !errors.As(err, &e)
		}, []error{os.ErrDeadlineExceeded}},
		{"a timeout", fmt.Errorf("outer: %w", os.ErrDeadlineExceeded), times, []error{os.ErrDeadlineExceeded}},
		{"a context's timeout", fmt.Errorf("outer: %w", context.DeadlineExceeded), times, []error{context.DeadlineExceeded}},
		{"around one that ends the goroutine", &codedError{12, &lasting{errCoded}}, func(err error) bool {
			var e *codedError
			return errors.As(err, &e) && e.Code == 12
		}, []error{errCoded}},
		{"a time limit", fmt.Errorf("inner task: %w", &fault.TimeoutError{Task: "t", Limit: time.Second}), func(err error) bool {
			var e *fault.TimeoutError
			return errors.As(err, &e) && e.Task == "t" && e.Limit == time.Second && errors.Is(err, context.DeadlineExceeded)
		}, []error{context.DeadlineExceeded}},
		{"a lost worker", fmt.Errorf("inner pool: %w", &fault.WorkerLostError{Worker: 3, Signal: "killed"}), func(err error) bool {
			var e *fault.WorkerLostError
			return errors.As(err, &e) && e.Worker == 3 && e.Signal == "killed"
		}, nil},
		{"a panic within", fmt.Errorf("inner task: %w", &fault.PanicError{Task: "a", Value: "v", Err: &codedError{Code: 1}}), func(err error) bool {
			var e *fault.PanicError
			var c *codedError
			return errors.As(err, &e) && e.Value != "" && errors.As(err, &c) && c.Code == 1
		}, []error{errCoded}},
		{"large", &codedError{10, errors.New(strings.Repeat("x", 3<<20))}, func(err error) bool {
			var e *codedError
			return errors.As(err, &e) && e.Code == 10
		}, []error{errCoded}},
		{"around one without a form", &codedError{11, &formlessError{func() {}}}, func(err error) bool {
			var e *codedError
			return errors.As(err, &e) && e.Code == 11 && e.Err.Error() == "formless"
		}, []error{errCoded}},
		{"a long chain", chain(200), func(err error) bool {
			var e *codedError
			return errors.As(err, &e) && e.Code == 200
		}, []error{errCoded, io.EOF}},
		{"text that is not UTF-8", errors.New("\xff"), func(err error) bool { return strings.Contains(err.Error(), "\xff") }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, err := range []error{tt.err, cross(tt.err), cross(&fault.TaskError{Task: "task", Err: tt.err}), cross(fault.NewPanic("task", tt.err))} {
				if !tt.as(err) {
					t.Errorf("errors.As does not find it in %#v", err)
				}
				for _, target := range tt.is {
					if !errors.Is(err, target) {
						t.Errorf("errors.Is(%#v, %v) = false; want true", err, target)
					}
				}
				if errors.Is(err, fs.ErrExist) {
					t.Errorf("errors.Is(%#v, %v) = true; want false", err, fs.ErrExist)
				}
			}
		})
	}
	var first, second *codedError
	far := cross(&codedError{Code: 1})
	if !errors.As(far, &first) || !errors.As(far, &second) || first != second {
		t.Errorf("errors.As finds %p, then %p; want the same", first, second)
	}
}

// A formlessError is registered, but its value cannot be encoded.
type formlessError struct{ F func() }

func (*formlessError) Error() string { return "formless" }

func init() { Register[*formlessError]() }

// A lasting error does not say what it is.
type lasting struct{ err error }

func (*lasting) Error() string   { runtime.Goexit(); return "" }
func (e *lasting) Unwrap() error { return e.err }

// chain is n errors that can be carried, each in another.
func chain(n int) error {
	err := io.EOF
	for i := range n {
		err = &codedError{i + 1, err}
	}
	return err
}

func TestPanicErrorUnwraps(t *testing.T) {
	err := fault.NewPanic("task", fmt.Errorf("while: %w", io.EOF))
	for _, err := range []error{err, cross(err)} {
		var p *fault.PanicError
		if !errors.Is(err, io.EOF) || !errors.As(err, &p) || p.Value != "while: EOF" || p.Task != "task" || p.Stack == "" {
			t.Errorf("%#v; want it to wrap EOF", err)
		}
	}
	if err := cross(fault.NewPanic("task", "text")); errors.Unwrap(err) != nil {
		t.Errorf("a panic with a text unwraps to %v", errors.Unwrap(err))
	}
}

type (
	endless   struct{ depth int }
	loop      struct{ of error }
	grumpy    struct{ how string }
	uncarried struct {
		C    chan int
		Text string
	}
	notComparable []int
	twice         struct{ of error }
)

// outer has inner, which it wraps, as its first field.
type (
	outer struct{ inner }
	inner struct{ of error }
)

func outerError() error        { return &outer{inner{io.EOF}} }
func (*outer) Error() string   { return "outer" }
func (o *outer) Unwrap() error { return &o.inner }
func (*inner) Error() string   { return "inner" }
func (i *inner) Unwrap() error { return i.of }

func (twice) Error() string     { return "twice" }
func (w twice) Unwrap() []error { return []error{w.of, w.of} }

func (e endless) Error() string       { return "endless" }
func (e endless) Unwrap() error       { return endless{e.depth + 1} }
func (l *loop) Error() string         { return "loop" }
func (l *loop) Unwrap() error         { return l.of }
func (g *grumpy) Error() string       { return g.panics("Error") }
func (g *grumpy) Unwrap() error       { g.panics("Unwrap"); return io.EOF }
func (g *grumpy) Is(error) bool       { g.panics("Is"); return false }
func (g *grumpy) As(any) bool         { g.panics("As"); return false }
func (u *uncarried) Error() string    { return u.Text }
func (n notComparable) Error() string { return fmt.Sprint([]int(n)) }
func (g *grumpy) panics(s string) string {
	if g.how == s || g.how == "all" {
		panic("no " + s)
	}
	return "grumpy"
}

// Errors whose methods panic, wrap without end or wrap themselves can be encoded, too.
func TestStrangeErrorsCross(t *testing.T) {
	circle := &loop{}
	circle.of = fmt.Errorf("around: %w", circle)
	wide := error(&loop{io.EOF})
	for range 100 {
		wide = twice{wide}
	}
	Register[*uncarried]()
	tests := map[string]struct {
		err  error
		text string
	}{
		"endless":                 {endless{}, "endless"},
		"circle":                  {circle, "loop"},
		"wide":                    {wide, ""},
		"nil pointer":             {(*codedError)(nil), "codedError"},
		"cannot be encoded":       {&uncarried{Text: "u"}, "u"},
		"not comparable":          {notComparable{1}, "[1]"},
		"inner at the same place": {outerError(), "outer"},
		"Error panics":            {&grumpy{"Error"}, "no Error"},
		"Unwrap panics":           {&grumpy{"Unwrap"}, "grumpy"},
		"Is panics":               {&grumpy{"Is"}, "grumpy"},
		"As panics":               {&grumpy{"As"}, "grumpy"},
		"all panic":               {&grumpy{"all"}, "no Error"},
		"huge":                    {errors.New(strings.Repeat("x", 10<<20)), "more bytes"},
		"nothing":                 {nil, "without saying why"},
		"nil fault.TaskError":     {(*fault.TaskError)(nil), "panicked"},
		"nil fault.PanicError":    {(*fault.PanicError)(nil), "panicked"},
		"nil RemoteError":         {(*RemoteError)(nil), "panicked"},
		"empty fault.TaskError":   {&fault.TaskError{}, "without saying why"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := AppendError([]byte("before"), tt.err)
			if !strings.HasPrefix(string(b), "before") {
				t.Fatal("AppendError changed what was there before")
			}
			far := DecodeError(b[len("before"):])
			if far == nil || !strings.Contains(far.Error(), tt.text) {
				t.Fatalf("%T arrives as %.200v; want an error that says %q", tt.err, far, tt.text)
			}
			is := func(err, target error) bool {
				return err != nil && slices.ContainsFunc(causes(err, describing{}), func(cause error) bool { return counts(cause, target) })
			}
			if name == "inner at the same place" && (!is(tt.err, io.EOF) || !errors.Is(far, io.EOF)) {
				t.Error("what it wraps is not found")
			}
			if is(far, fault.ErrClosed) || is(tt.err, fault.ErrClosed) {
				t.Error("it counts as fault.ErrClosed")
			}
		})
	}
}

func FuzzDecodeError(f *testing.F) {
	for _, err := range []error{io.EOF, &fault.TaskError{Task: "a", Err: &codedError{1, io.EOF}}, fault.NewPanic("b", &fs.PathError{Err: syscall.ENOENT})} {
		f.Add(AppendError(nil, err))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		err := DecodeError(b)
		var e *codedError
		if err == nil || errors.As(err, &e) && e == nil && len(b) == 0 {
			t.Errorf("DecodeError(%x) = %v", b, err)
		}
		_ = errors.Is(err, fs.ErrNotExist)
		AppendError(nil, err)
	})
}
