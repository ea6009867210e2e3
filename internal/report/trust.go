package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/f3f4c0de/harness/internal/report/document"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/stats"
)

// trustSection says how far the figures can be trusted.
func trustSection(r *Report) document.Section {
	lines := r.trustLines()
	verdicts := "Verdicts: none are given with fewer than 12 rounds; the figures are for looking around."
	if r.Judged {
		verdicts = "Verdicts: by 95 % intervals of paired ratios, a band of ±5 % and Holm's adjustment for all comparisons of the run."
	}
	return document.Section{ID: "trust", Title: "Can it be trusted?", Blocks: []document.Block{
		document.Terminal{document.Facts(lines)}, document.Files{document.Facts(append(lines, verdicts))},
	}}
}

// Trust says how far the figures of a run can be trusted.
type Trust struct {
	// Capacity is how many processors' worth of work ran at once, measured
	// before each round; nil if that was not done.
	Capacity *Spread `json:"capacity,omitempty"`

	// LoadKnown tells that the processor use of other programs was recorded.
	// OtherCores is the most that they may use in a round that counts.
	LoadKnown  bool    `json:"load_known"`
	OtherCores float64 `json:"other_cores_allowed"`

	Workloads []WorkloadTrust `json:"workloads"`
}

// A WorkloadTrust says which rounds of a workload count, and how small a
// difference they can show.
type WorkloadTrust struct {
	Workload string `json:"workload"`
	Rounds   int    `json:"rounds"` // that were made
	Kept     int    `json:"kept"`   // that enter the figures

	// Disturbed are the rounds, from 0, during which other programs used more
	// than they may. In a run with verdicts these rounds are not kept.
	Disturbed []Disturbed `json:"disturbed,omitempty"`

	// Detectable is the smallest ratio that the kept rounds would distinguish from
	// 1 in four runs of five, with the noise of this run; 0 if that is unknown.
	Detectable float64 `json:"detectable,omitempty"`

	// Doubt is why there are no verdicts on the workload.
	Doubt string `json:"doubt,omitempty"`
}

// A Disturbed is a round and how many processors' worth of time other programs
// took during it.
type Disturbed struct {
	Round      int     `json:"round"`
	OtherCores float64 `json:"other_cores"`
}

// trust collects what the records say about the conditions of the run.
func (r *Report) trust(trials []results.Trial) Trust {
	t := Trust{OtherCores: stats.OtherCores(r.Run.Machine.Cores), LoadKnown: len(trials) > 0}
	var capacity []float64
	for _, trial := range trials {
		if trial.Kind == results.Probe && trial.OK() && trial.TogetherNS > 0 {
			capacity = append(capacity, float64(r.Run.Machine.Cores)*float64(trial.AloneNS)/float64(trial.TogetherNS))
		}
	}
	if len(capacity) > 0 {
		s := spread(capacity)
		t.Capacity = &s
	}
	for _, w := range r.Run.Workloads {
		wt := WorkloadTrust{Workload: w.Label, Rounds: len(r.blocks[w.Label]), Kept: len(r.kept(w.Label))}
		for _, b := range r.blocks[w.Label] {
			others, known := b.OtherCores()
			t.LoadKnown = t.LoadKnown && known
			if r.Run.Disturbed(b) {
				wt.Disturbed = append(wt.Disturbed, Disturbed{b.Round, others})
			}
		}
		t.Workloads = append(t.Workloads, r.selfTest(wt))
	}
	return t
}

// selfTest compares the baseline with itself (A/A), and decides whether verdicts
// can be given on the workload.
func (r *Report) selfTest(wt WorkloadTrust) WorkloadTrust {
	i := slices.IndexFunc(r.Run.Cells, func(c results.Cell) bool { return c.Workload == wt.Workload && c.Baseline })
	if i < 0 {
		return wt
	}
	num, den := pairs(r.kept(wt.Workload), r.Run.Cells[i], results.Wall)
	diffs := logRatios(num, den)
	if d := stats.DetectableEffect(diffs, len(diffs)); !math.IsInf(d, 0) {
		wt.Detectable = d
	}
	if !r.Judged {
		if asked := r.Run.AskedRounds; asked >= stats.MinRounds || r.Run.BudgetNS > 0 && r.Run.Precision > 0 {
			wt.Doubt = fmt.Sprintf("the time budget of %v had room for %d rounds, and a verdict takes %d", time.Duration(r.Run.BudgetNS), wt.Rounds, stats.MinRounds)
		}
		return wt
	}
	switch {
	case wt.Kept < stats.MinRounds && len(wt.Disturbed) > 0:
		var others []float64
		for _, d := range wt.Disturbed {
			others = append(others, d.OtherCores)
		}
		wt.Doubt = fmt.Sprintf("other programs used %.1f of %d cores in %d of %d rounds (%s)",
			stats.Median(others), r.Run.Machine.Cores, len(wt.Disturbed), wt.Rounds, roundList(wt.Disturbed))
	case wt.Kept < stats.MinRounds:
		wt.Doubt = fmt.Sprintf("it has %d rounds, and a verdict takes %d", wt.Kept, stats.MinRounds)
	case len(num) > 0:
		e := stats.Ratio(num, den, Confidence)
		if v := stats.Judge(stats.Claim{Ratio: e, P: stats.SignedRank(diffs), Self: true}); v.Word == stats.NoVerdict && e.N >= stats.MinRounds {
			wt.Doubt = fmt.Sprintf("the baseline differs from itself, %s between its two trials of a round", speedupText(estimate(e)))
		}
	}
	return wt
}

