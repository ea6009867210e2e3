package executor_test

import (
	"context"
	"iter"

	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/core"
)

// ordered returns the values and errors of executor.Results.
func ordered[In, Out any](ctx context.Context, ex *executor.Executor, task *executor.Task[In, Out], in iter.Seq[In], opt executor.MapOptions) iter.Seq2[Out, error] {
	return func(yield func(Out, error) bool) {
		for r := range executor.Results(ctx, ex, task, in, opt) {
			if !yield(r.Out, r.Err) {
				return
			}
		}
	}
}

// unordered is ordered in the order in which the results come.
func unordered[In, Out any](ctx context.Context, ex *executor.Executor, task *executor.Task[In, Out], in iter.Seq[In], opt executor.MapOptions) iter.Seq2[Out, error] {
	opt.Unordered = true
	return ordered(ctx, ex, task, in, opt)
}

// submitBatch submits several arguments as one call, as executor.Map does.
func submitBatch[In, Out any](ctx context.Context, ex *executor.Executor, task *executor.Task[In, Out], in []In) *executor.Future[core.Batch[Out]] {
	return (*executor.Future[core.Batch[Out]])((*core.Task[In, Out])(task).SubmitBatch(ctx, (*core.Handle)(ex).Raw(), in))
}

// openWith opens a backend with a configuration of its machinery.
func openWith(ctx context.Context, b *core.Backend, cfg core.Config) (*executor.Executor, error) {
	raw, err := b.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return (*executor.Executor)(core.NewHandle(b, raw)), nil
}
