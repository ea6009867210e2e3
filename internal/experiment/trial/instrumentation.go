package trial

import (
	"context"
	"fmt"

	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/results"
)

// An instrumentation decides how a trial runs its program and what it records beside
// the figures. There are three: none, of a timed trial (plain); spans, an execution
// trace and a CPU profile (traced); all kinds of profiles (profiled). A trial that
// measures what one observer costs has that observer alone, and keeps nothing of what it
// records (observed, spansAlone).
type instrumentation interface {
	// configure adds observers to the configuration of the executor.
	configure(cfg *core.Config)

	// observe warms the program up, runs and measures it, and checks its output. When
	// it returns, everything that it started has stopped.
	observe(ctx context.Context, p *program) error

	// finish completes the reply. It is called after the executor was closed. failure
	// is why the trial failed, or nil.
	finish(ctx context.Context, reply *Reply, failure error) error
}

// instrumentation returns the one that the kind of the trial needs.
func (t *trial) instrumentation(ctx context.Context) (instrumentation, error) {
	switch t.order.Kind {
	case results.Traced:
		return t.traced(ctx)
	case results.Profiled:
		return t.profiled(), nil
	case results.ObserverTrial:
		return t.observed(ctx)
	}
	return plain{}, nil
}

// plain is the instrumentation of a timed trial: none.
type plain struct{}

func (plain) configure(*core.Config) {}

func (plain) observe(ctx context.Context, p *program) error { return p.run(ctx, doNothing) }

func (plain) finish(context.Context, *Reply, error) error { return nil }

// doNothing starts nothing.
func doNothing() error { return nil }

// run runs the program as a timed trial does: a program that ends sooner than a trial must
// last is repeated. begin is called just before the measured part.
func (p *program) run(ctx context.Context, begin func() error) error {
	if err := p.warm(ctx); err != nil {
		return err
	}
	if err := p.measure(ctx, begin); err != nil {
		return err
	}
	if err := check(p.session, p.measured); err != nil {
		return err
	}
	return p.repeat(ctx)
}

// executionFile names the execution trace of a process, by its process id: the worker's
// index would not be unique, since a lost worker is replaced by another process.
func executionFile(pid int) string { return fmt.Sprintf("%d.trace", pid) }

// CPUFile names the CPU profile of a process of a traced trial, by its process id.
func CPUFile(pid int) string { return fmt.Sprintf("%d.cpu.pb.gz", pid) }
