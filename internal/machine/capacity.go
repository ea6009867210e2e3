package machine

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// spins is the work of a spinner: about 10 ms.
const spins = 1 << 23

// Capacity measures how much runs at once: it times some work alone on one
// thread, then the same work on each of that many threads together. The
// capacity is processors*alone/together: what hyper-threads, a quota, a busy
// neighbour or a host that sold its processors twice have left of them.
func Capacity(processors int) (alone, together time.Duration) {
	spinners(1) // wake the processor up
	alone = spinners(1)
	together = spinners(processors)
	return min(alone, spinners(1)), together
}

// spinners returns how long it takes n threads to do the work, each its own.
func spinners(n int) time.Duration {
	begin := make(chan struct{})
	var ready, done sync.WaitGroup
	for range n {
		ready.Add(1)
		done.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			ready.Done()
			<-begin
			x := uint64(88172645463325252)
			for range spins {
				x ^= x << 13
				x ^= x >> 7
				x ^= x << 17
			}
			sink.Store(x) // so that the work is needed
		})
	}
	ready.Wait()
	start := time.Now()
	close(begin)
	done.Wait()
	return time.Since(start)
}

var sink atomic.Uint64
