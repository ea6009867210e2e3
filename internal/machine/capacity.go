package machine

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// spins is the number of steps of a spinner: about 10 ms.
const spins = 1 << 23

// Capacity measures how much work the machine does at once. It times a piece of work
// on one thread alone, then on as many threads as there are processors together. The
// capacity is processors*alone/together. It is smaller than processors if these are
// hyper-threads, or if a quota, other programs or an overcommitted host take time
// from them.
func Capacity(processors int) (alone, together time.Duration) {
	spinners(1) // raises the frequency of an idle processor
	alone = spinners(1)
	together = spinners(processors)
	return min(alone, spinners(1)), together
}

// spinners returns how long n threads take if each does the work.
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
			sink.Store(x) // keeps the compiler from removing the work
		})
	}
	ready.Wait()
	start := time.Now()
	close(begin)
	done.Wait()
	return time.Since(start)
}

var sink atomic.Uint64
