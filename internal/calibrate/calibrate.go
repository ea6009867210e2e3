// Package calibrate compares the GIL-like models with CPython's own lock (GIL). It
// measures the two effects that programmers see: how much computation gains from
// more threads, and how late I/O is beside threads that compute.
//
// A subject is a process of this program or of Python. It computes on a number of
// threads, or answers pings from this process beside them. To add a subject, add it
// to the list in Subjects.
package calibrate

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/f3f4c0de/harness/internal/child"
	"github.com/f3f4c0de/harness/internal/core"
)

// Options say how much is measured. The zero Options are usable.
type Options struct {
	Rounds int           // each has every measurement of every subject once; zero is 3
	Pings  int           // in each measurement of latency; zero is 100
	Pause  time.Duration // between a reply and the next ping; zero is 2 ms
	Work   time.Duration // of computation on one thread; zero is 300 ms
	Seed   uint64        // of the order

	// Progress is called before each round; it may be nil.
	Progress func(round, of int)
}

func (o *Options) setDefaults() {
	if o.Rounds == 0 {
		o.Rounds = 3
	}
	if o.Pings == 0 {
		o.Pings = 100
	}
	if o.Pause == 0 {
		o.Pause = 2 * time.Millisecond
	}
	if o.Work == 0 {
		o.Work = 300 * time.Millisecond
	}
}

// The numbers of threads with which each subject is measured.
var (
	threadCounts = []int{1, 2, 4}
	hogCounts    = []int{0, 1, 2}
)

// A Subject is a model that is measured.
type Subject struct {
	Name    string
	Backend *core.Backend // nil is CPython
}

// Subjects returns CPython's threads and the given backends.
func Subjects(backends ...*core.Backend) []Subject {
	subjects := []Subject{{Name: "CPython threads"}}
	for _, b := range backends {
		subjects = append(subjects, Subject{b.Name, b})
	}
	return subjects
}

// A Result is what was measured of a subject.
type Result struct {
	Subject string    `json:"subject"`
	Version string    `json:"version,omitempty"`
	Absent  string    `json:"absent,omitempty"` // why it could not be measured
	Scaling []Scaling `json:"scaling,omitempty"`
	Latency []Latency `json:"latency,omitempty"`
}

// Scaling is the speed-up of a computation on several threads.
type Scaling struct {
	Threads int     `json:"threads"`
	Speedup float64 `json:"speedup"` // over one thread, in the same round; median over the rounds
	Low     float64 `json:"low"`     // of the rounds
	High    float64 `json:"high"`
}

// Latency is how long a ping takes beside threads that compute.
type Latency struct {
	Hogs  int   `json:"hogs"`   // threads that compute
	P50NS int64 `json:"p50_ns"` // medians over the rounds
	P95NS int64 `json:"p95_ns"`
	LowNS int64 `json:"low_ns"` // the smallest and the largest median of a round
	HiNS  int64 `json:"high_ns"`
}

// A job is one measurement of a subject, in every round.
type job struct {
	subject int
	order   order
}

// An order tells the process of a subject what to do.
type order struct {
	Backend string `json:"backend,omitempty"`
	Threads int    `json:"threads"` // that compute
	WorkNS  int64  `json:"work_ns"` // how much to compute in all; 0 means compute and answer pings until the input ends
}

// Run measures the subjects. It blocks for about half a minute by default, or until
// ctx ends. A subject that this machine does not have is reported as absent.
func Run(ctx context.Context, subjects []Subject, opt Options) ([]Result, error) {
	opt.setDefaults()
	results, jobs := jobsOf(ctx, subjects, opt)
	random := rand.New(rand.NewPCG(opt.Seed, 1))
	figures := make(map[job][]figure)
	for round := range opt.Rounds {
		if opt.Progress != nil {
			opt.Progress(round+1, opt.Rounds)
		}
		for _, k := range random.Perm(len(jobs)) {
			j := jobs[k]
			f, err := measure(ctx, subjects[j.subject], j.order, opt)
			if err != nil {
				return nil, fmt.Errorf("measuring %s: %w", results[j.subject].Subject, err)
			}
			figures[j] = append(figures[j], f)
		}
	}
	for _, j := range jobs {
		results[j.subject].add(j, figures)
	}
	return results, nil
}

// jobsOf returns the jobs of the subjects, with results that have no figures yet.
func jobsOf(ctx context.Context, subjects []Subject, opt Options) (results []Result, jobs []job) {
	for i, s := range subjects {
		r := Result{Subject: s.Name}
		backend := ""
		var err error
		if s.Backend != nil {
			backend = s.Backend.Name
		} else if r.Version, err = pythonVersion(ctx); err != nil {
			r.Absent = err.Error()
		}
		results = append(results, r)
		if r.Absent != "" {
			continue
		}
		for _, n := range threadCounts {
			jobs = append(jobs, job{i, order{backend, n, int64(opt.Work)}})
		}
		for _, n := range hogCounts {
			jobs = append(jobs, job{i, order{backend, n, 0}})
		}
	}
	return results, jobs
}

