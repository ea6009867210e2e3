package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/f3f4c0de/harness/internal/report/document"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/stats"
)

// An ObserverCost is what one observer costs one cell. The trials that it rests on
// enter no other figure.
type ObserverCost struct {
	Cell     string `json:"cell"`
	Workload string `json:"workload"`
	Backend  string `json:"backend"`
	Observer string `json:"observer"`
	Kept     int    `json:"kept"`   // rounds that enter the figures
	Rounds   int    `json:"rounds"` // that were made

	// Wall and CPU are ratios of a trial with the observer to one without it in
	// the same round: of their times, and of the processor times of all processes.
	Wall *Estimate `json:"wall,omitempty"`
	CPU  *Estimate `json:"cpu,omitempty"`

	P     *float64 `json:"p,omitempty"`
	HolmP *float64 `json:"holm_p,omitempty"` // after the adjustment for all costs of the run

	// Verdict compares the time with the observer with that without it: slower
	// means that the observer adds more than the band that does not matter.
	Verdict stats.Verdict `json:"verdict"`
}

// observerCosts computes what the observers cost each cell, in the order of the
// run.
func (r *Report) observerCosts(trials []results.Trial) {
	blocks := results.ObserverBlocks(&r.Run, trials)
	for _, c := range r.Run.Cells {
		all := blocks[c.ID]
		if len(all) == 0 {
			continue
		}
		kept := slices.DeleteFunc(slices.Clone(all), r.Run.DropsObserverBlock)
		for _, o := range r.Run.Observers {
			cost := ObserverCost{Cell: c.ID, Workload: c.Workload, Backend: c.Backend, Observer: o.Name, Kept: len(kept), Rounds: len(all)}
			if num, den := observerPairs(kept, o.Name, results.Wall); len(num) > 0 {
				cost.Wall = estimate(stats.Ratio(num, den, Confidence))
				p := stats.SignedRank(logRatios(num, den))
				cost.P = &p
			}
			if num, den := observerPairs(kept, o.Name, results.CPU); len(num) > 0 {
				cost.CPU = estimate(stats.Ratio(num, den, Confidence))
			}
			r.ObserverCosts = append(r.ObserverCosts, cost)
		}
	}
	family := make([]float64, len(r.ObserverCosts))
	for i := range r.ObserverCosts {
		family[i] = *cmp.Or(r.ObserverCosts[i].P, &one)
	}
	adjusted := stats.Holm(family)
	for i := range r.ObserverCosts {
		cost := &r.ObserverCosts[i]
		claim := stats.Claim{P: adjusted[i]}
		if cost.Wall == nil {
			claim.Doubt = "there is no result"
		} else {
			cost.HolmP = &adjusted[i]
			e := cost.Wall.stats()
			claim.Ratio = stats.Estimate{Value: 1 / e.Value, Low: 1 / e.High, High: 1 / e.Low, Confidence: e.Confidence, N: e.N}
		}
		cost.Verdict = stats.Judge(claim)
	}
}

var one = 1.

func observerPairs(blocks []*results.Block, observer string, m results.Metric) (num, den []float64) {
	for _, b := range blocks {
		if x, y, ok := b.ObserverPair(observer, m); ok {
			num, den = append(num, x), append(den, y)
		}
	}
	return num, den
}

// observerLines returns sentences on what observing costs: how it was measured,
// then one for each observer.
func (r *Report) observerLines() (lines []string) {
	if len(r.ObserverCosts) == 0 {
		if r.Run.ProfileNS > 0 && r.Run.ObserverRounds == 0 {
			lines = append(lines, "Observers: nothing observed a timed trial; what observing costs was not measured (harness run --observers 12).")
		}
		return lines
	}
	first := r.ObserverCosts[0]
	kept := first.Kept
	for _, c := range r.ObserverCosts {
		kept = min(kept, c.Kept)
	}
	line := fmt.Sprintf("Observers: nothing observed a timed trial. What observing costs was measured apart, on %s%s, each cell in %d rounds or more with each observer and with none.",
		first.Workload, r.grain(first.Workload), kept)
	if kept < stats.MinRounds {
		line += fmt.Sprintf(" There is no verdict on it: that takes %d rounds.", stats.MinRounds)
	}
	lines = append(lines, line)
	for _, o := range r.Run.Observers {
		var values []float64
		var parts []string
		for _, c := range r.ObserverCosts {
			if c.Observer != o.Name || c.Wall == nil {
				continue
			}
			values = append(values, c.Wall.Value-1)
			switch w := c.Verdict.Word; w {
			case stats.Slower, stats.SlightlySlower, stats.Faster, stats.SlightlyFaster:
				parts = append(parts, fmt.Sprintf("%s on %s (%s)", w, c.Backend, changeText(c.Wall)))
			}
		}
		if len(values) == 0 {
			continue
		}
		line := fmt.Sprintf("Observers: %s adds %s to %s %% to the time, by backend", o.Doc, bareChange(slices.Min(values)), bareChange(slices.Max(values)))
		switch {
		case kept < stats.MinRounds:
		case len(parts) > 0:
			line += ": " + strings.Join(parts, ", ")
		default:
			line += ": nowhere is a difference shown"
		}
		lines = append(lines, line+".")
	}
	return lines
}

// grain says how long the tasks of a workload are, by its pilot trial.
func (r *Report) grain(workload string) string {
	if ns := r.taskNS[workload]; ns > 0 {
		return fmt.Sprintf(" with tasks of about %s", duration(ns))
	}
	return ""
}

// observersSection is the table of what observing costs, a row for each cell and
// a column for each observer.
func observersSection(r *Report) document.Section {
	if len(r.ObserverCosts) == 0 {
		return document.Section{}
	}
	t := document.NewTable(3, "workload", "backend", "of")
	for _, o := range r.Run.Observers {
		t.Columns = append(t.Columns, document.Column{Name: o.Name})
	}
	for cell := range slices.Chunk(r.ObserverCosts, len(r.Run.Observers)) {
		for _, of := range []string{"time", "CPU"} {
			row := []string{cell[0].Workload, cell[0].Backend, of}
			for _, c := range cell {
				e := c.Wall
				if of == "CPU" {
					e = c.CPU
				}
				row = append(row, changeText(e))
			}
			t.Rows = append(t.Rows, document.Row{Cells: row, Rule: of == "time"})
		}
	}
	return document.Section{ID: "observers", Title: "What observing costs", Blocks: []document.Block{t, document.Note(observersNote)}}
}

// changeText formats a ratio as a change in percent, with its interval.
func changeText(e *Estimate) string {
	switch {
	case e == nil:
		return "–"
	case e.Low == nil || e.High == nil:
		return signedPercent(e.Value - 1)
	}
	return fmt.Sprintf("%s (%s to %s)", signedPercent(e.Value-1), bareChange(*e.Low-1), bareChange(*e.High-1))
}

// signedPercent formats a change with its sign: "+0.4 %", "−12 %".
func signedPercent(v float64) string {
	s := bareChange(v)
	if v > 0 {
		s = "+" + s
	}
	return s + " %"
}

// bareChange formats a change in percent without the unit, with a sign only if it
// is negative.
func bareChange(v float64) string {
	digits := 1
	if math.Abs(v) >= 0.0995 {
		digits = 0
	}
	s := fmt.Sprintf("%.*f", digits, math.Abs(100*v))
	if v < 0 {
		s = "−" + s
	}
	return s
}

// observersNote explains the table.
const observersNote = "What each observer adds to the time of a trial, and to the processor time of its processes, by itself: Hodges–Lehmann estimate of the paired ratios with its 95 % interval. The trials behind it enter no other figure."
