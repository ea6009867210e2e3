package core

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/f3f4c0de/harness/internal/fault"
	"github.com/f3f4c0de/harness/internal/wire"
)

// How a batch is sent to a worker process and back.
//
// The arguments follow each other, each with its length unless all have the same
// length, so that the worker can decode each just before it runs it. The worker
// claims an argument, in a word that it shares with the submitter, before it decodes
// it. It puts the result into memory that it shares with the submitter before it
// claims the next argument. So if the worker is lost, the submitter knows which
// argument was running and still has all earlier results.
//
//	arguments  number of them (4 bytes), where skipped begins (4), the arguments, skipped
//	skipped    the numbers of arguments that could not be encoded (4 each)
//	part       number of the first (4), how many (4), kind (1), results
//	final      nanoseconds that it took (8), a part
//
// Arguments are numbered from the first one that was sent: those that already had a
// result when a worker was lost are not sent again.

// The kinds of a part.
const (
	partValues  uint8 = iota // results, each with its length unless all have the same length
	partFailed               // one argument's error
	partSkipped              // one argument that was not sent
)

const (
	partHead  = 9
	finalHead = 8 + partHead
)

// Items returns a claim word for n items of which none has begun.
func Items(n int) uint64 { return claim(0, uint32(n)) }

// SplitItems returns what a claim word says: how many items have begun, and how many
// there are.
func SplitItems(w uint64) (begun, end int) { return int(uint32(w)), int(w >> 32) }

// CutItems takes back the items that have not begun, and returns how many are left.
// ok is false if there was none to take back.
func CutItems(word *atomic.Uint64) (left int, ok bool) {
	return claimBack(word, func(begun uint32) uint32 { return begun })
}

// A transfer is the progress of a batch that is sent to another process. Only the
// goroutine that drives the call uses it.
type transfer struct {
	base  int      // arguments that had a result when the batch was sent
	got   int      // arguments that have a result now
	at    int      // the argument whose lost workers are counted
	lost  uint8    // workers that were lost while they ran that argument
	parts [][]byte // results that methods of the program's own will decode

	decoded int  // arguments whose results those methods have decoded
	whole   bool // all results are decoded
}

func (p *pendingBatch[In, Out]) answered() int { return p.wire.got - p.wire.base }

func (p *pendingBatch[In, Out]) before() int { return p.wire.base }

func (p *pendingBatch[In, Out]) left() int { return len(p.in) - p.wire.got }

func (p *pendingBatch[In, Out]) limit(sent int) {
	if n := p.wire.base + sent; n >= p.wire.got && n < len(p.in) {
		p.in = p.in[:n]
	}
}

func (p *pendingBatch[In, Out]) appendInput(b []byte) ([]byte, error) {
	p.wire.base = p.wire.got
	if p.task.in.Foreign {
		if in := p.call.encoded(); in != nil {
			return append(b, in...), nil
		}
	}
	err := wire.ErrGoexit
	p.appendItems(&b, &err, p.in[p.wire.base:])
	return b, err
}

// appendItems appends the arguments that can be encoded, and then sets err to nil. It
// does so even if encoding one of them ends the goroutine.
func (p *pendingBatch[In, Out]) appendItems(b *[]byte, err *error, in []In) {
	start := len(*b)
	*b = binary.LittleEndian.AppendUint32(*b, uint32(len(in)))
	*b = append(*b, 0, 0, 0, 0)
	if n := p.task.in.Fixed; n > 0 && len(in) > 0 {
		*b = append(*b, unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(in))), n*len(in))...)
		*err = endItems(b, start, nil)
		return
	}
	var skipped []byte
	var from func(i int)
	from = func(i int) {
		ended := false
		defer func() {
			if ended {
				return
			}
			skipped = binary.LittleEndian.AppendUint32(skipped, uint32(i))
			p.failed(p.wire.base+i, encodeError("input", p.task.name, wire.ErrGoexit))
			from(i + 1)
		}()
		for ; i < len(in); i++ {
			var e error
			if *b, e = p.task.in.AppendItem(*b, &in[i]); e != nil {
				skipped = binary.LittleEndian.AppendUint32(skipped, uint32(i))
				p.failed(p.wire.base+i, encodeError("input", p.task.name, e))
			}
		}
		ended = true
		*err = endItems(b, start, skipped)
	}
	from(0)
}

