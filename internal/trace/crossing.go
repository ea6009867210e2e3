package trace

import (
	"encoding/binary"
	"errors"
	"sync/atomic"

	"github.com/f3f4c0de/harness/internal/core"
)

// A crossing holds the time stamps of a call that goes to another process and back,
// in addition to those of its [core.Timing]. Each field is written by one goroutine.
type crossing struct {
	encoding, sent    core.Stamp // encoding of the argument began, and ended
	decoding, decoded core.Stamp // the worker began to decode it, and ended
	encoded           core.Stamp // the worker had encoded the result
	arrived           core.Stamp // decoding of the result began here
}

func (c *crossing) note(what core.Coding, began, ended core.Stamp) {
	switch what {
	case core.ArgumentEncoded:
		c.encoding, c.sent = began, ended
	case core.ArgumentDecoded:
		c.decoding, c.decoded = began, ended
	case core.ResultEncoded:
		c.encoded = ended
	case core.ResultDecoded:
		c.arrived = began
	}
}

// crossings holds the crossing of each call of a trial, by the call's number, in a table
// of pages of chunks that grows without a lock: many goroutines write into it.
type crossings struct {
	pages [crossingPages]atomic.Pointer[crossingPage]
}

type crossingPage [crossingChunk]atomic.Pointer[[crossingChunk]crossing]

const (
	crossingChunk = 1024
	crossingPages = 1024 // 2^30 calls; the number of a later call wraps around
)

func (cs *crossings) at(n uint64) *crossing {
	page := loadOrNew(&cs.pages[n/crossingChunk/crossingChunk%crossingPages])
	return &loadOrNew(&page[n/crossingChunk%crossingChunk])[n%crossingChunk]
}

// loadOrNew returns what p points to. If that is nil it sets p to a new value first.
func loadOrNew[T any](p *atomic.Pointer[T]) *T {
	if v := p.Load(); v != nil {
		return v
	}
	p.CompareAndSwap(nil, new(T))
	return p.Load()
}

// workerCrossingBytes is the size of what a worker sends about one call.
const workerCrossingBytes = 4 * 8

func appendWorkerCrossing(b []byte, n uint64, c *crossing) []byte {
	b = binary.LittleEndian.AppendUint64(b, n)
	for _, s := range []core.Stamp{c.decoding, c.decoded, c.encoded} {
		b = binary.LittleEndian.AppendUint64(b, uint64(s))
	}
	return b
}

func parseWorkerCrossing(b []byte) (n uint64, c crossing, err error) {
	if len(b) < workerCrossingBytes {
		return 0, c, errors.New("too short")
	}
	n = binary.LittleEndian.Uint64(b)
	for i, s := range []*core.Stamp{&c.decoding, &c.decoded, &c.encoded} {
		*s = core.Stamp(binary.LittleEndian.Uint64(b[8*(i+1):]))
	}
	return n, c, nil
}
