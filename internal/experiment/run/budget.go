package run

import (
	"slices"
	"time"

	"github.com/f3f4c0de/harness/internal/experiment/plan"
	"github.com/f3f4c0de/harness/internal/results"
)

// A clock knows how much of the time budget is spent, and how long rounds take.
type clock struct {
	began  time.Time
	before time.Duration // the parts of a run that was resumed

	took, estimated time.Duration // of the rounds that were made since
}

// newClock starts with what the trials took that were made before.
func newClock(done []results.Trial) clock {
	c := clock{began: time.Now()}
	for _, t := range done {
		d := time.Duration(t.OpenNS + t.ColdNS() + t.CloseNS)
		if t.Load != nil {
			d = max(d, time.Duration(t.Load.WindowNS))
		}
		c.before += d
	}
	return c
}

// pace is how many times longer rounds take than was estimated.
func (c *clock) pace() float64 {
	if c.estimated <= 0 {
		return 1
	}
	return float64(c.took) / float64(c.estimated)
}

// fits reports whether the steps of a round fit into the time budget, beside what
// follows the rounds. It looks at how long whole rounds take, and at no model's
// time: so it favours none. The first round is made in any case.
func (r *runner) fits(round int, steps []plan.Step) bool {
	run := &r.plan.Run
	missing := slices.DeleteFunc(slices.Clone(steps), func(s plan.Step) bool { return r.done[s] })
	if run.BudgetNS == 0 || len(missing) == 0 {
		return true
	}
	after := slices.DeleteFunc(slices.Concat(r.plan.AllCosts(), r.plan.Evidence()), func(s plan.Step) bool { return r.done[s] })
	rest, _ := r.plan.Estimate(after, r.pilots)
	next, _ := r.plan.Estimate(steps, r.pilots)
	pace := r.clock.pace()
	spent := r.clock.before + time.Since(r.clock.began)
	n := plan.RoundsWithin(time.Duration(run.BudgetNS), spent, scale(next, pace), scale(rest, max(1, pace)))
	if n == 0 && round > 0 {
		r.todo = after
		return false
	}
	r.todo = nil // as far as is known now
	for i := range min(max(n, 1), max(run.Rounds-round, 1)) {
		r.todo = append(r.todo, r.plan.Round(round+i, func(string) bool { return true })...)
	}
	r.todo = slices.DeleteFunc(append(r.todo, after...), func(s plan.Step) bool { return r.done[s] })
	return true
}

func scale(d time.Duration, by float64) time.Duration { return time.Duration(float64(d) * by) }

// timed makes the steps of a round, and notes how long they take.
func (r *runner) timed(steps []plan.Step, make func() error) error {
	missing := slices.DeleteFunc(slices.Clone(steps), func(s plan.Step) bool { return r.done[s] })
	estimated, _ := r.plan.Estimate(missing, r.pilots)
	start := time.Now()
	err := make()
	r.clock.took += time.Since(start)
	r.clock.estimated += estimated
	return err
}
