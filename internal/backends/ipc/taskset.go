package ipc

import (
	"fmt"
	"sync/atomic"

	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/fault"
)

// taskSet are the tasks that an executor's worker processes know. A worker is told
// only the name, so a task of the same name that was not given to it is refused
// here: it would run the other one's function. check is safe for concurrent use.
type taskSet struct {
	byName map[string]*core.TaskIdentity
	last   atomic.Pointer[core.TaskIdentity] // that was found to be known
}

func newTaskSet(tasks []core.AnyTask) *taskSet {
	k := &taskSet{byName: make(map[string]*core.TaskIdentity)}
	for _, t := range tasks {
		k.byName[t.Name()] = t.Identity()
	}
	return k
}

// check returns nil if the task is known, or else an error that wraps
// ErrUnknownTask.
func (k *taskSet) check(id *core.TaskIdentity) error {
	if id == k.last.Load() {
		return nil
	}
	is, ok := k.byName[id.Name()]
	switch {
	case !ok:
		return unknownTask(id.Name())
	case !is.Is(id):
		return namesake(id.Name())
	}
	k.last.Store(id)
	return nil
}

func namesake(name string) error {
	return fmt.Errorf("%w %s: the worker processes were given another task of that name, with another function or other types; give each task a name of its own, and all to executor.Main", fault.ErrUnknownTask, name)
}
