package harness

import "context"

// A Task is a named function that every backend can run. Its argument and its
// result are plain data: inside a process they are passed as they are; a
// backend that crosses a process boundary encodes them, as bytes when In or
// Out is []byte, string, a fixed-size value or its own encoding.BinaryAppender
// and BinaryUnmarshaler, and as JSON otherwise. A closure cannot cross a
// process, which is why a task is declared once, at package level.
//
// A Task is immutable and safe for concurrent use.
type Task[In, Out any] struct {
	name string
	fn   func(context.Context, In) (Out, error)
	in   codec[In]
	out  codec[Out]
}

// NewTask declares a task. The name identifies it to worker processes and in
// every report, so it must be unique in the program; by convention it is the
// workload's name, or starts with it and a dot.
//
// The context that fn receives ends when the task is cancelled, when the
// context it was submitted with ends, and when fn returns. It also tells
// [Blocking] and [Checkpoint] which worker the task runs on.
//
// NewTask panics if name is empty or fn is nil.
func NewTask[In, Out any](name string, fn func(context.Context, In) (Out, error)) *Task[In, Out] {
	if name == "" || fn == nil {
		panic("harness: NewTask needs a name and a function")
	}
	return &Task[In, Out]{name: name, fn: fn, in: codecFor[In](), out: codecFor[Out]()}
}

// Name returns the name the task was declared with.
func (t *Task[In, Out]) Name() string { return t.name }

// Submit hands one call of the task to ex and returns at once with its future.
// It never fails by itself: whatever goes wrong is what the future reports.
func (t *Task[In, Out]) Submit(ctx context.Context, ex Executor, in In) *Future[Out] {
	p := &pending[In, Out]{task: t, in: in}
	p.call.init(ctx, p)
	ex.Submit(ctx, &p.call)
	return &p.Future
}

// Incoming implements [AnyTask].
func (t *Task[In, Out]) Incoming(ctx context.Context, in []byte) (*Call, error) {
	p := &pending[In, Out]{task: t}
	p.call.init(ctx, p)
	if err := t.in.decode(in, &p.in); err != nil {
		return nil, encodeError("input", t.name, err)
	}
	return &p.call, nil
}

// An AnyTask is a *Task whatever its types: what a list of tasks holds.
type AnyTask interface {
	Name() string
	// Incoming makes the call that a worker process runs for a message with
	// this encoded input, which the call may keep. The error wraps ErrEncode.
	Incoming(ctx context.Context, in []byte) (*Call, error)
}

// pending is one call of one task: the future that the submitter holds, the
// call that the backend holds and the argument, in one allocation.
type pending[In, Out any] struct {
	Future[Out]
	task *Task[In, Out]
	in   In
}

func (p *pending[In, Out]) name() string { return p.task.name }

func (p *pending[In, Out]) run(ctx context.Context) (err error) {
	p.out, err = p.task.fn(ctx, p.in)
	return err
}

func (p *pending[In, Out]) appendInput(b []byte) ([]byte, error) {
	return p.task.in.append(b, &p.in)
}

func (p *pending[In, Out]) appendOutput(b []byte) ([]byte, error) {
	return p.task.out.append(b, &p.out)
}

func (p *pending[In, Out]) decodeOutput(b []byte) error {
	return p.task.out.decode(b, &p.out)
}
