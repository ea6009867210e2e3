package admission

import (
	"testing"

	"github.com/f3f4c0de/harness/internal/core"
)

func TestQueue(t *testing.T) {
	var q Queue
	calls := make([]core.Call, 1000)
	in, out := 0, 0
	for step := range 5000 { // push more than pop, then the other way round
		if step%3 != 2 && in < len(calls) {
			q.Push(&calls[in])
			in++
		} else if q.Len() > 0 {
			if got := q.Pop(); got != &calls[out] {
				t.Fatalf("pop %d returned another call", out)
			}
			out++
		}
	}
	if in != len(calls) || out != in || q.Len() != 0 {
		t.Errorf("%d went in, %d came out, %d are left", in, out, q.Len())
	}
}
