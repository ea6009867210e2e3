package backends

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/internal/child"
)

// Processes runs tasks on worker processes, each with one processor.
var Processes = &harness.Backend{
	Name: "processes",
	Doc: `worker processes, one task at a time in each

Each worker is this same program started again, with GOMAXPROCS=1 and a heap
and a garbage collector of its own. Nothing is shared: arguments and results
are encoded and cross a pipe, which is measured as a part of its own.
CPU-bound work scales to the processors, waiting scales to the workers.`,
	Open: func(ctx context.Context, cfg harness.Config) (harness.Executor, error) {
		return openProcesses(ctx, cfg)
	},
}

const (
	// helloTimeout bounds the start of a worker. A worker needs milliseconds;
	// a program that does not divert its workers never answers.
	helloTimeout = 10 * time.Second

	// endTimeout is how long a worker may take to end after its last task.
	endTimeout = 10 * time.Second

	// maxLosses in a row without one task done mean that workers cannot work.
	maxLosses = 3
)

// processes is an executor whose workers are processes.
type processes struct {
	cfg     harness.Config
	queue   queue
	feeders sync.WaitGroup // one per worker

	mu    sync.Mutex
	conns []*conn // by worker; replaced when a worker is lost
	errs  []error // for Close
}

func openProcesses(ctx context.Context, cfg harness.Config) (*processes, error) {
	if child.Role() == WorkerRole {
		return nil, errors.New("a worker process cannot start workers of its own; if this program did not mean to be a worker, call executor.Main or cli.Main first thing in main")
	}
	p := &processes{cfg: cfg, conns: make([]*conn, workers(cfg))}
	p.queue.init()
	var starting sync.WaitGroup
	errs := make([]error, len(p.conns))
	for i := range p.conns {
		starting.Go(func() { p.conns[i], errs[i] = p.start(ctx, i) })
	}
	starting.Wait()
	if err := errors.Join(errs...); err != nil {
		for _, c := range p.conns {
			if c != nil {
				err = errors.Join(err, c.end())
			}
		}
		return nil, err
	}
	for i := range p.conns {
		p.feeders.Go(func() { p.feed(i) })
	}
	return p, nil
}

func (p *processes) Submit(_ context.Context, c *harness.Call) {
	c.Watch(p.cfg.Observer, p.cfg.Timing)
	if !p.queue.push(c) {
		c.Fail(harness.ErrClosed, 0, 0)
	}
}

func (p *processes) Close() error {
	p.queue.close()
	p.feeders.Wait()
	return errors.Join(p.errs...)
}

// feed gives calls to worker i until the queue is closed and empty. A worker
// that is lost is replaced.
func (p *processes) feed(i int) {
	conn := p.conns[i]
	losses := 0
	var broken error
	for {
		c, ok := p.queue.pop()
		if !ok {
			break
		}
		for broken == nil && conn.isLost() {
			losses++
			if losses >= maxLosses {
				broken = fmt.Errorf("gave up on worker %d: lost %d times in a row, the last time with %s", i, losses, conn.exit.Cause)
				break
			}
			next, err := p.start(context.Background(), i)
			if err != nil {
				broken = fmt.Errorf("replacing worker %d: %w", i, err)
				break
			}
			p.mu.Lock()
			p.conns[i], conn = next, next
			p.mu.Unlock()
		}
		if broken != nil {
			c.Fail(broken, 0, 0)
			continue
		}
		if conn.run(c) {
			losses = 0
		}
	}
	if err := conn.end(); err != nil {
		p.mu.Lock()
		p.errs = append(p.errs, err)
		p.mu.Unlock()
	}
}

// Control implements [harness.Controller].
func (p *processes) Control(ctx context.Context, request string, payload []byte) ([]harness.Reply, error) {
	p.mu.Lock()
	conns := slices.Clone(p.conns)
	p.mu.Unlock()
	replies := make([]harness.Reply, len(conns))
	errs := make([]error, len(conns))
	var asking sync.WaitGroup
	for i, c := range conns {
		asking.Go(func() {
			b, err := c.control(ctx, request, payload)
			if err != nil {
				errs[i] = fmt.Errorf("worker %d (pid %d): request %s: %w", i, c.proc.PID(), request, err)
			}
			replies[i] = harness.Reply{Worker: i, PID: c.proc.PID(), Payload: b}
		})
	}
	asking.Wait()
	return replies, errors.Join(errs...)
}

// A conn is the submitter's end of the conversation with one worker process.
type conn struct {
	index   int
	proc    *child.Process
	watch   *harness.ProcessObserver
	header  func(b []byte, c *harness.Call) []byte
	tasks   map[string]uint16 // index by name
	out     frameWriter
	started harness.Stamp
	ready   harness.Stamp

	idle chan struct{} // the call in flight is over
	lost chan struct{} // closed once nothing more comes from the worker, with exit set
	exit child.Exit

	ctx     context.Context // ends with the conn: what queues are asked with
	cancel  context.CancelFunc
	asking  sync.WaitGroup
	endOnce func() error

	mu          sync.Mutex
	call        *harness.Call // in flight; nil if none
	id          uint32        // of call
	asks        map[uint32]context.CancelFunc
	replies     map[uint32]chan answerFrame
	lastRequest uint32
	over        bool // nothing more comes from the worker
}

