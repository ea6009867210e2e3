package ipc

import (
	"encoding/binary"
	"errors"
	"sync/atomic"
)

// A shmRing carries large payloads one way between two processes, in memory that
// they share. The sender puts a payload on it and says in a frame where; the
// receiver takes the payloads off in the order of the frames. It is a ring of
// bytes with one writer and one reader, who only share how far the reader has
// come. When there is no room, the payload goes through the pipe instead:
// nobody waits for the ring.
type shmRing struct {
	mem   []byte         // its length is a power of two
	taken *atomic.Uint64 // all before this position may be used again
	put   uint64         // the sender's: where the next payload goes
}

const (
	// ringBytes is virtual memory until something lies on it.
	ringBytes = 16 << 20
	// ringLeast is from what size on a payload goes by the ring: below, the
	// pipe is as fast. docs/performance.md has the figures.
	ringLeast = 32 << 10
)

// reserve returns an empty slice with room for n bytes and its position, or
// nil if there is no room. Nothing is taken until commit.
func (r *shmRing) reserve(n int) (room []byte, pos uint64) {
	if r == nil || n > len(r.mem) {
		return nil, 0
	}
	size := uint64(len(r.mem))
	pos = r.put
	if at := pos % size; at+uint64(n) > size {
		pos += size - at // not around the end
	}
	if pos+uint64(n)-r.taken.Load() > size {
		return nil, 0
	}
	at := pos % size
	return r.mem[at : at : at+uint64(n)], pos
}

func (r *shmRing) commit(pos uint64, n int) { r.put = pos + uint64(n) }

// A ringRef is what a frame says about a payload on the ring.
type ringRef struct {
	pos uint64
	n   uint32
}

func (r ringRef) appendTo(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint64(b, r.pos), r.n)
}

// find returns what a frame refers to. It is valid until release.
func (r *shmRing) find(ref []byte) (payload []byte, end uint64, err error) {
	if r == nil || len(ref) != 12 {
		return nil, 0, errors.New("frame refers to memory that is not shared")
	}
	pos, n := binary.LittleEndian.Uint64(ref), uint64(binary.LittleEndian.Uint32(ref[8:]))
	size := uint64(len(r.mem))
	if at := pos % size; at+n <= size {
		return r.mem[at : at+n : at+n], pos + n, nil
	}
	return nil, 0, errors.New("frame refers to more memory than is shared")
}

// release lets the sender use all before that position again.
func (r *shmRing) release(end uint64) { r.taken.Store(end) }
