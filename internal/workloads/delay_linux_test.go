package workloads

import (
	"runtime"
	"strings"
	"testing"
	"time"
)

// A goroutine that sleeps waits for its timer as for a connection. It holds neither a thread
// nor a processor, so a server can have more sleepers than processors.
func TestSleepHoldsNoProcessor(t *testing.T) {
	asleep := func() string {
		buf := make([]byte, 1<<20)
		for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(g, "sleepExactly(") {
				head, _, _ := strings.Cut(g, "\n")
				return head
			}
		}
		return ""
	}
	inCall := 0
	for range 100 { // a busy machine may have overslept it
		done := make(chan error, 1)
		go func() { done <- sleepExactly(100 * time.Millisecond) }()
		for {
			select {
			case err := <-done:
				if err != nil {
					t.Fatal(err)
				}
			default:
				switch state := asleep(); {
				case strings.Contains(state, "[IO wait"):
					if err := <-done; err != nil {
						t.Fatal(err)
					}
					return
				case strings.Contains(state, "[syscall"): // on its way, or all the time
					inCall++
				}
				continue
			}
			break
		}
	}
	t.Fatalf("nobody was seen asleep but in a system call, %d times", inCall)
}

// A reused timer fires for its last setting only.
func TestSleepAgain(t *testing.T) {
	for _, d := range []time.Duration{0, -1, 1, time.Microsecond, time.Millisecond} {
		began := time.Now()
		if err := sleepExactly(d); err != nil {
			t.Errorf("sleepExactly(%v) = %v", d, err)
		}
		if slept := time.Since(began); slept < d {
			t.Errorf("sleepExactly(%v) returned after %v", d, slept)
		}
	}
}
