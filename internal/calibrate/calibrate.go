// Package calibrate compares the lock-based models with CPython's own lock, in
// the two respects in which programmers meet it: whether computation gains
// from more threads, and how late I/O is beside threads that compute.
//
// A subject is a process, of this program or of Python, that computes on a
// number of threads, or answers pings beside them. The pings come from this
// process. To add a subject, add it to the list in Subjects.
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
	Rounds int           // each with every measurement of every subject; zero is 3
	Pings  int           // in each measurement of latency; zero is 100
	Pause  time.Duration // between a reply and the next ping; zero is 2 ms
	Work   time.Duration // of computation on one thread; zero is 300 ms
	Seed   uint64        // of the order

	// Progress is called before each round; nil if nobody cares.
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

// What is measured of each subject.
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

// Scaling is how much faster the same computation is on several threads.
type Scaling struct {
	Threads int     `json:"threads"`
	Speedup float64 `json:"speedup"` // over one thread, in the same round; median over the rounds
	Low     float64 `json:"low"`     // of the rounds
	High    float64 `json:"high"`
}

// Latency is how long a ping takes beside threads that compute.
type Latency struct {
	Hogs  int   `json:"hogs"`
	P50NS int64 `json:"p50_ns"` // medians over the rounds
	P95NS int64 `json:"p95_ns"`
	LowNS int64 `json:"low_ns"` // the median of the round in which it was least, and most
	HiNS  int64 `json:"high_ns"`
}

// job is one measurement.
type job struct {
	subject int
	order   order
}

// An order is what a subject is told.
type order struct {
	Backend string `json:"backend,omitempty"`
	Threads int    `json:"threads"` // that compute
	WorkNS  int64  `json:"work_ns"` // how much, in all; 0 is until the input ends, and pings are answered
}

// Run measures. It blocks for about half a minute by default, or until ctx
// ends. A subject that is not on this machine is reported as absent.
func Run(ctx context.Context, subjects []Subject, opt Options) ([]Result, error) {
	opt.setDefaults()
	results := make([]Result, len(subjects))
	var jobs []job
	for i, s := range subjects {
		results[i].Subject = s.Name
		backend := ""
		if s.Backend != nil {
			backend = s.Backend.Name
		} else if version, err := pythonVersion(ctx); err != nil {
			results[i].Absent = err.Error()
			continue
		} else {
			results[i].Version = version
		}
		for _, n := range threadCounts {
			jobs = append(jobs, job{i, order{backend, n, int64(opt.Work)}})
		}
		for _, n := range hogCounts {
			jobs = append(jobs, job{i, order{backend, n, 0}})
		}
	}
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
	for j, f := range figures {
		r := &results[j.subject]
		if j.order.WorkNS == 0 {
			r.Latency = append(r.Latency, latencyOf(j.order.Threads, f))
			continue
		}
		one := j
		one.order.Threads = 1
		r.Scaling = append(r.Scaling, scalingOf(j.order.Threads, f, figures[one]))
	}
	for i := range results {
		slices.SortFunc(results[i].Scaling, func(a, b Scaling) int { return a.Threads - b.Threads })
		slices.SortFunc(results[i].Latency, func(a, b Latency) int { return a.Hogs - b.Hogs })
	}
	return results, nil
}

// A figure is what one measurement gave.
type figure struct {
	perUnit  float64       // time of a unit of the computation
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

// quantile returns the q-quantile of sorted values, between two of them if
// need be (R's type 7).
func quantile[T ~int64 | ~float64](sorted []T, q float64) T {
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 == len(sorted) {
		return sorted[i]
	}
	return sorted[i] + T((at-float64(i))*float64(sorted[i+1]-sorted[i]))
}

// limit bounds a measurement.
const limit = time.Minute

// measure starts a subject, has it do what it is told and ends it.
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

// A reply is what a subject answers: where it can be pinged, or what a unit of
// the computation took, whatever its unit is.
type reply struct {
	Addr      string  `json:"addr,omitempty"`
	PerUnitNS float64 `json:"per_unit_ns,omitempty"`
	Error     string  `json:"error,omitempty"`
}

// ping sends pings, one after the other.
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

// A process is a subject that was started.
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
