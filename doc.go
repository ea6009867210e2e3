// Package harness has the types with which a program is described, so that the command
// harness can run it on different execution models and compare them. The command answers
// one question with evidence: which of threads, an event loop, one process or many helps
// this program, and why?
//
// A [Workload] is such a program. It receives an executor and submits tasks to it, so the
// caller chooses the execution model, and the program does not depend on the API of one.
// The same workload runs unchanged on one goroutine, on many, on one processor, or on
// worker processes. Programs that only run tasks need package executor alone.
//
// # Adding a workload
//
// Declare the tasks with executor.NewTask, implement [Session], and describe both in a
// Workload value. In this module that is one file in internal/workloads and one line in
// its All list. Outside of this module the value is an argument of cli.Main, which is the
// command with that workload added. Package harnesstest checks every promise that a
// workload makes.
package harness