// start starts worker i and waits until it is ready.
func (p *processes) start(ctx context.Context, i int) (*conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, helloTimeout,
		fmt.Errorf("no answer within %v: does the program call executor.Main or cli.Main first thing in main?", helloTimeout))
	defer cancel()
	c := &conn{
		index:   i,
		watch:   p.cfg.Processes,
		idle:    make(chan struct{}, 1),
		lost:    make(chan struct{}),
		asks:    make(map[uint32]context.CancelFunc),
		replies: make(map[uint32]chan answerFrame),
		started: harness.Now(),
	}
	if p.cfg.Observer != nil {
		c.header = p.cfg.Observer.Header
	}
	env := []string{"GOMAXPROCS=1"}
	if c.watch != nil && c.watch.Spawning != nil {
		env = append(env, c.watch.Spawning(i)...)
	}
	var err error
	c.proc, err = child.Command{Role: WorkerRole, Env: env, Stdout: os.Stdout, Stderr: os.Stderr}.Start()
	if err != nil {
		return nil, err
	}
	c.out.w = c.proc.In
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.endOnce = sync.OnceValue(c.endNow)
	stop := context.AfterFunc(ctx, c.proc.Kill)
	defer stop()
	in := bufio.NewReaderSize(c.proc.Out, 64<<10)
	if err := c.hello(in, p.cfg.Tasks); err != nil {
		c.proc.Kill()
		c.cancel()
		exit := c.proc.Wait()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		} else if exit.Stderr != "" {
			err = fmt.Errorf("%w; it ended with %s and wrote:\n%s", err, exit.Cause, exit.Stderr)
		}
		return nil, fmt.Errorf("starting worker %d: %w", i, err)
	}
	c.ready = harness.Now()
	go c.listen(in) // ends with the worker's output; endNow and whoever sees lost wait for it
	return c, nil
}

func (c *conn) hello(in *bufio.Reader, tasks []harness.AnyTask) error {
	f, err := readFrame(in)
	if err != nil {
		return fmt.Errorf("the worker ended before it was ready: %w", err)
	}
	var h helloFrame
	if f.kind != frameHello || json.Unmarshal(f.body, &h) != nil || h.Version != protocolVersion {
		return errors.New("the worker speaks another protocol: the program was replaced while it ran")
	}
	c.tasks = make(map[string]uint16, len(h.Tasks))
	for i, name := range h.Tasks {
		c.tasks[name] = uint16(i)
	}
	for _, t := range tasks {
		if _, ok := c.tasks[t.Name()]; !ok {
			return fmt.Errorf("%w %s: it is not among those that the worker process was given", harness.ErrUnknownTask, t.Name())
		}
	}
	return nil
}

func (c *conn) isLost() bool {
	select {
	case <-c.lost:
		return true
	default:
		return false
	}
}

// run carries one call to the worker and waits until it is over. It reports
// false if the worker was lost.
func (c *conn) run(call *harness.Call) bool {
	if !call.Claim(c.index, c.proc.PID(), c.abort) {
		return true
	}
	task, ok := c.tasks[call.Task()]
	if !ok {
		call.Fail(fmt.Errorf("%w %s: it is not among those that the worker process was given", harness.ErrUnknownTask, call.Task()), 0, 0)
		return true
	}
	c.mu.Lock()
	c.id++
	t := taskFrame{id: c.id, task: task}
	c.call = call
	c.mu.Unlock()
	err := c.out.write(frameTask, func(b []byte) ([]byte, error) {
		var header func([]byte) []byte
		if c.header != nil {
			header = func(b []byte) []byte { return c.header(b, call) }
		}
		return call.AppendInput(t.appendTo(b, header))
	})
	if err != nil && !errors.As(err, new(lostError)) {
		c.take(t.id)
		call.Fail(err, 0, 0)
		return true
	}
	select {
	case <-c.idle:
		return true
	case <-c.lost:
	}
	if c.take(t.id) == nil {
		<-c.idle // its last words were the result
		return true
	}
	call.Fail(&harness.WorkerLostError{
		Worker: c.index, PID: c.proc.PID(), Cause: c.exit.Cause, Task: call.Task(), Stderr: c.exit.Stderr,
	}, 0, 0)
	return false
}

// take removes and returns the call in flight if it has that id.
func (c *conn) take(id uint32) *harness.Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.id != id {
		return nil
	}
	call := c.call
	c.call = nil
	return call
}

// abort passes on that a running task is to stop.
func (c *conn) abort(call *harness.Call, cause error) {
	c.mu.Lock()
	id, current := c.id, c.call == call
	c.mu.Unlock()
	if current {
		c.send(frameCancel, cancelFrame{id, cause.Error()}.appendTo(nil))
	}
}

