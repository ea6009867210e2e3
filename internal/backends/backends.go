// Package backends holds the ways to execute tasks, each a [core.Backend]
// value.
//
// Those that stay inside the process share one pool of long-lived workers
// (pool.go) and differ in its settings. The one that crosses processes speaks
// a protocol of its own (protocol.go) with workers that are this same program
// (worker.go).
//
// To add a backend, write one file with one exported value and add it to
// [All]. The conformance suite in package harnesstest then checks it.
package backends

import (
	"github.com/f3f4c0de/harness/internal/core"
)

// All are the backends, in the order in which they are listed and shown.
var All = []*core.Backend{
	Sequential,
	EventLoop,
	GIL,
	GOMAXPROCS1,
	Goroutines,
	Spawn,
	Threads,
	Processes,
}

// opened is for Open of a backend: a nil *pool in an Executor would not be nil.
func opened(p *pool, err error) (core.Executor, error) {
	if err != nil {
		return nil, err
	}
	return p, nil
}
