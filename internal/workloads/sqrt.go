package workloads

import (
	"context"
	"fmt"
	"math"
	"math/big"
	"time"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/executor"
)

// Sqrt is the computation of the course's CPU demo, do_math.
var Sqrt = &harness.Workload{
	Name: "sqrt",
	Doc: `CPU-bound: the mean of many square roots

The course's do_math: the mean over pos of sqrt((pos-1,000,000)^2). It uses
nothing but the processor, so it speeds up by the processors that a model can
use at once. Every partial sum is a whole number that a float64 holds exactly,
so the result does not depend on how the work was split.`,
	Params:  &sqrtParams{N: 30_000_000, Tasks: 16},
	Tasks:   []executor.AnyTask{sqrtTask},
	Nominal: func(p any) time.Duration { return time.Duration(p.(*sqrtParams).N) * 3 },
	Open: func(_ context.Context, env harness.Env) (harness.Session, error) {
		return &sqrtSession{p: *env.Params.(*sqrtParams), workers: env.Workers}, nil
	},
}

type sqrtParams struct {
	N     int64 `yaml:"n" doc:"square roots in all, up to 100,000,000"`
	Tasks int   `yaml:"tasks" doc:"tasks that they are split over"`
}

// Validate implements what Workload.Params asks for.
func (p *sqrtParams) Validate() error {
	if p.N < 1 || p.N > 100_000_000 { // beyond, a sum may exceed 2^53
		return fmt.Errorf("n is %d; want 1 to 100,000,000", p.N)
	}
	return checkTasks(p.Tasks)
}

func checkTasks(n int) error {
	if n < 1 || n > 1_000_000 {
		return fmt.Errorf("tasks is %d; want 1 to 1,000,000", n)
	}
	return nil
}

const sqrtCentre = 1_000_000

var sqrtTask = executor.NewTask("sqrt", func(ctx context.Context, in span) (float64, error) {
	sum := 0.0
	for from := in.From; from < in.To; {
		to := min(from+1<<15, in.To) // about 100 µs
		for pos := from + 1; pos <= to; pos++ {
			d := float64(pos - sqrtCentre)
			sum += math.Sqrt(d * d)
		}
		from = to
		executor.Checkpoint(ctx)
	}
	return sum, nil
})

type sqrtSession struct {
	p       sqrtParams
	workers int
	sums    []float64
}

func (s *sqrtSession) Warm(ctx context.Context, ex *executor.Executor) error {
	return warm(ctx, ex, sqrtTask, s.workers, span{0, 1_000_000})
}

func (s *sqrtSession) Run(ctx context.Context, ex *executor.Executor) (err error) {
	s.sums, err = submitAll(ctx, ex, sqrtTask, split(s.p.N, s.p.Tasks))
	return err
}

// Check compares with the closed form of the sum of |pos-centre| for pos from
// 1 to n: sums of consecutive whole numbers.
func (s *sqrtSession) Check() (harness.Outcome, error) {
	got := new(big.Float)
	for _, v := range s.sums {
		got.Add(got, big.NewFloat(v))
	}
	triangle := func(n int64) *big.Int {
		return new(big.Int).Div(new(big.Int).Mul(big.NewInt(n), big.NewInt(n+1)), big.NewInt(2))
	}
	below := min(s.p.N, sqrtCentre) // their distances are centre-1 down to centre-below
	want := new(big.Int).Sub(triangle(sqrtCentre-1), triangle(sqrtCentre-below-1))
	if s.p.N > sqrtCentre {
		want.Add(want, triangle(s.p.N-sqrtCentre))
	}
	if got.Cmp(new(big.Float).SetInt(want)) != 0 {
		return harness.Outcome{}, fmt.Errorf("the roots add up to %s; want %v", got.Text('f', 0), want)
	}
	return harness.Outcome{Digest: harness.Digest(s.sums), Tasks: len(s.sums)}, nil
}

func (s *sqrtSession) Close() error { return nil }
