package experiment

import (
	"fmt"
	"slices"
	"time"

	"github.com/f3f4c0de/harness/internal/results"
)

// mostBudgeted bounds the rounds of a run that makes as many as fit into its
// time budget: more would hardly make an interval narrower.
const mostBudgeted = 100

// reserve is what a run with a time budget keeps for its report.
const reserve = time.Second

// roundsWithin returns how many rounds that take next each fit into what is left
// of a budget, when rest must follow them.
func roundsWithin(budget, spent, next, rest time.Duration) int {
	left := budget - spent - rest - reserve
	if left < 0 || next <= 0 {
		return 0
	}
	return int(left / next)
}

// budget lays out the rounds that fit into the time budget by what the workloads
// say of themselves, at least one. What the pilots take changes that later.
func (p *Plan) budget() {
	if p.Run.BudgetNS == 0 {
		p.Steps = p.steps(p.Run.Rounds)
		return
	}
	first, one := p.steps(0), p.steps(1)
	rest, _ := p.Estimate(first, nil)
	all, _ := p.Estimate(one, nil)
	n := roundsWithin(time.Duration(p.Run.BudgetNS), 0, all-rest, rest)
	p.Steps = p.steps(min(max(n, 1), p.Run.Rounds))
}

// CheckBudget fails if the time budget has no room for a single round.
func (p *Plan) CheckBudget() error {
	budget := time.Duration(p.Run.BudgetNS)
	if budget == 0 {
		return nil
	}
	least, known := p.Estimate(p.steps(1), nil)
	if least += reserve; !known || least <= budget {
		return nil
	}
	what, want := "with the pilots and the evidence", "want more than that, or fewer cells"
	if p.Run.ObserverRounds > 0 {
		what, want = "with the pilots, the cost of observing and the evidence", "want more than that, fewer cells, or no observers"
	}
	return fmt.Errorf("a time budget of %v has no room for a single round: that takes about %v %s; %s", budget, least.Round(time.Second), what, want)
}

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
func (r *runner) fits(round int, steps []Step) bool {
	run := &r.plan.Run
	missing := slices.DeleteFunc(slices.Clone(steps), func(s Step) bool { return r.done[s] })
	if run.BudgetNS == 0 || len(missing) == 0 {
		return true
	}
	after := slices.DeleteFunc(slices.Concat(r.plan.allCosts(), r.plan.evidence()), func(s Step) bool { return r.done[s] })
	rest, _ := r.plan.Estimate(after, r.pilots)
	next, _ := r.plan.Estimate(steps, r.pilots)
	pace := r.clock.pace()
	spent := r.clock.before + time.Since(r.clock.began)
	n := roundsWithin(time.Duration(run.BudgetNS), spent, scale(next, pace), scale(rest, max(1, pace)))
	if n == 0 && round > 0 {
		r.todo = after
		return false
	}
	r.todo = nil // as far as is known now
	for i := range min(max(n, 1), max(run.Rounds-round, 1)) {
		r.todo = append(r.todo, r.plan.round(round+i, func(string) bool { return true })...)
	}
	r.todo = slices.DeleteFunc(append(r.todo, after...), func(s Step) bool { return r.done[s] })
	return true
}

func scale(d time.Duration, by float64) time.Duration { return time.Duration(float64(d) * by) }

// timed makes the steps of a round, and notes how long they take.
func (r *runner) timed(steps []Step, make func() error) error {
	missing := slices.DeleteFunc(slices.Clone(steps), func(s Step) bool { return r.done[s] })
	estimated, _ := r.plan.Estimate(missing, r.pilots)
	start := time.Now()
	err := make()
	r.clock.took += time.Since(start)
	r.clock.estimated += estimated
	return err
}
