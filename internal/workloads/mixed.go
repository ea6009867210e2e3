package workloads

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"time"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/executor"
)

// Mixed computes, waits and carries a payload, each as much as asked for.
var Mixed = &harness.Workload{
	Name: "mixed",
	Doc: `mixed: so much computing, so much waiting and so many bytes a task

Three dials. Each task computes, waits for a server in another process, and
returns as many bytes as it was given. With waiting of a share f of the time,
P processors allow a speed-up of P/(1-f), and never more than there are
workers; the payload is what a process backend has to carry.`,
	Params:  &mixedParams{Tasks: 40, CPU: time.Millisecond, Wait: 4 * time.Millisecond, Payload: 4 << 10},
	Axes:    []harness.Axis{mixedSize, mixedWait, mixedPayload},
	Tasks:   []executor.AnyTask{mixedTask, delayTask},
	Workers: always(8),
	Nominal: func(p any) time.Duration {
		q := p.(*mixedParams)
		return time.Duration(q.Tasks) * (q.CPU + q.Wait + 200*time.Microsecond)
	},
	Serve: serveDelays,
	Open: func(_ context.Context, env harness.Env) (harness.Session, error) {
		p := *env.Params.(*mixedParams)
		s := &mixedSession{p: p, addr: env.Addr, workers: env.Workers}
		for i := range p.Tasks {
			s.in = append(s.in, mixedIn{
				Seed: uint64(i) + 1, Steps: int64(p.CPU) / stepNanoseconds, Wait: p.Wait, Addr: env.Addr,
				Payload: bytes.Repeat([]byte{byte(i)}, p.Payload),
			})
		}
		return s, nil
	},
}

type mixedParams struct {
	Tasks   int           `yaml:"tasks" doc:"tasks"`
	CPU     time.Duration `yaml:"cpu" doc:"computing in each task, on a 3 GHz core; what it took is measured"`
	Wait    time.Duration `yaml:"wait" doc:"waiting in each task; 0 asks no server"`
	Payload int           `yaml:"payload" doc:"bytes into and out of each task"`
}

// Validate implements what Workload.Params asks for.
func (p *mixedParams) Validate() error {
	if p.CPU < 0 || p.CPU > time.Hour || p.Wait < 0 || p.Wait > maxDelay || p.Payload < 0 || p.Payload > 1<<28 {
		return fmt.Errorf("cpu is %v, wait is %v and payload is %d; want 0 to 1h, 0 to %v and 0 to %d", p.CPU, p.Wait, p.Payload, maxDelay, 1<<28)
	}
	return checkTasks(p.Tasks)
}

// The dials under names that every program shares.
var (
	mixedSize = harness.Axis{
		Name: "size", Doc: "length of a task, computing and waiting in the proportion that they have", Unit: "ns",
		Values: []float64{100e3, 300e3, 1e6, 3e6, 10e6},
		Set: func(params any, value float64) {
			p := params.(*mixedParams)
			p.divide(value, p.share())
		},
	}
	mixedWait = harness.Axis{
		Name: "wait", Doc: "share of a task that it waits, the whole being as long as it is", Unit: "1",
		Values: []float64{0, 0.25, 0.5, 0.75, 0.9},
		Set: func(params any, value float64) {
			p := params.(*mixedParams)
			p.divide(float64(p.CPU+p.Wait), value)
		},
	}
	mixedPayload = harness.Axis{
		Name: "payload", Doc: "bytes into and out of each task", Unit: "B",
		Values: []float64{1 << 10, 16 << 10, 256 << 10, 1 << 20},
		Set:    func(params any, value float64) { params.(*mixedParams).Payload = int(value) },
	}
)

// share returns what share of a task is waiting.
func (p *mixedParams) share() float64 {
	if p.CPU+p.Wait == 0 {
		return 0
	}
	return float64(p.Wait) / float64(p.CPU+p.Wait)
}

// divide makes a task so many nanoseconds long, of which it waits that share.
func (p *mixedParams) divide(length, share float64) {
	p.Wait = time.Duration(length * share)
	p.CPU = time.Duration(length) - p.Wait
}

// stepNanoseconds is about how long one step of the generator takes.
const stepNanoseconds = 2

// mixedIn is the argument of a task. It encodes itself, since JSON would make
// the payload a third longer and a hundred times slower.
type mixedIn struct {
	Seed    uint64
	Steps   int64
	Wait    time.Duration
	Addr    string
	Payload []byte
}

