package run

import (
	"maps"
	"math"

	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/stats"
)

// wanted returns the workloads that need that round: all in the rounds that were
// planned, afterwards those that other programs disturbed or whose figures are
// not yet precise. It looks at nothing but the rounds before, and at no result
// except for the width of its interval: that something came out faster neither
// ends a run nor prolongs it.
func (r *runner) wanted(round int) map[string]bool {
	run := &r.plan.Run
	wanted := make(map[string]bool)
	kept := make(map[string][]*results.Block)
	dropped := make(map[string]int)
	for _, b := range results.Blocks(run, r.made) {
		switch {
		case b.Round >= round:
		case run.Drops(b):
			dropped[b.Workload]++
		default:
			kept[b.Workload] = append(kept[b.Workload], b)
		}
	}
	for _, w := range run.Workloads {
		clean := round - dropped[w.Label]
		switch {
		case len(r.plan.Applicable(w.Label)) == 0:
		case clean < run.Rounds:
			most := max(run.Rounds, run.MaxRounds)
			hopeless := run.MaxRounds > 0 && clean+most-round < stats.MinRounds
			wanted[w.Label] = round < most && !hopeless
		case run.Precision > 0:
			wanted[w.Label] = round < run.MaxRounds && !r.precise(kept[w.Label])
		}
	}
	maps.DeleteFunc(wanted, func(_ string, yes bool) bool { return !yes })
	return wanted
}

// wantedCosts returns the cells that need that round of those by which the cost
// of observing is measured: all in the rounds that were planned, afterwards
// those that other programs disturbed, until as many have been made again.
func (r *runner) wantedCosts(round int) map[string]bool {
	run := &r.plan.Run
	most := run.ObserverRounds
	if most >= stats.MinRounds {
		most *= 2
	}
	if round >= most {
		return nil
	}
	wanted := make(map[string]bool)
	blocks := results.ObserverBlocks(run, r.made)
	for _, c := range r.plan.Applicable(run.Workloads[0].Label) {
		dropped := 0
		for _, b := range blocks[c.ID] {
			if b.Round < round && run.DropsObserverBlock(b) {
				dropped++
			}
		}
		if round-dropped < run.ObserverRounds {
			wanted[c.ID] = true
		}
	}
	return wanted
}

// precise reports whether the interval of every speed-up in the blocks of a
// workload is as narrow as it is to be.
func (r *runner) precise(blocks []*results.Block) bool {
	if len(blocks) == 0 {
		return false
	}
	for _, c := range r.plan.Applicable(blocks[0].Workload) {
		var num, den []float64
		for _, b := range blocks {
			if x, y, ok := b.Pair(c, results.Wall); ok && !c.Baseline {
				num, den = append(num, x), append(den, y)
			}
		}
		if len(num) == 0 {
			continue // the baseline, or a cell that fails
		}
		e := stats.Ratio(num, den, 1-stats.Level)
		if half := math.Sqrt(e.High/e.Low) - 1; !(half <= r.plan.Run.Precision) {
			return false
		}
	}
	return true
}
