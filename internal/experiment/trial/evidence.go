package trial

import (
	"context"
	"fmt"

	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/results"
)

// An evidence is how a trial runs its program, and what it finds out beside the
// figures. There are three kinds: none, of a timed trial (plain); spans and
// execution traces (traced); profiles (profiled). An observer whose cost is
// measured is one, too, that keeps nothing.
type evidence interface {
	// configure has the executor observed that is to be opened.
	configure(cfg *core.Config)

	// observe warms the program up, runs it measured, and checks its output. What
	// it has started has stopped when it returns.
	observe(ctx context.Context, p *program) error

	// finish completes the reply when the executor is closed. failure is why the
	// trial failed, if it did.
	finish(ctx context.Context, reply *Reply, failure error) error
}

// evidence returns that of the trial.
func (t *trial) evidence(ctx context.Context) (evidence, error) {
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

// plain is the evidence of a timed trial: none.
type plain struct{}

func (plain) configure(*core.Config) {}

func (plain) observe(ctx context.Context, p *program) error { return p.run(ctx, nothing) }

func (plain) finish(context.Context, *Reply, error) error { return nil }

// nothing is begun.
func nothing() error { return nil }

// run runs the program as a timed trial does, which repeats one that is done soon.
// begin comes just before the measured part.
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

// executionFile names the execution trace of a process, and CPUFile its CPU
// profile. A worker that is lost has a successor, so its index does not tell
// which.
func executionFile(pid int) string { return fmt.Sprintf("%d.trace", pid) }

// CPUFile names the CPU profile of a process of a traced trial.
func CPUFile(pid int) string { return fmt.Sprintf("%d.cpu.pb.gz", pid) }
