package ipc

import (
	"bufio"
	"bytes"
	"sync/atomic"
	"testing"
)

// Payloads come off as they went on, around the end and through the pipe when
// the ring is full.
func TestShmRing(t *testing.T) {
	mem, taken := make([]byte, 1<<18), new(atomic.Uint64)
	var wire bytes.Buffer
	w := newFrameWriter(&wire, &shmRing{mem: mem, taken: taken}, nil)
	far := &shmRing{mem: mem, taken: taken}
	r := bufio.NewReader(&wire)
	payload := func(i int) []byte { return bytes.Repeat([]byte{byte(i), byte(i >> 8), 7}, 10_000+i*100) }
	known := func(i int) int { return i % 2 * len(payload(i)) } // or not
	inRing := 0
	for next := 0; next < 200; {
		sent := next
		for ; sent < next+1+next%7; sent++ { // more than there is room for, at times
			err := w.appendLarge(frameMessage, known(sent), func(b []byte) ([]byte, error) { return append(b, payload(sent)...), nil })
			if err != nil {
				t.Fatal(err)
			}
		}
		w.flushNow()
		for ; next < sent; next++ {
			f, err := readFrame(r, far)
			if err != nil || f.kind != frameMessage || !bytes.Equal(f.body, payload(next)) {
				t.Fatalf("frame %d is of kind %d with %d bytes, %v; want %d bytes", next, f.kind, len(f.body), err, len(payload(next)))
			}
			if f.ring != nil {
				inRing++
			}
			f.done()
		}
	}
	if inRing < 100 || inRing == 200 {
		t.Errorf("%d of 200 payloads went by the ring; want most, and some through the pipe", inRing)
	}
}

func TestShmRingRefusesWhatIsNotThere(t *testing.T) {
	b := &shmRing{mem: make([]byte, 1<<16), taken: new(atomic.Uint64)}
	for name, ref := range map[string][]byte{
		"short":          {1, 2, 3},
		"too much":       ringRef{0, 1<<16 + 1}.appendTo(nil),
		"around the end": ringRef{1<<16 - 10, 20}.appendTo(nil),
		"far away":       ringRef{1<<63 + 1<<16 - 1, 2}.appendTo(nil),
	} {
		if payload, _, err := b.find(ref); err == nil {
			t.Errorf("%s: find() = %d bytes; want an error", name, len(payload))
		}
	}
	if _, _, err := (*shmRing)(nil).find(ringRef{}.appendTo(nil)); err == nil {
		t.Error("find() without a ring gave no error")
	}
}
