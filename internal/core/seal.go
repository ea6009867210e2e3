package core

import (
	"reflect"

	"github.com/f3f4c0de/harness/internal/wire"
)

// What programs hold are types of package executor whose underlying types are
// those of this package, without their methods: executor.Task is declared as
// core.Task. Each of them embeds one of the following, whose unexported method
// comes along, so that this package finds the machinery behind what it is given
// and nobody else can.

// A SealedTask is a *Task of this package or of package executor.
type SealedTask interface{ task() AnyTask }

type sealedTask struct{ machine AnyTask }

func (s *sealedTask) task() AnyTask { return s.machine }

// TaskOf returns what is behind a task, and nil if that is a nil pointer.
func TaskOf(t SealedTask) AnyTask {
	if v := reflect.ValueOf(t); !v.IsValid() || v.IsNil() {
		return nil
	}
	return t.task()
}

// TasksOf returns what is behind the tasks: see [TaskOf].
func TasksOf[T SealedTask](tasks []T) []AnyTask {
	all := make([]AnyTask, len(tasks))
	for i, t := range tasks {
		all[i] = TaskOf(t)
	}
	return all
}

// A SealedFuture is a *Future of this package or of package executor.
type SealedFuture interface{ future() *Call }

type sealedFuture struct{ call Call }

func (s *sealedFuture) future() *Call { return &s.call }

// CallOf returns the call behind a future.
func CallOf(f SealedFuture) *Call { return f.future() }

type sealedQueue = wire.Reference //nolint:unused // Queue embeds it
