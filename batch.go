package harness

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"time"
)

// BatchSuffix ends the name under which a call of [Task.SubmitBatch] goes: the
// task's name and this.
const BatchSuffix = "[]"

// A Batch is what a task returned for each of several arguments.
type Batch[Out any] struct {
	// Values has a result for each argument, in their order: the zero value
	// where there is an error.
	Values []Out

	// Errs has the errors by the index of the argument; nil if there are
	// none. They are what the future of a single call would report.
	Errs map[int]error

	// Run is how long the whole took on its worker.
	Run time.Duration
}

// SubmitBatch hands the task with several arguments to ex as one call, which a
// worker runs one after the other, and returns its future as Submit does. So a
// short task pays the price of a submission once for many. An argument that
// fails, or panics, does not keep the worker from the rest. Cancelling stops
// between two arguments and fails the whole. in must not be changed until the
// future is done.
func (t *Task[In, Out]) SubmitBatch(ctx context.Context, ex Executor, in []In) *Future[Batch[Out]] {
	t.declared("SubmitBatch")
	p := &pendingBatch[In, Out]{task: t, in: in}
	p.call.init(ctx, p)
	submit(ctx, ex, &p.call)
	return &p.Future
}

func (t *Task[In, Out]) incomingBatch(ctx context.Context, in []byte) (*Call, error) {
	p := &pendingBatch[In, Out]{task: t}
	p.call.init(ctx, p)
	if err := t.many().in.decode(in, &p.in); err != nil {
		return nil, encodeError("input", p.name(), err)
	}
	return &p.call, nil
}

// manyCodec encodes the arguments and the results of a batch.
type manyCodec[In, Out any] struct {
	in  codec[[]In]
	out codec[[]Out]
}

func newManyCodec[In, Out any]() manyCodec[In, Out] {
	return manyCodec[In, Out]{codecFor[[]In](), codecFor[[]Out]()}
}

// pendingBatch is for a batch what pending is for a single call.
type pendingBatch[In, Out any] struct {
	Future[Batch[Out]]
	task *Task[In, Out]
	in   []In
}

func (p *pendingBatch[In, Out]) name() string     { return p.task.name + BatchSuffix }
func (p *pendingBatch[In, Out]) idempotent() bool { return p.task.again }

func (p *pendingBatch[In, Out]) origin() *TaskIdentity { return p.task.id }
func (p *pendingBatch[In, Out]) batch() bool           { return true }
func (p *pendingBatch[In, Out]) release()              { p.in = nil }

func (p *pendingBatch[In, Out]) argument() reflect.Value { return reflect.ValueOf(p.in) }

func (p *pendingBatch[In, Out]) run(ctx context.Context) error {
	start := Now()
	p.out.Values = make([]Out, len(p.in))
	var gate Gate
	if w := WorkerOf(ctx); w != nil {
		gate = w.Gate
	}
	for i := 0; i < len(p.in); {
		i = p.runFrom(ctx, i, gate)
		if i < len(p.in) && p.call.stopped() {
			return context.Canceled // Call.Run puts the reason in its place
		}
	}
	p.out.Run = Now().Sub(start)
	return nil
}

// runFrom runs the arguments from the i-th on, until one panics or the rest is
// no longer wanted, and returns the index of the next.
func (p *pendingBatch[In, Out]) runFrom(ctx context.Context, i int, gate Gate) (next int) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if v := recover(); v != nil { // and not runtime.Goexit, which ends the batch
			p.failed(i, &PanicError{Task: p.task.name, Value: fmt.Sprint(v), Stack: string(debug.Stack())})
			next = i + 1
		}
	}()
	for ; i < len(p.in) && !p.call.stopped(); i++ {
		if gate != nil {
			gate.Yield()
		}
		v, err := p.task.fn(ctx, p.in[i])
		if err != nil {
			p.failed(i, p.call.explain(&TaskError{Task: p.task.name, Err: err}))
			continue
		}
		p.out.Values[i] = v
	}
	returned = true
	return i
}

func (p *pendingBatch[In, Out]) failed(i int, err error) {
	if p.out.Errs == nil {
		p.out.Errs = make(map[int]error)
	}
	p.out.Errs[i] = err
}

func (p *pendingBatch[In, Out]) appendInput(b []byte) ([]byte, error) {
	return p.task.many().in.append(b, &p.in)
}

// appendOutput encodes how long it took, the errors and the values.
func (p *pendingBatch[In, Out]) appendOutput(b []byte) ([]byte, error) {
	b = binary.LittleEndian.AppendUint64(b, uint64(p.out.Run))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(p.out.Errs)))
	for i, err := range p.out.Errs {
		b = binary.LittleEndian.AppendUint32(b, uint32(i))
		b = append(b, 0, 0, 0, 0)
		from := len(b)
		b = AppendError(b, err)
		binary.LittleEndian.PutUint32(b[from-4:], uint32(len(b)-from))
	}
	return p.task.many().out.append(b, &p.out.Values)
}

var errBatch = errors.New("the results of a batch are cut short")

func (p *pendingBatch[In, Out]) inputSize() int  { return p.task.many().in.sizeOf(&p.in) }
func (p *pendingBatch[In, Out]) outputSize() int { return p.task.many().out.sizeOf(&p.out.Values) }

func (p *pendingBatch[In, Out]) keepsOutput() bool { return p.task.many().out.keeps }

func (p *pendingBatch[In, Out]) decodeOutput(b []byte) error {
	if len(b) < 12 {
		return errBatch
	}
	p.out.Run = time.Duration(binary.LittleEndian.Uint64(b))
	failures := binary.LittleEndian.Uint32(b[8:])
	b = b[12:]
	for range failures {
		if len(b) < 8 {
			return errBatch
		}
		i, n := int(binary.LittleEndian.Uint32(b)), binary.LittleEndian.Uint32(b[4:])
		if b = b[8:]; uint64(len(b)) < uint64(n) || i >= len(p.in) {
			return errBatch
		}
		p.failed(i, p.call.explain(DecodeError(b[:n])))
		b = b[n:]
	}
	if err := p.task.many().out.decode(b, &p.out.Values); err != nil {
		return err
	}
	if len(p.out.Values) != len(p.in) {
		return fmt.Errorf("%d results for %d arguments", len(p.out.Values), len(p.in))
	}
	return nil
}
