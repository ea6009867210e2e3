package ipc

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/fault"
	"github.com/f3f4c0de/harness/internal/wire"
)

// The protocol between the submitter's process and a worker process.
//
// Each direction is a stream of frames on a descriptor of its own. A frame is
// a length (4 bytes, of what follows), a kind (1 byte) and the kind's fields,
// little-endian, the last of which takes the rest. The worker speaks first,
// with hello. It runs one task at a time, in the order in which it gets them,
// and answers each with a result, in the same order; a task that was withdrawn
// (shared.go) is answered without being run, and a batch may be answered in parts.
// The end of its input ends it.
type frameKind uint8

const (
	frameTask    frameKind = iota + 1 // to the worker: run this
	frameCancel                       // to the worker: ask that task to stop
	frameAnswer                       // to the worker: what it asked for
	frameControl                      // to the worker: a request outside of any task
	frameHello                        // from the worker: ready, and what it knows
	frameResult                       // from the worker: a task is over
	frameAsk                          // from the worker: do this with a queue
	frameUnask                        // from the worker: no longer, but answer
	frameReply                        // from the worker: to a control
	frameMessage                      // from the worker: unasked
)

// protocolVersion changes with the frames. Both ends are the same program, so
// a difference means that the program was replaced while it ran.
const protocolVersion = 5

// inRing in the kind of a frame says that its body is a ringRef.
const inRing = 1 << 7

// batchTask in the index of a task asks for a batch of it.
const batchTask = 1 << 15

// maxFrame bounds a frame, and so the size of one task's input or result.
const maxFrame = 1 << 30

// A frame as it was read.
type frame struct {
	kind   frameKind
	body   []byte
	shared bool // body is valid only until done
	ring   *shmRing
	end    uint64 // on the ring
}

// done lets go of the body.
func (f frame) done() {
	if f.ring != nil {
		f.ring.release(f.end)
	}
}

// own returns part of the body, or a copy that may be kept.
func (f frame) own(part []byte) []byte {
	if f.shared {
		return bytes.Clone(part)
	}
	return part
}

// readFrame reads a frame. One that fits stays in r's buffer, and one that came
// by the ring stays there.
func readFrame(r *bufio.Reader, ring *shmRing) (frame, error) {
	head, err := r.Peek(5)
	if err != nil {
		if len(head) > 0 && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return frame{}, err
	}
	n, kind := int(binary.LittleEndian.Uint32(head)), frameKind(head[4])
	if n < 1 || n > maxFrame {
		return frame{}, fmt.Errorf("frame of %d bytes; the limit is %d", n, maxFrame)
	}
	_, _ = r.Discard(len(head)) // they are there
	if n--; n <= r.Size() {
		body, err := r.Peek(n)
		if err != nil {
			return frame{}, io.ErrUnexpectedEOF
		}
		_, _ = r.Discard(n)
		if kind&inRing == 0 {
			return frame{kind: kind, body: body, shared: true}, nil
		}
		body, end, err := ring.find(body)
		return frame{kind &^ inRing, body, true, ring, end}, err
	}
	body, err := readBody(r, n)
	return frame{kind: kind, body: body}, err
}

