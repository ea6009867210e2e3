// Package executor opens an execution model by name. The model is one value;
// nothing else in the program changes:
//
//	ex, err := executor.Open(ctx, "processes", harness.Config{Workers: 4, Tasks: tasks})
//
// A program that may use worker processes calls [Main] first thing in main,
// because its workers are the program itself, started again.
package executor

import (
	"context"
	"fmt"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/internal/backends"
)

// Backends returns the backends that Open knows, in the order in which they
// should be listed.
func Backends() []*harness.Backend { return backends.All }

// Open opens the named backend. It blocks until the workers are ready, ctx
// ends, or a worker process fails to start. The caller must close the
// executor.
func Open(ctx context.Context, name string, cfg harness.Config) (harness.Executor, error) {
	var names []string
	for _, b := range backends.All {
		if b.Name == name {
			return b.Open(ctx, cfg)
		}
		names = append(names, b.Name)
	}
	return nil, fmt.Errorf("executor: no backend is named %q; there are %q", name, names)
}

// Main makes the program its own worker. In a process that was started as a
// worker it serves the given tasks and never returns; in any other it returns
// at once. Call it first thing in main, with every task that is submitted to
// worker processes, and in the TestMain of tests that do so.
func Main(tasks ...harness.AnyTask) {
	backends.Divert(tasks, nil)
}
