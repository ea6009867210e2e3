// Package trial is the process of a trial: it runs one cell once and answers with what
// it measured. How the program is run, and what is recorded beside the figures, is the
// trial's instrumentation: plain, traced or profiled. The part of a worker process is in
// worker.go, and the messages between the processes are in messages.go.
//
// To add a kind of instrumentation, add a type with its three methods, a line in
// instrumentation.go, its part in a worker process, and a step in the plan. To add an
// observer whose cost is measured, add an entry in observers.go.
package trial

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/child"
	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/experiment/spec"
	"github.com/f3f4c0de/harness/internal/results"
)

// EntryPoint is the entry point of the processes that this package starts: in a process
// that was started as a trial, a server or a probe it runs that, and never returns. In
// any other process it returns at once. Call it first in main.
func EntryPoint(ctx context.Context, kinds spec.Kinds) {
	switch child.Role() {
	case Role:
		serveTrial(ctx, kinds)
	case ServerRole:
		serveServer(ctx, kinds)
	case ProbeRole:
		serveProbe()
	}
}

// serveTrial is the main function of a trial process. It never returns.
func serveTrial(ctx context.Context, kinds spec.Kinds) {
	signal.Ignore(os.Interrupt) // the parent decides when this process ends
	in, out := child.Parent()
	var order Order
	if err := json.NewDecoder(in).Decode(&order); err != nil {
		fmt.Fprintln(os.Stderr, "trial: reading the order:", err)
		os.Exit(1)
	}
	var replied atomic.Bool
	go func() { // ends with the process
		// The parent closes the input after it has read the reply. If the input ends
		// before, the parent has died. The workers then read the end of theirs.
		_, _ = io.Copy(io.Discard, in)
		if !replied.Load() {
			os.Exit(1)
		}
	}()
	t := trial{order: order, exited: newExitAccounting()}
	err := t.run(ctx, kinds)
	if err != nil {
		t.reply.Error = err.Error()
	}
	replied.Store(true)
	if err := json.NewEncoder(out).Encode(t.reply); err != nil {
		fmt.Fprintln(os.Stderr, "trial: sending the result:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// A trial runs one cell in this process.
type trial struct {
	order  Order
	exited *exitAccounting
	reply  Reply
}

// run runs the cell. If it fails, the reply still has what is known.
func (t *trial) run(ctx context.Context, kinds spec.Kinds) (err error) {
	w, err := kinds.Workload(t.order.Workload)
	if err != nil {
		return err
	}
	b, err := kinds.Backend(t.order.Cell.Backend)
	if err != nil {
		return err
	}
	params, err := spec.DecodeParams(w, t.order.Params)
	if err != nil {
		return err
	}
	in, err := t.instrumentation(ctx)
	if err != nil {
		return err
	}
	m := &t.reply.Measured
	m.GOMAXPROCS, m.Workers, m.PID = runtime.GOMAXPROCS(0), t.order.Cell.Workers, os.Getpid()
	start := time.Now()
	p := &program{workload: w, exited: t.exited, measured: m, env: harness.Env{Params: params, Workers: m.Workers, Dir: t.order.Dir}}
	if t.order.Kind == results.Timed || t.order.Kind == results.ObserverTrial {
		p.least = t.order.LeastNS
	}
	closeProgram, err := p.open(ctx, t.order.Params)
	defer func() { err = errors.Join(err, closeProgram()) }()
	if err != nil {
		return err
	}
	m.OpenNS = took(&start)
	return t.observe(ctx, p, b, in)
}

// open starts the program's server, if it has one, and sets the program up.
func (p *program) open(ctx context.Context, params results.Params) (closeAll func() error, err error) {
	closeServer := doNothing
	if p.workload.Serve != nil {
		server, err := startServer(ctx, p.workload.Name, params)
		if err != nil {
			return doNothing, err
		}
		p.env.Addr, closeServer = server.addr, server.end
	}
	if p.session, err = p.workload.Open(ctx, p.env); err != nil {
		return closeServer, fmt.Errorf("setting up workload %s: %w", p.workload.Name, err)
	}
	return func() error {
		err := p.session.Close()
		if err != nil {
			err = fmt.Errorf("closing workload %s: %w", p.workload.Name, err)
		}
		return errors.Join(err, closeServer())
	}, nil
}

// observe opens the backend, runs the program on it and closes it.
func (t *trial) observe(ctx context.Context, p *program, b *core.Backend, in instrumentation) (err error) {
	start := time.Now()
	cfg := core.Config{Workers: t.order.Cell.Workers, Tasks: core.TasksOf(p.workload.Tasks)}
	in.configure(&cfg)
	t.exited.observe(&cfg)
	if p.ex, err = b.Open(ctx, cfg); err != nil {
		return fmt.Errorf("opening backend %s: %w", b.Name, err)
	}
	p.public = (*executor.Executor)(core.NewHandle(b, p.ex))
	p.measured.StartNS = took(&start)
	err = in.observe(ctx, p)
	start = time.Now()
	if e := p.ex.Close(); e != nil {
		err = errors.Join(err, fmt.Errorf("closing backend %s: %w", b.Name, e))
	}
	p.measured.CloseNS = took(&start)
	if !p.warmed {
		return err // nothing was measured
	}
	return errors.Join(err, in.finish(ctx, &t.reply, err))
}
