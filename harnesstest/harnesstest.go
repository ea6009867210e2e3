// Package harnesstest checks that a backend keeps every promise that package backend
// makes for it, and a workload every promise of package harness. Whoever writes one runs
// the suite on it:
//
//	func TestMain(m *testing.M) { harnesstest.Main(m, tasks...) }
//
//	func TestMine(t *testing.T) { harnesstest.TestWorkload(t, &Mine, Params{N: 10}) }
//
// To add a promise, add a function to the table of the suite that it belongs to. It is
// then checked for every backend or workload.
package harnesstest

import (
	"os"
	"slices"
	"testing"

	"github.com/f3f4c0de/harness/executor"
)

// Main is the body of a TestMain. It makes the test program its own worker for the
// suite's tasks and the given tasks, runs the tests and exits.
func Main(m *testing.M, tasks ...executor.AnyTask) {
	executor.Main(slices.Concat(Tasks, tasks)...)
	if os.Getenv("GORACE") == "" {
		// Under the race detector a process takes a second to exit, and these
		// tests end many processes.
		_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
	}
	os.Exit(m.Run())
}
