package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"unsafe"

	"github.com/f3f4c0de/harness/internal/fault"
)

// maxText bounds the text of one error that is carried to another process.
const maxText = 1 << 20

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

// ErrGoexit is what an encoding fails with that called runtime.Goexit.
var ErrGoexit = errors.New("its own encoding called runtime.Goexit")

// describing is how errors are described. Its methods do what the functions of the
// same names do, apart or not.
type describing struct {
	lossy int  // how often an error in an error in an error is still carried as a RemoteError with values, or nested
	apart bool // each method has a goroutine of its own, and may end it
}

func (how describing) textOf(err error) string {
	if how.apart {
		return fault.Apart(func() string { return fault.Text(err) }, fault.Undescribed(err))
	}
	return fault.Text(err)
}

func (how describing) unwrap(err error) []error {
	if how.apart {
		return fault.Apart(func() []error { return unwrap(err) }, nil)
	}
	return unwrap(err)
}

func (how describing) counts(err, target error) bool {
	if how.apart {
		return fault.Apart(func() bool { return counts(err, target) }, false)
	}
	return counts(err, target)
}

func (how describing) encodeHeld(err error) ([]byte, error) {
	if how.apart {
		b, e := []byte(nil), ErrGoexit
		fault.Apart(func() bool { b, e = encodeHeld(err, how); return true }, false)
		return b, e
	}
	return encodeHeld(err, how)
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
		if slices.ContainsFunc(all, func(cause error) bool { return how.counts(cause, s) }) && !e.Lists(s) {
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
	c := ForElement[any]()
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
			if _, err := ForElement[any]().Decode(b, &v); err != nil {
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
	return ForElement[remoteWire]().Append(b, &remoteWire{e.Chain, e.encoded})
}

func takeRemote(b []byte) (*RemoteError, []byte, error) {
	var w remoteWire
	b, err := ForElement[remoteWire]().Decode(b, &w)
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
	fault.ErrCancelled, fault.ErrClosed, fault.ErrFull, fault.ErrNested, fault.ErrQuarantined, fault.ErrUnknownTask, fault.ErrEncode, fault.ErrQueueClosed, fault.ErrBroken, fault.ErrOtherProgram,
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
	return e.Lists(target) || slices.ContainsFunc(e.carried(), func(err error) bool { return counts(err, target) })
}

// Lists is Is without the errors that came as values, which are the user's.
func (e *RemoteError) Lists(target error) bool {
	typ, text := fmt.Sprintf("%T", target), fault.Text(target)
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

// A failure is how an error crosses a process boundary.
type failure struct {
	Kind  failureKind
	Task  string // of a fault.TaskError or fault.PanicError
	Value string // of a fault.PanicError
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
// [DecodeError] makes of it an error of the same kind: *fault.PanicError and
// *fault.TaskError come out as they were, with a *RemoteError in the place of what
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
	case *fault.TaskError:
		if e != nil {
			f.Kind, f.Task, err = failedTask, e.Task, e.Err
		}
	case *fault.PanicError:
		if e != nil {
			f.Kind, f.Task, f.Value, f.Stack, err = failedPanic, e.Task, e.Value, e.Stack, e.Err
		}
	}
	if err != nil {
		r := newRemoteError(err, how)
		f.Err = &remoteWire{r.Chain, r.encoded}
	}
	out, e := ForElement[failure]().Append(b, &f)
	if e == nil {
		return out
	}
	f = failure{Kind: f.Kind, Task: f.Task, Value: "its error cannot be carried: " + e.Error()}
	f.Err = &remoteWire{Chain: []RemoteCause{{Text: f.Value}}}
	out, _ = ForElement[failure]().Append(b, &f)
	return out
}

// DecodeError decodes what [AppendError] has encoded. It calls no methods of the
// program: a RemoteError decodes values when it is asked for them.
func DecodeError(b []byte) error {
	var f failure
	rest, err := ForElement[failure]().Decode(b, &f)
	if err != nil || len(rest) > 0 {
		return fmt.Errorf("the error of a worker could not be read: %w", orCut(err))
	}
	var far error
	if f.Err != nil {
		far = &RemoteError{Chain: f.Err.Chain, encoded: f.Err.Encoded}
	}
	switch {
	case f.Kind == failedPanic:
		return &fault.PanicError{Task: f.Task, Value: f.Value, Stack: f.Stack, Err: far}
	case far == nil:
		return errors.New("a worker failed without saying why")
	case f.Kind == failedTask:
		return &fault.TaskError{Task: f.Task, Err: far}
	}
	return far
}
