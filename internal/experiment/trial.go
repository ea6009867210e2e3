package experiment

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
	"github.com/f3f4c0de/harness/internal/child"
	"github.com/f3f4c0de/harness/internal/profile"
	"github.com/f3f4c0de/harness/internal/results"
)

// The roles of this program's processes beside those of the backends.
const (
	trialRole  = "trial"
	serverRole = "server"
)

// A trialOrder is what the process of a trial is told.
type trialOrder struct {
	RunID    string         `json:"run_id"`
	Version  string         `json:"version"`
	Cell     results.Cell   `json:"cell"`
	Workload string         `json:"workload"` // name, where Cell has the label
	Params   results.Params `json:"params"`
	Kind     results.Kind   `json:"kind"`
	Observer string         `json:"observer,omitempty"` // of a trial of kind Cost
	Dir      string         `json:"dir"`                // empty, for the program's files
	LeastNS  int64          `json:"least_ns,omitempty"` // a timed program that is done sooner is run again
	Evidence evidenceOrder  `json:"evidence"`
}

// A trialReply is what it answers.
type trialReply struct {
	Error    string           `json:"error,omitempty"`
	Measured results.Measured `json:"measured"`
	Lanes    *results.Lanes   `json:"lanes,omitempty"`
}

// runTrial makes one trial in a fresh process of a program, this one if it is
// empty, and returns what that found out.
// When ctx ends, the process and all that it has started are killed.
func (r *runner) runTrial(ctx context.Context, program string, order trialOrder, gomaxprocs int, timeout time.Duration) (trialReply, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("the trial did not end within %v", timeout))
	defer cancel()
	env := []string{}
	if gomaxprocs > 0 {
		env = append(env, fmt.Sprintf("GOMAXPROCS=%d", gomaxprocs))
	}
	p, err := child.Command{Role: trialRole, Path: program, Env: env, Group: true}.Start()
	if err != nil {
		return trialReply{}, err
	}
	stop := context.AfterFunc(ctx, p.Kill)
	defer stop()
	var reply trialReply
	err = json.NewEncoder(p.In).Encode(order)
	if err == nil {
		err = json.NewDecoder(p.Out).Decode(&reply)
	}
	// It may still have workers to end. A kill reaches those as well, and
	// what a trial that failed has left behind.
	exit := p.End(endTimeout)
	lost := ""
	if order.Kind == results.Traced {
		lost = "; the spans that it had recorded went with it"
	}
	switch {
	case ctx.Err() != nil:
		return reply, fmt.Errorf("%w%s", context.Cause(ctx), lost)
	case err != nil:
		cause := fmt.Errorf("the trial's process ended with %s before it had a result%s", exit.Cause, lost)
		if exit.Stderr != "" {
			cause = fmt.Errorf("%w; its standard error ended with:\n%s", cause, exit.Stderr)
		}
		return reply, cause
	case reply.Error != "":
		return reply, errors.New(reply.Error)
	case exit.Code != 0:
		return reply, fmt.Errorf("the trial's process ended with %s\n%s", exit.Cause, exit.Stderr)
	}
	return reply, nil
}

// endTimeout is how long a process may take to end when it is done.
const endTimeout = 30 * time.Second