func (m *mixedIn) AppendBinary(b []byte) ([]byte, error) {
	b = binary.LittleEndian.AppendUint64(b, m.Seed)
	b = binary.LittleEndian.AppendUint64(b, uint64(m.Steps))
	b = binary.LittleEndian.AppendUint64(b, uint64(m.Wait))
	b = append(b, byte(len(m.Addr)))
	b = append(b, m.Addr...)
	return append(b, m.Payload...), nil
}

func (m *mixedIn) UnmarshalBinary(b []byte) error {
	if len(b) < 25 || len(b) < 25+int(b[24]) {
		return errors.New("too short")
	}
	m.Seed = binary.LittleEndian.Uint64(b)
	m.Steps = int64(binary.LittleEndian.Uint64(b[8:]))
	m.Wait = time.Duration(binary.LittleEndian.Uint64(b[16:]))
	m.Addr = string(b[25 : 25+int(b[24])])
	m.Payload = bytes.Clone(b[25+int(b[24]):])
	return nil
}

// mixedTask returns the payload with the last state of the generator added to
// every eight bytes.
var mixedTask = executor.NewTask("mixed", func(ctx context.Context, in mixedIn) ([]byte, error) {
	x := in.Seed
	for left := in.Steps; left > 0; {
		n := min(left, 1<<16) // about 100 µs
		for range n {
			x = xorshift(x)
		}
		left -= n
		executor.Checkpoint(ctx)
	}
	if in.Wait > 0 {
		if err := delays.wait(ctx, in.Addr, in.Wait); err != nil {
			return nil, err
		}
	}
	return blend(in.Payload, x), nil
})

// xorshift is a step of Marsaglia's 64-bit generator: each needs the one
// before, so no processor can run ahead. (Xorshift RNGs, 2003, page 4.)
func xorshift(x uint64) uint64 {
	x ^= x << 13
	x ^= x >> 7
	return x ^ x<<17
}

// blend returns the payload, padded with zeros to a multiple of eight bytes and
// at least eight, with x added to each group.
func blend(payload []byte, x uint64) []byte {
	out := make([]byte, max(8, (len(payload)+7)/8*8))
	copy(out, payload)
	for i := 0; i < len(out); i += 8 {
		binary.LittleEndian.PutUint64(out[i:], binary.LittleEndian.Uint64(out[i:])+x)
	}
	return out
}

type mixedSession struct {
	p       mixedParams
	addr    string
	workers int
	in      []mixedIn
	out     [][]byte
}

func (s *mixedSession) Warm(ctx context.Context, ex *executor.Executor) error {
	if s.p.Wait == 0 {
		return nil
	}
	return warmDelays(ctx, ex, s.addr, s.workers)
}

func (s *mixedSession) Run(ctx context.Context, ex *executor.Executor) (err error) {
	s.out, err = submitAll(ctx, ex, mixedTask, s.in)
	return err
}

// Check knows the last state of each generator without taking its steps: a
// step is linear over the field of two elements, so n of them are the n-th
// power of one matrix.
func (s *mixedSession) Check() (harness.Outcome, error) {
	if len(s.out) != s.p.Tasks {
		return harness.Outcome{}, fmt.Errorf("%d tasks came back; want %d", len(s.out), s.p.Tasks)
	}
	var steps bitMatrix
	if len(s.in) > 0 {
		steps = matrixOf(xorshift).power(s.in[0].Steps)
	}
	for i, in := range s.in {
		if want := blend(in.Payload, steps.apply(in.Seed)); !bytes.Equal(s.out[i], want) {
			return harness.Outcome{}, fmt.Errorf("task %d returned other bytes than %d steps of the generator from %d give", i, in.Steps, in.Seed)
		}
	}
	return harness.Outcome{Digest: harness.Digest(s.out), Tasks: len(s.out)}, nil
}

func (s *mixedSession) Close() error { return delays.close(s.addr) }

// A bitMatrix is a linear map of 64 bits: column i is the image of bit i.
type bitMatrix [64]uint64

func matrixOf(f func(uint64) uint64) (m bitMatrix) {
	for i := range m {
		m[i] = f(1 << i)
	}
	return m
}

func (m *bitMatrix) apply(x uint64) (y uint64) {
	for ; x != 0; x &= x - 1 {
		y ^= m[bits.TrailingZeros64(x)]
	}
	return y
}

// power returns the map that applies m n times, by squaring.
func (m bitMatrix) power(n int64) bitMatrix {
	result := matrixOf(func(x uint64) uint64 { return x })
	for ; n > 0; n /= 2 {
		if n%2 == 1 {
			result = matrixOf(func(x uint64) uint64 { return m.apply(result.apply(x)) })
		}
		m = matrixOf(func(x uint64) uint64 { return m.apply(m.apply(x)) })
	}
	return result
}
