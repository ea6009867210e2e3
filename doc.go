// Package harness is the vocabulary of a tool that answers one question with
// evidence: threads, an event loop, one process or many, which of them helps
// this program, and why?
//
// A [Task] is a named function. An [Executor] runs submitted tasks on the
// workers of one [Backend] and hands back a [Future] for each. A [Workload] is
// a program that is given an Executor and nothing else, so the execution model
// is a value that the caller picks, never an API that the program is written
// to. The same workload therefore runs unchanged on one goroutine, on many, on
// one processor, or on worker processes.
//
// Programs that only want to run tasks use package executor, which opens a
// backend by name. Programs that bring a workload of their own hand it to
// package cli, which gives it the whole command line. This package imports the
// standard library only.
//
// # What is for whom
//
// To run tasks: [Task], [Future], [Then], [Batch], [Queue], the errors, and
// [Blocking], [Checkpoint] and [NoGIL], with which a task tells the lock-based
// models what it is about to do. [Config] and [Manager] are for opening and
// managing executors.
//
// To bring a workload: [Workload], [Session], [Env], [Outcome], [Digest].
//
// To write a backend, or to observe one: [Backend], [Call], [Transport],
// [Controller], [Crew], [Gate], [QueueClient], [Observer], [ProcessObserver], [Worker].
//
// # Writing a task
//
// A task can run anywhere if it takes what it needs from its argument, returns
// what it makes, waits in [Blocking], calls [Checkpoint] about every 100
// microseconds of computing, and ends soon after its context has ended. None of
// this is checked: a task that does not is good for some models only.
//
// # Adding a workload
//
// Declare the tasks with [NewTask], put the program behind a [Session], and
// describe both in a [Workload] value. In this module that is one file in
// internal/workloads and one line in its All list; outside it is an argument
// of cli.Main. Package harnesstest checks every promise that a workload makes.
package harness