// serveTrial is the process of a trial.
func serveTrial(ctx context.Context, kinds Kinds) {
	signal.Ignore(os.Interrupt) // the runner decides
	in, out := child.Parent()
	var order trialOrder
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
	reply, err := trial{order: order, kinds: kinds, ends: newEnds()}.run(ctx)
	if err != nil {
		reply.Error = err.Error()
	}
	replied.Store(true)
	if err := json.NewEncoder(out).Encode(reply); err != nil {
		fmt.Fprintln(os.Stderr, "trial: sending the result:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// A trial runs one cell in this process.
type trial struct {
	order trialOrder
	kinds Kinds
	ends  *ends
}

func (t trial) run(ctx context.Context) (reply trialReply, err error) {
	w, err := t.kinds.workload(t.order.Workload)
	if err != nil {
		return reply, err
	}
	b, err := t.kinds.backend(t.order.Cell.Backend)
	if err != nil {
		return reply, err
	}
	params, err := decodeParams(w, t.order.Params)
	if err != nil {
		return reply, err
	}
	ev, err := t.evidence(ctx)
	if err != nil {
		return reply, err
	}
	m := &reply.Measured
	m.GOMAXPROCS, m.Workers, m.PID = runtime.GOMAXPROCS(0), t.order.Cell.Workers, os.Getpid()

	start := time.Now()
	env := harness.Env{Params: params, Workers: t.order.Cell.Workers, Dir: t.order.Dir}
	var server *server
	if w.Serve != nil {
		if server, err = startServer(ctx, w.Name, t.order.Params); err != nil {
			return reply, err
		}
		env.Addr = server.addr
		defer func() { err = errors.Join(err, server.end()) }()
	}
	session, err := w.Open(ctx, env)
	if err != nil {
		return reply, fmt.Errorf("setting up workload %s: %w", w.Name, err)
	}
	defer func() {
		if e := session.Close(); e != nil {
			err = errors.Join(err, fmt.Errorf("closing workload %s: %w", w.Name, e))
		}
	}()
	m.OpenNS = took(&start)

	cfg := harness.Config{Workers: t.order.Cell.Workers, Tasks: w.Tasks}
	ev.configure(&cfg)
	t.ends.watch(&cfg)
	ex, err := b.Open(ctx, cfg)
	if err != nil {
		return reply, fmt.Errorf("opening backend %s: %w", b.Name, err)
	}
	closed := false
	closeExecutor := func() error {
		if closed {
			return nil
		}
		closed = true
		if e := ex.Close(); e != nil {
			return fmt.Errorf("closing backend %s: %w", b.Name, e)
		}
		return nil
	}
	defer func() { err = errors.Join(err, closeExecutor()) }()
	m.StartNS = took(&start)

	ctx = ev.context(ctx)
	if warmer, ok := session.(harness.Warmer); ok {
		if err := warmer.Warm(ctx, ex); err != nil {
			return reply, fmt.Errorf("warming up: %w", err)
		}
	}
	m.WarmNS = took(&start)

	runErr := t.measure(ctx, ex, session, ev, m)
	if runErr == nil {
		runErr = ev.aside(func() error { return check(session, m) })
	}
	if runErr == nil && (t.order.Kind == results.Timed || t.order.Kind == results.Cost) {
		runErr = t.repeat(ctx, w, env, ex, m)
	}
	if runErr == nil {
		runErr = ev.repeat(ctx, func() error { return t.again(ctx, w, env, ex, ev) })
	}
	runErr = errors.Join(runErr, ev.collect(ctx, ex))
	start = time.Now()
	runErr = errors.Join(runErr, closeExecutor())
	m.CloseNS = took(&start)
	return reply, errors.Join(runErr, ev.finish(ctx, &reply, runErr))
}

// took returns the time since start, and starts anew.
func took(start *time.Time) int64 {
	now := time.Now()
	d := now.Sub(*start)
	*start = now
	return d.Nanoseconds()
}

// measure is the measured part. Nothing but the program happens between the
// two readings of the clock.
func (t trial) measure(ctx context.Context, ex harness.Executor, session harness.Session, ev evidence, m *results.Measured) error {
	runtime.GC() // the garbage of the set-up is not the program's
	before, err := t.usage(ctx, ex)
	if err != nil {
		return err
	}
	if err := ev.begin(ctx, ex); err != nil {
		return err
	}
	start := time.Now()
	runErr := session.Run(ctx, ex)
	wall := time.Since(start)
	if runErr != nil {
		return runErr
	}
	after, err := t.usage(ctx, ex)
	if err != nil {
		return err
	}
	m.WallNS, m.Usage = wall.Nanoseconds(), after.Since(before)
	return ev.end(ctx, ex)
}

func check(session harness.Session, m *results.Measured) error {
	out, err := session.Check()
	if err != nil {
		return fmt.Errorf("the output is wrong: %w", err)
	}
	m.Tasks, m.Digest, m.Metrics = out.Tasks, out.Digest, out.Metrics
	return nil
}

// repeat runs a timed program again, measured each time as it was the first,
// until the measured parts together are as long as a trial must be, and leaves
// the means in m.
func (t trial) repeat(ctx context.Context, w *harness.Workload, env harness.Env, ex harness.Executor, m *results.Measured) error {
	total, n := *m, 1
	for total.WallNS > 0 && total.WallNS < t.order.LeastNS {
		var one results.Measured
		if err := t.once(ctx, w, env, ex, &one); err != nil {
			return fmt.Errorf("in repetition %d: %w", n, err)
		}
		if one.Digest != m.Digest {
			return fmt.Errorf("the output of repetition %d differs from the first: its digest is %s, not %s", n, one.Digest, m.Digest)
		}
		total.WallNS += one.WallNS
		total.Usage = total.Plus(one.Usage)
		total.MaxRSSBytes = one.MaxRSSBytes // a peak so far
		for i := range one.Metrics {
			total.Metrics[i].Value += one.Metrics[i].Value
		}
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
	*m = total
	return nil
}

// once sets the program up, warms it up, runs it measured and checks it.
func (t trial) once(ctx context.Context, w *harness.Workload, env harness.Env, ex harness.Executor, m *results.Measured) (err error) {
	session, err := w.Open(ctx, env)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, session.Close()) }()
	if warmer, ok := session.(harness.Warmer); ok {
		if err := warmer.Warm(ctx, ex); err != nil {
			return err
		}
	}
	if err := t.measure(ctx, ex, session, unobserved(), m); err != nil {
		return err
	}
	return check(session, m)
}

// again runs the program once more on the same workers, unmeasured.
func (t trial) again(ctx context.Context, w *harness.Workload, env harness.Env, ex harness.Executor, ev evidence) (err error) {
	var session harness.Session
	err = ev.aside(func() (err error) {
		session, err = w.Open(ctx, env)
		return err
	})
	if err != nil {
		return err
	}
	err = session.Run(ctx, ex)
	return errors.Join(err, ev.aside(func() error {
		var wrong error
		if err == nil {
			_, wrong = session.Check()
		}
		return errors.Join(wrong, session.Close())
	}))
}

// usage adds up what this process and the workers have used, also those that
// have ended.
func (t trial) usage(ctx context.Context, ex harness.Executor) (profile.Usage, error) {
	total, err := profile.ReadUsage()
	if err != nil {
		return total, fmt.Errorf("reading the accounting: %w", err)
	}
	replies, err := control(ctx, ex, requestUsage)
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
	return total.Plus(t.ends.ended(alive)), nil
}

// control sends a request to the worker processes, if there are any.
func control(ctx context.Context, ex harness.Executor, request string) ([]harness.Reply, error) {
	c, ok := ex.(harness.Controller)
	if !ok {
		return nil, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, controlTimeout, fmt.Errorf("no answer within %v", controlTimeout))
	defer cancel()
	return c.Control(ctx, request, nil)
}

// controlTimeout bounds a request to the workers, who are idle then.
const controlTimeout = 30 * time.Second
