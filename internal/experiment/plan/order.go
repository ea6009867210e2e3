package plan

import (
	"math/rand/v2"
	"slices"

	"github.com/f3f4c0de/harness/internal/results"
)

// steps lays out the trials as they are made if nothing has to be made again:
// first a pilot of each workload, whose output the others must equal, then the
// rounds, then those by which the cost of observing is measured, last the
// evidence.
func (p *Plan) steps(rounds int) []Step {
	all := p.Pilots()
	for round := range rounds {
		all = append(all, p.Round(round, func(string) bool { return true })...)
	}
	return slices.Concat(all, p.AllCosts(), p.Evidence())
}

// Applicable returns the cells that are run.
func (p *Plan) Applicable(workload string) []results.Cell {
	return slices.DeleteFunc(slices.Clone(p.Run.Cells), func(c results.Cell) bool {
		return c.NotApplicable != "" || workload != "" && c.Workload != workload
	})
}

// Pilots are the first trials: one of each workload, on the baseline.
func (p *Plan) Pilots() (steps []Step) {
	for _, c := range p.Applicable("") {
		if c.Baseline {
			steps = append(steps, Step{Cell: c.ID, Kind: results.Pilot})
		}
	}
	return steps
}

// Round is one round of those workloads. It runs every cell of a workload once
// and the baseline twice, the workloads in random order and the cells of a
// workload one after the other in random order, so that what is compared is
// close in time. Before comes a look at how much runs at once.
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
				continue // the others stay in their order
			}
			s := block[i]
			s.Order = order
			order++
			steps = append(steps, s)
		}
	}
	return steps
}

// AllCosts are the rounds by which the cost of observing is measured.
func (p *Plan) AllCosts() (steps []Step) {
	for round := range p.Run.ObserverRounds {
		steps = append(steps, p.Costs(round, func(string) bool { return true })...)
	}
	return steps
}

// Costs is one round by which the cost of observing those cells is measured:
// every cell of the first workload with each observer and with none, one after
// the other in random order, the cells in random order too.
func (p *Plan) Costs(round int, of func(cell string) bool) (steps []Step) {
	rng := rand.New(rand.NewPCG(p.Run.Seed, 1<<32+uint64(round)))
	cells := p.Applicable(p.Run.Workloads[0].Label)
	for _, c := range rng.Perm(len(cells)) {
		arms := rng.Perm(1 + len(p.Run.Observers))
		if !of(cells[c].ID) {
			continue // the others stay in their order
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

// Evidence are the trials of each cell that are observed.
func (p *Plan) Evidence() (steps []Step) {
	if p.Run.ProfileNS == 0 {
		return nil
	}
	for _, c := range p.Applicable("") {
		steps = append(steps, Step{Cell: c.ID, Kind: results.Traced}, Step{Cell: c.ID, Kind: results.Profiled})
	}
	return steps
}

// Trials returns how many of the steps are trials, which probes are not.
func Trials(steps []Step) int {
	n := 0
	for _, s := range steps {
		if s.Kind != results.Probe {
			n++
		}
	}
	return n
}
