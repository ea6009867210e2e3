package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"
	"unsafe"
)

// Errors that a Future reports beside the task's own. All are compared with
// errors.Is.
var (
	// ErrCancelled: the task was cancelled, before it ran or while it did.
	ErrCancelled = errors.New("task cancelled")
	// ErrClosed: the executor was closed before the task was submitted.
	ErrClosed = errors.New("executor closed")
	// ErrFull: the executor's queue is full, and it was told to reject then.
	ErrFull = errors.New("queue of the executor full")
	// ErrNested: a task waits for its own executor, all of whose workers
	// wait likewise, or a worker process was to start workers of its own.
	ErrNested = errors.New("pool inside pool")
	// ErrQuarantined: three workers were lost, each while it ran this call of an
	// idempotent task, or this argument of its batch. It is not tried again.
	ErrQuarantined = errors.New("task quarantined")
	// ErrBroken: no worker process can be started any more. What is submitted
	// fails; resizing the executor has it try again.
	ErrBroken = errors.New("executor broken")
	// ErrOtherProgram: a worker process is not the program that has started it,
	// or knows other tasks.
	ErrOtherProgram = errors.New("worker is another program")
	// ErrUnknownTask: the worker process does not know a task of that name.
	ErrUnknownTask = errors.New("unknown task")
	// ErrEncode: the input or the result cannot cross a process boundary, or
	// its type's own encoding failed or panicked.
	ErrEncode = errors.New("cannot be encoded")
	// ErrQueueClosed: the Queue is closed and, for Get, empty.
	ErrQueueClosed = errors.New("queue closed")
)

// A TaskError is the error that a task's function returned, the same on every
// backend. It wraps the function's error, so errors.Is and errors.As look
// through it; where the error came from another process it wraps a
// [RemoteError].
type TaskError struct {
	Task string // the task's name
	Err  error
}

func (e *TaskError) Error() string { return "task " + e.Task + ": " + textOf(e.Err) }

// Unwrap returns the function's error.
func (e *TaskError) Unwrap() error { return e.Err }

// maxText bounds the text of one error that is carried to another process.
const maxText = 1 << 20

// textOf returns what err says, even if its method panics. Those who return a
// nil pointer as an error get that.
func textOf(err error) (text string) {
	defer func() {
		if v := recover(); v != nil {
			text = fmt.Sprintf("an error of type %T, whose method Error panicked: %v", err, v)
		}
	}()
	return err.Error()
}

// maxCauses bounds the errors that are looked at in an error: one can wrap
// itself.
const maxCauses = 10_000

// causes returns err and what it wraps, as errors.Is goes through it. What is
// wrapped by an error whose method Unwrap panics is not to be had.
func causes(err error, how describing) []error {
	var all []error
	stack := []error{err}
	type pointer struct {
		to reflect.Type // a struct and its first field have one address
		at unsafe.Pointer
	}
	seen := make(map[pointer]bool)
	for len(stack) > 0 && len(all) < maxCauses {
		err := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if v := reflect.ValueOf(err); v.Kind() == reflect.Pointer {
			p := pointer{v.Type(), v.UnsafePointer()}
			if v.Type().Elem().Size() > 0 && seen[p] {
				continue
			}
			seen[p] = true
		}
		all = append(all, err)
		wrapped := how.unwrap(err)
		for i := len(wrapped) - 1; i >= 0; i-- {
			if wrapped[i] != nil {
				stack = append(stack, wrapped[i])
			}
		}
	}
	return all
}

// unwrap returns what err wraps.
func unwrap(err error) (wrapped []error) {
	defer func() { _ = recover() }()
	switch u := err.(type) { //nolint:errorlint // each link of the chain is looked at by itself
	case interface{ Unwrap() error }:
		return []error{u.Unwrap()}
	case interface{ Unwrap() []error }:
		return u.Unwrap()
	}
	return nil
}

