package harness

import (
	"context"
	"testing"
)

// Whoever forgets the context is told where, and not by a crash of the worker.
func TestSubmitWithoutContext(t *testing.T) {
	task := NewTask("task", func(_ context.Context, n int) (int, error) { return n, nil })
	var none context.Context
	submits := map[string]func(){
		"Submit":      func() { task.Submit(none, nil, 1) },
		"SubmitBatch": func() { task.SubmitBatch(none, nil, []int{1}) },
	}
	for name, submit := range submits {
		func() {
			defer func() {
				if v := recover(); v == nil {
					t.Errorf("%s without a context did not panic", name)
				}
			}()
			submit()
		}()
	}
}
