package ipc

import (
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/f3f4c0de/harness/internal/core"
)

// slots is the size of a task table: it bounds the tasks that a worker has been sent
// and has not answered.
const slots = 1024

// A taskTable has a word for each task that one worker has been sent: the state of the
// task. The submitter and the worker share it, and agree by compare-and-swap who has the
// task. The worker claims a task before it runs it; the submitter withdraws one to
// give it to an idle worker, or not to run it at all. Neither waits for the other:
// a worker that computes on its only processor could not answer a message.
type taskTable struct {
	words   *[slots]atomic.Uint32
	claimed *atomic.Uint64 // when the worker has claimed the last task that was timed: a core.Stamp
}

// The states of a slot.
const (
	stateFree      uint32 = iota
	stateSent             // the worker has the task or is about to get it
	stateStarted          // the worker runs it
	stateWithdrawn        // the submitter has taken it back

	// timed is set beside stateSent and stateStarted for a task with a time limit: the
	// worker is to say when it claims it.
	timed = 1 << 7
)

// Memory that is shared with a worker: the task table, how far the rings' readers
// have come, the numbers of the other parts, what the worker is about to send, and
// the rings.
const (
	takenAt     = slots * 4
	numbersAt   = takenAt + 128
	itemsAt     = takenAt + 4096
	outboxAt    = itemsAt + slots*8
	resultsAt   = outboxAt + outboxBytes
	ringsAt     = resultsAt + resultsBytes
	noRingBytes = ringsAt
	allBytes    = ringsAt + 2*ringBytes

	outboxBytes  = 64 << 10
	resultsBytes = 128 << 10
)

// shared is memory that the submitter and one worker share. What a worker has put
// there outlives it, so no result is lost with it that was ready.
type shared struct {
	taskTable
	items                *[slots]atomic.Uint64 // of batches, by slot: see core.Items
	outbox               outbox
	results              resultBuffer
	ending               *atomic.Uint32 // not 0: the end of its input is how the worker is told to end
	toWorker, fromWorker *shmRing       // nil without memory for them
	mem                  []byte
}

// An outbox holds the frames that a worker has not written, or not seen written.
type outbox struct {
	mem   []byte
	whole *atomic.Uint32 // bytes of whole frames that lie there
}

// A resultBuffer holds the results of the batch that a worker runs, until they make a part.
type resultBuffer struct {
	mem   []byte
	id    *atomic.Uint32 // of the batch
	first *atomic.Uint32 // the number of the argument with which it begins
}

// newShared makes the memory and the file with which a worker maps it. The
// caller closes the file when the worker has been started.
func newShared() (*shared, *os.File, error) {
	f, size := memoryFile(), int64(allBytes)
	if f == nil {
		// On a disk there are no rings: what lies on them would be written.
		var err error
		if f, err = os.CreateTemp("", "harness-shared-*"); err != nil {
			return nil, nil, fmt.Errorf("making memory to share with a worker: %w", err)
		}
		os.Remove(f.Name()) // it lives as long as it is mapped
		size = noRingBytes
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
		taskTable: taskTable{(*[slots]atomic.Uint32)(unsafe.Pointer(&mem[0])), (*atomic.Uint64)(unsafe.Pointer(number(4)))},
		items:     (*[slots]atomic.Uint64)(unsafe.Pointer(&mem[itemsAt])),
		outbox:    outbox{mem[outboxAt:outboxAt:resultsAt], number(0)},
		results:   resultBuffer{mem[resultsAt:resultsAt:ringsAt], number(1), number(2)},
		ending:    number(3),
		mem:       mem,
	}
	if len(mem) == allBytes {
		s.toWorker = &shmRing{mem: mem[ringsAt : ringsAt+ringBytes], taken: (*atomic.Uint64)(unsafe.Pointer(&mem[takenAt]))}
		s.fromWorker = &shmRing{mem: mem[ringsAt+ringBytes:], taken: (*atomic.Uint64)(unsafe.Pointer(&mem[takenAt+64]))}
	}
	return s, nil
}

func (s *shared) unmap() { _ = syscall.Munmap(s.mem) }

// start claims a task for running.
func (t *taskTable) start(slot uint32) bool {
	word := &t.words[slot%slots]
	if word.CompareAndSwap(stateSent, stateStarted) {
		return true
	}
	if word.Load() != stateSent|timed {
		return false
	}
	t.claimed.Store(uint64(core.Now())) // before anybody can see that it is claimed
	return word.CompareAndSwap(stateSent|timed, stateStarted|timed)
}

// startedAt returns when the worker has claimed a timed task that it runs. If it has
// gone on to another timed task, the result of this one is on its way, and startedAt
// returns when the other was claimed.
func (t *taskTable) startedAt(slot uint32) (at core.Stamp, ok bool) {
	if t.words[slot%slots].Load() != stateStarted|timed {
		return 0, false
	}
	return core.Stamp(t.claimed.Load()), true
}

// withdraw claims a task back.
func (t *taskTable) withdraw(slot uint32) bool {
	word := &t.words[slot%slots]
	return word.CompareAndSwap(stateSent, stateWithdrawn) || word.CompareAndSwap(stateSent|timed, stateWithdrawn)
}

func (t *taskTable) set(slot, state uint32) { t.words[slot%slots].Store(state) }

func (t *taskTable) state(slot uint32) uint32 { return t.words[slot%slots].Load() &^ timed }