// counts reports whether err is target, or says that it is, and that it is not if
// a method of its panics.
func counts(err, target error) (found bool) {
	defer func() { _ = recover() }()                          // it may also be that they cannot be compared
	if reflect.TypeOf(target).Comparable() && err == target { //nolint:errorlint // each link is looked at by itself
		return true
	}
	x, ok := err.(interface{ Is(error) bool })
	return ok && x.Is(target)
}

// A RemoteError stands for an error value that stayed behind in another
// process. It carries the texts and types of the error and of what it wrapped,
// outermost first, and then of what the standard library lets it count as, such
// as fs.ErrNotExist. So errors.Is finds there what it would have found in that
// process. errors.As finds copies of those errors in the chain whose types both
// processes know by [Register], as they know those of package os, and errors of
// the standard library such as context.DeadlineExceeded themselves.
type RemoteError struct {
	Chain []RemoteCause `json:"chain"`

	encoded [][]byte // for each cause, or nil for none: its value, if that can be carried
	once    sync.Once
	values  []error // those of them that can be decoded
}

// A RemoteCause is one error of a RemoteError's chain.
type RemoteCause struct {
	Type string `json:"type"` // as %T prints it
	Text string `json:"text"`
}

// NewRemoteError describes err and everything it wraps, at most 10,000 errors.
// It calls their methods, and the methods that encode them.
func NewRemoteError(err error) *RemoteError { return newRemoteError(err, describing{lossy: maxLossy}) }

// describing is how errors are described. Its methods do what the functions of the
// same names do, apart or not.
type describing struct {
	lossy int  // how often an error in an error in an error is still carried as a RemoteError with values, or nested
	apart bool // each method has a goroutine of its own, and may end it
}

func (how describing) textOf(err error) string {
	if how.apart {
		return apart(func() string { return textOf(err) }, undescribed(err))
	}
	return textOf(err)
}

func (how describing) unwrap(err error) []error {
	if how.apart {
		return apart(func() []error { return unwrap(err) }, nil)
	}
	return unwrap(err)
}

func (how describing) counts(err, target error) bool {
	if how.apart {
		return apart(func() bool { return counts(err, target) }, false)
	}
	return counts(err, target)
}

func (how describing) encodeHeld(err error) ([]byte, error) {
	if how.apart {
		b, e := []byte(nil), errGoexit
		apart(func() bool { b, e = encodeHeld(err, how); return true }, false)
		return b, e
	}
	return encodeHeld(err, how)
}

// apart calls f, which calls methods of the program, on a goroutine of its own, and
// returns what f returns, or otherwise if f panics or ends the goroutine.
func apart[T any](f func() T, otherwise T) T {
	got := make(chan T, 1)
	go func() { // ends with f
		result := otherwise
		defer func() {
			_ = recover()
			got <- result
		}()
		result = f()
	}()
	return <-got
}

// undescribed tells of what has methods that cannot tell.
func undescribed(v any) string {
	return fmt.Sprintf("a value of type %T, which could not be described", v)
}

const (
	// maxLossy bounds how often an error in an error in an error is carried as a
	// RemoteError with values.
	maxLossy = 2
	// nested has every error in an error carried as a RemoteError without values.
	nested = -1

	// maxValues bounds the bytes of all values of a RemoteError, and of one
	// within another; maxTexts those of all texts before they are cut to less
	// than maxShort each.
	maxValues = 16 << 20
	maxInner  = 64 << 10
	maxTexts  = 4 << 20
	maxShort  = 1 << 10
)

