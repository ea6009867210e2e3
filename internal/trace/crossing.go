package trace

import (
	"encoding/binary"
	"errors"
	"sync"

	"github.com/f3f4c0de/harness"
)

// A crossing holds the moments of a call that goes to another process and back,
// beside those of its [harness.Timing]. Each is written by one goroutine.
type crossing struct {
	encoding, sent    harness.Stamp // the argument began to be encoded, and was
	decoding, decoded harness.Stamp // and to be decoded by the worker
	encoded           harness.Stamp // the result was encoded by the worker
	arrived           harness.Stamp // and began to be decoded here
}

func (c *crossing) note(what harness.Coding, began, ended harness.Stamp) {
	switch what {
	case harness.ArgumentEncoded:
		c.encoding, c.sent = began, ended
	case harness.ArgumentDecoded:
		c.decoding, c.decoded = began, ended
	case harness.ResultEncoded:
		c.encoded = ended
	case harness.ResultDecoded:
		c.arrived = began
	}
}

// crossings are those of a trial's calls, by number. They lie in chunks, so
// that no lock is shared by the goroutines that write them.
type crossings struct{ chunks sync.Map }

const crossingChunk = 1024

func (cs *crossings) at(n uint64) *crossing {
	key := n / crossingChunk
	chunk, ok := cs.chunks.Load(key)
	if !ok {
		chunk, _ = cs.chunks.LoadOrStore(key, new([crossingChunk]crossing))
	}
	return &chunk.(*[crossingChunk]crossing)[n%crossingChunk]
}

// workerCrossingBytes is the size of what a worker says about one call.
const workerCrossingBytes = 4 * 8

func appendWorkerCrossing(b []byte, n uint64, c *crossing) []byte {
	b = binary.LittleEndian.AppendUint64(b, n)
	for _, s := range []harness.Stamp{c.decoding, c.decoded, c.encoded} {
		b = binary.LittleEndian.AppendUint64(b, uint64(s))
	}
	return b
}

func parseWorkerCrossing(b []byte) (n uint64, c crossing, err error) {
	if len(b) < workerCrossingBytes {
		return 0, c, errors.New("too short")
	}
	n = binary.LittleEndian.Uint64(b)
	for i, s := range []*harness.Stamp{&c.decoding, &c.decoded, &c.encoded} {
		*s = harness.Stamp(binary.LittleEndian.Uint64(b[8*(i+1):]))
	}
	return n, c, nil
}
