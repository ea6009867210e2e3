package ipc

import (
	"bufio"
	"cmp"
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
// wait for a processor. A worker needs milliseconds; a program that does not call
// EntryPoint never answers.
const helloTimeout = 30 * time.Second

// start starts a process for the worker and waits until it is ready and
// prepared.
func (d *dispatcher) start(ctx context.Context) error {
	c, err := d.connect(ctx)
	for tries := 1; tries < maxTries && errors.Is(err, errMeantForAll); tries++ {
		c, err = d.connect(ctx)
	}
	if err != nil {
		return err
	}
	d.p.mu.Lock()
	d.p.started++
	d.p.mu.Unlock()
	if err := c.prepare(ctx, d.p.cfg.Init, &core.Site{Transport: d.p}); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause // it is not Init's fault
		} else {
			err = &fault.InitError{Worker: d.index, Err: err}
		}
		err = errors.Join(err, c.end())
		c.release()
		return err
	}
	d.had = true
	d.set(c)
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
func (d *dispatcher) connect(ctx context.Context) (*conn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cfg := d.p.cfg
	c := &conn{
		dispatcher: d, index: d.index, maxTasks: cfg.MaxTasksPerWorker, cancelGrace: cfg.CancelGrace, observer: cfg.Processes, window: least,
		lost: make(chan struct{}), asks: make(map[uint32]context.CancelFunc), replies: make(map[uint32]chan answerFrame), graces: make(map[uint32]*time.Timer),
		spawn: core.ProcessExit{Worker: d.index, Started: core.Now()},
	}
	c.noted.L = &c.mu
	if cfg.Observer != nil {
		c.header = cfg.Observer.Header
	}
	env := []string{"GOMAXPROCS=1", indexEnv + "=" + strconv.Itoa(d.index)}
	if c.observer != nil && c.observer.Spawning != nil {
		env = append(env, c.observer.Spawning(d.index)...)
	}
	shared, file, err := newShared()
	if err != nil {
		return nil, err
	}
	c.shared = shared
	c.proc, err = child.Command{Role: WorkerRole, Env: env, Stdout: os.Stdout, Stderr: os.Stderr, Files: []*os.File{file}, Group: true}.Start()
	file.Close()
	if err != nil {
		c.shared.unmap()
		return nil, err
	}
	c.spawn.PID = c.proc.PID()
	c.self = &core.Worker{Index: d.index, PID: c.proc.PID(), Waits: &d.p.waits}
	c.out = newFrameWriter(workerInput{c}, shared.toWorker, nil)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.endOnce = sync.OnceValue(c.endNow)
	patience := c.await(cancel)
	stopKill := context.AfterFunc(ctx, c.proc.Kill)
	in := bufio.NewReaderSize(c.proc.Out, 64<<10)
	err = c.hello(in, cfg.Tasks)
	patience.Stop()
	if !stopKill() && err == nil {
		err = context.Cause(ctx) // it is killed although it is ready
	}
	if err != nil {
		if !errors.Is(err, io.EOF) {
			c.proc.Kill()
		}
		exit := c.proc.End(endTimeout)
		c.cancel()
		c.shared.unmap()
		switch {
		case ctx.Err() != nil:
			err = context.Cause(ctx)
		case errors.Is(err, io.EOF) && slices.Contains(meantForAll, exit.Signal):
			err = fmt.Errorf("the worker was ended by a signal before it was ready, %s: %w", exit.Signal, errMeantForAll)
		case errors.Is(err, io.EOF):
			err = fmt.Errorf("the worker ended before it was ready, with %s\n%s", exit.Cause, exit.Stderr)
		}
		return nil, fmt.Errorf("starting worker %d (pid %d): %w", d.index, c.proc.PID(), err)
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

// A workerInput writes to a worker, and kills a worker that no longer reads: it may
// be alive, and the submitter would wait for an answer for ever.
type workerInput struct{ *conn }

func (l workerInput) Write(b []byte) (int, error) {
	n, err := l.proc.In.Write(b)
	if err != nil && !errors.Is(err, os.ErrClosed) { // or else it was told to end
		l.proc.Kill()
	}
	return n, err
}

// hangUp tells the worker that there is no more to do.
func (c *conn) hangUp() {
	c.shared.ending.Store(1)
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

// prepare runs Config.Init on the worker, if there is one.
func (c *conn) prepare(ctx context.Context, init core.Job, site *core.Site) error {
	if init == nil {
		return nil
	}
	call := init.Call(ctx)
	call.Enter(site)
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
	stopKill := context.AfterFunc(ctx, c.proc.Kill) // beforehand, since to send it may take long
	c.send([]*core.Call{call})
	select {
	case <-call.Done():
	case <-c.lost:
		unstarted, ran := c.unfinished()
		for _, v := range ran {
			if cause := cmp.Or(v.Interrupted(), context.Cause(ctx)); cause != nil {
				v.Fail(cause, 0, 0)
			}
			v.Fail(c.lostError(v.Call), 0, 0)
		}
		for _, call := range unstarted {
			call.Fail(c.lostWhen("before it was prepared"), 0, 0)
		}
	}
	err := call.Err()
	if !stopKill() && err == nil {
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
