package harness

import (
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var halve = NewTask("halve", func(_ context.Context, n int64) (int64, error) {
	if n%2 != 0 {
		return 0, errors.New("odd")
	}
	return n / 2, nil
})

// far runs a batch as a worker process would, and returns its encoded result.
func far(t *testing.T, in []byte) []byte {
	t.Helper()
	c, err := halve.Incoming(t.Context(), in, true)
	if err != nil {
		t.Fatal(err)
	}
	c.Run(&Worker{})
	out, err := c.AppendOutput(nil)
	if err != nil || c.Err() != nil {
		t.Fatalf("AppendOutput() = %v, and the call failed with %v", err, c.Err())
	}
	return out
}

// claimed returns a batch that was taken elsewhere, and its encoded input.
func claimed(t *testing.T, in []int64) (*Future[Batch[int64]], []byte) {
	t.Helper()
	var taken *Call
	f := halve.SubmitBatch(t.Context(), submitFunc(func(c *Call) { taken = c }), in)
	b, err := taken.AppendInput(nil)
	if err != nil || !taken.Claim() {
		t.Fatalf("AppendInput() = %v, or it could not be claimed", err)
	}
	return f, b
}

type submitFunc func(*Call)

func (f submitFunc) Submit(_ context.Context, c *Call) { f(c) }
func (submitFunc) Close() error                        { return nil }

func TestBatchCrosses(t *testing.T) {
	f, in := claimed(t, []int64{2, 3, 8})
	f.Call().Complete(far(t, in), 0, 0)
	b, err := f.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]int64{1, 0, 4}, b.Values); d != "" || len(b.Errs) != 1 || b.Errs[1] == nil || b.Errs[1].Error() != "task halve: odd" {
		t.Errorf("the batch came back with errors %v and (-want +got):\n%s\nwant one error, of argument 1", b.Errs, d)
	}
}

// Whatever comes back, it is a result or an error.
func TestBatchRefusesWhatIsCutShort(t *testing.T) {
	_, in := claimed(t, []int64{2, 3, 8})
	whole := far(t, in)
	for n := range whole {
		f, _ := claimed(t, []int64{2, 3, 8})
		f.Call().Complete(whole[:n], 0, 0)
		if _, err := f.Wait(t.Context()); !errors.Is(err, ErrEncode) {
			t.Errorf("the first %d of %d bytes gave %v; want ErrEncode", n, len(whole), err)
		}
	}
	many := binary.LittleEndian.AppendUint32(make([]byte, 8), 1<<31) // failures
	f, _ := claimed(t, []int64{2})
	f.Call().Complete(many, 0, 0)
	if _, err := f.Wait(t.Context()); !errors.Is(err, ErrEncode) {
		t.Errorf("two thousand million failures without any: %v; want ErrEncode", err)
	}
	fewer, _ := claimed(t, []int64{2, 4, 6, 8})
	fewer.Call().Complete(whole, 0, 0)
	if _, err := fewer.Wait(t.Context()); !errors.Is(err, ErrEncode) {
		t.Errorf("3 results for 4 arguments: %v; want ErrEncode", err)
	}
}

// Whenever a batch is cut, or cancelled, each argument has either been run or
// been taken back, and the batch is done with those that were run.
func TestBatchCutIsExact(t *testing.T) {
	const n = 50
	for round := range 300 {
		var ran [n]atomic.Int64
		counts := NewTask("counts", func(_ context.Context, i int) (int, error) {
			ran[i].Add(1)
			runtime.Gosched()
			return i, nil
		})
		in := make([]int, n)
		for i := range in {
			in[i] = i
		}
		var c *Call
		f := counts.SubmitBatch(t.Context(), submitFunc(func(call *Call) { c = call }), in)
		var running sync.WaitGroup
		running.Go(func() { c.Run(&Worker{}) })
		left := n
		for ran[round%n].Load() == 0 {
			runtime.Gosched()
		}
		cancel := round%3 == 0
		if cancel {
			f.Cancel()
		} else if to, ok := c.Cut(); ok {
			left = to
		}
		running.Wait()
		b, err := f.Wait(t.Context())
		switch {
		case err != nil && (!cancel || !errors.Is(err, ErrCancelled)):
			t.Fatalf("the batch failed with %v", err)
		case err == nil && len(b.Values) != left:
			t.Fatalf("a batch of which %d arguments were left has %d values", left, len(b.Values))
		case err != nil:
			continue
		}
		for i := range ran {
			if got := ran[i].Load(); got != 1 && i < left || got != 0 && i >= left {
				t.Fatalf("argument %d was run %d times; %d of %d were left", i, got, left, n)
			}
		}
	}
}

// Nothing begins after the argument that was told to stop.
func TestBatchStops(t *testing.T) {
	for _, how := range []string{"Cancel", "the context"} {
		ctx, cancel := context.WithCancel(t.Context())
		var f *Future[Batch[int]]
		began := 0
		stops := NewTask("stops", func(own context.Context, i int) (int, error) {
			if began++; i < 3 {
				return i, nil
			}
			if how == "Cancel" {
				f.Cancel()
			} else {
				cancel()
			}
			<-own.Done()
			return 0, own.Err()
		})
		var c *Call
		f = stops.SubmitBatch(ctx, submitFunc(func(call *Call) { c = call }), []int{0, 1, 2, 3, 4, 5, 6})
		c.Run(&Worker{})
		if _, err := f.Wait(t.Context()); f.State() != Cancelled || began != 4 {
			t.Errorf("%s: the batch ended with %v after it had begun %d arguments; want cancelled, 4", how, err, began)
		}
		cancel()
	}
}
