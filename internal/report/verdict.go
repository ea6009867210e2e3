package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/f3f4c0de/harness/internal/report/document"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/stats"
)

// comparisons returns how many comparisons the run was planned to make. They are
// the family of Holm's adjustment.
func (r *Report) comparisons() int {
	n := 0
	for _, c := range r.Run.Cells {
		if !c.Baseline && c.NotApplicable == "" {
			n++
		}
	}
	return n
}

// judge sets the adjusted p values, and the verdicts if the run was long enough
// for any.
func (r *Report) judge() {
	var family []float64
	var members []int
	for i, row := range r.Rows {
		if row.P != nil && !row.Baseline {
			family, members = append(family, *row.P), append(members, i)
		}
	}
	for len(family) < r.comparisons() { // comparisons without a result count, too
		family = append(family, 1)
	}
	adjusted := stats.Holm(family)
	for k, i := range members {
		r.Rows[i].HolmP = &adjusted[k]
	}
	if !r.Judged {
		return
	}
	for i := range r.Rows {
		if row := &r.Rows[i]; row.NotApplicable == "" {
			claim := r.claim(*row)
			v := stats.Judge(claim)
			row.Verdict, row.Statement = &v, r.statement(*row, v)
		}
	}
}

// claim returns what is known of a row's comparison with the baseline.
func (r *Report) claim(row Row) stats.Claim {
	c := stats.Claim{Doubt: r.trustOf(row.Workload).Doubt, P: 1, Self: row.Baseline}
	switch {
	case row.Failed > 0:
		c.Wrong = fmt.Sprintf("%d of its trials failed", row.Failed)
	case row.Speedup == nil && c.Doubt == "":
		c.Doubt = "there is no result"
	}
	if row.Speedup != nil {
		c.Ratio = row.Speedup.stats()
	}
	if p := cmp.Or(row.HolmP, row.P); p != nil {
		c.P = *p
	}
	if !row.Baseline {
		c.Limit = row.Limit
	}
	return c
}

// stats is the inverse of estimate.
func (e *Estimate) stats() stats.Estimate {
	return stats.Estimate{Value: e.Value, Low: deref(e.Low, 0), High: deref(e.High, math.Inf(1)), Confidence: e.Confidence, N: e.N}
}

// statement returns a verdict as a sentence that can be read alone.
func (r *Report) statement(row Row, v stats.Verdict) string {
	e := row.Speedup
	what := row.Backend
	switch {
	case row.Build != "":
		what = "build " + row.Build
	case row.Baseline:
		what = "the baseline's second trial"
	}
	switch v.Word {
	case stats.NoVerdict:
		return "No verdict: " + v.Why + "."
	case stats.Invalid:
		if row.Failed == 0 {
			return fmt.Sprintf("%s is invalid: %s exceeds the %s limit; the baseline was slowed down, or the limit misjudged.", what, times(e.Value), times(row.Limit))
		}
		return what + " is invalid: " + v.Why + "."
	case stats.Faster:
		return fmt.Sprintf("%s is %s faster (95 %% CI %s, %d rounds)%s.", what, times(e.Value), interval(e), e.N, ofLimit(row))
	case stats.Slower:
		inverse := &Estimate{Value: 1 / e.Value, Low: inverted(e.High), High: inverted(e.Low)}
		return fmt.Sprintf("%s is %s slower (95 %% CI %s, %d rounds).", what, times(inverse.Value), interval(inverse), e.N)
	case stats.SlightlyFaster, stats.SlightlySlower:
		less := "real, but it may be too little to matter here, which is " + bandText()
		if *e.Low >= 1/(1+stats.Band) && *e.High <= 1+stats.Band {
			less = "real, but below the " + bandText() + " that matters here"
		} else if *e.Low > 1+stats.Band || *e.High < 1/(1+stats.Band) {
			less = fmt.Sprintf("but in one of %d comparisons chance does as much", r.comparisons())
		}
		a, b := *e.Low-1, *e.High-1
		value := e.Value - 1
		if v.Word == stats.SlightlySlower {
			a, b, value = 1 / *e.High - 1, 1 / *e.Low - 1, 1/e.Value-1
		}
		return fmt.Sprintf("%s is %s %s (95 %% CI %.1f to %.1f %%, %d rounds): %s.", what, percent(value), direction(v.Word), 100*a, 100*b, e.N, less)
	case stats.Same:
		return fmt.Sprintf("%s is the same within ±%s (95 %% CI %+.1f to %+.1f %%, %d rounds).", what, bandText(), 100*(*e.Low-1), 100*(*e.High-1), e.N)
	}
	if e.Low == nil || e.High == nil {
		return "Unclear: " + what + " has no interval."
	}
	settle := "no number of rounds in reach would settle it"
	if v.Rounds > 0 && v.Rounds <= 1000 {
		settle = fmt.Sprintf("about %d rounds would settle it", v.Rounds)
	}
	return fmt.Sprintf("Unclear: %s lies between %+.1f and %+.1f %% (95 %% CI, %d rounds); %s.", what, 100*(*e.Low-1), 100*(*e.High-1), e.N, settle)
}