// roundList names rounds, counted from 1: "rounds 1, 4–6".
func roundList(rounds []Disturbed) string {
	var parts []string
	for i := 0; i < len(rounds); {
		j := i
		for j+1 < len(rounds) && rounds[j+1].Round == rounds[j].Round+1 {
			j++
		}
		part := fmt.Sprint(rounds[i].Round + 1)
		if j > i {
			part += fmt.Sprintf("–%d", rounds[j].Round+1)
		}
		parts = append(parts, part)
		i = j + 1
	}
	if len(rounds) == 1 {
		return "round " + parts[0]
	}
	return "rounds " + strings.Join(parts, ", ")
}

func (r *Report) trustOf(workload string) WorkloadTrust {
	for _, t := range r.Trust.Workloads {
		if t.Workload == workload {
			return t
		}
	}
	return WorkloadTrust{}
}

// trustLines returns sentences on how far the figures can be trusted.
func (r *Report) trustLines() []string {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	if c := r.Trust.Capacity; c != nil {
		add("Capacity: %.2f of %d cores did work at once (median of the probes before each round; %.2f to %.2f).", c.Median, r.Run.Machine.Cores, c.Min, c.Max)
	}
	if line := r.budgetLine(); line != "" {
		add("%s", line)
	}
	var noise []string
	for _, t := range r.Trust.Workloads {
		if t.Detectable > 0 {
			noise = append(noise, fmt.Sprintf("%s %s", t.Workload, percent(t.Detectable-1)))
		}
	}
	if len(noise) > 0 {
		add("Noise: the smallest difference that these rounds would show in four runs of five is %s.", strings.Join(noise, ", "))
	}
	clean := true
	for _, t := range r.Trust.Workloads {
		if len(t.Disturbed) == 0 || !r.Judged {
			continue
		}
		clean = false
		add("%s: kept %d of %d rounds; other programs used more than %.2g of %d cores in %s, which were left out whole.", t.Workload, t.Kept, t.Rounds, r.Trust.OtherCores, r.Run.Machine.Cores, roundList(t.Disturbed))
	}
	switch {
	case !r.Trust.LoadKnown:
		add("Other programs: what they did was not recorded, so nothing was left out for it.")
	case clean && r.Judged:
		add("Other programs: in no round did they use more than %.2g of %d cores; none was left out.", r.Trust.OtherCores, r.Run.Machine.Cores)
	}
	return append(lines, r.observerLines()...)
}

// budgetLine says how many rounds the time budget had room for, if there was one.
func (r *Report) budgetLine() string {
	if r.Run.BudgetNS == 0 {
		return ""
	}
	made := 0
	for _, t := range r.Trust.Workloads {
		made = max(made, t.Rounds)
	}
	rounds := fmt.Sprintf("%d rounds", made)
	if made == 1 {
		rounds = "1 round"
	}
	budget, asked := time.Duration(r.Run.BudgetNS), r.Run.AskedRounds
	switch {
	case r.Run.Precision > 0:
		return fmt.Sprintf("Time budget: within %v, %s were made towards intervals of ±%.3g %%.", budget, rounds, 100*r.Run.Precision)
	case asked > 0 && r.Run.Rounds >= asked:
		return fmt.Sprintf("Time budget: the %d rounds that were asked for fitted into %v.", asked, budget)
	case asked > 0:
		return fmt.Sprintf("Time budget: %d of the %d rounds that were asked for fitted into %v; none was cut short.", made, asked, budget)
	}
	return fmt.Sprintf("Time budget: %s fitted into %v; none was cut short.", rounds, budget)
}