func newRemoteError(err error, how describing) *RemoteError {
	e := &RemoteError{}
	texts, values := maxTexts, maxValues
	if how.lossy < maxLossy {
		values = maxInner
	}
	add := func(err error, value []byte) {
		text := how.textOf(err)
		most := maxText
		if texts -= len(text); texts < 0 {
			most = maxShort
		}
		if more := len(text) - most; more > 0 {
			text = fmt.Sprintf("%s… and %d more bytes", text[:most], more)
		}
		if values -= len(value); values < 0 {
			value = nil
		}
		e.Chain = append(e.Chain, RemoteCause{Type: fmt.Sprintf("%T", err), Text: text})
		e.encoded = append(e.encoded, value)
	}
	all := causes(err, how)
	for _, cause := range all {
		if r, ok := cause.(*RemoteError); ok && r != nil { //nolint:errorlint // each link of the chain is looked at by itself
			e.Chain = append(e.Chain, r.Chain...) // it came from a third process
			e.encoded = append(e.encoded, r.encoded...)
			e.encoded = append(e.encoded, make([][]byte, len(e.Chain)-len(e.encoded))...)
			continue
		}
		var value []byte
		if values > 0 {
			value = encodeCause(cause, how)
		}
		add(cause, value)
	}
	for _, s := range sentinels {
		if slices.ContainsFunc(all, func(cause error) bool { return how.counts(cause, s) }) && !e.lists(s) {
			add(s, nil)
		}
	}
	return e
}

// encodeCause returns the encoding of an error that is well known, or whose type
// other processes know, or else nil. If what it holds has no form, or takes much,
// errors in it cross as RemoteErrors.
func encodeCause(err error, how describing) []byte {
	if i, ok := sentinelNumber(reflect.ValueOf(err)); ok {
		return []byte{tagSentinel, i}
	}
	if how.lossy <= 0 || knownType(reflect.TypeOf(err)) == nil {
		return nil
	}
	b, e := how.encodeHeld(err)
	if e != nil || len(b) > maxText {
		if short, e2 := (describing{nested, how.apart}).encodeHeld(err); e2 == nil && (e != nil || len(short) < len(b)/2) {
			return short
		}
	}
	if e != nil {
		return nil
	}
	return b
}

// encodeHeld encodes err as what an interface holds.
func encodeHeld(err error, how describing) ([]byte, error) {
	v := any(err)
	c := elemCodecFor[any]()
	return c.form.encode(nil, unsafe.Pointer(&v), c.traits, how)
}

// carried returns the errors of the chain that came as values.
func (e *RemoteError) carried() []error {
	e.once.Do(func() {
		for _, b := range e.encoded {
			var v any
			if len(b) == 0 {
				continue
			}
			if _, err := elemCodecFor[any]().decode(b, &v); err != nil {
				continue
			}
			if err, ok := v.(error); ok {
				e.values = append(e.values, err)
			}
		}
	})
	return e.values
}

// A remoteWire is a RemoteError on its way.
type remoteWire struct {
	Chain   []RemoteCause
	Encoded [][]byte
}

func appendRemote(b []byte, e *RemoteError) ([]byte, error) {
	return elemCodecFor[remoteWire]().append(b, &remoteWire{e.Chain, e.encoded})
}

func takeRemote(b []byte) (*RemoteError, []byte, error) {
	var w remoteWire
	b, err := elemCodecFor[remoteWire]().decode(b, &w)
	return &RemoteError{Chain: w.Chain, encoded: w.Encoded}, b, err
}

// sentinels are what errors of the standard library report with a method Is to
// be, without wrapping it: an error number of the system, a timeout.
var sentinels = []error{
	fs.ErrInvalid, fs.ErrPermission, fs.ErrExist, fs.ErrNotExist, fs.ErrClosed,
	errors.ErrUnsupported, os.ErrDeadlineExceeded, context.DeadlineExceeded, context.Canceled,
}

// wellKnown are errors that are told by which they are. The codec carries them,
// in an interface, as themselves.
var wellKnown = append([]error{
	io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, io.ErrNoProgress, io.ErrShortBuffer, io.ErrShortWrite,
	os.ErrProcessDone, os.ErrNoDeadline, strconv.ErrRange, strconv.ErrSyntax, fs.SkipDir, fs.SkipAll,
	ErrCancelled, ErrClosed, ErrFull, ErrNested, ErrQuarantined, ErrUnknownTask, ErrEncode, ErrQueueClosed, ErrBroken, ErrOtherProgram,
}, sentinels...)

