package core

import (
	"reflect"

	"github.com/f3f4c0de/harness/internal/wire"
)

// Programs hold types of package executor that are declared with the types of this
// package, such as "type Task core.Task". A type that is declared so has the fields of
// the other but not its methods, except those of embedded fields. Each of them embeds
// one of the following types. So this package finds the machinery by the embedded
// type's unexported method, which no other package can call.

// A SealedTask is a *Task of this package or of package executor.
type SealedTask interface{ task() AnyTask }

type sealedTask struct{ machine AnyTask }

func (s *sealedTask) task() AnyTask { return s.machine }

// TaskOf returns the task of this package that t is, and nil if t is a nil pointer.
func TaskOf(t SealedTask) AnyTask {
	if v := reflect.ValueOf(t); !v.IsValid() || v.IsNil() {
		return nil
	}
	return t.task()
}

// TasksOf returns [TaskOf] for each of the tasks.
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

// CallOf returns the call of a future.
func CallOf(f SealedFuture) *Call { return f.future() }

type sealedQueue = wire.Reference //nolint:unused // Queue embeds it