// readBody reads n bytes. What claims to be very large is only given memory as
// it comes.
func readBody(r io.Reader, n int) ([]byte, error) {
	if n > 64<<20 {
		b, err := io.ReadAll(io.LimitReader(r, int64(n)))
		if err == nil && len(b) < n {
			err = io.ErrUnexpectedEOF
		}
		return b, err
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	return b, nil
}

// begin starts a frame at the end of b; end fills in the length of the frame
// that begins at start.
func begin(b []byte, k frameKind) []byte { return append(b, 0, 0, 0, 0, byte(k)) }

func end(b []byte, start int) ([]byte, error) {
	n := len(b) - start - 4
	if n > maxFrame {
		return b[:start], fmt.Errorf("%d bytes %w in one message; the limit is %d", n, fault.ErrEncode, maxFrame)
	}
	binary.LittleEndian.PutUint32(b[start:], uint32(n))
	return b, nil
}

// A frameWriter writes whole frames for any number of goroutines. Frames are added
// to a buffer, and whoever flushes it writes, while others add more.
type frameWriter struct {
	mu      sync.Mutex
	w       io.Writer
	ring    *shmRing // for large payloads; nil if there is none
	keep    *outbox  // where frames lie until they are written; nil if that is nobody's affair
	buf     []byte   // frames that nobody writes yet
	spare   []byte   // for the next ones
	writing bool
	written sync.Cond // somebody has written
	err     error     // of a write: there is no use in another
}

func newFrameWriter(to io.Writer, ring *shmRing, keep *outbox) *frameWriter {
	w := &frameWriter{w: to, ring: ring, keep: keep}
	w.written.L = &w.mu
	if keep != nil {
		w.buf = keep.mem
	}
	return w
}

// append adds one frame of kind k, whose fields fill appends, without writing
// it. A fill that fails adds nothing. The caller holds mu.
func (w *frameWriter) append(k frameKind, fill func(b []byte) ([]byte, error)) error {
	start := len(w.buf)
	b, err := fill(begin(w.buf, k))
	if err == nil {
		b, err = end(b, start)
	}
	w.buf = b
	if err != nil {
		w.buf = b[:start]
	}
	w.kept()
	return err
}

// kept says how much of what was added is whole. If there was no room for it in the
// outbox, what was there before still is.
func (w *frameWriter) kept() {
	if w.keep == nil || len(w.buf) > cap(w.keep.mem) {
		return
	}
	if cap(w.buf) != cap(w.keep.mem) { // it did not have room for a while
		w.buf = append(w.keep.mem, w.buf...)
	}
	w.keep.whole.Store(uint32(len(w.buf)))
}

// appendLarge is append for a frame whose body may go by the ring. size is about
// what fill will append, if that is known, or else 0.
func (w *frameWriter) appendLarge(k frameKind, size int, fill func(b []byte) ([]byte, error)) error {
	const fields = 256 // beside the payload, if there is no long header
	if size >= ringLeast {
		if room, pos := w.ring.reserve(size + fields); room != nil {
			b, err := fill(room)
			if err != nil {
				return err
			}
			if len(b) <= cap(room) { // so it is there
				w.refer(k, pos, len(b))
				return nil
			}
		}
	}
	start := len(w.buf)
	if err := w.append(k, fill); err != nil {
		return err
	}
	if body := w.buf[start+5:]; len(body) >= ringLeast {
		if room, pos := w.ring.reserve(len(body)); room != nil {
			_ = append(room, body...)
			w.buf = w.buf[:start]
			w.kept()
			w.refer(k, pos, len(body))
		}
	}
	return nil
}

// refer adds a frame whose body is on the ring.
func (w *frameWriter) refer(k frameKind, pos uint64, n int) {
	w.ring.commit(pos, n)
	start := len(w.buf)
	b := ringRef{pos, uint32(n)}.appendTo(begin(w.buf, k|inRing))
	w.buf, _ = end(b, start) // it is short
	w.kept()
}

// flush writes what was added, unless somebody does already, who then writes this
// too. The caller holds mu, which is free while flush writes.
func (w *frameWriter) flush() error {
	for len(w.buf) > 0 && !w.writing && w.err == nil {
		b := w.buf
		w.buf, w.spare, w.writing = w.spare[:0], nil, true
		w.mu.Unlock()
		_, err := w.w.Write(b)
		w.mu.Lock()
		if cap(b) <= 1<<20 { // one large payload must not be held for ever
			w.spare = b[:0]
		}
		w.writing, w.err = false, err
		w.written.Broadcast()
	}
	return w.err
}

// flushKept writes what was added and keeps it in the outbox until that is done.
// The caller holds mu.
func (w *frameWriter) flushKept() error {
	if len(w.buf) == 0 || w.err != nil {
		return w.err
	}
	_, w.err = w.w.Write(w.buf)
	if w.err == nil {
		w.buf = w.keep.mem
		w.kept()
	}
	return w.err
}

// wait blocks while more than limit bytes are waiting to be written by somebody.
// The caller holds mu, which is free meanwhile.
func (w *frameWriter) wait(limit int) {
	for w.writing && len(w.buf) > limit && w.err == nil {
		w.written.Wait()
	}
}

// write writes one frame.
func (w *frameWriter) write(k frameKind, body []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.append(k, func(b []byte) ([]byte, error) { return append(b, body...), nil }); err != nil {
		return err
	}
	if w.keep != nil {
		return w.flushKept()
	}
	return w.flush()
}

// add adds one frame, which somebody else is to write.
func (w *frameWriter) add(k frameKind, body []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.append(k, func(b []byte) ([]byte, error) { return append(b, body...), nil })
}

// flushNow writes what was added by somebody else.
func (w *frameWriter) flushNow() {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.flush() // if it fails, the other end is gone, and who reads from there knows
}

// task: id, index of the task in hello's list, header, input.
type taskFrame struct {
	id     uint32
	task   uint16
	header []byte
	input  []byte
}

func (f taskFrame) appendTo(b []byte, header func([]byte) []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, f.id)
	b = binary.LittleEndian.AppendUint16(b, f.task)
	at := len(b)
	b = append(b, 0, 0)
	if header != nil {
		b = header(b)
		binary.LittleEndian.PutUint16(b[at:], uint16(len(b)-at-2))
	}
	return append(b, f.input...)
}