// sentinelNumbers are the numbers of the well-known errors.
var sentinelNumbers = func() map[any]byte {
	m := make(map[any]byte)
	for i, known := range wellKnown {
		m[known] = byte(i)
	}
	return m
}()

// sentinelNumber returns which of the well-known errors v is.
func sentinelNumber(v reflect.Value) (i byte, ok bool) {
	if v.Comparable() {
		i, ok = sentinelNumbers[v.Interface()]
	}
	return i, ok
}

func (e *RemoteError) Error() string {
	if len(e.Chain) == 0 {
		return "error in another process"
	}
	return e.Chain[0].Text
}

// Is reports whether the other process's error was, or wrapped, an error of
// target's type and text, or one that came as a value and counts as target. It
// is what lets errors.Is find a sentinel on the far side of a process boundary.
func (e *RemoteError) Is(target error) bool {
	if target == nil {
		return false
	}
	return e.lists(target) || slices.ContainsFunc(e.carried(), func(err error) bool { return counts(err, target) })
}

// lists is Is without the errors that came as values, which are the user's.
func (e *RemoteError) lists(target error) bool {
	typ, text := fmt.Sprintf("%T", target), textOf(target)
	return slices.ContainsFunc(e.Chain, func(c RemoteCause) bool { return c.Type == typ && c.Text == text })
}

// As finds the first error of the chain that came as a value and can be assigned
// to what target points to, as errors.As does. It decodes the values when it is
// first called, with their types' own methods.
func (e *RemoteError) As(target any) bool {
	to := reflect.ValueOf(target)
	if to.Kind() != reflect.Pointer || to.IsNil() {
		return false // errors.As has panicked
	}
	for _, err := range e.carried() {
		if reflect.TypeOf(err).AssignableTo(to.Type().Elem()) {
			to.Elem().Set(reflect.ValueOf(err))
			return true
		}
		if x, ok := err.(interface{ As(any) bool }); ok && x.As(target) {
			return true
		}
	}
	return false
}

// A TimeoutError reports that a task had not returned when its time limit had passed;
// see [Task.Timeout]. It is context.DeadlineExceeded by errors.Is.
type TimeoutError struct {
	Task  string        // the task's name
	Limit time.Duration // counted from when the task started
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("task %s: not done within its time limit of %v", e.Task, e.Limit)
}

// Unwrap returns context.DeadlineExceeded.
func (e *TimeoutError) Unwrap() error { return context.DeadlineExceeded }

// A PanicError reports that a task's function panicked. The panic ends the
// task, not the worker. It wraps the panic's value if that is an error.
type PanicError struct {
	Task  string // the task's name
	Value string // the panic's value, as %v prints it
	Stack string // the stack of the goroutine that panicked
	Err   error  `json:"-"` // the panic's value if it is an error, else nil; a RemoteError if it came from another process
}

func (e *PanicError) Error() string { return "task " + e.Task + " panicked: " + e.Value }

// Unwrap returns the panic's value if it is an error, else nil.
func (e *PanicError) Unwrap() error { return e.Err }

// newPanicError describes a panic of a task with its value, on the goroutine that
// recovered it.
func newPanicError(task string, v any) *PanicError {
	err, _ := v.(error)
	value := apart(func() string {
		if err != nil {
			return textOf(err)
		}
		return fmt.Sprint(v) // which says so if a method of v panics
	}, undescribed(v))
	return &PanicError{Task: task, Value: value, Stack: string(debug.Stack()), Err: err}
}

// A WorkerLostError reports that a worker process ended while it ran a task.
type WorkerLostError struct {
	Worker      int    // index of the worker
	PID         int    // its process id
	Cause       string // how it ended: "exit status 3", "signal: killed"
	Code        int    // its exit code; -1 if a signal ended it
	Signal      string // the signal that ended it: "killed"; empty if none did
	OutOfMemory bool   // it was killed while the kernel's count of out-of-memory kills went up
	Task        string // the task it was running
	Stderr      string // the last lines that it wrote to standard error
}

