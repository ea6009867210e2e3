// Package report turns the records of a run into what people and programs
// read. [Build] computes the figures. Sections turn the figures into the texts,
// tables and charts of a document, which is rendered for a terminal, as Markdown
// and as a page. For programs there are JSON, CSV and the format of Go benchmarks.
// The package is pure: the same records give the same bytes.
//
// To add a section, with or without a chart, write a file with a function that
// makes it, and add a line to the list in sections.go.
package report

import (
	"math"
	"slices"

	"github.com/f3f4c0de/harness/internal/findings"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/stats"
)

// Confidence is the confidence level of every interval.
const Confidence = 0.95

// A Report holds the figures computed from a run's records.
type Report struct {
	Run results.Run `json:"run"`

	// Findings are about the programs; ModelCosts are about the models that they
	// ran on.
	Findings   []findings.Finding `json:"findings,omitempty"`
	ModelCosts []findings.Finding `json:"model_costs,omitempty"`
	Ledger     []results.Ledger   `json:"ledger,omitempty"`
	Spans      Spans              `json:"spans"`
	// Judged tells that the run was planned with enough rounds for verdicts. If it
	// is false, the rows have none.
	Judged bool `json:"judged"`

	Trust         Trust          `json:"trust"`
	ObserverCosts []ObserverCost `json:"observer_costs,omitempty"`
	Rows          []Row          `json:"rows"`
	Overall       []Overall      `json:"overall,omitempty"`
	Grids         []Grid         `json:"grids,omitempty"`
	Crossovers    []Crossover    `json:"crossovers,omitempty"`
	Warnings      []string       `json:"warnings,omitempty"`
	Failures      []Failure      `json:"failures,omitempty"`

	timelines []results.Timeline
	taskNS    map[string]float64          // about how long a task of each workload is
	blocks    map[string][]*results.Block // by workload
}

// A Row has the figures of one cell, from the rounds that were kept.
type Row struct {
	results.Cell
	Rounds   int    `json:"rounds"`   // in which its trial was verified
	Failed   int    `json:"failed"`   // trials of all kinds that failed
	Verified bool   `json:"verified"` // every trial was verified, also those of rounds that were not kept
	Wall     Spread `json:"wall_ns"`
	CPU      Spread `json:"cpu_ns"` // of all its processes

	// Speedup is over the baseline, pair by pair. On the baseline's own row it is
	// that of its second trial over its first (A/A), which shows the noise.
	Speedup *Estimate `json:"speedup,omitempty"`
	Range   *Range    `json:"speedup_range,omitempty"`

	// Cold is the speed-up if starting and warming up the workers counts. CPUCost
	// is how many times the baseline's processor time it takes.
	Cold    *Estimate `json:"cold_speedup,omitempty"`
	CPUCost *Estimate `json:"cpu_cost,omitempty"`

	// P is the p value of the signed-rank test of no difference, and HolmP the
	// same after Holm's adjustment for all comparisons of the run.
	P     *float64 `json:"p,omitempty"`
	HolmP *float64 `json:"holm_p,omitempty"`

	Verdict   *stats.Verdict `json:"verdict,omitempty"`
	Statement string         `json:"finding,omitempty"` // the verdict as a sentence

	Limit      float64     `json:"limit,omitempty"`       // no schedule can be faster
	LimitBy    stats.Bound `json:"limit_by,omitempty"`    // what sets the limit
	LimitShare float64     `json:"limit_share,omitempty"` // share of the limit that was reached

	// The same for the measured capacity of the machine instead of the number of
	// processors that the system reports.
	MeasuredLimit      float64 `json:"measured_limit,omitempty"`
	MeasuredLimitShare float64 `json:"measured_limit_share,omitempty"`

	Start   Spread       `json:"start_ns"` // starting the workers; not in Wall
	Warm    Spread       `json:"warm_ns"`  // warming them up; not in Wall
	Repeats float64      `json:"repeats"`  // how often a trial ran the program, the median
	MaxRSS  float64      `json:"max_rss_bytes"`
	Metrics []MetricStat `json:"metrics,omitempty"`

	TraceID string `json:"trace_id,omitempty"`
}

// An Estimate is a value with its interval. An end that is null is unbounded.
type Estimate struct {
	Value      float64  `json:"value"`
	Low        *float64 `json:"low"`
	High       *float64 `json:"high"`
	Confidence float64  `json:"confidence"`
	N          int      `json:"n"`
}

// A Range holds the smallest and the largest of some values.
type Range struct {
	Min float64 `json:"min"`
	Max float64 `json:"max"`
}

// A Spread describes the values of a cell's rounds. Low and High are the
// interval of the median, by order statistics; nil if there are too few values.
type Spread struct {
	Median float64  `json:"median"`
	Low    *float64 `json:"low,omitempty"`
	High   *float64 `json:"high,omitempty"`
	Min    float64  `json:"min"`
	Max    float64  `json:"max"`
}

