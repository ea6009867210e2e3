package core

import (
	"context"
	"fmt"
	"reflect"
	"strconv"
	"unicode"
	"unicode/utf8"
	"unsafe"
)

// A TaskIdentity distinguishes a task from another task of the same name. It consists
// of what [NewTask] was given. The copies that [Task.Idempotent] and [Task.Timeout]
// make have the identity of the original. It is immutable and safe for concurrent use.
type TaskIdentity struct {
	name  string
	types reflect.Type   // of the function
	fn    unsafe.Pointer // the function's value, which lives as long as this points to it
}

func identify[In, Out any](name string, fn func(context.Context, In) (Out, error)) *TaskIdentity {
	return &TaskIdentity{name, reflect.TypeFor[func(context.Context, In) (Out, error)](), *(*unsafe.Pointer)(unsafe.Pointer(&fn))}
}

// Name returns the name the task was declared with.
func (id *TaskIdentity) Name() string { return id.name }

// Is reports whether both are the same task: one declaration, or two declarations that
// give the same function the same name. Two closures are the same function only if
// they are the same value, since what they have captured may differ.
func (id *TaskIdentity) Is(other *TaskIdentity) bool {
	return id == other || id != nil && other != nil && *id == *other
}

// maxName bounds the name of a task in bytes.
const maxName = 1 << 10

// checkName panics if a task cannot have that name.
func checkName(name string) {
	switch {
	case name == "":
		panic("executor: NewTask needs a name")
	case len(name) > maxName:
		panic(fmt.Sprintf("executor: NewTask was given a name of %d bytes, %.40q...; the most is %d", len(name), name, maxName))
	case !utf8.ValidString(name):
		panic("executor: NewTask was given the name " + strconv.Quote(name) + ", which is not valid UTF-8")
	}
	for _, r := range name {
		if unicode.IsControl(r) {
			panic("executor: NewTask was given the name " + strconv.Quote(name) + ", which has a control character")
		}
	}
}