func (e *WorkerLostError) Error() string {
	s := fmt.Sprintf("worker %d (pid %d) lost while running task %s: %s", e.Worker, e.PID, e.Task, e.Cause)
	if e.OutOfMemory {
		s += ", probably because memory ran out: the kernel killed a process for that at the same time"
	}
	if e.Stderr != "" {
		s += "; its standard error ended with:\n" + e.Stderr
	}
	return s
}

// An InitError reports that a worker could not be prepared, because its
// Config.Init failed. It breaks the executor: whatever was submitted and has
// not started fails with it, and so does what is submitted later.
type InitError struct {
	Worker int   // index of the worker
	Err    error // what Config.Init failed with
}

func (e *InitError) Error() string { return fmt.Sprintf("preparing worker %d: %v", e.Worker, e.Err) }

// Unwrap returns what Config.Init failed with.
func (e *InitError) Unwrap() error { return e.Err }

// A failure is how an error crosses a process boundary.
type failure struct {
	Kind  failureKind
	Task  string // of a TaskError or PanicError
	Value string // of a PanicError
	Stack string // likewise
	Err   *remoteWire
}

type failureKind uint8

const (
	failedOtherwise failureKind = iota + 1
	failedTask
	failedPanic
)

// AppendError encodes the error of a task onto b, for another process.
// [DecodeError] makes of it an error of the same kind: *PanicError and
// *TaskError come out as they were, with a *RemoteError in the place of what
// they wrap, anything else as a *RemoteError. Both are for those who write a
// backend. AppendError calls methods of the error; one that panics does no harm.
// One may end the goroutine: for that there is [TellError].
func AppendError(b []byte, err error) []byte {
	return appendError(b, err, describing{lossy: maxLossy})
}

// TellError calls tell with the error of a task as AppendError encodes it, even if
// methods of the error end the goroutine. What they should have told is then
// missing, and the goroutine ends when tell has returned.
func TellError(err error, tell func(encoded []byte)) {
	var b []byte
	defer func() {
		if b == nil {
			b = appendError(nil, err, describing{lossy: maxLossy, apart: true})
		}
		tell(b)
	}()
	b = AppendError(nil, err)
}

func appendError(b []byte, err error, how describing) []byte {
	f := failure{Kind: failedOtherwise}
	switch e := err.(type) { //nolint:errorlint // what wraps one of these is another error
	case *TaskError:
		if e != nil {
			f.Kind, f.Task, err = failedTask, e.Task, e.Err
		}
	case *PanicError:
		if e != nil {
			f.Kind, f.Task, f.Value, f.Stack, err = failedPanic, e.Task, e.Value, e.Stack, e.Err
		}
	}
	if err != nil {
		r := newRemoteError(err, how)
		f.Err = &remoteWire{r.Chain, r.encoded}
	}
	out, e := elemCodecFor[failure]().append(b, &f)
	if e == nil {
		return out
	}
	f = failure{Kind: f.Kind, Task: f.Task, Value: "its error cannot be carried: " + e.Error()}
	f.Err = &remoteWire{Chain: []RemoteCause{{Text: f.Value}}}
	out, _ = elemCodecFor[failure]().append(b, &f)
	return out
}

// DecodeError decodes what [AppendError] has encoded. It calls no methods of the
// program: a RemoteError decodes values when it is asked for them.
func DecodeError(b []byte) error {
	var f failure
	rest, err := elemCodecFor[failure]().decode(b, &f)
	if err != nil || len(rest) > 0 {
		return fmt.Errorf("the error of a worker could not be read: %w", orCut(err))
	}
	var far error
	if f.Err != nil {
		far = &RemoteError{Chain: f.Err.Chain, encoded: f.Err.Encoded}
	}
	switch {
	case f.Kind == failedPanic:
		return &PanicError{Task: f.Task, Value: f.Value, Stack: f.Stack, Err: far}
	case far == nil:
		return errors.New("a worker failed without saying why")
	case f.Kind == failedTask:
		return &TaskError{Task: f.Task, Err: far}
	}
	return far
}