// add adds the figures of a job to the result of its subject.
func (r *Result) add(j job, figures map[job][]figure) {
	if j.order.WorkNS == 0 {
		r.Latency = append(r.Latency, latencyOf(j.order.Threads, figures[j]))
		return
	}
	one := j
	one.order.Threads = 1
	r.Scaling = append(r.Scaling, scalingOf(j.order.Threads, figures[j], figures[one]))
}

// A figure is the result of one measurement.
type figure struct {
	perUnit  float64       // nanoseconds for a unit of the computation
	p50, p95 time.Duration // of the pings
}

func scalingOf(threads int, f, one []figure) Scaling {
	ratios := make([]float64, len(f))
	for i := range f {
		ratios[i] = one[i].perUnit / f[i].perUnit
	}
	slices.Sort(ratios)
	return Scaling{threads, quantile(ratios, .5), ratios[0], ratios[len(ratios)-1]}
}

func latencyOf(hogs int, f []figure) Latency {
	var p50, p95 []time.Duration
	for _, f := range f {
		p50, p95 = append(p50, f.p50), append(p95, f.p95)
	}
	slices.Sort(p50)
	slices.Sort(p95)
	return Latency{hogs, int64(quantile(p50, .5)), int64(quantile(p95, .5)), int64(p50[0]), int64(p50[len(p50)-1])}
}

// quantile returns the q-quantile of sorted values by linear interpolation (R's
// type 7).
func quantile[T ~int64 | ~float64](sorted []T, q float64) T {
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 == len(sorted) {
		return sorted[i]
	}
	return sorted[i] + T((at-float64(i))*float64(sorted[i+1]-sorted[i]))
}

// limit bounds the time of a measurement.
const limit = time.Minute

// measure starts the process of a subject, measures it and ends it.
func measure(ctx context.Context, s Subject, o order, opt Options) (f figure, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done within %v", limit))
	defer cancel()
	p, err := s.start(ctx, o)
	if err != nil {
		return f, err
	}
	defer func() {
		if e := p.end(); err == nil {
			err = e
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}()
	var reply reply
	if err := json.NewDecoder(p.out).Decode(&reply); err != nil {
		return f, fmt.Errorf("reading its answer: %w", err)
	}
	if reply.Error != "" {
		return f, errors.New(reply.Error)
	}
	if o.WorkNS > 0 {
		return figure{perUnit: reply.PerUnitNS}, nil
	}
	return ping(ctx, reply.Addr, opt)
}

// A reply is the answer of a subject: the address for pings, or the time of a unit
// of its computation. Each subject has its own unit.
type reply struct {
	Addr      string  `json:"addr,omitempty"`
	PerUnitNS float64 `json:"per_unit_ns,omitempty"`
	Error     string  `json:"error,omitempty"`
}

// ping sends pings, one after the other, and returns quantiles of their times.
func ping(ctx context.Context, addr string, opt Options) (f figure, err error) {
	conn, err := net.Dial("udp", addr)
	if err != nil {
		return f, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	const warmUp = 5
	times := make([]time.Duration, 0, opt.Pings)
	buf := make([]byte, 8)
	for i := range opt.Pings + warmUp {
		select {
		case <-time.After(opt.Pause):
		case <-ctx.Done():
			return f, context.Cause(ctx)
		}
		start := time.Now()
		if _, err := conn.Write(buf); err != nil {
			return f, fmt.Errorf("sending a ping: %w", err)
		}
		if _, err := conn.Read(buf); err != nil {
			return f, fmt.Errorf("waiting for a reply: %w", err)
		}
		if i >= warmUp {
			times = append(times, time.Since(start))
		}
	}
	slices.Sort(times)
	return figure{p50: quantile(times, .5), p95: quantile(times, .95)}, nil
}

// A process is the process of a subject. end ends it and waits for it.
type process struct {
	out io.Reader
	end func() error
}

func (s Subject) start(ctx context.Context, o order) (*process, error) {
	b, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	if s.Backend == nil {
		return startPython(ctx, string(b))
	}
	env := []string{"GOMAXPROCS="}
	if s.Backend.GOMAXPROCS > 0 {
		env[0] = fmt.Sprintf("GOMAXPROCS=%d", s.Backend.GOMAXPROCS)
	}
	p, err := child.Command{Role: role, Env: env, Stderr: os.Stderr}.Start()
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, p.Kill)
	if _, err := p.In.Write(append(b, '\n')); err != nil {
		p.Kill()
		return nil, fmt.Errorf("%w: it ended with %s", err, p.Wait().Cause)
	}
	return &process{p.Out, func() error {
		defer stop()
		if exit := p.End(5 * time.Second); exit.Code != 0 {
			return fmt.Errorf("it ended with %s\n%s", exit.Cause, exit.Stderr)
		}
		return nil
	}}, nil
}

func pythonVersion(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "python3", "-c", "import platform; print(platform.python_implementation(), platform.python_version())").Output()
	if err != nil {
		return "", fmt.Errorf("not available here: python3: %w", err)
	}
	return string(out[:max(0, len(out)-1)]), nil
}

func startPython(ctx context.Context, order string) (*process, error) {
	cmd := exec.CommandContext(ctx, "python3", "-c", subjectPy, order)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &process{bufio.NewReader(out), func() error {
		_ = in.Close()
		return cmd.Wait()
	}}, nil
}
