package trace

import (
	"encoding/binary"
	"errors"
	"sync/atomic"

	"github.com/f3f4c0de/harness/internal/core"
)

// A crossing holds the moments of a call that goes to another process and back,
// beside those of its [core.Timing]. Each is written by one goroutine.
type crossing struct {
	encoding, sent    core.Stamp // the argument began to be encoded, and was
	decoding, decoded core.Stamp // and to be decoded by the worker
	encoded           core.Stamp // the result was encoded by the worker
	arrived           core.Stamp // and began to be decoded here
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

// crossings are those of a trial's calls, by number. They lie in chunks, so
// that no lock is shared by the goroutines that write them.
type crossings struct {
	shelves [crossingShelves]atomic.Pointer[crossingShelf]
}

type crossingShelf [crossingChunk]atomic.Pointer[[crossingChunk]crossing]

const (
	crossingChunk   = 1024
	crossingShelves = 1024 // a thousand million calls; those beyond share places
)

func (cs *crossings) at(n uint64) *crossing {
	shelf := made(&cs.shelves[n/crossingChunk/crossingChunk%crossingShelves])
	return &made(&shelf[n/crossingChunk%crossingChunk])[n%crossingChunk]
}

// made returns what p points to, made if nobody has.
func made[T any](p *atomic.Pointer[T]) *T {
	if v := p.Load(); v != nil {
		return v
	}
	p.CompareAndSwap(nil, new(T))
	return p.Load()
}

// workerCrossingBytes is the size of what a worker says about one call.
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
