package core

import (
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/f3f4c0de/harness/internal/fault"
)

var halve = NewTask("halve", func(_ context.Context, n int64) (int64, error) {
	if n%2 != 0 {
		return 0, errors.New("odd")
	}
	return n / 2, nil
})

// far runs a batch as a worker process would, with room for so many bytes of
// results, and returns the parts that it sends. The last one is the final part.
func far(t *testing.T, in []byte, room int) (parts [][]byte) {
	t.Helper()
	c := halve.Incoming(t.Context(), true)
	if err := c.DecodeInput(in); err != nil {
		t.Fatal(err)
	}
	var claim atomic.Uint64
	claim.Store(Items(int(binary.LittleEndian.Uint32(in))))
	c.Stream(BatchStream{Claim: &claim, Room: make([]byte, 0, room), Send: func(part []byte, _ int) error {
		parts = append(parts, part)
		return nil
	}})
	c.Run(&Worker{})
	out, err := c.AppendOutput(nil)
	if err != nil || c.Err() != nil {
		t.Fatalf("AppendOutput() = %v, and the call failed with %v", err, c.Err())
	}
	return append(parts, out)
}

// claimed returns a batch that was claimed for another process, and its encoded input.
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
func (submitFunc) Stop(error)                          {}

func TestBatchCrosses(t *testing.T) {
	for _, room := range []int{0, 8, 9, 1000} {
		f, in := claimed(t, []int64{2, 3, 8, 10})
		parts := far(t, in, room)
		for _, part := range parts[:len(parts)-1] {
			if err := f.Call().Part(part); err != nil {
				t.Fatal(err)
			}
		}
		f.Call().Complete(parts[len(parts)-1], 0, 0)
		b, err := f.Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]int64{1, 0, 4, 5}, b.Values); d != "" || len(b.Errs) != 1 || b.Errs[1] == nil || b.Errs[1].Error() != "task halve: odd" {
			t.Errorf("with room for %d bytes the batch came back with errors %v and (-want +got):\n%s\nwant one error, of argument 1", room, b.Errs, d)
		}
	}
}

// Whatever bytes a worker returns, the batch has a result or an error.
func TestBatchRefusesWhatIsCutShort(t *testing.T) {
	_, in := claimed(t, []int64{2, 4, 8})
	whole := far(t, in, 1000)[0]
	for n := range whole {
		f, _ := claimed(t, []int64{2, 4, 8})
		if again := f.Call().Complete(whole[:n:n], 0, 0); again {
			t.Errorf("the first %d of %d bytes were taken for a result", n, len(whole))
			continue
		}
		if _, err := f.Wait(t.Context()); !errors.Is(err, fault.ErrEncode) {
			t.Errorf("the first %d of %d bytes gave %v; want fault.ErrEncode", n, len(whole), err)
		}
	}
	f, _ := claimed(t, []int64{2, 4})
	f.Call().Complete(whole, 0, 0)
	if _, err := f.Wait(t.Context()); !errors.Is(err, fault.ErrEncode) {
		t.Errorf("3 results for 2 arguments: %v; want fault.ErrEncode", err)
	}
}

// After a worker was lost, exactly the arguments that it had not begun are run again.
func TestBatchGoesOn(t *testing.T) {
	f, in := claimed(t, []int64{2, 4, 8})
	c := f.Call()
	part := far(t, in, 0)[0] // of the first
	if err := c.Part(part); err != nil {
		t.Fatal(err)
	}
	if !c.Lose(errors.New("lost"), 2) {
		t.Fatal("a batch that has lost its second argument is over; want that the third is still to be run")
	}
	in, err := c.AppendInput(nil)
	if err != nil || !c.Claim() || c.Sending() != 1 {
		t.Fatalf("AppendInput() = %v, with %d arguments; want 1, or it could not be claimed", err, c.Sending())
	}
	if c.Complete(far(t, in, 1000)[0], 0, 0) {
		t.Fatal("a batch with all its results is still to be run")
	}
	b, err := f.Wait(t.Context())
	if d := cmp.Diff([]int64{1, 0, 4}, b.Values); d != "" || err != nil || len(b.Errs) != 1 || b.Errs[1] == nil {
		t.Errorf("the batch came back with %v, errors %v and (-want +got):\n%s\nwant one error, of argument 1", err, b.Errs, d)
	}
}

