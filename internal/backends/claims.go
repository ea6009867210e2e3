package backends

import (
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// slots bounds the tasks that a worker has been sent and has not answered.
const slots = 1024

// claims is memory that the submitter and one worker share: a word for each
// task that the worker has been sent, by which the two agree who has it. The
// worker claims a task before it runs it; the submitter claims one back to give
// it to an idle worker, or not to run it at all. Neither waits for the other:
// a worker that computes on its only processor could not answer a message.
type claims struct {
	words *[slots]atomic.Uint32
	mem   []byte
}

// The states of a slot.
const (
	slotFree      uint32 = iota
	slotSent             // the worker has the task or is about to get it
	slotStarted          // the worker runs it
	slotWithdrawn        // the submitter has taken it back
)

// newClaims makes the memory and the file with which a worker maps it. The
// caller closes the file when the worker has been started.
func newClaims() (*claims, *os.File, error) {
	f, err := os.CreateTemp("", "harness-claims-*")
	if err != nil {
		return nil, nil, fmt.Errorf("making memory to share with a worker: %w", err)
	}
	os.Remove(f.Name()) // it lives as long as it is mapped
	err = f.Truncate(slots * 4)
	var c *claims
	if err == nil {
		c, err = mapClaims(f)
	}
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("making memory to share with a worker: %w", err)
	}
	return c, f, nil
}

func mapClaims(f *os.File) (*claims, error) {
	mem, err := syscall.Mmap(int(f.Fd()), 0, slots*4, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return &claims{(*[slots]atomic.Uint32)(unsafe.Pointer(&mem[0])), mem}, nil
}

func (c *claims) unmap() { _ = syscall.Munmap(c.mem) }

// start claims a slot for running.
func (c *claims) start(slot uint32) bool {
	return c.words[slot%slots].CompareAndSwap(slotSent, slotStarted)
}

// withdraw claims a slot back.
func (c *claims) withdraw(slot uint32) bool {
	return c.words[slot%slots].CompareAndSwap(slotSent, slotWithdrawn)
}

func (c *claims) set(slot, state uint32) { c.words[slot%slots].Store(state) }

func (c *claims) state(slot uint32) uint32 { return c.words[slot%slots].Load() }
