package core

import (
	"bytes"
	"fmt"
	"runtime"
	"sync"

	"github.com/f3f4c0de/harness/internal/fault"
)

// A Site is what the calls of an executor have in common. An executor makes one
// and does not change it. It must not be copied after its first use.
type Site struct {
	// Observer watches the calls; nil watches none.
	Observer *Observer

	// Timing has the calls timed even without an Observer.
	Timing bool

	// Waits tracks the waits of workers for each other, if they have such.
	Waits *WaitTracker

	// Transport takes calls to workers elsewhere; nil if they run in this process.
	Transport Transport

	callbacks tally // what runs the program's own code and has not ended: sets of callbacks, codings
	of        *Site // whose calls these are derived from; nil if from none
}

// nowhere is the site of a call that was not submitted.
var nowhere Site

// home returns the site of the executor, which waits for the callbacks.
func (s *Site) home() *Site {
	if s.of != nil {
		return s.of
	}
	return s
}

// Inside calls f and marks the goroutine, as long as f runs, as one of the
// executor's, which [Site.Outside] recognises. An executor runs its workers in
// it; callbacks run in it as well.
func (s *Site) Inside(f func()) { inside([2]*Site{s, s}, f) }

// inside calls f.
//
// Note: this is how a goroutine is recognised. An array of more than one element
// is passed on the stack and not in registers, and is therefore printed exactly
// in a traceback: "core.inside({0xc000120000, 0xc000120000}, ...". A traceback
// leaves frames out in the middle only, and this one is among the first that a
// goroutine has. So it costs a call for each goroutine and nothing for a task. A
// profiler label would be inherited by the goroutines that a task starts, which
// may close the executor; a goroutine's number is only had from a traceback, one
// for each goroutine that starts.
//
//go:noinline
func inside(_ [2]*Site, f func()) { f() }

// Outside returns nil, or, if the calling goroutine is a worker of the executor
// or runs one of its callbacks, an error that wraps [fault.ErrNested]: the executor
// would wait for its caller. what was called is for the error's text. It takes
// some ten microseconds.
func (s *Site) Outside(what string) error {
	buf := make([]byte, 8<<10)
	n := runtime.Stack(buf, false)
	for n == len(buf) {
		buf = make([]byte, 2*len(buf))
		n = runtime.Stack(buf, false)
	}
	if !bytes.Contains(buf[:n], fmt.Appendf(nil, "core.inside({%p, %p}", s, s)) {
		return nil
	}
	return fmt.Errorf("%s in a task or a callback of the same executor: %w: it would wait for its caller; call Stop there, and Close outside", what, fault.ErrNested)
}

// Go runs f, which is code of the program's own, on a goroutine of its own, which
// the executor waits for and recognises as one of its own.
func (s *Site) Go(f func()) {
	home := s.home()
	home.callbacks.add()
	go func() { // ends with f; Wait waits for it
		defer home.callbacks.done()
		home.Inside(f)
	}()
}

// Wait blocks until all callbacks of calls that were submitted here have
// returned. An executor calls it last thing in Close, when all calls are done.
func (s *Site) Wait() { s.callbacks.wait() }

// A tally counts what has begun and has not ended. Unlike a sync.WaitGroup it
// may be added to while somebody waits for zero.
type tally struct {
	mu   sync.Mutex
	n    int
	zero chan struct{} // closed when n is zero; nil if nobody waits
}

func (t *tally) add() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n++
}

func (t *tally) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n--; t.n == 0 && t.zero != nil {
		close(t.zero)
		t.zero = nil
	}
}

func (t *tally) wait() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.n > 0 {
		if t.zero == nil {
			t.zero = make(chan struct{})
		}
		zero := t.zero
		t.mu.Unlock()
		<-zero
		t.mu.Lock()
	}
}