// Cancel reports false for a call that has begun on a worker that was lost, whatever
// its phase is when it is cancelled.
func TestCancelAfterALoss(t *testing.T) {
	tests := map[string]func(ex Executor) AnyFuture{
		"call":  func(ex Executor) AnyFuture { return halve.Idempotent().Submit(t.Context(), ex, 2) },
		"batch": func(ex Executor) AnyFuture { return halve.SubmitBatch(t.Context(), ex, []int64{2, 4}) },
	}
	for name, submit := range tests {
		for _, claimed := range []bool{false, true} {
			for _, begun := range []int{0, 1} {
				if name == "call" && begun == 0 {
					continue // then it is not lost
				}
				var c *Call
				f := submit(submitFunc(func(call *Call) {
					c = call
					c.Enter(&Site{Transport: takesBack{}})
				}))
				if _, err := c.AppendInput(nil); err != nil || !c.Claim() || !c.Lose(errors.New("lost"), begun) {
					t.Fatalf("%s: AppendInput() = %v, or it could not be claimed, or is over", name, err)
				}
				if claimed && !c.Claim() {
					t.Fatalf("%s: it could not be claimed again", name)
				}
				if got, want := f.Cancel(), begun == 0; got != want || f.State() != Cancelled {
					t.Errorf("Cancel() of a %s of which %d had begun on a worker that was lost, claimed again: %t, reports %t and leaves it %v; want %t, and cancelled",
						name, begun, claimed, got, f.State(), want)
				}
			}
		}
	}
}

// takesBack is a transport whose calls never start.
type takesBack struct{}

func (takesBack) Abort(*Call, error) bool { return true }
func (takesBack) Started(*Call) bool      { return false }
func (takesBack) Cut(*Call) (int, bool)   { return 0, false }

// An argument of an idempotent task is tried three times; then only that argument fails.
func TestBatchTriesAgain(t *testing.T) {
	var taken *Call
	f := halve.Idempotent().SubmitBatch(t.Context(), submitFunc(func(c *Call) { taken = c }), []int64{2, 4})
	lost := errors.New("lost")
	for range maxRuns {
		in, err := taken.AppendInput(nil)
		if err != nil || !taken.Claim() || binary.LittleEndian.Uint32(in) != 2 {
			t.Fatalf("AppendInput() = %v, or not of 2 arguments, or it could not be claimed", err)
		}
		if !taken.Lose(lost, 1) {
			t.Fatal("a batch with an argument that was not run is over")
		}
	}
	in, err := taken.AppendInput(nil)
	if err != nil || !taken.Claim() {
		t.Fatalf("AppendInput() = %v, or it could not be claimed", err)
	}
	taken.Complete(far(t, in, 1000)[0], 0, 0)
	b, err := f.Wait(t.Context())
	if err != nil || !errors.Is(b.Errs[0], fault.ErrQuarantined) || !errors.Is(b.Errs[0], lost) || b.Errs[1] != nil || b.Values[1] != 2 {
		t.Errorf("after %d losses the batch came back as %+v, %v; want argument 0 quarantined, and 2 for the other", maxRuns, b, err)
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
		case err != nil && (!cancel || !errors.Is(err, fault.ErrCancelled)):
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

// No argument begins after the one that runs when the batch is told to stop.
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

// A spelled value is encoded by methods of its own.
type spelled struct{ n int }

func (s spelled) MarshalText() ([]byte, error) { return strconv.AppendInt(nil, int64(s.n), 10), nil }

func (s *spelled) UnmarshalText(b []byte) (err error) {
	s.n, err = strconv.Atoi(string(b))
	return err
}

var spell = NewTask("spell", func(_ context.Context, s spelled) (int, error) { return s.n, nil })

// While Encode encodes the argument of a call, the call has not begun: Cut takes
// nothing back, and Cancel completes the call.
func TestNothingBeginsWhileItIsEncoded(t *testing.T) {
	for round := range 2000 {
		var c *Call
		f := spell.SubmitBatch(t.Context(), submitFunc(func(call *Call) { c = call }), []spelled{{1}, {2}})
		cancel := round%2 == 0
		var over atomic.Bool
		var asks sync.WaitGroup
		asks.Go(func() {
			for !over.Load() {
				switch left, ok := c.Cut(); {
				case ok:
					t.Errorf("round %d: Cut() left %d of a batch that nobody has claimed", round, left)
					return
				case cancel && f.Cancel():
					return
				case cancel:
					t.Errorf("round %d: Cancel() of a batch that nobody has claimed reported that it may have run", round)
					return
				}
			}
		})
		done := make(chan struct{})
		if c.Encode(func() { close(done) }) {
			<-done
		} else if !cancel {
			t.Fatalf("round %d: it was not encoded", round)
		}
		over.Store(true)
		asks.Wait()
		if !cancel && f.State() != Pending {
			t.Fatalf("round %d: it is %v; want pending", round, f.State())
		}
	}
}
