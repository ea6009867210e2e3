package ipc

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/f3f4c0de/harness/internal/child"
	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/fault"
	"github.com/f3f4c0de/harness/internal/wire"
)

// WorkerRole is the [child.Role] of a worker process.
const WorkerRole = "worker"

// indexEnv tells a worker process which of the executor's workers it is.
const indexEnv = "HARNESS_WORKER_INDEX"

// servable are the tasks that this program's workers know; nil until EntryPoint was
// called.
var servable atomic.Pointer[[]core.AnyTask]

// EntryPoint makes this process a worker that runs the given tasks, and never
// returns, if it was started as one. In any other process it notes that the
// program can be a worker, and returns. A program calls it, through
// executor.Main or cli.Main, first thing in main. hooks is called in a worker
// only, and may be nil. EntryPoint panics if two tasks have the same name, if one is
// nil, and if it was called before without one of them.
func EntryPoint(tasks []core.AnyTask, hooks func() (core.WorkerHooks, error)) {
	checkNames(tasks)
	if child.Role() != WorkerRole {
		note(tasks)
		return
	}
	var h core.WorkerHooks
	if hooks != nil {
		var err error
		if h, err = hooks(); err != nil {
			fmt.Fprintln(os.Stderr, "worker:", err)
			os.Exit(1)
		}
	}
	serveWorker(tasks, h)
}

// checkNames panics if two tasks have the same name, since a worker process is
// told only the name. A task may be given more than once.
func checkNames(tasks []core.AnyTask) {
	named := make(map[string]core.AnyTask)
	for i, t := range tasks {
		if t == nil || t.Identity() == nil {
			panic(fmt.Sprintf("executor: of %d tasks that were given to executor.Main or cli.Main, number %d is nil", len(tasks), i+1))
		}
		if other, ok := named[t.Name()]; ok && !other.Identity().Is(t.Identity()) {
			panic("executor: two tasks are named " + t.Name())
		}
		named[t.Name()] = t
	}
}

// note notes that the program can be a worker for the tasks.
func note(tasks []core.AnyTask) {
	before := servable.Load()
	if before == nil {
		servable.Store(&tasks)
		return
	}
	first := newTaskSet(*before)
	for _, t := range tasks {
		if first.check(t.Identity()) != nil {
			panic("executor: executor.Main or cli.Main was called before, and was not given task " + t.Name() +
				": a worker process serves tasks in the first call and never comes to another, so give all tasks to one call")
		}
	}
}

// knownTasks returns the tasks that an executor is to be opened with: those
// given, which the workers must know, or else all that they know.
func knownTasks(tasks []core.AnyTask) ([]core.AnyTask, error) {
	known := servable.Load()
	switch {
	case child.Role() == WorkerRole:
		return nil, fmt.Errorf("%w: a worker process cannot start workers of its own; if this program did not mean to be a worker, call executor.Main or cli.Main first thing in main", fault.ErrNested)
	case known == nil:
		return nil, errors.New("this program cannot be its own worker: call executor.Main, with the tasks, or cli.Main first thing in main, and likewise in the TestMain of its tests")
	case tasks == nil:
		return *known, nil
	}
	all := newTaskSet(*known)
	for i, t := range tasks {
		if t == nil || t.Identity() == nil {
			return nil, fmt.Errorf("of %d tasks in Config.Tasks, number %d is nil", len(tasks), i+1)
		}
		if err := all.check(t.Identity()); err != nil {
			return nil, err
		}
	}
	return tasks, nil
}

