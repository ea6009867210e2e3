package plan

import (
	"fmt"
	"time"
)

// reserve is what a run with a time budget keeps for its report.
const reserve = time.Second

// RoundsWithin returns how many rounds that take next each fit into what is left
// of a budget, when rest must follow them.
func RoundsWithin(budget, spent, next, rest time.Duration) int {
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
	n := RoundsWithin(time.Duration(p.Run.BudgetNS), 0, all-rest, rest)
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