// A MetricStat is a metric of the workload itself, with its median over the rounds.
type MetricStat struct {
	Name   string  `json:"name"`
	Unit   string  `json:"unit"`
	Median float64 `json:"median"`

	// Ratio is the metric's ratio to that of the baseline, pair by pair.
	Ratio *Estimate `json:"ratio,omitempty"`
}

// A Failure is a trial that failed.
type Failure struct {
	Cell  string       `json:"cell"`
	Kind  results.Kind `json:"kind"`
	Round int          `json:"round"`
	Error string       `json:"error"`
}

// Build computes the report of a run's records.
func Build(d *results.Data) *Report {
	r := &Report{Run: d.Run, Judged: d.Run.Judged(), timelines: d.Timelines, blocks: make(map[string][]*results.Block), taskNS: make(map[string]float64)}
	latest := d.Latest()
	byCell := make(map[string][]results.Trial)
	workloads := make(map[string]string)
	for _, c := range d.Run.Cells {
		workloads[c.ID] = c.Workload
	}
	for _, t := range latest {
		if t.Kind == results.Pilot && t.OK() && t.Tasks > 0 {
			r.taskNS[workloads[t.Cell]] = float64(t.WallNS) / float64(t.Tasks)
		}
		if !t.OK() {
			r.Failures = append(r.Failures, Failure{t.Cell, t.Kind, t.Round, t.Error})
		}
		byCell[t.Cell] = append(byCell[t.Cell], t)
	}
	for _, b := range results.Blocks(&d.Run, latest) {
		r.blocks[b.Workload] = append(r.blocks[b.Workload], b)
	}
	r.Trust = r.trust(latest)
	r.observerCosts(latest)
	for _, w := range d.Run.Workloads {
		demand := r.demand(w.Label)
		for _, c := range d.Run.Cells {
			if c.Workload == w.Label {
				r.Rows = append(r.Rows, r.row(c, byCell[c.ID], demand))
			}
		}
	}
	r.judge()
	r.overall()
	r.Ledger, r.Findings, r.ModelCosts = d.Ledger, findings.Of(d), findings.ModelCostsOf(d)
	r.grids()
	r.countSpans(d)
	r.warn()
	return r
}

// kept returns the rounds of a workload that enter the statistics.
func (r *Report) kept(workload string) []*results.Block {
	return slices.DeleteFunc(slices.Clone(r.blocks[workload]), r.Run.Drops)
}

// demand returns what the program of a workload needs, whatever the model.
func (r *Report) demand(workload string) stats.Demand {
	d := stats.Demand{CPU: math.Inf(1), User: math.Inf(1)}
	for _, c := range r.Run.Cells {
		if c.Workload != workload {
			continue
		}
		var wall, cpu, user []float64
		for _, b := range r.kept(workload) {
			for _, t := range b.Trials(c) {
				wall, cpu, user = append(wall, float64(t.WallNS)), append(cpu, float64(t.CPUNS())), append(user, float64(t.UserNS))
			}
		}
		// The model that used the least processor time shows what the program
		// needs. What other models used beyond that is their own cost.
		if len(cpu) > 0 {
			d.CPU = min(d.CPU, stats.Median(cpu))
			d.User = min(d.User, stats.Median(user))
		}
		if !c.Baseline {
			continue
		}
		d.Wall = stats.Median(wall)
		if i := slices.IndexFunc(r.timelines, func(l results.Timeline) bool { return l.Cell == c.ID }); i >= 0 {
			for _, t := range r.timelines[i].Tasks {
				d.Tasks = append(d.Tasks, float64(t.EndedNS-t.StartedNS))
			}
		}
	}
	return d
}

func (r *Report) row(c results.Cell, trials []results.Trial, demand stats.Demand) Row {
	row := Row{Cell: c}
	for _, t := range trials {
		switch {
		case !t.OK():
			row.Failed++
		case t.Kind == results.Traced:
			row.TraceID = t.TraceID
		case t.Kind == results.Timed:
			row.Verified = true
		}
	}
	row.Verified = row.Verified && row.Failed == 0
	blocks := r.kept(c.Workload)
	var wall, cpu, start, warm, rss, repeats []float64
	for _, b := range blocks {
		if b.Trial(c.ID) != nil {
			row.Rounds++
		}
		for _, t := range b.Trials(c) {
			wall, cpu = append(wall, float64(t.WallNS)), append(cpu, float64(t.CPUNS()))
			start, warm = append(start, float64(t.StartNS)), append(warm, float64(t.WarmNS))
			rss, repeats = append(rss, float64(t.MaxRSSBytes)), append(repeats, float64(max(1, t.Repeats)))
		}
	}
	if len(wall) == 0 {
		return row
	}
	row.Wall, row.CPU, row.Start, row.Warm = spread(wall), spread(cpu), spread(start), spread(warm)
	row.MaxRSS, row.Repeats = stats.Median(rss), stats.Median(repeats)
	row.Metrics = metricStats(blocks, c)
	if num, den := pairs(blocks, c, results.Wall); len(num) > 0 {
		row.Speedup = estimate(stats.Ratio(num, den, Confidence))
		row.Range = ratios(num, den)
		p := stats.SignedRank(logRatios(num, den))
		row.P = &p
	}
	if num, den := pairs(blocks, c, results.Cold); len(num) > 0 && !c.Baseline {
		row.Cold = estimate(stats.Ratio(num, den, Confidence))
	}
	if num, den := pairs(blocks, c, results.CPU); len(num) > 0 && !c.Baseline {
		row.CPUCost = estimate(stats.Ratio(den, num, Confidence))
	}
	r.limit(&row, demand)
	return row
}

