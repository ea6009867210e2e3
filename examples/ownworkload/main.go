// Command ownworkload compares the execution models on a program of its own.
// It is a module apart from harness, as a user's would be: the workload below
// and one line in main give it the whole command line.
//
//	go run . run --workloads collatz
package main

import (
	"context"
	"fmt"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/cli"
	"github.com/f3f4c0de/harness/executor"
)

func main() { cli.Main(&collatz) }

var collatz = harness.Workload{
	Name: "collatz",
	Doc: `CPU-bound: the start of the longest Collatz chain below a bound

From n the chain goes on with n/2 if n is even and with 3n+1 if it is odd, until
it reaches 1. Chains are of very different lengths, so the tasks are, too.`,
	Params: &params{Below: 300_000, Tasks: 32},
	Tasks:  []executor.AnyTask{longest},
	Open: func(_ context.Context, env harness.Env) (harness.Session, error) {
		return &session{p: *env.Params.(*params)}, nil
	},
}

type params struct {
	Below int `yaml:"below" doc:"bound of the starts, up to 10,000,000"`
	Tasks int `yaml:"tasks" doc:"tasks that the starts are split over"`
}

// Validate is found by the harness: a bad value is refused before anything runs.
func (p *params) Validate() error {
	if p.Below < 2 || p.Below > 10_000_000 || p.Tasks < 1 {
		return fmt.Errorf("below is %d and tasks is %d; want 2 to 10,000,000 and at least 1", p.Below, p.Tasks)
	}
	return nil
}

// What a task gets and returns must be plain data, since it may cross to
// another process.
type part struct{ From, To int }

type chain struct{ Start, Steps int }

var longest = executor.NewTask("collatz", func(ctx context.Context, in part) (chain, error) {
	best := chain{}
	for start := in.From; start < in.To; start++ {
		steps := 0
		for n := start; n != 1; steps++ {
			if n%2 == 0 {
				n /= 2
			} else {
				n = 3*n + 1
			}
		}
		if steps > best.Steps {
			best = chain{start, steps}
		}
		if start%512 == 0 {
			executor.Checkpoint(ctx) // a lock-based model may hand over here
		}
	}
	return best, nil
})

type session struct {
	p    params
	best chain
}

func (s *session) Run(ctx context.Context, ex *executor.Executor) error {
	futures := make([]*executor.Future[chain], s.p.Tasks)
	for i := range futures {
		futures[i] = longest.Submit(ctx, ex, part{max(1, s.p.Below*i/s.p.Tasks), s.p.Below * (i + 1) / s.p.Tasks})
	}
	for _, f := range futures {
		c, err := f.Wait(ctx)
		if err != nil {
			return err
		}
		if c.Steps > s.best.Steps {
			s.best = c
		}
	}
	return nil
}

// records are the starts of chains longer than any before (OEIS A006877), with
// their steps (A006878).
var records = []chain{
	{1, 0}, {2, 1}, {3, 7}, {6, 8}, {7, 16}, {9, 19}, {18, 20}, {25, 23}, {27, 111}, {54, 112}, {73, 115}, {97, 118}, {129, 121},
	{171, 124}, {231, 127}, {313, 130}, {327, 143}, {649, 144}, {703, 170}, {871, 178}, {1161, 181}, {2223, 182}, {2463, 208},
	{2919, 216}, {3711, 237}, {6171, 261}, {10971, 267}, {13255, 275}, {17647, 278}, {23529, 281}, {26623, 307}, {34239, 310},
	{35655, 323}, {52527, 339}, {77031, 350}, {106239, 353}, {142587, 374}, {156159, 382}, {216367, 385}, {230631, 442},
	{410011, 448}, {511935, 469}, {626331, 508}, {837799, 524}, {1117065, 527}, {2234130, 528}, {1723519, 556}, {2298025, 559},
	{3064033, 562}, {3542887, 583}, {3732423, 596}, {5649499, 612}, {6649279, 664}, {8400511, 685},
}

// Check looks the answer up.
func (s *session) Check() (harness.Outcome, error) {
	want := chain{}
	for _, r := range records {
		if r.Start < s.p.Below && r.Steps > want.Steps {
			want = r
		}
	}
	if s.best != want {
		return harness.Outcome{}, fmt.Errorf("the longest chain below %d came out as %+v; want %+v", s.p.Below, s.best, want)
	}
	return harness.Outcome{Digest: harness.Digest(s.best), Tasks: s.p.Tasks}, nil
}

func (s *session) Close() error { return nil }
