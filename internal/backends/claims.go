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

// claims are words that the submitter and one worker share, one for each
// task that the worker has been sent, by which the two agree who has it. The
// worker claims a task before it runs it; the submitter claims one back to give
// it to an idle worker, or not to run it at all. Neither waits for the other:
// a worker that computes on its only processor could not answer a message.
type claims struct {
	words *[slots]atomic.Uint32
}

// The states of a slot.
const (
	slotFree      uint32 = iota
	slotSent             // the worker has the task or is about to get it
	slotStarted          // the worker runs it
	slotWithdrawn        // the submitter has taken it back
)

// Memory that is shared with a worker: the claims, how far the belts' readers
// have come, the numbers of the other parts, what the worker is about to send, and
// the belts.
const (
	takenAt    = slots * 4
	numbersAt  = takenAt + 128
	itemsAt    = takenAt + 4096
	outboxAt   = itemsAt + slots*8
	roomAt     = outboxAt + outboxBytes
	beltsAt    = roomAt + roomBytes
	claimBytes = beltsAt
	allBytes   = beltsAt + 2*beltBytes

	outboxBytes = 64 << 10
	roomBytes   = 128 << 10
)

// shared is memory that the submitter and one worker share. What a worker has put
// there outlives it, so no result is lost with it that was ready.
type shared struct {
	claims
	items                *[slots]atomic.Uint64 // of batches, by slot: see core.Items
	outbox               outbox
	room                 room
	ending               *atomic.Uint32 // not 0: the end of its input is how the worker is told to end
	toWorker, fromWorker *belt          // nil without memory for them
	mem                  []byte
}

// An outbox holds the frames that a worker has not written, or not seen written.
type outbox struct {
	mem   []byte
	whole *atomic.Uint32 // bytes of whole frames that lie there
}

// A room holds the results of the batch that a worker runs, until they make a part.
type room struct {
	mem   []byte
	id    *atomic.Uint32 // of the batch
	first *atomic.Uint32 // the number of the argument with which it begins
}

// newShared makes the memory and the file with which a worker maps it. The
// caller closes the file when the worker has been started.
func newShared() (*shared, *os.File, error) {
	f, size := memoryFile(), int64(allBytes)
	if f == nil {
		// On a disk there are no belts: what lies on them would be written.
		var err error
		if f, err = os.CreateTemp("", "harness-claims-*"); err != nil {
			return nil, nil, fmt.Errorf("making memory to share with a worker: %w", err)
		}
		os.Remove(f.Name()) // it lives as long as it is mapped
		size = claimBytes
	}
	err := f.Truncate(size)
	var s *shared
	if err == nil {
		s, err = mapShared(f)
	}
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("making memory to share with a worker: %w", err)
	}
	return s, f, nil
}

func mapShared(f *os.File) (*shared, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	mem, err := syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	number := func(i int) *atomic.Uint32 { return (*atomic.Uint32)(unsafe.Pointer(&mem[numbersAt+64*i])) }
	s := &shared{
		claims: claims{(*[slots]atomic.Uint32)(unsafe.Pointer(&mem[0]))},
		items:  (*[slots]atomic.Uint64)(unsafe.Pointer(&mem[itemsAt])),
		outbox: outbox{mem[outboxAt:outboxAt:roomAt], number(0)},
		room:   room{mem[roomAt:roomAt:beltsAt], number(1), number(2)},
		ending: number(3),
		mem:    mem,
	}
	if len(mem) == allBytes {
		s.toWorker = &belt{mem: mem[beltsAt : beltsAt+beltBytes], taken: (*atomic.Uint64)(unsafe.Pointer(&mem[takenAt]))}
		s.fromWorker = &belt{mem: mem[beltsAt+beltBytes:], taken: (*atomic.Uint64)(unsafe.Pointer(&mem[takenAt+64]))}
	}
	return s, nil
}

func (s *shared) unmap() { _ = syscall.Munmap(s.mem) }

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