// endItems completes the encoded arguments that begin at start: it sets where skipped
// begins, and appends it.
func endItems(b *[]byte, start int, skipped []byte) error {
	n := len(*b) - start
	if n > wire.MaxItem {
		*b = (*b)[:start]
		return fmt.Errorf("a batch of %d bytes is too large; the limit is %d", n, wire.MaxItem)
	}
	binary.LittleEndian.PutUint32((*b)[start+4:], uint32(n))
	*b = append(*b, skipped...)
	return nil
}

func (p *pendingBatch[In, Out]) inputSize() int {
	return 8 + p.left()*p.task.in.Fixed
}

var errBatch = errors.New("the results of a batch are not those of its arguments")

// takePart implements batchBody.
func (p *pendingBatch[In, Out]) takePart(b []byte) error {
	if len(b) < partHead {
		return errBatch
	}
	first, n := int(binary.LittleEndian.Uint32(b)), int(binary.LittleEndian.Uint32(b[4:]))
	if first != p.answered() || n > p.left() || b[8] != partValues && n != 1 {
		return errBatch
	}
	if cap(p.out.Values) < len(p.in) {
		p.out.Values = make([]Out, 0, len(p.in))
	}
	from := p.wire.got
	p.wire.got += n
	if p.task.out.Foreign {
		p.wire.parts = append(p.wire.parts, b)
		return nil
	}
	p.wire.decoded = p.wire.got
	return p.put(from, n, b[8], b[partHead:])
}

// takeRoom implements batchBody.
func (p *pendingBatch[In, Out]) takeRoom(end int, b []byte) error {
	n := end - p.answered()
	if n <= 0 {
		return nil
	}
	size := n * p.task.out.Fixed
	if p.task.out.Fixed == 0 {
		for rest, i := b, 0; i < n; i++ {
			item, next, err := p.task.out.TakeItem(rest)
			if err != nil {
				return err
			}
			rest, size = next, size+4+len(item)
		}
	}
	if size > len(b) {
		return wire.ErrCut
	}
	part := make([]byte, partHead, partHead+size)
	putPart(part, p.answered(), n, partValues)
	return p.takePart(append(part, b[:size]...))
}

// put stores the results of n arguments, from number from on.
func (p *pendingBatch[In, Out]) put(from, n int, kind uint8, b []byte) error {
	values := p.out.Values[:from+n]
	p.out.Values = values
	switch kind {
	case partSkipped: // its error is stored already
		return nil
	case partFailed:
		p.failed(from, p.call.explain(wire.DecodeError(b)))
		return nil
	case partValues:
	default:
		return errBatch
	}
	codec := p.task.out
	if codec.Fixed > 0 {
		if len(b) != n*codec.Fixed {
			return errBatch
		}
		copy(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values[from:]))), len(b)), b)
		return nil
	}
	for i := range n {
		item, rest, err := codec.TakeItem(b)
		if err != nil {
			return errBatch
		}
		if err := codec.Decode(item, &values[from+i]); err != nil {
			clear(values[from+i : from+i+1])
			p.failed(from+i, encodeError("result", p.task.name, err))
		}
		b = rest
	}
	if len(b) > 0 {
		return errBatch
	}
	return nil
}

// takeFinal implements batchBody.
func (p *pendingBatch[In, Out]) takeFinal(b []byte) (rest bool, err error) {
	if b != nil {
		if len(b) < finalHead {
			return false, errBatch
		}
		p.out.Run += time.Duration(binary.LittleEndian.Uint64(b))
		if err := p.takePart(b[8:]); err != nil {
			return false, err
		}
		if p.left() > 0 && p.answered() == 0 {
			return false, errBatch // no progress: the batch would be sent for ever
		}
	}
	return p.left() > 0, nil
}