func parseTask(b []byte) (f taskFrame, err error) {
	d := decoder{b: b}
	f.id, f.task = d.uint32(), d.uint16()
	f.header = d.bytes(int(d.uint16()))
	f.input = d.b
	return f, d.err
}

// result: id, outcome, when the function began and returned, then the encoded
// result or failure.
type resultFrame struct {
	id             uint32
	outcome        uint8
	started, ended core.Stamp
	payload        []byte
}

// The outcomes of a task.
const (
	outcomeOK uint8 = iota
	outcomeFailed
	outcomeWithdrawn
	outcomePart // of a batch that goes on
)

func (f resultFrame) appendTo(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, f.id)
	b = append(b, f.outcome)
	b = binary.LittleEndian.AppendUint64(b, uint64(f.started))
	b = binary.LittleEndian.AppendUint64(b, uint64(f.ended))
	return append(b, f.payload...)
}

func parseResult(b []byte) (f resultFrame, err error) {
	d := decoder{b: b}
	f.id, f.outcome = d.uint32(), d.uint8()
	f.started, f.ended = core.Stamp(d.uint64()), core.Stamp(d.uint64())
	f.payload = d.b
	return f, d.err
}

// ask: request number, operation, queue, value.
type askFrame struct {
	request uint32
	op      core.QueueOp
	queue   uint64
	payload []byte
}

func (f askFrame) appendTo(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, f.request)
	b = append(b, byte(f.op))
	b = binary.LittleEndian.AppendUint64(b, f.queue)
	return append(b, f.payload...)
}

func parseAsk(b []byte) (f askFrame, err error) {
	d := decoder{b: b}
	f.request, f.op, f.queue = d.uint32(), core.QueueOp(d.uint8()), d.uint64()
	f.payload = d.b
	return f, d.err
}

// unask: request number.
func parseUnask(b []byte) (request uint32, err error) {
	d := decoder{b: b}
	return d.uint32(), d.err
}

// answer and reply: request number, outcome, then a value or a failure.
type answerFrame struct {
	request uint32
	failed  bool
	payload []byte
}

func (f answerFrame) appendTo(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, f.request)
	b = appendBool(b, f.failed)
	return append(b, f.payload...)
}

func parseAnswer(b []byte) (f answerFrame, err error) {
	d := decoder{b: b}
	f.request, f.failed = d.uint32(), d.bool()
	f.payload = d.b
	return f, d.err
}

// answerOf makes an answer of a value or an error.
func answerOf(request uint32, payload []byte, err error) answerFrame {
	if err != nil {
		told := make(chan []byte, 1)
		go wire.TellError(err, func(b []byte) { told <- b }) // its methods may end the goroutine
		return answerFrame{request, true, <-told}
	}
	return answerFrame{request, false, payload}
}