// send sends one frame. If the connection is lost, listen notices as well.
func (c *conn) send(k frameKind, body []byte) error {
	return c.out.write(k, func(b []byte) ([]byte, error) { return append(b, body...), nil })
}

// listen takes what the worker says until it says no more. Then the worker is
// lost, unless it was told to end.
func (c *conn) listen(in *bufio.Reader) {
	var fault error
	for {
		f, err := readFrame(in)
		if err == nil {
			err = c.hear(f)
		}
		if err != nil {
			fault = err
			break
		}
	}
	c.mu.Lock()
	c.over = true
	c.mu.Unlock()
	c.cancel()
	c.asking.Wait()
	if fault == io.EOF {
		c.exit = c.proc.End(endTimeout)
	} else {
		c.proc.Kill()
		c.exit = c.proc.Wait()
		c.exit.Cause = fmt.Sprintf("%v; it ended with %s", fault, c.exit.Cause)
	}
	c.mu.Lock()
	for request, ch := range c.replies {
		ch <- outcome(request, nil, fmt.Errorf("the worker ended with %s", c.exit.Cause))
	}
	clear(c.replies)
	c.mu.Unlock()
	if c.watch != nil && c.watch.Exited != nil {
		c.watch.Exited(harness.ProcessExit{
			Worker: c.index, PID: c.proc.PID(), Started: c.started, Ready: c.ready, Ended: harness.Now(),
			Code: c.exit.Code, Cause: c.exit.Cause,
		})
	}
	close(c.lost)
}

func (c *conn) hear(f frame) error {
	switch f.kind {
	case frameResult:
		r, err := parseResult(f.body)
		if err != nil {
			return err
		}
		call := c.take(r.id)
		if call == nil {
			return fmt.Errorf("result of task %d, which is not in flight", r.id)
		}
		c.idle <- struct{}{}
		if r.failed {
			call.Fail(decodeFailure(r.payload), r.started, r.ended)
		} else {
			call.Complete(r.payload, r.started, r.ended)
		}
	case frameAsk:
		a, err := parseAsk(f.body)
		if err != nil {
			return err
		}
		c.answer(a)
	case frameUnask:
		request, err := parseUnask(f.body)
		if err != nil {
			return err
		}
		c.mu.Lock()
		if cancel := c.asks[request]; cancel != nil {
			cancel()
		}
		c.mu.Unlock()
	case frameReply:
		r, err := parseAnswer(f.body)
		if err != nil {
			return err
		}
		c.mu.Lock()
		ch := c.replies[r.request]
		delete(c.replies, r.request)
		c.mu.Unlock()
		if ch != nil {
			ch <- r
		}
	case frameMessage:
		m, err := parseMessage(f.body)
		if err != nil {
			return err
		}
		if c.watch != nil && c.watch.Message != nil {
			c.watch.Message(c.index, m.topic, m.payload)
		}
	default:
		return fmt.Errorf("frame of unknown kind %d", f.kind)
	}
	return nil
}

// answer does for the worker what it asked, beside everything else: it may
// take long. There are as many at a time as the worker's task has goroutines
// that ask.
func (c *conn) answer(a askFrame) {
	ctx, cancel := context.WithCancel(c.ctx)
	c.mu.Lock()
	c.asks[a.request] = cancel
	c.mu.Unlock()
	c.asking.Go(func() {
		v, err := harness.AnswerQueue(ctx, a.op, a.queue, a.payload)
		c.mu.Lock()
		delete(c.asks, a.request)
		c.mu.Unlock()
		cancel()
		c.send(frameAnswer, outcome(a.request, v, err).appendTo(nil))
	})
}

func (c *conn) control(ctx context.Context, request string, payload []byte) ([]byte, error) {
	ch := make(chan answerFrame, 1)
	c.mu.Lock()
	c.lastRequest++
	n := c.lastRequest
	if c.over {
		c.mu.Unlock()
		return nil, errors.New("the worker has ended")
	}
	c.replies[n] = ch
	c.mu.Unlock()
	if err := c.send(frameControl, controlFrame{n, request, payload}.appendTo(nil)); err != nil {
		return nil, err
	}
	select {
	case r := <-ch:
		return r.value()
	case <-ctx.Done():
		c.mu.Lock()
		delete(c.replies, n)
		c.mu.Unlock()
		return nil, context.Cause(ctx)
	}
}

// end tells the worker that there is no more to do and waits until it has
// ended. The error tells how, if that was not in good order.
func (c *conn) end() error { return c.endOnce() }

func (c *conn) endNow() error {
	if c.isLost() {
		return nil // whoever lost a task by it knows
	}
	c.proc.In.Close()
	t := time.AfterFunc(endTimeout, c.proc.Kill)
	defer t.Stop()
	<-c.lost
	if c.exit.Code == 0 {
		return nil
	}
	return fmt.Errorf("worker %d (pid %d) did not end in good order: %s\n%s", c.index, c.proc.PID(), c.exit.Cause, c.exit.Stderr)
}
