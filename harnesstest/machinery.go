package harnesstest

import (
	"context"

	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/core"
)

// open opens the backend with a configuration of package core.
func open(ctx context.Context, b *core.Backend, cfg core.Config) (*executor.Executor, error) {
	if cfg.Tasks == nil {
		cfg.Tasks = core.TasksOf(Tasks)
	}
	raw, err := b.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return (*executor.Executor)(core.NewHandle(b, raw)), nil
}

// submitBatch submits several arguments as one call, as executor.Map does.
func submitBatch[In, Out any](task *executor.Task[In, Out], ctx context.Context, ex *executor.Executor, in []In) *executor.Future[core.Batch[Out]] { //nolint:revive // it reads like a method of task
	return (*executor.Future[core.Batch[Out]])((*core.Task[In, Out])(task).SubmitBatch(ctx, (*core.Handle)(ex).Raw(), in))
}

// job returns the task with its argument in the form that backends take.
func job[In, Out any](task *executor.Task[In, Out], in In) core.Job {
	return (*core.Task[In, Out])(task).With(in)
}