// lose implements batchBody.
func (p *pendingBatch[In, Out]) lose(lost error, begun int) (rest bool) {
	w := &p.wire
	if begun > p.answered() && p.left() > 0 {
		if w.lost == 0 || w.at != w.got {
			w.at, w.lost = w.got, 0
		}
		w.lost++
		if p.task.idempotent && w.lost < maxRuns {
			return true
		}
		if p.task.idempotent {
			lost = quarantined(lost)
		}
		skipped := binary.LittleEndian.AppendUint32(nil, uint32(p.answered()))
		skipped = append(binary.LittleEndian.AppendUint32(skipped, 1), partSkipped)
		p.failed(w.got, lost)
		_ = p.takePart(skipped) // it is well formed
	}
	return p.left() > 0
}

// decodeOutput implements body: what was taken and not decoded yet. If a method of
// a result ends the goroutine, the rest is decoded before it has ended.
func (p *pendingBatch[In, Out]) decodeOutput([]byte) error {
	w := &p.wire
	for len(w.parts) > 0 {
		b := w.parts[0]
		w.parts = w.parts[1:]
		n := int(binary.LittleEndian.Uint32(b[4:]))
		from := w.decoded
		w.decoded += n
		if b[8] != partValues {
			if err := p.put(from, n, b[8], b[partHead:]); err != nil {
				return err
			}
			continue
		}
		p.out.Values = p.out.Values[:from+n]
		if err := p.decodeItems(from, n, b[partHead:]); err != nil {
			return err
		}
	}
	if w.decoded != w.got {
		return errBatch
	}
	w.whole = true
	return nil
}

// decodeItems decodes n results, from number from on. If a method ends the goroutine,
// that argument fails and the others are decoded before the goroutine ends.
func (p *pendingBatch[In, Out]) decodeItems(from, n int, b []byte) error {
	ended := false
	defer func() {
		if ended {
			return
		}
		clear(p.out.Values[from : from+1])
		p.failed(from, encodeError("result", p.task.name, wire.ErrGoexit))
		if p.decodeItems(from+1, n-1, b) == nil {
			_ = p.decodeOutput(nil) // p.wire.whole says whether it succeeded
		}
	}()
	for ; n > 0; from, n = from+1, n-1 {
		item, rest, err := p.task.out.TakeItem(b)
		if err != nil {
			ended = true
			return errBatch
		}
		b = rest
		if err := p.task.out.Decode(item, &p.out.Values[from]); err != nil {
			clear(p.out.Values[from : from+1])
			p.failed(from, encodeError("result", p.task.name, err))
		}
	}
	ended = true
	return nil
}

// whole implements batchBody.
func (p *pendingBatch[In, Out]) whole() bool { return p.wire.whole }

func (p *pendingBatch[In, Out]) keepsOutput() bool                   { return p.task.out.Keeps || p.task.out.Foreign }
func (p *pendingBatch[In, Out]) outputSize() int                     { return 0 }
func (p *pendingBatch[In, Out]) decodeInput([]byte) error            { return fault.ErrEncode }
func (p *pendingBatch[In, Out]) appendOutput([]byte) ([]byte, error) { return nil, fault.ErrEncode }

func (p *pendingBatch[In, Out]) encoder() func(*[]byte, *error) {
	in := p.in[p.wire.got:]
	p.wire.base = p.wire.got
	return func(b *[]byte, err *error) { p.appendItems(b, err, in) }
}

// A BatchStream is the way on which a batch that runs in a worker process returns its
// results. It is for those who write a backend.
type BatchStream struct {
	// Claim is the word in which the batch claims its arguments; see [Items].
	Claim *atomic.Uint64

	// Room is memory that the submitter can still read after the process has ended.
	// It holds the results of all claimed arguments except the last, unless they
	// were given to Send.
	Room []byte

	// Send sends a part. Afterwards the first result in Room is that of the argument
	// with the number next.
	Send func(part []byte, next int) error
}

// A coding says what is being encoded or decoded.
type coding uint8

const (
	neither coding = iota
	theInput
	theResult
)

var codings = [...]string{theInput: "input", theResult: "result"}

