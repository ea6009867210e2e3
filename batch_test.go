package harness

import (
	"context"
	"encoding/binary"
	"errors"
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
