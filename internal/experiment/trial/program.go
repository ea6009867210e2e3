package trial

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/profile"
	"github.com/f3f4c0de/harness/internal/results"
)

// A program is a workload that was opened, on an executor.
type program struct {
	workload *harness.Workload
	env      harness.Env
	session  harness.Session
	ex       core.Executor
	public   *executor.Executor // ex, as the program sees it
	ends     *ends
	least    int64 // nanoseconds that the measured parts are to take together
	measured *results.Measured
	warmed   bool
}

// warm does what the program wants to have done before it is measured.
func (p *program) warm(ctx context.Context) error {
	start := time.Now()
	if warmer, ok := p.session.(harness.Warmer); ok {
		if err := warmer.Warm(ctx, p.public); err != nil {
			return fmt.Errorf("warming up: %w", err)
		}
	}
	p.measured.WarmNS = took(&start)
	p.warmed = true
	return nil
}

// measure is the measured part. Nothing but the program happens between the
// two readings of the clock.
func (p *program) measure(ctx context.Context, begin func() error) error {
	runtime.GC() // the garbage of the set-up is not the program's
	before, err := p.usage(ctx)
	if err != nil {
		return err
	}
	if err := begin(); err != nil {
		return err
	}
	start := time.Now()
	runErr := p.session.Run(ctx, p.public)
	wall := time.Since(start)
	if runErr != nil {
		return runErr
	}
	after, err := p.usage(ctx)
	if err != nil {
		return err
	}
	p.measured.WallNS, p.measured.Usage = wall.Nanoseconds(), after.Since(before)
	return nil
}

func check(session harness.Session, m *results.Measured) error {
	out, err := session.Check()
	if err != nil {
		return fmt.Errorf("the output is wrong: %w", err)
	}
	m.Tasks, m.Digest, m.Metrics = out.Tasks, out.Digest, out.Metrics
	return nil
}

// repeat runs the program again, measured each time as it was the first, until
// the measured parts together are as long as a trial must be, and leaves the
// means.
func (p *program) repeat(ctx context.Context) error {
	total, n := *p.measured, 1
	for total.WallNS > 0 && total.WallNS < p.least {
		one, err := p.once(ctx)
		if err != nil {
			return fmt.Errorf("in repetition %d: %w", n, err)
		}
		if one.Digest != p.measured.Digest {
			return fmt.Errorf("the output of repetition %d differs from the first: its digest is %s, not %s", n, one.Digest, p.measured.Digest)
		}
		add(&total, one)
		n++
	}
	if n == 1 {
		return nil
	}
	total.WallNS /= int64(n)
	total.Usage = total.Over(n)
	for i := range total.Metrics {
		total.Metrics[i].Value /= float64(n)
	}
	total.Repeats = n
	*p.measured = total
	return nil
}

func add(total, one *results.Measured) {
	total.WallNS += one.WallNS
	total.Usage = total.Plus(one.Usage)
	total.MaxRSSBytes = one.MaxRSSBytes // a peak so far
	for i := range one.Metrics {
		total.Metrics[i].Value += one.Metrics[i].Value
	}
}

// once sets the program up anew, warms it up, runs it measured and checks it.
func (p *program) once(ctx context.Context) (m *results.Measured, err error) {
	one := *p
	one.measured = new(results.Measured)
	if one.session, err = p.workload.Open(ctx, p.env); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, one.session.Close()) }()
	if warmer, ok := one.session.(harness.Warmer); ok {
		if err := warmer.Warm(ctx, p.public); err != nil {
			return nil, err
		}
	}
	if err := one.measure(ctx, nothing); err != nil {
		return nil, err
	}
	return one.measured, check(one.session, one.measured)
}

// again runs the program once more on the same workers, unmeasured. What is not
// the program is done aside.
func (p *program) again(ctx context.Context, aside func(func() error) error) (err error) {
	var session harness.Session
	err = aside(func() (err error) {
		session, err = p.workload.Open(ctx, p.env)
		return err
	})
	if err != nil {
		return err
	}
	err = session.Run(ctx, p.public)
	return errors.Join(err, aside(func() error {
		var wrong error
		if err == nil {
			_, wrong = session.Check()
		}
		return errors.Join(wrong, session.Close())
	}))
}

// usage adds up what this process and the workers have used, also those that
// have ended.
func (p *program) usage(ctx context.Context) (profile.Usage, error) {
	total, err := profile.ReadUsage()
	if err != nil {
		return total, fmt.Errorf("reading the accounting: %w", err)
	}
	replies, err := control(ctx, p.ex, requestUsage)
	if err != nil {
		return total, err
	}
	alive := make(map[int]profile.Usage)
	for _, r := range replies {
		var u profile.Usage
		if err := json.Unmarshal(r.Payload, &u); err != nil {
			return total, fmt.Errorf("accounting of worker %d: %w", r.Worker, err)
		}
		total = total.Plus(u)
		alive[r.PID] = u
	}
	return total.Plus(p.ends.ended(alive)), nil
}

// control sends a request to the worker processes, if there are any.
func control(ctx context.Context, ex core.Executor, request string) ([]core.Reply, error) {
	c, ok := ex.(core.Controller)
	if !ok {
		return nil, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, controlTimeout, fmt.Errorf("no answer within %v", controlTimeout))
	defer cancel()
	return c.Control(ctx, request, nil)
}

// controlTimeout bounds a request to the workers, who are idle then.
const controlTimeout = 30 * time.Second

// took returns the time since start, and starts anew.
func took(start *time.Time) int64 {
	now := time.Now()
	d := now.Sub(*start)
	*start = now
	return d.Nanoseconds()
}
