package profile

import (
	"slices"
	"strings"
)

// A Code names functions as they stand in stacks, with the path of their package. A
// name that ends with an asterisk stands for all that begin so. To rename one of
// these functions, put its new name in: a test resolves them all. A name by which
// the functions of older runs are found may stay, below those of this build.
type Code []string

// Has reports whether a function is one of those.
func (c Code) Has(function string) bool {
	return slices.ContainsFunc(c, func(name string) bool {
		prefix, many := strings.CutSuffix(name, "*")
		return name == function || many && strings.HasPrefix(function, prefix)
	})
}

const module = "github.com/f3f4c0de/harness"

// The functions by which stacks are read.
var (
	// CallsTask is where a backend calls a task.
	CallsTask = Code{module + "/internal/core.(*Call).Run", module + ".(*Call).Run"}
	// WaitsAtGate is where a task waits for the lock of its model: an interpreter's,
	// or the turn of an event loop.
	WaitsAtGate = Code{module + "/internal/backends/inproc.(*waiter).enter", module + "/internal/backends/inproc.(*waiter).Yield"}

	// WaitsForLock is where the standard library waits for a lock.
	WaitsForLock = Code{"sync.*", "internal/sync.*", "internal/poll.*"}
	// Allocates is where a goroutine waits for the garbage collector because it
	// allocates.
	Allocates = Code{"runtime.gc*", "runtime.GC*", "runtime.malloc*", "runtime.newobject*", "runtime.makeslice*", "runtime.growslice*"}

	// collects is where the garbage collector is at work.
	collects = Code{"runtime.gcBgMarkWorker", "runtime.gcAssistAlloc", "runtime.bgsweep", "runtime.gcStart"}

	// observes is profiling itself, and callsLabelled a function of its package that
	// is only on the way.
	observes = Code{
		module + "/internal/profile.Exclude", module + "/internal/profile.snapshot",
		module + "/internal/profile.Labels.*", module + "/internal/profile.(*labeller).*", "runtime/pprof.*",
	}
	callsLabelled = Code{"runtime/pprof.Do"}
)

// machinery are the packages of this module, below its path, through which programs
// submit, run and wait.
var machinery = []string{"", "/executor", "/executor/pystyle", "/internal/core", "/internal/backends", "/internal/backends/admission", "/internal/backends/inproc", "/internal/backends/ipc", "/internal/experiment/trial", "/internal/experiment", "/internal/profile", "/internal/trace"}

// Own reports whether a function, by its name with the path of its package, is a
// program's own, or of a library that it uses: not of the standard library and
// not of the packages through which programs submit, run and wait.
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
