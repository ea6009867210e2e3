package backends

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/f3f4c0de/harness/internal/child"
	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/fault"
)

// helloTimeout bounds the start of a worker: the time in which it is not made to
// wait for a processor. A worker needs milliseconds; a program that does not divert
// its workers never answers.
const helloTimeout = 30 * time.Second

// start starts a process for the worker and waits until it is ready and
// prepared.
func (f *feeder) start(ctx context.Context) error {
	c, err := f.connect(ctx)
	for tries := 1; tries < maxTries && errors.Is(err, errMeantForAll); tries++ {
		c, err = f.connect(ctx)
	}
	if err != nil {
		return err
	}
	if err := c.prepare(ctx); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause // it is not Init's fault
		} else {
			err = &fault.InitError{Worker: f.index, Err: err}
		}
		err = errors.Join(err, c.end())
		c.release()
		return err
	}
	f.set(c)
	f.p.mu.Lock()
	f.p.started++
	f.p.mu.Unlock()
	return nil
}

// errMeantForAll is why a worker did not become ready that was ended by a signal which
// ends programs, before it could survive that: it may have been sent to each process
// of a service, and the parent decides what it means.
var errMeantForAll = errors.New("it had not come to executor.Main or cli.Main")

var meantForAll = []string{syscall.SIGINT.String(), syscall.SIGTERM.String(), syscall.SIGHUP.String()}

// maxTries bounds how often a worker is started that ends so.
const maxTries = 5

// connect starts a process for the worker and waits until it answers.
func (f *feeder) connect(ctx context.Context) (*conn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cfg := f.p.cfg
	c := &conn{
		feeder: f, watch: cfg.Processes, window: least,
		lost: make(chan struct{}), asks: make(map[uint32]context.CancelFunc), replies: make(map[uint32]chan answerFrame), graces: make(map[uint32]*time.Timer),
		spawn: core.ProcessExit{Worker: f.index, Started: core.Now()},
	}
	c.noted.L = &c.mu
	if cfg.Observer != nil {
		c.header = cfg.Observer.Header
	}
	env := []string{"GOMAXPROCS=1", indexEnv + "=" + strconv.Itoa(f.index)}
	if c.watch != nil && c.watch.Spawning != nil {
		env = append(env, c.watch.Spawning(f.index)...)
	}
	shared, file, err := newShared()
	if err != nil {
		return nil, err
	}
	c.claims = shared
	c.proc, err = child.Command{Role: WorkerRole, Env: env, Stdout: os.Stdout, Stderr: os.Stderr, Files: []*os.File{file}, Group: true}.Start()
	file.Close()
	if err != nil {
		c.claims.unmap()
		return nil, err
	}
	c.spawn.PID = c.proc.PID()
	c.self = &core.Worker{Index: f.index, PID: c.proc.PID(), Crew: &f.p.crew}
	c.out = newFrameWriter(lifeline{c}, shared.toWorker, nil)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.endOnce = sync.OnceValue(c.endNow)
	patience := c.await(cancel)
	spare := context.AfterFunc(ctx, c.proc.Kill)
	in := bufio.NewReaderSize(c.proc.Out, 64<<10)
	err = c.hello(in, cfg.Tasks)
	patience.Stop()
	if !spare() && err == nil {
		err = context.Cause(ctx) // it is killed although it is ready
	}
	if err != nil {
		if !errors.Is(err, io.EOF) {
			c.proc.Kill()
		}
		exit := c.proc.End(endTimeout)
		c.cancel()
		c.claims.unmap()
		switch {
		case ctx.Err() != nil:
			err = context.Cause(ctx)
		case errors.Is(err, io.EOF) && slices.Contains(meantForAll, exit.Signal):
			err = fmt.Errorf("the worker was ended by a signal before it was ready, %s: %w", exit.Signal, errMeantForAll)
		case errors.Is(err, io.EOF):
			err = fmt.Errorf("the worker ended before it was ready, with %s\n%s", exit.Cause, exit.Stderr)
		}
		return nil, fmt.Errorf("starting worker %d (pid %d): %w", f.index, c.proc.PID(), err)
	}
	c.spawn.Ready = core.Now()
	go c.listen(in) // ends with the worker's output; endNow and whoever sees lost wait for it
	return c, nil
}