// servedBatch is a batch in a worker process.
type servedBatch[In, Out any] struct {
	Future[struct{}]
	task    *Task[In, Out]
	stream  BatchStream
	n       int    // arguments
	in      []byte // the arguments that are not decoded yet
	skipped []byte // the numbers of the arguments that were not sent
	buf     []byte // the results from number first on
	first   int
	next    int // number of the next argument
	took    time.Duration
	arg     In
	result  Out
	coding  coding // what methods of the program's own are encoding or decoding
	short   bool   // the batch ended before its last argument
	broken  error  // why results cannot be sent to the submitter
}

func (p *servedBatch[In, Out]) origin() *TaskIdentity          { return p.task.id }
func (p *servedBatch[In, Out]) release()                       {}
func (p *servedBatch[In, Out]) argument() (none reflect.Value) { return none }
func (p *servedBatch[In, Out]) name() string                   { return p.task.name }
func (p *servedBatch[In, Out]) idempotent() bool               { return p.task.idempotent }
func (p *servedBatch[In, Out]) timeout() time.Duration         { return 0 }
func (p *servedBatch[In, Out]) inputSize() int                 { return 0 }
func (p *servedBatch[In, Out]) outputSize() int                { return 0 }
func (p *servedBatch[In, Out]) keepsOutput() bool              { return false }
func (p *servedBatch[In, Out]) decodeOutput([]byte) error      { return fault.ErrEncode }
func (p *servedBatch[In, Out]) setStream(s BatchStream)        { p.stream = s }
func (p *servedBatch[In, Out]) cutShort() bool                 { return p.short }

func (p *servedBatch[In, Out]) appendInput([]byte) ([]byte, error) { return nil, fault.ErrEncode }
func (p *servedBatch[In, Out]) encoder() func(*[]byte, *error)     { return nil }

func (p *servedBatch[In, Out]) decodeInput(b []byte) error {
	if len(b) < 8 {
		return wire.ErrCut
	}
	n, end := int(binary.LittleEndian.Uint32(b)), int(binary.LittleEndian.Uint32(b[4:]))
	if end < 8 || end > len(b) {
		return wire.ErrCut
	}
	p.n, p.in, p.skipped = n, b[8:end], b[end:]
	return nil
}

func (p *servedBatch[In, Out]) run(ctx context.Context) error {
	began := Now()
	p.buf = p.stream.Room[:0]
	for p.runSome(ctx) {
	}
	p.took = Now().Sub(began)
	if p.next < p.n && p.call.stopped() {
		return context.Canceled // Call.Run replaces it by the cause
	}
	return p.broken
}

// runSome runs arguments until one panics, and then reports true, or until there
// are no more.
func (p *servedBatch[In, Out]) runSome(ctx context.Context) (more bool) {
	at, failing := -1, false // the argument that is run, or whose failure is sent
	defer func() {
		if at < 0 {
			return
		}
		p.short = true // if this goroutine ends, another process runs the rest
		if failing {
			return // a method of the error has ended it
		}
		var err error = fault.Goexit(p.task.name)
		switch v := recover(); {
		case v != nil:
			err = fault.NewPanic(p.task.name, v)
			more = true
		case p.coding != neither:
			err, p.coding = encodeError(codings[p.coding], p.task.name, wire.ErrGoexit), neither
		}
		p.fail(at, err)
		p.short = !more
	}()
	for p.broken == nil && !p.call.stopped() {
		i, ok := claimNext(p.stream.Claim)
		if !ok {
			break
		}
		p.next = i + 1
		if len(p.skipped) >= 4 && int(binary.LittleEndian.Uint32(p.skipped)) == i {
			p.skipped = p.skipped[4:]
			p.send(i, partSkipped, nil)
			continue
		}
		at = i
		if err := p.runOne(ctx, i); err != nil {
			failing = true
			p.fail(i, ownErr(p.call.explain(err)))
			failing = false
		}
		at = -1
	}
	return false
}