func serveWorker(tasks []core.AnyTask, hooks core.WorkerHooks) {
	// What ends a program reaches each of its processes if it is sent to a whole
	// service. The parent decides what it means. They are not ignored, since the
	// programs that tasks start would ignore them, too. Nor is a worker ended by
	// writing where nobody reads any more.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	in, out := child.Parent()
	shared, err := mapShared(child.File(0))
	if err == nil {
		err = newWorker(tasks, hooks, shared, out).serve(in)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// A worker is the worker's end of the conversation.
type worker struct {
	tasks  []core.AnyTask
	hooks  core.WorkerHooks
	shared *shared
	todo   chan job
	self   core.Worker
	site   core.Site

	out     *frameWriter
	flushed core.Stamp  // when out was last written to
	late    *time.Timer // writes results that were held back
	held    bool        // late is set

	calls [slots]atomic.Pointer[core.Call] // those not answered, by id
	ids   [slots]uint32                    // their ids; for listen alone
	input [slots][]byte                    // room for their arguments
	free  core.Stamp                       // when the last task ended, if nothing was done since

	mu      sync.Mutex
	asked   map[uint32]chan answerFrame
	lastAsk uint32
}

// A job is a task that the worker was sent. Its argument is decoded when its turn
// comes: whatever that does to the worker is then known to be its doing.
type job struct {
	id     uint32
	header []byte
	frame  frame  // holds the argument until done
	input  []byte // the argument
	call   *core.Call
	err    error // why it cannot be run
}

func newWorker(tasks []core.AnyTask, hooks core.WorkerHooks, shared *shared, out io.Writer) *worker {
	w := &worker{
		tasks:  tasks,
		hooks:  hooks,
		shared: shared,
		todo:   make(chan job, slots), // never full: the parent sends no more
		out:    newFrameWriter(out, shared.fromWorker, &shared.outbox),
		asked:  make(map[uint32]chan answerFrame),
	}
	index, _ := strconv.Atoi(os.Getenv(indexEnv))
	w.self = core.Worker{Index: index, PID: os.Getpid(), Queues: w}
	w.site = core.Site{Observer: hooks.Observer}
	w.late = time.AfterFunc(time.Hour, w.flushLate)
	w.late.Stop()
	return w
}

// serve runs tasks until the input ends.
func (w *worker) serve(in io.Reader) error {
	if err := w.out.write(frameHello, hello(w.tasks).bytes()); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { // ends with the input; the process does not outlive it
		err := w.listen(in)
		if err == nil || errors.Is(err, io.ErrUnexpectedEOF) { // nobody wants what was being written
			if err = nil; w.shared.ending.Load() == 0 {
				// The parent says when nothing is left to do: it is gone, and
				// nobody wants what is being computed.
				os.Exit(1)
			}
		}
		close(w.todo)
		ended <- err
	}()
	done := make(chan error, 1)
	go w.work(done) // ends when listen does
	if err := errors.Join(<-done, <-ended); err != nil {
		return err
	}
	if w.hooks.Exit == nil {
		return nil
	}
	return w.hooks.Exit(func(topic string, payload []byte) error {
		return w.out.write(frameMessage, messageFrame{topic, payload}.appendTo(nil))
	})
}

// hello is what a worker that knows the tasks says first. Its parent compares it
// with what it would say itself.
func hello(tasks []core.AnyTask) helloFrame {
	h := helloFrame{version: protocolVersion, image: child.Image()}
	for _, t := range tasks {
		h.tasks = append(h.tasks, helloTask{t.Name(), t.Wire()})
	}
	return h
}

// listen takes frames until the input ends, and then returns nil.
func (w *worker) listen(in io.Reader) error {
	r := bufio.NewReaderSize(in, 64<<10)
	for {
		f, err := readFrame(r, w.shared.toWorker)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading from the parent: %w", err)
		}
		if err := w.take(f); err != nil {
			return fmt.Errorf("frame of kind %d from the parent: %w", f.kind, err)
		}
	}
}

func (w *worker) take(f frame) error {
	switch f.kind {
	case frameTask:
		t, err := parseTask(f.body)
		if err != nil {
			return err
		}
		w.todo <- w.accept(f, t)
		return nil
	case frameCancel:
		c, err := parseCancel(f.body)
		if err != nil {
			return err
		}
		// It may have been answered meanwhile, and the next have come that uses
		// the slot.
		if call := w.calls[c.id%slots].Load(); call != nil && w.ids[c.id%slots] == c.id {
			call.Cancel(c.err())
		}
		return nil
	case frameAnswer:
		a, err := parseAnswer(f.own(f.body))
		if err != nil {
			return err
		}
		w.mu.Lock()
		ch := w.asked[a.request]
		delete(w.asked, a.request)
		w.mu.Unlock()
		if ch != nil {
			ch <- a
		}
		return nil
	case frameControl:
		c, err := parseControl(f.own(f.body))
		if err != nil {
			return err
		}
		return w.control(c)
	}
	return errors.New("unknown kind")
}

// accept makes the call for a task, so that it can be cancelled from now on.
func (w *worker) accept(f frame, t taskFrame) job {
	j := job{id: t.id, frame: f}
	if len(t.header) > 0 {
		j.header = f.own(t.header)
	}
	index := int(t.task &^ batchTask)
	if index >= len(w.tasks) {
		j.err = fault.ErrUnknownTask
		return j
	}
	batch := t.task&batchTask != 0
	switch {
	case w.tasks[index].KeepsInput(batch):
		j.input = f.own(t.input)
	case f.shared && f.ring == nil: // the next frame takes its place
		room := &w.input[t.id%slots]
		*room = append((*room)[:0], t.input...)
		j.input = *room
		if cap(*room) > keptInput {
			*room = nil
		}
	default:
		j.input = t.input
	}
	j.call = w.tasks[index].Incoming(context.Background(), batch)
	j.call.Enter(&w.site)
	w.ids[t.id%slots] = t.id
	w.calls[t.id%slots].Store(j.call)
	return j
}

// keptInput bounds the room for an argument that is kept for the next.
const keptInput = 1 << 10

// work runs tasks until there are no more or the connection is lost.
func (w *worker) work(done chan<- error) {
	finished := false
	defer func() {
		if !finished { // a task ended the goroutine with runtime.Goexit
			go w.work(done)
		}
	}()
	var err error
	for j := range w.todo {
		if err = w.run(j); err != nil {
			break
		}
	}
	finished = true
	done <- err
}

// run runs one task and answers it, even if the task, or a method of its data, ends
// the goroutine. The error is that of the connection.
func (w *worker) run(j job) (err error) {
	res := resultFrame{id: j.id}
	if !w.shared.start(j.id) {
		j.frame.done()
		res.outcome = outcomeWithdrawn
		return w.answer(j, res, nil)
	}
	var out []byte // its result, if it was encoded apart
	at := coding
	ran := func() {
		at, j.err = coding, j.call.OwnErr()
		if j.call.CutShort() {
			j.err = nil
		}
		res.ended = core.Now()
		if obs := w.hooks.Observer; obs != nil && !obs.Untimed { // without what the observer took
			res.started, res.ended = j.call.Timing().Started, j.call.Timing().Ended
		}
	}
	defer func() {
		j.frame.done()
		switch at {
		case coding:
			j.err = fmt.Errorf("data of task %s %w: its own encoding called runtime.Goexit", j.call.Task(), fault.ErrEncode)
		case running:
			ran()
		}
		err = w.answer(j, res, out)
	}()
	if j.err == nil {
		j.err = j.call.DecodeInput(j.input)
		j.frame.done()
	}
	if j.err != nil {
		at = over
		return nil
	}
	if j.call.Batch() {
		w.stream(j)
	}
	w.self.Header = j.header
	if res.started = w.free; res.started == 0 || len(j.input) > quickInput {
		res.started = core.Now()
	}
	at = running
	j.call.Run(&w.self)
	ran()
	if _, foreign := j.call.Foreign(); foreign && j.err == nil {
		if out, j.err = j.call.AppendOutput(nil); out == nil {
			out = []byte{} // of which the encoding is nothing
		}
	}
	at = over
	return nil
}

// Where run is.
const (
	coding  = iota // methods of its data are called
	running        // its function is
	over           // nothing of the task is
)

// quickInput is how many bytes are decoded in no time: a clock reading takes longer.
const quickInput = 64

// stream sees to it that a batch hands over its results so that they outlive the
// worker.
func (w *worker) stream(j job) {
	room := w.shared.results
	room.id.Store(j.id)
	room.first.Store(0)
	j.call.Stream(core.BatchStream{
		Claim: &w.shared.items[j.id%slots],
		Room:  room.mem,
		Send: func(part []byte, next int) error {
			w.out.mu.Lock()
			defer w.out.mu.Unlock()
			err := w.out.appendLarge(frameResult, len(part), func(b []byte) ([]byte, error) {
				return append(resultFrame{id: j.id, outcome: outcomePart}.appendTo(b), part...), nil
			})
			room.first.Store(uint32(next))
			if err != nil || len(w.out.buf) < holdBytes {
				return err
			}
			w.flushed = core.Now()
			return w.out.flushKept()
		},
	})
}

// Results are held back for a moment if there is more to do, so that many are
// written at a time: each write wakes the parent, which costs more than a short
// task.
const (
	holdBack  = 50 * time.Microsecond // since the last write
	holdBytes = 32 << 10
	// lateAfter bounds how long a result can lie while a long task runs.
	lateAfter = time.Millisecond
)

// answer answers a job, with its result as it was encoded before, if it was, even
// if a method of the task's error ends the goroutine.
func (w *worker) answer(j job, res resultFrame, out []byte) (err error) {
	w.calls[j.id%slots].Store(nil)
	w.free = 0
	if j.err == nil {
		return w.send(j, res, out, nil)
	}
	wire.TellError(j.err, func(failure []byte) { err = w.send(j, res, out, failure) })
	return err
}

// send sends an answer, or holds it back for a moment.
func (w *worker) send(j job, res resultFrame, out, failure []byte) error {
	w.out.mu.Lock()
	defer w.out.mu.Unlock()
	err := w.add(j, res, out, failure)
	if err != nil { // the result cannot be sent
		err = w.add(j, res, nil, wire.AppendError(nil, err))
	}
	if err != nil {
		return err
	}
	if len(w.todo) > 0 && len(w.out.buf) < holdBytes && res.ended.Sub(w.flushed) < holdBack {
		if !w.held {
			w.held = true
			w.late.Reset(lateAfter)
		}
		w.free = res.ended
		return nil
	}
	w.flushed = core.Now()
	return w.out.flushKept()
}

// add adds the answer to what is written next. The caller holds out.mu.
func (w *worker) add(j job, res resultFrame, out, failure []byte) error {
	size := len(out)
	switch {
	case res.outcome == outcomeWithdrawn:
	case failure != nil:
		res.outcome, size = outcomeFailed, len(failure)
	case out == nil:
		size = j.call.OutputSize()
	}
	return w.out.appendLarge(frameResult, size, func(b []byte) ([]byte, error) {
		b = res.appendTo(b)
		switch {
		case res.outcome == outcomeWithdrawn:
			return b, nil
		case failure != nil:
			return append(b, failure...), nil
		case out != nil:
			return append(b, out...), nil
		}
		return j.call.AppendOutput(b)
	})
}

// flushLate writes what is still held back. If that fails, listen ends as well.
func (w *worker) flushLate() {
	w.out.mu.Lock()
	defer w.out.mu.Unlock()
	w.held = false
	_ = w.out.flushKept()
}

// err is the cause of a cancellation in the worker.
func (f cancelFrame) err() error {
	if f.limit > 0 {
		return &fault.TimeoutError{Task: f.cause, Limit: f.limit}
	}
	return cancelled(f.cause)
}

// cancelled is the cause with which a task is cancelled, as its submitter
// worded it. The submitter recognises it and puts the original in its place.
type cancelled string

func (c cancelled) Error() string { return string(c) }
func (c cancelled) Unwrap() error { return context.Canceled }

func (w *worker) control(f controlFrame) error {
	var payload []byte
	err := fmt.Errorf("this worker knows no request %q", f.name)
	if w.hooks.Control != nil {
		payload, err = w.hooks.Control(f.name, f.payload)
	}
	return w.out.write(frameReply, answerOf(f.request, payload, err).appendTo(nil))
}

// Ask implements [core.QueueClient].
func (w *worker) Ask(ctx context.Context, op core.QueueOp, queue uint64, payload []byte) ([]byte, error) {
	ch := make(chan answerFrame, 1)
	w.mu.Lock()
	w.lastAsk++
	request := w.lastAsk
	w.asked[request] = ch
	w.mu.Unlock()
	if err := w.out.write(frameAsk, askFrame{request, op, queue, payload}.appendTo(nil)); err != nil {
		return nil, err
	}
	select {
	case a := <-ch:
		return a.value()
	case <-ctx.Done():
	}
	// Too late, perhaps: a value that is on its way must not be lost.
	if err := w.out.write(frameUnask, binary.LittleEndian.AppendUint32(nil, request)); err != nil {
		return nil, err
	}
	v, err := (<-ch).value()
	if err != nil {
		return nil, context.Cause(ctx)
	}
	return v, nil
}