// limit sets the limits of the row's speed-up, and the shares of them that it
// reached.
func (r *Report) limit(row *Row, demand stats.Demand) {
	if !(demand.Wall > 0) || row.Build != "" { // another build may do with less work
		return
	}
	share := func(limit float64) float64 {
		if row.Speedup == nil || row.Baseline || limit <= 0 {
			return 0
		}
		return row.Speedup.Value / limit
	}
	if limit, by := stats.SpeedupLimit(demand, row.Workers, float64(r.Run.Machine.Cores), r.serial(row.Cell)); !math.IsInf(limit, 0) {
		row.Limit, row.LimitBy, row.LimitShare = limit, by, share(limit)
	}
	if capacity := r.Trust.Capacity; capacity != nil {
		processors := min(capacity.Median, float64(r.Run.Machine.Cores))
		if limit, _ := stats.SpeedupLimit(demand, row.Workers, processors, r.serial(row.Cell)); !math.IsInf(limit, 0) {
			row.MeasuredLimit, row.MeasuredLimitShare = limit, share(limit)
		}
	}
}

// pairs returns the figures of a cell and of its baseline in the rounds that have
// both, as [results.Block.Pair] returns them.
func pairs(blocks []*results.Block, c results.Cell, m results.Metric) (num, den []float64) {
	for _, b := range blocks {
		if x, y, ok := b.Pair(c, m); ok {
			num, den = append(num, x), append(den, y)
		}
	}
	return num, den
}

func logRatios(num, den []float64) []float64 {
	logs := make([]float64, len(num))
	for i := range logs {
		logs[i] = math.Log(num[i] / den[i])
	}
	return logs
}

// metricStats summarises the workload's own metrics, in the order of the first
// trial.
func metricStats(blocks []*results.Block, c results.Cell) []MetricStat {
	var all []MetricStat
	seen := make(map[string]bool)
	for _, b := range blocks {
		for _, t := range b.Trials(c) {
			for _, m := range t.Metrics {
				if !seen[m.Name] {
					seen[m.Name] = true
					all = append(all, MetricStat{Name: m.Name, Unit: m.Unit})
				}
			}
		}
	}
	for i := range all {
		named := func(m *results.Measured) float64 {
			for _, v := range m.Metrics {
				if v.Name == all[i].Name {
					return v.Value
				}
			}
			return math.NaN()
		}
		var values []float64
		for _, b := range blocks {
			for _, t := range b.Trials(c) {
				if v := named(&t.Measured); !math.IsNaN(v) {
					values = append(values, v)
				}
			}
		}
		all[i].Median = stats.Median(values)
		if num, den := pairs(blocks, c, named); len(num) > 0 && !c.Baseline {
			all[i].Ratio = estimate(stats.Ratio(den, num, Confidence))
		}
	}
	return all
}

// serial reports whether a cell's model runs one task's code at a time.
func (r *Report) serial(c results.Cell) bool {
	return slices.ContainsFunc(r.Run.Backends, func(b results.BackendInfo) bool { return b.Name == c.Backend && b.Serial })
}

func spread(x []float64) Spread {
	s := Spread{Median: stats.Median(x), Min: slices.Min(x), Max: slices.Max(x)}
	if low, high, ok := stats.QuantileInterval(x, 0.5, Confidence); ok {
		s.Low, s.High = &low, &high
	}
	return s
}

func ratios(num, den []float64) *Range {
	r := Range{math.Inf(1), math.Inf(-1)}
	for i := range num {
		q := num[i] / den[i]
		r.Min, r.Max = min(r.Min, q), max(r.Max, q)
	}
	return &r
}

func estimate(e stats.Estimate) *Estimate {
	out := &Estimate{Value: e.Value, Confidence: e.Confidence, N: e.N}
	if !math.IsInf(e.Low, 0) && e.Low > 0 {
		out.Low = &e.Low
	}
	if !math.IsInf(e.High, 0) {
		out.High = &e.High
	}
	return out
}
