// Package workloads holds the programs that are compared, each a
// [harness.Workload] value. A workload uses an executor and does not know which backend
// is behind it.
//
// To add a workload, write one file with one exported value and add it to
// [All]. Long computations must call [executor.Checkpoint] about every 100 microseconds,
// and waiting must happen inside of [executor.Blocking], so that the models with a lock can
// hand it over. The conformance suite in package harnesstest then checks the workload on
// every backend.
package workloads

import (
	"context"
	"slices"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/executor"
)

// All lists the workloads in the order in which they are shown: those that compute, those
// that wait, those that do both.
var All = []*harness.Workload{
	Sqrt,
	Factor,
	SHA256,
	HTTP,
	File,
	ProdCons,
	Mixed,
}

// submitAll submits one call of t for every input and returns the results in the order of
// the inputs. If a task fails, those that have not started are cancelled, and the first
// error in that order is returned.
func submitAll[In, Out any](ctx context.Context, ex *executor.Executor, t *executor.Task[In, Out], inputs []In) ([]Out, error) {
	futures := make([]*executor.Future[Out], len(inputs))
	for i, in := range inputs {
		futures[i] = t.Submit(ctx, ex, in)
	}
	outputs := make([]Out, len(inputs))
	var failed error
	for i, f := range futures {
		if failed != nil {
			f.Cancel()
		}
		out, err := f.Wait(ctx)
		if err != nil && failed == nil {
			failed = err
		}
		outputs[i] = out
	}
	return outputs, failed
}

// warm makes every worker run one task with the input in, before anything is measured: the
// first task of a process also pays for memory and code that later tasks use again. The
// task must take long enough that each worker gets one.
func warm[In, Out any](ctx context.Context, ex *executor.Executor, t *executor.Task[In, Out], workers int, in In) error {
	_, err := submitAll(ctx, ex, t, slices.Repeat([]In{in}, workers))
	return err
}

// A span is the half-open range of numbers from From to To.
type span struct{ From, To int64 }

// split divides the numbers from 0 up to n into parts whose lengths differ by at most one.
func split(n int64, parts int) []span {
	spans := make([]span, parts)
	for i := range spans {
		spans[i] = span{n * int64(i) / int64(parts), n * int64(i+1) / int64(parts)}
	}
	return spans
}

// always returns a function for Workload.Workers that always returns n.
func always(n int) func(int) int { return func(int) int { return n } }