func (f answerFrame) value() ([]byte, error) {
	if f.failed {
		return nil, wire.DecodeError(f.payload)
	}
	return f.payload, nil
}

// control: request number, name, payload.
type controlFrame struct {
	request uint32
	name    string
	payload []byte
}

func (f controlFrame) bytes() []byte {
	b := binary.LittleEndian.AppendUint32(nil, f.request)
	b = appendString(b, f.name)
	return append(b, f.payload...)
}

func parseControl(b []byte) (f controlFrame, err error) {
	d := decoder{b: b}
	f.request = d.uint32()
	f.name = d.string()
	f.payload = d.b
	return f, d.err
}

// message: topic, payload.
type messageFrame struct {
	topic   string
	payload []byte
}

func (f messageFrame) appendTo(b []byte) []byte {
	return append(appendString(b, f.topic), f.payload...)
}

func parseMessage(b []byte) (f messageFrame, err error) {
	d := decoder{b: b}
	f.topic = d.string()
	f.payload = d.b
	return f, d.err
}

// cancel: id, the time limit of the task in cause if it is that which has passed, or
// else 0, and what the cause says.
type cancelFrame struct {
	id    uint32
	limit time.Duration
	cause string
}

func (f cancelFrame) bytes() []byte {
	b := binary.LittleEndian.AppendUint32(nil, f.id)
	return append(binary.LittleEndian.AppendUint64(b, uint64(f.limit)), f.cause...)
}

func parseCancel(b []byte) (f cancelFrame, err error) {
	d := decoder{b: b}
	f.id, f.limit = d.uint32(), time.Duration(d.uint64())
	f.cause = string(d.b)
	return f, d.err
}

// hello: version, image, then the tasks, each with its name and wire form.
type helloFrame struct {
	version uint32
	image   string // see child.Image
	tasks   []helloTask
}

// A helloTask is a task that the worker knows, and how its data crosses.
type helloTask struct {
	name string
	wire string
}

func (f helloFrame) bytes() []byte {
	b := binary.LittleEndian.AppendUint32(nil, f.version)
	b = appendText(b, f.image)
	for _, t := range f.tasks {
		b = appendText(appendText(b, t.name), t.wire)
	}
	return b
}

func parseHello(b []byte) (f helloFrame, err error) {
	d := decoder{b: b}
	f.version = d.uint32()
	f.image = d.text()
	for len(d.b) > 0 {
		f.tasks = append(f.tasks, helloTask{d.text(), d.text()})
	}
	return f, d.err
}

// A decoder takes fields off the front of b. Once b is too short, err is set
// and every field is zero.
type decoder struct {
	b   []byte
	err error
}

var errShortFrame = errors.New("frame too short")

func (d *decoder) bytes(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.b, d.err = nil, errShortFrame
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) uint8() uint8 {
	if v := d.bytes(1); v != nil {
		return v[0]
	}
	return 0
}

func (d *decoder) uint16() uint16 {
	if v := d.bytes(2); v != nil {
		return binary.LittleEndian.Uint16(v)
	}
	return 0
}

func (d *decoder) uint32() uint32 {
	if v := d.bytes(4); v != nil {
		return binary.LittleEndian.Uint32(v)
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if v := d.bytes(8); v != nil {
		return binary.LittleEndian.Uint64(v)
	}
	return 0
}

func (d *decoder) bool() bool { return d.uint8() != 0 }

func (d *decoder) string() string { return string(d.bytes(int(d.uint16()))) }

// text takes a string of any length.
func (d *decoder) text() string { return string(d.bytes(int(d.uint32()))) }

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendText(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(s))), s...)
}

// appendString appends a short string: a name, not a payload.
func appendString(b []byte, s string) []byte {
	s = s[:min(len(s), 1<<16-1)]
	return append(binary.LittleEndian.AppendUint16(b, uint16(len(s))), s...)
}