// warn collects what a reader must know before trusting the figures.
func (r *Report) warn() {
	add := func(format string, args ...any) { r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...)) }
	switch r.Run.Status {
	case results.Running:
		add("The run has not ended, or its end was not recorded.")
	case results.Interrupted:
		add("The run was interrupted: cells may lack rounds. It can be continued with --resume.")
	}
	for _, t := range r.Trust.Workloads {
		switch {
		case t.Doubt != "":
			add("%s: no verdict: %s.", t.Workload, t.Doubt)
		case !r.Judged && len(t.Disturbed) > 0:
			add("%s: other programs used more than %.2g of %d cores in %d of %d rounds: the figures may be wrong, not just wide. Runs of %d rounds and more leave such rounds out.",
				t.Workload, r.Trust.OtherCores, r.Run.Machine.Cores, len(t.Disturbed), t.Rounds, stats.MinRounds)
		}
	}
	few := 0
	for _, row := range r.Rows {
		if row.Speedup == nil {
			continue
		}
		if row.Speedup.Low == nil {
			few++
		}
		if e := row.Speedup; !r.Judged && row.Baseline && e.Low != nil && (*e.Low > 1+stats.Band || *e.High < 1/(1+stats.Band)) {
			add("%s: the baseline differs from itself, %s between its two trials of a round: something disturbed this workload.", row.Workload, speedupText(e))
		}
		if row.LimitShare > stats.OverLimit && !r.Judged { // in a judged run the verdict says so
			add("%s on %s: %s is beyond the limit of %.2f×, which cannot be: the baseline was slowed down, or the limit misjudged.", row.Workload, row.Backend, times(row.Speedup.Value), row.Limit)
		}
		if total := time.Duration(row.Wall.Median * row.Repeats); total < time.Millisecond {
			add("%s on %s took %v: trials below a millisecond measure their own start. Give it more to do.", row.Workload, row.Backend, total)
		}
	}
	if few > 0 {
		add("%d of the speed-ups have no interval: that takes at least 6 rounds.", few)
	}
	r.warnOfDrift()
	r.warnOfOutliers()
	if n := stats.RoundsForFamily(r.comparisons(), stats.Level); r.Judged && r.Run.Rounds < n {
		add("With %d comparisons in one run, none can be called faster or slower with fewer than %d rounds.", r.comparisons(), n)
	}
}

// warnOfDrift warns of workloads whose trials became slower or faster during the
// run, which pairing makes up for, and of cells whose differences in successive
// rounds are correlated, which violates an assumption of the intervals.
func (r *Report) warnOfDrift() {
	for _, w := range r.Run.Workloads {
		blocks := r.kept(w.Label)
		var level []float64
		for _, b := range blocks {
			var walls []float64
			for _, c := range r.Run.Cells {
				if t := b.Trial(c.ID); t != nil {
					walls = append(walls, float64(t.WallNS))
				}
			}
			if len(walls) > 0 {
				level = append(level, stats.GeometricMean(walls))
			}
		}
		if tau, p := stats.Kendall(level); p < 0.01 && len(level) >= stats.MinRounds {
			became := "slower"
			if tau < 0 {
				became = "faster"
			}
			r.Warnings = append(r.Warnings, fmt.Sprintf("%s: trials became %s in the course of the run (Kendall's tau %.2f, p %.2g); the comparisons are paired by round, the times in the table are not.", w.Label, became, tau, p))
		}
		for _, c := range r.Run.Cells {
			if c.Workload != w.Label {
				continue
			}
			num, den := pairs(blocks, c, results.Wall)
			// Without correlation, chance exceeds 2.33/sqrt(n) in one cell of a hundred.
			n := float64(len(num))
			if a := stats.Autocorrelation(logRatios(num, den)); n >= stats.MinRounds && a > max(0.3, 2.33/math.Sqrt(n)) {
				r.Warnings = append(r.Warnings, fmt.Sprintf("%s on %s: the differences of successive rounds are alike (autocorrelation %.2f): the interval may be too narrow.", c.Workload, c.Backend, a))
			}
		}
	}
}

// warnOfOutliers warns if more than a twentieth of the trials are far out by
// Tukey's rule: beyond the quartiles by three times the distance between them.
// None is left out.
func (r *Report) warnOfOutliers() {
	far, all := 0, 0
	for _, c := range r.Run.Cells {
		var walls []float64
		for _, b := range r.kept(c.Workload) {
			for _, t := range b.Trials(c) {
				walls = append(walls, float64(t.WallNS))
			}
		}
		if len(walls) < stats.MinRounds {
			continue
		}
		low, high := stats.Quantile(walls, 0.25), stats.Quantile(walls, 0.75)
		for _, v := range walls {
			all++
			if v > high+3*(high-low) || v < low-3*(high-low) {
				far++
			}
		}
	}
	if far*20 > all {
		r.Warnings = append(r.Warnings, fmt.Sprintf("%d of %d trials lie far from the others of their cell (beyond three times the distance of the quartiles); none is left out.", far, all))
	}
}
