package profile

import (
	"slices"
	"strings"
)

// A Code is a set of functions, by the names that they have in stacks: with the path of
// their package. A name that ends with an asterisk stands for all names that begin with
// what precedes it. When one of these functions is renamed, its name here must change,
// too; a test fails otherwise. Names that the functions had in older builds stay, after
// the present ones, so that older runs can be read.
type Code []string

// Has reports whether a function, given by its name, is in the set.
func (c Code) Has(function string) bool {
	return slices.ContainsFunc(c, func(name string) bool {
		prefix, many := strings.CutSuffix(name, "*")
		return name == function || many && strings.HasPrefix(function, prefix)
	})
}

const module = "github.com/f3f4c0de/harness"

// The sets of functions by which stacks are interpreted.
var (
	// CallsTask is where a backend calls a task.
	CallsTask = Code{module + "/internal/core.(*Call).Run", module + ".(*Call).Run"}
	// WaitsAtGate is where a task waits for the lock of its execution model: the lock
	// of an interpreter, or the turn of an event loop.
	WaitsAtGate = Code{module + "/internal/backends/inproc.(*waiter).enter", module + "/internal/backends/inproc.(*waiter).Yield"}

	// WaitsForLock is where the standard library waits for a lock.
	WaitsForLock = Code{"sync.*", "internal/sync.*", "internal/poll.*"}
	// Allocates is where a goroutine that allocates waits for the garbage collector.
	Allocates = Code{"runtime.gc*", "runtime.GC*", "runtime.malloc*", "runtime.newobject*", "runtime.makeslice*", "runtime.growslice*"}

	// collector is where the garbage collector works.
	collector = Code{"runtime.gcBgMarkWorker", "runtime.gcAssistAlloc", "runtime.bgsweep", "runtime.gcStart"}

	// profiling is code of profiling itself, whose samples are left out. labelWrapper is
	// the one function of runtime/pprof that also occurs in the stacks of programs.
	profiling = Code{
		module + "/internal/profile.Exclude", module + "/internal/profile.snapshot",
		module + "/internal/profile.Labels.*", module + "/internal/profile.(*labeller).*", "runtime/pprof.*",
	}
	labelWrapper = Code{"runtime/pprof.Do"}
)

// machinery lists the packages of this module, relative to its path, through which
// programs submit tasks, run them and wait for them.
var machinery = []string{"", "/executor", "/executor/pystyle", "/internal/core", "/internal/backends", "/internal/backends/admission", "/internal/backends/inproc", "/internal/backends/ipc", "/internal/experiment/trial", "/internal/experiment", "/internal/profile", "/internal/trace"}

// Own reports whether a function, given by its name in stacks, belongs to the program or
// to a library that it uses: neither to the standard library nor to the packages of
// machinery.
func Own(function string) bool {
	slash := strings.LastIndexByte(function, '/') + 1
	name, _, _ := strings.Cut(function[slash:], ".")
	pkg := function[:slash] + name
	if path, ok := strings.CutPrefix(pkg, module); ok && slices.Contains(machinery, path) {
		return false
	}
	first, _, _ := strings.Cut(pkg, "/")
	return pkg == "main" || strings.Contains(first, ".")
}
