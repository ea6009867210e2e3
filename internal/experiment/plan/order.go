package plan

import (
	"math/rand/v2"
	"slices"

	"github.com/f3f4c0de/harness/internal/results"
)

// steps returns the steps in their order, if no trial has to be repeated: first a pilot of
// each workload, whose output all others must equal, then the rounds, then the rounds that
// measure the cost of observing, and last the evidence trials.
func (p *Plan) steps(rounds int) []Step {
	all := p.Pilots()
	for round := range rounds {
		all = append(all, p.Round(round, func(string) bool { return true })...)
	}
	return slices.Concat(all, p.ObserverRounds(), p.Evidence())
}

// Applicable returns the cells of a workload that can be run; of all workloads if it is
// empty.
func (p *Plan) Applicable(workload string) []results.Cell {
	return slices.DeleteFunc(slices.Clone(p.Run.Cells), func(c results.Cell) bool {
		return c.NotApplicable != "" || workload != "" && c.Workload != workload
	})
}

// Pilots returns the first trials: one of each workload, on the baseline.
func (p *Plan) Pilots() (steps []Step) {
	for _, c := range p.Applicable("") {
		if c.Baseline {
			steps = append(steps, Step{Cell: c.ID, Kind: results.Pilot})
		}
	}
	return steps
}

// Round returns the steps of one round for the workloads for which of returns true. It
// begins with a probe of how much work the machine does in parallel. Every cell of a
// workload is run once, and the baseline twice. The order of the workloads is random, and
// so is the order of the cells of a workload, which follow each other directly, so that
// what is compared is close in time.
func (p *Plan) Round(round int, of func(workload string) bool) []Step {
	steps := []Step{{Kind: results.Probe, Round: round}}
	rng := rand.New(rand.NewPCG(p.Run.Seed, uint64(round)))
	order := 0
	for _, w := range rng.Perm(len(p.Run.Workloads)) {
		label := p.Run.Workloads[w].Label
		var block []Step
		for _, c := range p.Applicable(label) {
			block = append(block, Step{Cell: c.ID, Kind: results.Timed, Round: round})
			if c.Baseline {
				block = append(block, Step{Cell: c.ID, Kind: results.Timed, Round: round, Copy: true})
			}
		}
		for _, i := range rng.Perm(len(block)) {
			if !of(label) {
				continue // so that the order of the others does not depend on it
			}
			s := block[i]
			s.Order = order
			order++
			steps = append(steps, s)
		}
	}
	return steps
}

// ObserverRounds returns the steps of all rounds that measure the cost of observing.
func (p *Plan) ObserverRounds() (steps []Step) {
	for round := range p.Run.ObserverRounds {
		steps = append(steps, p.ObserverRound(round, func(string) bool { return true })...)
	}
	return steps
}

// ObserverRound returns the steps of one round that measures the cost of observing, for the
// cells for which of returns true. Every cell of the first workload is run with each
// observer and with none, directly after each other in random order. The order of the cells
// is random, too.
func (p *Plan) ObserverRound(round int, of func(cell string) bool) (steps []Step) {
	rng := rand.New(rand.NewPCG(p.Run.Seed, 1<<32+uint64(round)))
	cells := p.Applicable(p.Run.Workloads[0].Label)
	for _, c := range rng.Perm(len(cells)) {
		arms := rng.Perm(1 + len(p.Run.Observers))
		if !of(cells[c].ID) {
			continue // so that the order of the others does not depend on it
		}
		for _, i := range arms {
			s := Step{Cell: cells[c].ID, Kind: results.ObserverTrial, Round: round, Order: len(steps)}
			if i > 0 {
				s.Observer = p.Run.Observers[i-1].Name
			}
			steps = append(steps, s)
		}
	}
	return steps
}

// Evidence returns the evidence trials: a traced and a profiled one of each cell.
func (p *Plan) Evidence() (steps []Step) {
	if p.Run.ProfileNS == 0 {
		return nil
	}
	for _, c := range p.Applicable("") {
		steps = append(steps, Step{Cell: c.ID, Kind: results.Traced}, Step{Cell: c.ID, Kind: results.Profiled})
	}
	return steps
}

// Trials counts the steps that are trials: all but probes.
func Trials(steps []Step) int {
	n := 0
	for _, s := range steps {
		if s.Kind != results.Probe {
			n++
		}
	}
	return n
}
