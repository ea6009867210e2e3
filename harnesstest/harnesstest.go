// Package harnesstest checks that a backend or a workload keeps every promise
// that package harness makes for it. Whoever writes one runs the suite on it:
//
//	func TestMain(m *testing.M) { harnesstest.Main(m, tasks...) }
//
//	func TestMine(t *testing.T) { harnesstest.TestWorkload(t, &Mine, Params{N: 10}) }
//
// To add a promise, add a function to the table of the suite that it belongs
// to; it then holds for every kind.
package harnesstest

import (
	"os"
	"slices"
	"testing"

	"github.com/f3f4c0de/harness/executor"
)

// Main is the body of a TestMain. It makes the test program its own worker,
// for the suite's tasks and those given, runs the tests and exits.
func Main(m *testing.M, tasks ...executor.AnyTask) {
	executor.Main(slices.Concat(Tasks, tasks)...)
	if os.Getenv("GORACE") == "" {
		// Under the race detector a process lingers for a second when it
		// ends, and these tests end many.
		_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
	}
	os.Exit(m.Run())
}
