package core

import (
	"context"
	"reflect"
	"runtime"
	"time"

	"github.com/f3f4c0de/harness/internal/fault"
)

// Go submits a function to ex. The function needs no task because it runs in this
// process. If refused is not nil, nothing is submitted and the future fails with it
// at once.
func Go[Out any](ctx context.Context, ex Executor, fn func(context.Context) (Out, error), refused error) *Future[Out] {
	c := &closure[Out]{fn: fn}
	c.call.init(ctx, c, 0)
	if refused != nil {
		c.call.Fail(refused, 0, 0)
		return &c.Future
	}
	submit(ctx, ex, &c.call)
	return &c.Future
}

// closure is the call that Go makes.
type closure[Out any] struct {
	Future[Out]
	local
	fn func(context.Context) (Out, error)
}

// name returns the name that the compiler gave the function, such as
// "main.main.func1".
func (c *closure[Out]) name() string {
	return runtime.FuncForPC(reflect.ValueOf(c.fn).Pointer()).Name()
}

func (c *closure[Out]) run(ctx context.Context) (err error) {
	c.out, err = c.fn(ctx)
	return err
}

// local has the methods of bodies whose calls stay in this process: such calls have no
// argument and cannot be encoded.
type local struct{}

func (local) idempotent() bool                    { return false }
func (local) timeout() time.Duration              { return 0 }
func (local) origin() *TaskIdentity               { return nil }
func (local) release()                            {}
func (local) argument() (none reflect.Value)      { return none }
func (local) appendInput([]byte) ([]byte, error)  { return nil, fault.ErrEncode }
func (local) appendOutput([]byte) ([]byte, error) { return nil, fault.ErrEncode }
func (local) encoder() func(*[]byte, *error)      { return nil }
func (local) decodeInput([]byte) error            { return fault.ErrEncode }
func (local) decodeOutput([]byte) error           { return fault.ErrEncode }
func (local) keepsOutput() bool                   { return false }
func (local) inputSize() int                      { return 0 }
func (local) outputSize() int                     { return 0 }
