// Package backends holds the ways to execute tasks, each a [core.Backend]
// value.
//
// Those that stay inside the process are in package inproc, the one that crosses
// processes is in package ipc, and what both need is in package admission.
//
// To add a backend, write one file with one exported value and add it to
// [All]. The conformance suite in package harnesstest then checks it.
package backends

import (
	"github.com/f3f4c0de/harness/internal/backends/inproc"
	"github.com/f3f4c0de/harness/internal/backends/ipc"
	"github.com/f3f4c0de/harness/internal/core"
)

// All are the backends, in the order in which they are listed and shown.
var All = []*core.Backend{
	inproc.Sequential,
	inproc.EventLoop,
	inproc.GIL,
	inproc.GOMAXPROCS1,
	inproc.Goroutines,
	inproc.Spawn,
	inproc.Threads,
	ipc.Processes,
}
