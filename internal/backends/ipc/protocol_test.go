package ipc

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/fault"
	"github.com/f3f4c0de/harness/internal/wire"
)

func TestFrames(t *testing.T) {
	var wire bytes.Buffer
	w := newFrameWriter(&wire, nil, nil)
	bodies := [][]byte{nil, []byte("x"), bytes.Repeat([]byte("long"), 1<<19)}
	for _, b := range bodies {
		if err := w.write(frameMessage, b); err != nil {
			t.Fatal(err)
		}
	}
	refused := errors.New("cannot")
	if err := w.append(frameTask, func(b []byte) ([]byte, error) { return append(b, "half"...), refused }); !errors.Is(err, refused) {
		t.Errorf("append() = %v; want what fill returned", err)
	}
	w.flushNow()
	r := bufio.NewReader(&wire)
	for i, want := range bodies {
		f, err := readFrame(r, nil)
		if err != nil || f.kind != frameMessage || !bytes.Equal(f.body, want) {
			t.Errorf("frame %d is of kind %d with %d bytes, %v; want %d with %d", i, f.kind, len(f.body), err, frameMessage, len(want))
		}
	}
	if _, err := readFrame(r, nil); !errors.Is(err, io.EOF) {
		t.Errorf("after the last frame: %v; want EOF, as what was refused is not sent", err)
	}
}

func TestReadFrameRefuses(t *testing.T) {
	huge := binary.LittleEndian.AppendUint32(nil, maxFrame+1)
	for name, b := range map[string][]byte{
		"empty":        {0, 0, 0, 0, 1},
		"huge":         append(huge, 1),
		"cut off":      {5, 0, 0, 0, 1, 'x'},
		"half a head":  {5, 0},
		"not a frame!": []byte("hello, world"),
	} {
		if f, err := readFrame(bufio.NewReader(bytes.NewReader(b)), nil); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: readFrame() = %+v, %v; want an error other than EOF", name, f, err)
		}
	}
}

func TestFieldsRoundTrip(t *testing.T) {
	all := cmp.AllowUnexported(taskFrame{}, resultFrame{}, askFrame{}, answerFrame{}, controlFrame{}, messageFrame{}, cancelFrame{}, helloFrame{}, helloTask{})
	task := taskFrame{id: 7, task: 3, header: []byte("head"), input: []byte("in")}
	got, err := parseTask(task.appendTo(nil, func(b []byte) []byte { return append(b, "head"...) }))
	compare(t, task, got, err, all)
	result := resultFrame{id: 1 << 31, outcome: outcomeFailed, started: -5, ended: 1 << 62, payload: []byte("out")}
	gotResult, err := parseResult(result.appendTo(nil))
	compare(t, result, gotResult, err, all)
	ask := askFrame{9, core.QueueGet, 1 << 60, []byte("v")}
	gotAsk, err := parseAsk(ask.appendTo(nil))
	compare(t, ask, gotAsk, err, all)
	answer := answerFrame{9, true, []byte("v")}
	gotAnswer, err := parseAnswer(answer.appendTo(nil))
	compare(t, answer, gotAnswer, err, all)
	control := controlFrame{2, "usage", []byte{}}
	gotControl, err := parseControl(control.bytes())
	compare(t, control, gotControl, err, all)
	message := messageFrame{"topic", []byte("p")}
	gotMessage, err := parseMessage(message.appendTo(nil))
	compare(t, message, gotMessage, err, all)
	cancel := cancelFrame{4, time.Second, "no longer wanted"}
	gotCancel, err := parseCancel(cancel.bytes())
	compare(t, cancel, gotCancel, err, all)
	hello := helloFrame{protocolVersion, "file 1", []helloTask{{"sum", "a function"}, {"long", strings.Repeat("w", 1<<17)}}}
	gotHello, err := parseHello(hello.bytes())
	compare(t, hello, gotHello, err, all)
}

func compare[T any](t *testing.T, want, got T, err error, opts ...cmp.Option) {
	t.Helper()
	if d := cmp.Diff(want, got, opts...); d != "" || err != nil {
		t.Errorf("%T came back with error %v (-want +got):\n%s", want, err, d)
	}
}

func TestFailuresCross(t *testing.T) {
	mine := errors.New("mine")
	tests := []struct {
		name string
		err  error
		is   error
	}{
		{"task", &fault.TaskError{Task: "a", Err: fmt.Errorf("while: %w", mine)}, mine},
		{"panic", &fault.PanicError{Task: "a", Value: "v", Stack: "s"}, nil},
		{"encode", fmt.Errorf("result %w: %w", fault.ErrEncode, mine), fault.ErrEncode},
		{"unknown", fault.ErrUnknownTask, fault.ErrUnknownTask},
		{"cancelled", cancelled("no longer wanted"), context.Canceled},
		{"queue closed", fault.ErrQueueClosed, fault.ErrQueueClosed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			far := wire.DecodeError(wire.AppendError(nil, tt.err))
			if far.Error() != tt.err.Error() || tt.is != nil && !errors.Is(far, tt.is) {
				t.Errorf("%v arrived as %v; errors.Is(it, %v) = %v", tt.err, far, tt.is, errors.Is(far, tt.is))
			}
			var a, b *fault.PanicError
			if errors.As(tt.err, &a) != errors.As(far, &b) || a != nil && *a != *b {
				t.Errorf("%#v arrived as %#v", a, b)
			}
			var c, d *fault.TaskError
			if errors.As(tt.err, &c) != errors.As(far, &d) || c != nil && c.Task != d.Task {
				t.Errorf("%#v arrived as %#v", c, d)
			}
		})
	}
	for _, b := range []string{"", "{}", "null", "[]", `{"err":{}}`} {
		if err := wire.DecodeError([]byte(b)); err == nil {
			t.Errorf("core.DecodeError(%q) = nil; want some error", b)
		}
	}
}

