// Package harness describes what is compared by a tool that answers one question with
// evidence: threads, an event loop, one process or many, which of them helps this program,
// and why?
//
// A [Workload] is a program that is given an executor and nothing else, so the execution
// model is a value that the caller picks, never an API that the program is written to. The
// same workload therefore runs unchanged on one goroutine, on many, on one processor, or on
// worker processes. Programs that only want to run tasks need package executor alone.
//
// # Adding a workload
//
// Declare the tasks with executor.NewTask, put the program behind a [Session], and describe
// both in a Workload value. In this module that is one file in internal/workloads and one
// line in its All list; outside it is an argument of cli.Main, which gives it the whole
// command line. Package harnesstest checks every promise that a workload makes.
package harness
