package ipc

import (
	"encoding/binary"
	"errors"
	"sync/atomic"
)

// A belt carries large payloads one way between two processes, in memory that
// they share. The sender puts a payload on it and says in a frame where; the
// receiver takes the payloads off in the order of the frames. It is a ring of
// bytes with one writer and one reader, who only share how far the reader has
// come. When there is no room, the payload goes through the pipe instead:
// nobody waits for a belt.
type belt struct {
	mem   []byte         // its length is a power of two
	taken *atomic.Uint64 // all before this position may be used again
	put   uint64         // the sender's: where the next payload goes
}

const (
	// beltBytes is virtual memory until something lies on it.
	beltBytes = 16 << 20
	// onBelt is from what size on a payload goes by the belt: below, the
	// pipe is as fast. docs/performance.md has the figures.
	onBelt = 32 << 10
)

// reserve returns an empty slice with room for n bytes and its position, or
// nil if there is no room. Nothing is taken until commit.
func (b *belt) reserve(n int) (room []byte, pos uint64) {
	if b == nil || n > len(b.mem) {
		return nil, 0
	}
	size := uint64(len(b.mem))
	pos = b.put
	if at := pos % size; at+uint64(n) > size {
		pos += size - at // not around the end
	}
	if pos+uint64(n)-b.taken.Load() > size {
		return nil, 0
	}
	at := pos % size
	return b.mem[at : at : at+uint64(n)], pos
}

func (b *belt) commit(pos uint64, n int) { b.put = pos + uint64(n) }

// A beltRef is what a frame says about a payload on the belt.
type beltRef struct {
	pos uint64
	n   uint32
}

func (r beltRef) appendTo(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint64(b, r.pos), r.n)
}

// find returns what a frame refers to. It is valid until release.
func (b *belt) find(ref []byte) (payload []byte, end uint64, err error) {
	if b == nil || len(ref) != 12 {
		return nil, 0, errors.New("frame refers to memory that is not shared")
	}
	pos, n := binary.LittleEndian.Uint64(ref), uint64(binary.LittleEndian.Uint32(ref[8:]))
	size := uint64(len(b.mem))
	if at := pos % size; at+n <= size {
		return b.mem[at : at+n : at+n], pos + n, nil
	}
	return nil, 0, errors.New("frame refers to more memory than is shared")
}

// release lets the sender use all before that position again.
func (b *belt) release(end uint64) { b.taken.Store(end) }