func FuzzProtocol(f *testing.F) {
	f.Add([]byte{}, uint8(frameTask))
	f.Add(taskFrame{id: 1, input: []byte("in")}.appendTo(nil, nil), uint8(frameTask))
	f.Add(resultFrame{id: 1, payload: []byte("{}")}.appendTo(nil), uint8(frameResult))
	f.Add(controlFrame{1, "name", nil}.bytes(), uint8(frameControl))
	f.Add(helloFrame{1, "file", []helloTask{{"sum", "a function"}}}.bytes(), uint8(frameHello))
	f.Fuzz(func(t *testing.T, b []byte, kind uint8) {
		// What can be parsed must be what is written.
		check := func(again []byte, err error) {
			if err == nil && !bytes.Equal(again, b) {
				t.Errorf("kind %d: %x is written as %x", kind, b, again)
			}
		}
		switch frameKind(kind) {
		case frameTask:
			v, err := parseTask(b)
			check(v.appendTo(nil, func(b []byte) []byte { return append(b, v.header...) }), err)
		case frameResult:
			v, err := parseResult(b)
			check(v.appendTo(nil), err)
			wire.DecodeError(v.payload)
		case frameAsk:
			v, err := parseAsk(b)
			check(v.appendTo(nil), err)
		case frameControl:
			v, err := parseControl(b)
			check(v.bytes(), err)
		case frameMessage:
			v, err := parseMessage(b)
			check(v.appendTo(nil), err)
		case frameCancel:
			v, err := parseCancel(b)
			check(v.bytes(), err)
		case frameHello:
			v, err := parseHello(b)
			check(v.bytes(), err)
		case frameAnswer:
			parseAnswer(b)
		}
		readFrame(bufio.NewReader(bytes.NewReader(b)), nil)
	})
}

func TestTaskTable(t *testing.T) {
	c, f, err := newShared()
	if err != nil {
		t.Fatal(err)
	}
	defer c.unmap()
	other, err := mapShared(f) // as a worker does
	if err != nil {
		t.Fatal(err)
	}
	defer other.unmap()
	f.Close()
	c.set(5, stateSent)
	if !other.start(5) || c.withdraw(5) || c.state(5) != stateStarted {
		t.Error("what the worker has started was withdrawn, or could not be started")
	}
	c.set(5+slots, stateSent) // the same slot, later
	if !c.withdraw(5+slots) || other.start(5+slots) {
		t.Error("what was withdrawn was started, or could not be withdrawn")
	}
	c.set(6, stateSent|timed)
	if _, ok := c.startedAt(6); ok || c.state(6) != stateSent {
		t.Error("a timed task that was sent has another state, or a time at which it was started")
	}
	before := core.Now()
	if !other.start(6) || c.withdraw(6) || c.state(6) != stateStarted {
		t.Error("a timed task that the worker has started was withdrawn, or could not be started")
	}
	if at, ok := c.startedAt(6); !ok || core.StampsCompare && (at < before || at > core.Now()) {
		t.Errorf("a timed task was started at %d, %t; want between %d and %d", at, ok, before, core.Now())
	}
	c.set(7, stateSent|timed)
	if !c.withdraw(7) || other.start(7) {
		t.Error("a timed task that was withdrawn was started, or could not be withdrawn")
	}
}

// A task is not cancelled in the place of one that had its slot before.
func TestCancelOfWhatWasAnswered(t *testing.T) {
	shared, f, err := newShared()
	if err != nil {
		t.Fatal(err)
	}
	defer shared.unmap()
	f.Close()
	task := core.NewTask("backends.cancelled", func(_ context.Context, n int) (int, error) { return n, nil })
	w := newWorker([]core.AnyTask{task}, core.WorkerHooks{}, shared, io.Discard)
	const id = 5 + slots
	j := w.accept(frame{}, taskFrame{id: id, input: make([]byte, 8)})
	for _, tt := range []struct {
		id     uint32
		wanted bool
	}{{id - slots, true}, {id, false}} {
		if err := w.take(frame{kind: frameCancel, body: cancelFrame{id: tt.id, cause: "stop"}.bytes()}); err != nil {
			t.Fatal(err)
		}
		if got := j.call.Wanted(); got != tt.wanted {
			t.Errorf("after task %d was cancelled, task %d is wanted: %t; want %t", tt.id, id, got, tt.wanted)
		}
	}
}