// await gives the worker up if it does not answer in time. Stopping the timer ends
// that.
func (c *conn) await(giveUp context.CancelCauseFunc) *time.Timer {
	began := time.Now()
	var patience *time.Timer
	patience = time.AfterFunc(helloTimeout, func() {
		computed, waited := c.proc.Times()
		if left := helloTimeout - (time.Since(began) - waited); left > 0 {
			patience.Reset(max(left, time.Second))
			return
		}
		giveUp(fmt.Errorf("no answer within %v, in which it computed for %v: does the program call executor.Main or cli.Main first thing in main?",
			time.Since(began).Round(time.Second), computed.Round(time.Millisecond)))
	})
	return patience
}

// A lifeline writes to a worker, and kills one that no longer listens: it may be
// alive, and its submitter would wait for an answer for ever.
type lifeline struct{ *conn }

func (l lifeline) Write(b []byte) (int, error) {
	n, err := l.proc.In.Write(b)
	if err != nil && !errors.Is(err, os.ErrClosed) { // or else it was told to end
		l.proc.Kill()
	}
	return n, err
}

// hangUp tells the worker that there is no more to do.
func (c *conn) hangUp() {
	c.claims.ending.Store(1)
	c.proc.In.Close()
}

func (c *conn) hello(in *bufio.Reader, tasks []core.AnyTask) error {
	f, err := readFrame(in, nil)
	if err != nil {
		return err
	}
	h, err := parseHello(f.body)
	if f.kind != frameHello || err != nil || h.version != protocolVersion {
		return fmt.Errorf("%w: it speaks another protocol", fault.ErrOtherProgram)
	}
	if here := child.Image(); h.image != here && h.image != "" && here != "" {
		return fmt.Errorf("%w: the program's file was replaced while it ran", fault.ErrOtherProgram)
	}
	c.tasks = make(map[string]uint16, len(h.tasks))
	for i, t := range h.tasks {
		c.tasks[t.name] = uint16(i)
	}
	for _, t := range tasks {
		i, ok := c.tasks[t.Name()]
		if !ok {
			return unknownTask(t.Name())
		}
		if there, here := h.tasks[i].wire, t.Wire(); there != here {
			return fmt.Errorf("%w: to it, task %s is %s; here it is %s. The tasks given to executor.Main must not depend on arguments or the environment",
				fault.ErrOtherProgram, t.Name(), there, here)
		}
	}
	return nil
}

func unknownTask(name string) error {
	return fmt.Errorf("%w %s: it is not among those that the worker processes were given, by executor.Main or Config.Tasks", fault.ErrUnknownTask, name)
}

// prepare runs Config.Init on the worker.
func (c *conn) prepare(ctx context.Context) error {
	if c.feeder.p.cfg.Init == nil {
		return nil
	}
	call := c.feeder.p.cfg.Init.Call(ctx)
	call.Enter(&core.Site{Carrier: c.feeder.p})
	if !call.Wanted() {
		return call.Err()
	}
	if foreign, _ := call.Foreign(); foreign {
		done := make(chan struct{})
		call.Encode(func() { close(done) }) // it is nobody's yet who could cancel it
		select {
		case <-done:
		case <-ctx.Done():
			call.Cancel(context.Cause(ctx))
		}
		if !call.Wanted() {
			return call.Err()
		}
	}
	spare := context.AfterFunc(ctx, c.proc.Kill) // beforehand, since to send it may take long
	c.send([]*core.Call{call})
	select {
	case <-call.Done():
	case <-c.lost:
		unstarted, ran := c.salvage()
		for _, v := range ran {
			if ctx.Err() != nil {
				v.Fail(context.Cause(ctx), 0, 0)
			}
			v.Fail(c.lostError(v.Call), 0, 0)
		}
		for _, call := range unstarted {
			call.Fail(fmt.Errorf("worker %d (pid %d) was lost before it was prepared: %s", c.feeder.index, c.proc.PID(), c.exit.Cause), 0, 0)
		}
	}
	err := call.Err()
	if !spare() && err == nil {
		err = context.Cause(ctx) // it is killed although it is prepared
	}
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.first, c.mean, c.window, c.useful = c.next, 0, least, false
	return nil
}
