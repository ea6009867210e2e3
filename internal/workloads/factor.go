package workloads

import (
	"context"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"time"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/executor"
)

// Factor is the book's computation: prime factors of random numbers.
var Factor = &harness.Workload{
	Name: "factor",
	Doc: `CPU-bound: the prime factors of many random numbers

The book's calculatePrimeFactors, by trial division, on numbers between 20,000
and 100,000,000. How long one takes depends on its factors, so the tasks are
of unequal length, and each returns lists. The book takes 10,000 numbers; in Go
that is over in 30 ms, too soon to be measured well, so there are 40,000.`,
	Params:  &factorParams{N: 40_000, Tasks: 20, Seed: 1},
	Tasks:   []executor.AnyTask{factorTask},
	Nominal: func(p any) time.Duration { return time.Duration(p.(*factorParams).N) * 3 * time.Microsecond },
	Open: func(_ context.Context, env harness.Env) (harness.Session, error) {
		p := *env.Params.(*factorParams)
		rng := rand.New(rand.NewPCG(p.Seed, 0))
		s := &factorSession{workers: env.Workers, numbers: make([]uint32, p.N)}
		for i := range s.numbers {
			s.numbers[i] = 20_000 + rng.Uint32N(100_000_000-20_000+1)
		}
		for _, sp := range split(int64(p.N), p.Tasks) {
			s.parts = append(s.parts, s.numbers[sp.From:sp.To])
		}
		return s, nil
	},
}

type factorParams struct {
	N     int    `yaml:"n" doc:"numbers to factorise"`
	Tasks int    `yaml:"tasks" doc:"tasks that they are split over"`
	Seed  uint64 `yaml:"seed" doc:"of the random numbers"`
}

// Validate implements what Workload.Params asks for.
func (p *factorParams) Validate() error {
	if p.N < 1 || p.N > 10_000_000 {
		return fmt.Errorf("n is %d; want 1 to 10,000,000", p.N)
	}
	return checkTasks(p.Tasks)
}

var factorTask = executor.NewTask("factor", func(ctx context.Context, numbers []uint32) ([][]uint32, error) {
	out := make([][]uint32, len(numbers))
	for i, n := range numbers {
		out[i] = primeFactors(n)
		if i%8 == 7 { // about 100 µs
			executor.Checkpoint(ctx)
		}
	}
	return out, nil
})

// primeFactors returns the prime factors of n in ascending order, each as
// often as it divides n.
func primeFactors(n uint32) []uint32 {
	var factors []uint32
	for d := uint32(2); d*d <= n; d++ {
		for n%d == 0 {
			factors = append(factors, d)
			n /= d
		}
	}
	if n > 1 {
		factors = append(factors, n)
	}
	return factors
}

type factorSession struct {
	workers int
	numbers []uint32
	parts   [][]uint32
	factors [][][]uint32
}

func (s *factorSession) Warm(ctx context.Context, ex *executor.Executor) error {
	return warm(ctx, ex, factorTask, s.workers, s.parts[0])
}

func (s *factorSession) Run(ctx context.Context, ex *executor.Executor) (err error) {
	s.factors, err = submitAll(ctx, ex, factorTask, s.parts)
	return err
}

// Check multiplies the factors and tests that each is prime.
func (s *factorSession) Check() (harness.Outcome, error) {
	i := 0
	for _, part := range s.factors {
		for _, factors := range part {
			product, last := uint64(1), uint32(0)
			for _, f := range factors {
				if f < last || !prime(f) {
					return harness.Outcome{}, fmt.Errorf("the factors of %d came out as %v; want primes in ascending order", s.numbers[i], factors)
				}
				product, last = product*uint64(f), f
			}
			if product != uint64(s.numbers[i]) {
				return harness.Outcome{}, fmt.Errorf("the factors of %d came out as %v; their product is %d", s.numbers[i], factors, product)
			}
			i++
		}
	}
	if i != len(s.numbers) {
		return harness.Outcome{}, fmt.Errorf("%d of %d numbers were factorised", i, len(s.numbers))
	}
	return harness.Outcome{Digest: harness.Digest(s.factors), Tasks: len(s.factors)}, nil
}

func (s *factorSession) Close() error { return nil }

// prime reports whether n, at most 100,000,000, is prime: the test of Miller
// and Rabin with the bases 2, 3, 5 and 7, which is exact below 3,215,031,751
// (Jaeschke, On strong pseudoprimes to several bases, 1993). Unlike trial
// division it shares nothing with the task, and it takes a microsecond.
func prime(n uint32) bool {
	if n < 2 || n%2 == 0 {
		return n == 2
	}
	odd, twos := n-1, bits.TrailingZeros32(n-1)
	odd >>= twos
	for _, base := range []uint64{2, 3, 5, 7} {
		if uint64(n) == base {
			return true
		}
		x := uint64(1)
		for e, square := odd, base; e > 0; e, square = e/2, square*square%uint64(n) {
			if e%2 == 1 {
				x = x * square % uint64(n)
			}
		}
		witness := x != 1
		for range twos {
			witness = witness && x != uint64(n-1)
			x = x * x % uint64(n)
		}
		if witness {
			return false
		}
	}
	return true
}
