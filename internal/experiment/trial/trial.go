// Package trial is the process of a trial: it runs one cell once and answers what
// it measured. How the program is run, and what is found out beside the figures, is
// an evidence: plain, traced or profiled. What a worker process does for it is in
// worker.go, and what the processes say to each other in messages.go.
//
// To add a kind of evidence, add a type with its three methods and a line in
// evidence.go, its part in a worker process, and a step in the plan. To add an
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

// Divert makes this process the trial, the server or the probe that it was started
// as, and then never returns. In any other process it returns at once. It is
// called first thing in main.
func Divert(ctx context.Context, kinds spec.Kinds) {
	switch child.Role() {
	case Role:
		serveTrial(ctx, kinds)
	case ServerRole:
		serveServer(ctx, kinds)
	case ProbeRole:
		serveProbe()
	}
}

// serveTrial is the process of a trial.
func serveTrial(ctx context.Context, kinds spec.Kinds) {
	signal.Ignore(os.Interrupt) // the runner decides
	in, out := child.Parent()
	var order Order
	if err := json.NewDecoder(in).Decode(&order); err != nil {
		fmt.Fprintln(os.Stderr, "trial: reading the order:", err)
		os.Exit(1)
	}
	var replied atomic.Bool
	go func() { // the process does not outlive it
		// The runner closes our input when it has the reply. If the input
		// ends before, the runner is gone; the workers see the end of theirs.
		_, _ = io.Copy(io.Discard, in)
		if !replied.Load() {
			os.Exit(1)
		}
	}()
	t := trial{order: order, ends: newEnds()}
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
	order Order
	ends  *ends
	reply Reply
}

// run runs the cell. With an error, the reply has what is known all the same.
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
	ev, err := t.evidence(ctx)
	if err != nil {
		return err
	}
	m := &t.reply.Measured
	m.GOMAXPROCS, m.Workers, m.PID = runtime.GOMAXPROCS(0), t.order.Cell.Workers, os.Getpid()
	start := time.Now()
	p := &program{workload: w, ends: t.ends, measured: m, env: harness.Env{Params: params, Workers: m.Workers, Dir: t.order.Dir}}
	if t.order.Kind == results.Timed || t.order.Kind == results.ObserverTrial {
		p.least = t.order.LeastNS
	}
	closeProgram, err := p.open(ctx, t.order.Params)
	defer func() { err = errors.Join(err, closeProgram()) }()
	if err != nil {
		return err
	}
	m.OpenNS = took(&start)
	return t.observe(ctx, p, b, ev)
}

// open starts the program's server, if it has one, and sets the program up.
func (p *program) open(ctx context.Context, params results.Params) (closeAll func() error, err error) {
	closeServer := nothing
	if p.workload.Serve != nil {
		server, err := startServer(ctx, p.workload.Name, params)
		if err != nil {
			return nothing, err
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
func (t *trial) observe(ctx context.Context, p *program, b *core.Backend, ev evidence) (err error) {
	start := time.Now()
	cfg := core.Config{Workers: t.order.Cell.Workers, Tasks: core.TasksOf(p.workload.Tasks)}
	ev.configure(&cfg)
	t.ends.watch(&cfg)
	if p.ex, err = b.Open(ctx, cfg); err != nil {
		return fmt.Errorf("opening backend %s: %w", b.Name, err)
	}
	p.public = (*executor.Executor)(core.NewHandle(b, p.ex))
	p.measured.StartNS = took(&start)
	err = ev.observe(ctx, p)
	start = time.Now()
	if e := p.ex.Close(); e != nil {
		err = errors.Join(err, fmt.Errorf("closing backend %s: %w", b.Name, e))
	}
	p.measured.CloseNS = took(&start)
	if !p.warmed {
		return err // there is nothing to tell of it
	}
	return errors.Join(err, ev.finish(ctx, &t.reply, err))
}