// verdictsSection states the verdicts in sentences; a workload without verdicts
// has one sentence. A terminal shows only the verdicts that the word in the table
// of figures does not explain.
func verdictsSection(r *Report) document.Section {
	var all, terminal document.List
	for _, row := range r.Rows {
		if row.Verdict == nil {
			continue
		}
		line := document.Item{Of: row.Workload, Says: row.Statement}
		if !slices.Contains(all, line) {
			all = append(all, line)
		}
		switch w := row.Verdict.Word; {
		case w == stats.NoVerdict: // a warning says why
		case w == stats.Faster, w == stats.Slower, row.Baseline && w == stats.Same:
		default:
			terminal = append(terminal, line)
		}
	}
	if all == nil {
		return document.Section{}
	}
	return document.Section{ID: "verdicts", Title: "The verdicts", Blocks: []document.Block{document.Files{all}, document.Terminal{terminal}}}
}

func bandText() string { return fmt.Sprintf("%g %%", 100*stats.Band) }

func direction(w stats.Word) string {
	if w == stats.SlightlySlower {
		return "slower"
	}
	return "faster"
}

func inverted(v *float64) *float64 {
	if v == nil || *v == 0 {
		return nil
	}
	i := 1 / *v
	return &i
}

func ofLimit(row Row) string {
	if row.LimitShare == 0 {
		return ""
	}
	s := fmt.Sprintf(", %.0f %% of the %s limit", 100*row.LimitShare, times(row.Limit))
	if row.MeasuredLimit > 0 && row.MeasuredLimit < 0.99*row.Limit {
		s += fmt.Sprintf(" and %.0f %% of the %s that the measured capacity allows", 100*row.MeasuredLimitShare, times(row.MeasuredLimit))
	}
	return s
}

// NoVerdicts returns the workloads that have no verdicts although the run was
// planned to give some.
func (r *Report) NoVerdicts() []WorkloadTrust {
	var none []WorkloadTrust
	for _, t := range r.Trust.Workloads {
		if t.Doubt != "" {
			none = append(none, t)
		}
	}
	return none
}

// An Overall is a model's speed-up over all workloads together.
type Overall struct {
	Model     string   `json:"model"` // the backend, or the build if those are compared
	Workloads int      `json:"workloads"`
	Speedup   Estimate `json:"speedup"` // the geometric mean
}

func (o Overall) text() string {
	return fmt.Sprintf("%s %s, the geometric mean of %d workloads.", o.Model, speedupText(&o.Speedup), o.Workloads)
}

// candidate returns what the row compares with the baseline: the build if builds
// are compared, or else the backend.
func (row Row) candidate() string {
	if row.Build != "" {
		return "build " + row.Build
	}
	return row.Backend
}

// overall computes the geometric mean of each model's speed-ups over the
// workloads whose verdicts allow it, if there are at least two.
func (r *Report) overall() {
	var models []string
	for _, row := range r.Rows {
		if !row.Baseline && !slices.Contains(models, row.candidate()) {
			models = append(models, row.candidate())
		}
	}
	for _, model := range models {
		var logs [][]float64
		for _, row := range r.Rows {
			if row.candidate() != model || row.Baseline || row.Speedup == nil {
				continue
			}
			if v := row.Verdict; v != nil && (v.Word == stats.Invalid || v.Word == stats.NoVerdict) {
				continue
			}
			logs = append(logs, r.logsByRound(row.Cell, results.Wall))
		}
		if len(logs) < 2 {
			continue
		}
		e := stats.GeometricMeanRatio(logs, Confidence, r.Run.Seed)
		if math.IsNaN(e.Value) || e.N < 6 {
			continue
		}
		r.Overall = append(r.Overall, Overall{Model: model, Workloads: len(logs), Speedup: *estimate(e)})
	}
}

// logsByRound returns the logarithm of a cell's speed-up for every round up to
// the last, NaN for those that do not count.
func (r *Report) logsByRound(c results.Cell, m results.Metric) []float64 {
	var logs []float64
	for _, b := range r.kept(c.Workload) {
		for len(logs) <= b.Round {
			logs = append(logs, math.NaN())
		}
		if x, y, ok := b.Pair(c, m); ok {
			logs[b.Round] = math.Log(x / y)
		}
	}
	return logs
}
