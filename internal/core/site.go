package core

import (
	"bytes"
	"fmt"
	"runtime"
	"sync"

	"github.com/f3f4c0de/harness/internal/fault"
)

// A Site has what the calls of one executor have in common, and counts the goroutines
// that run the user's code for it. An executor makes one and does not change it. It
// must not be copied after its first use.
type Site struct {
	// Observer watches the calls; nil watches none.
	Observer *Observer

	// Timing has the calls stamped even without an Observer.
	Timing bool

	// Waits tracks which workers wait for tasks and queues; nil tracks none.
	Waits *WaitTracker

	// Transport takes calls to other processes; nil if they run in this process.
	Transport Transport

	callbacks tally // goroutines that run callbacks or the user's encoding methods
	parent    *Site // the site of the call that these are derived from, see Then; else nil
}

// nowhere is the site of a call before it is submitted.
var nowhere Site

// home returns the site of the executor, whose Close waits for the callbacks.
func (s *Site) home() *Site {
	if s.parent != nil {
		return s.parent
	}
	return s
}

// Inside calls f and, while f runs, marks the goroutine as one of the executor, which
// [Site.Outside] recognises. An executor runs its workers in Inside. Callbacks run in
// it, too.
func (s *Site) Inside(f func()) { inside([2]*Site{s, s}, f) }

// inside calls f.
//
// Note: Outside recognises a goroutine by this frame in its traceback. An array of
// more than one element is passed on the stack and not in registers, so the traceback
// shows its exact value: "core.inside({0xc000120000, 0xc000120000}, ...". A long
// traceback omits only frames in the middle, and this frame is among the first of its
// goroutine. The mark costs one function call for each goroutine and nothing for a
// task. A profiler label does not serve: the goroutines that a task starts inherit it,
// and they may close the executor. A goroutine's number does not serve: it can only be
// read from a traceback, which every goroutine would have to make when it starts.
//
//go:noinline
func inside(_ [2]*Site, f func()) { f() }

// Outside returns an error that wraps [fault.ErrNested] if the calling goroutine is a
// worker of the executor or runs one of its callbacks, and nil otherwise. An executor
// calls it where it would wait for its caller. what names the called method in the
// error's text. Outside takes about ten microseconds.
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

// Go runs f, which calls the user's code, on a new goroutine. [Site.Wait] waits for it
// and [Site.Outside] recognises it.
func (s *Site) Go(f func()) {
	home := s.home()
	home.callbacks.add()
	go func() { // ends with f; Wait waits for it
		defer home.callbacks.done()
		home.Inside(f)
	}()
}

// Wait blocks until all callbacks of calls that were submitted to the executor, and
// all functions that were given to [Site.Go], have returned. An executor calls it at
// the end of Close, when all calls are done.
func (s *Site) Wait() { s.callbacks.wait() }

// A tally counts goroutines that have not ended. Unlike with a sync.WaitGroup, add may
// be called at zero while another goroutine waits.
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