func (p *servedBatch[In, Out]) runOne(ctx context.Context, i int) error {
	if in, out := p.task.in.Fixed, p.task.out.Fixed; in > 0 && out > 0 && out <= cap(p.buf)/4 {
		return p.runPlain(ctx, i, in, out)
	}
	item, rest, err := p.task.in.TakeItem(p.in)
	if err != nil {
		return encodeError("input", p.task.name, err)
	}
	p.in = rest
	in, out := &p.arg, &p.result // no allocation for each argument
	if p.task.in.Foreign {
		in = new(In) // its methods may keep it
	}
	if p.task.out.Foreign {
		out = new(Out)
	}
	var none In
	*in = none
	p.coding = theInput
	err = p.task.in.Decode(item, in)
	p.coding = neither
	if err != nil {
		return encodeError("input", p.task.name, err)
	}
	if *out, err = p.task.fn(ctx, *in); err != nil {
		return &fault.TaskError{Task: p.task.name, Err: err}
	}
	start := len(p.buf)
	p.coding = theResult
	b, err := p.task.out.AppendItem(p.buf, out)
	p.coding = neither
	if err != nil {
		return encodeError("result", p.task.name, err)
	}
	if result := b[start:]; len(result) <= cap(p.buf)-start {
		p.buf = append(p.buf, result...) // it is there already unless the encoding returned a slice of its own
	} else {
		p.flush(i)
		p.send(i, partValues, result)
	}
	p.flushFull(i)
	return nil
}

// runPlain is runOne for arguments and results that are copied as memory, of in and
// out bytes each. It stores no pointer: while the garbage collector runs, a pointer
// store takes longer than everything else here.
func (p *servedBatch[In, Out]) runPlain(ctx context.Context, i, in, out int) (err error) {
	if (i+1)*in > len(p.in) {
		return encodeError("input", p.task.name, wire.ErrCut)
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&p.arg)), in), p.in[i*in:])
	if p.result, err = p.task.fn(ctx, p.arg); err != nil {
		return &fault.TaskError{Task: p.task.name, Err: err}
	}
	end := len(p.buf)
	p.buf = p.buf[:end+out]
	copy(p.buf[end:], unsafe.Slice((*byte)(unsafe.Pointer(&p.result)), out))
	p.flushFull(i)
	return nil
}

// flushFull sends the results in Room if little of it is left. i is the number of the
// last result in it.
func (p *servedBatch[In, Out]) flushFull(i int) {
	if len(p.buf) > cap(p.buf)*3/4 {
		p.flush(i + 1)
	}
}

// flush sends the results in Room. next is the number of the argument after them.
func (p *servedBatch[In, Out]) flush(next int) {
	if next > p.first {
		p.sendPart(p.first, next-p.first, partValues, p.buf)
	}
}

// send sends a part for one argument, after the results in Room.
func (p *servedBatch[In, Out]) send(i int, kind uint8, b []byte) {
	p.flush(i)
	p.sendPart(i, 1, kind, b)
}

func (p *servedBatch[In, Out]) sendPart(first, n int, kind uint8, b []byte) {
	part := make([]byte, partHead, partHead+len(b))
	putPart(part, first, n, kind)
	err := p.stream.Send(append(part, b...), first+n)
	p.buf, p.first = p.stream.Room[:0], first+n
	if p.broken == nil {
		p.broken = err
	}
}

func putPart(b []byte, first, n int, kind uint8) {
	binary.LittleEndian.PutUint32(b, uint32(first))
	binary.LittleEndian.PutUint32(b[4:], uint32(n))
	b[8] = kind
}

// fail sends the error of one argument, even if its methods panic or end the
// goroutine.
func (p *servedBatch[In, Out]) fail(i int, err error) {
	wire.TellError(err, func(b []byte) { p.send(i, partFailed, b) })
}

// appendOutput implements body: it appends the final message of a batch.
func (p *servedBatch[In, Out]) appendOutput(b []byte) ([]byte, error) {
	b = binary.LittleEndian.AppendUint64(b, uint64(p.took))
	start := len(b)
	b = append(b, make([]byte, partHead)...)
	putPart(b[start:], p.first, p.next-p.first, partValues)
	return append(b, p.buf...), nil
}
