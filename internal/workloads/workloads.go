// Package workloads holds the programs that are compared, each a
// [harness.Workload] value. They know an executor and nothing of the backend
// behind it.
//
// To add a workload, write one file with one exported value and add it to
// [All]. Long computations call [executor.Checkpoint] about every 100
// microseconds, and whatever waits does so inside [executor.Blocking], so that
// the models with a lock know when to hand it over. The conformance suite in
// package harnesstest then checks the workload on every backend.
package workloads

import (
	"context"
	"slices"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/executor"
)

// All are the workloads, in the order in which they are listed and shown:
// computing, waiting, both.
var All = []*harness.Workload{
	Sqrt,
	Factor,
	SHA256,
	HTTP,
	File,
	ProdCons,
	Mixed,
}

// submitAll submits one call of t for every input and waits for the results,
// which come back in the order of the inputs. If a task fails, those that have
// not started are cancelled and the first error in that order is returned.
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

// warm has every worker run one task like in, before anything is measured: the
// first task in a process also pays for memory and code that later ones find in
// place. The task must take long enough for each worker to get one.
func warm[In, Out any](ctx context.Context, ex *executor.Executor, t *executor.Task[In, Out], workers int, in In) error {
	_, err := submitAll(ctx, ex, t, slices.Repeat([]In{in}, workers))
	return err
}

// A span is the half-open range of the numbers from From to To.
type span struct{ From, To int64 }

// split divides the numbers from 0 to n into parts whose lengths differ by at
// most one.
func split(n int64, parts int) []span {
	spans := make([]span, parts)
	for i := range spans {
		spans[i] = span{n * int64(i) / int64(parts), n * int64(i+1) / int64(parts)}
	}
	return spans
}

// always returns a function for Workload.Workers: always n.
func always(n int) func(int) int { return func(int) int { return n } }
