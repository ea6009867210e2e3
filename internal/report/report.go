// Package report turns the records of a run into what people and programs
// read: a table for the terminal, Markdown, one HTML page with its charts as
// SVG, JSON, CSV and the format of Go benchmarks. It is pure: the same records
// give the same bytes.
//
// To add a format, add a function of the same form as [Markdown]; to add a
// chart, add a function that returns a [Chart] and a line in [Charts].
package report

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/f3f4c0de/harness/internal/findings"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/stats"
)

// Confidence is that of every interval.
const Confidence = 0.95

// A Report is what a run's records say.
type Report struct {
	Run      results.Run `json:"run"`
	Rows     []Row       `json:"rows"`
	Warnings []string    `json:"warnings,omitempty"`
	Failures []Failure   `json:"failures,omitempty"`

	Findings []findings.Finding `json:"findings,omitempty"`
	Ledger   []results.Ledger   `json:"ledger,omitempty"`
	Spans    Spans              `json:"spans"`
	Observer string             `json:"observer,omitempty"` // what observing costs

	lanes []results.Lanes
}

// A Row is what is known of one cell.
type Row struct {
	results.Cell
	Rounds   int    `json:"rounds"` // in which its trial was verified
	Failed   int    `json:"failed"` // trials that were not, of all kinds
	Verified bool   `json:"verified"`
	Wall     Spread `json:"wall_ns"`
	CPU      Spread `json:"cpu_ns"` // of all its processes

	// Speedup over the baseline, pair by pair. On the baseline's own row it is
	// that of its second trial over its first: what chance and noise can do.
	Speedup *Estimate `json:"speedup,omitempty"`
	Range   *Range    `json:"speedup_range,omitempty"`

	Limit      float64     `json:"limit,omitempty"`       // no schedule can be faster
	LimitBy    stats.Bound `json:"limit_by,omitempty"`    // what sets it
	LimitShare float64     `json:"limit_share,omitempty"` // of it reached

	Start   Spread       `json:"start_ns"` // starting the workers, which Wall leaves out
	MaxRSS  float64      `json:"max_rss_bytes"`
	Metrics []MetricStat `json:"metrics,omitempty"`

	TraceID string `json:"trace_id,omitempty"`
}

// An Estimate is a value with its interval; a null end is infinitely far.
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

// A Spread describes the values of a cell's rounds.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// A MetricStat is a workload's own measurement, the median over the rounds.
type MetricStat struct {
	Name   string  `json:"name"`
	Unit   string  `json:"unit"`
	Median float64 `json:"median"`
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
	r := &Report{Run: d.Run, lanes: d.Lanes}
	byCell := make(map[string][]results.Trial)
	for _, t := range d.Latest() {
		if !t.OK() {
			r.Failures = append(r.Failures, Failure{t.Cell, t.Kind, t.Round, t.Error})
		}
		byCell[t.Cell] = append(byCell[t.Cell], t)
	}
	for _, w := range d.Run.Workloads {
		base := demandOf(d, w.Label, byCell)
		for _, c := range d.Run.Cells {
			if c.Workload == w.Label {
				r.Rows = append(r.Rows, r.row(c, byCell[c.ID], base))
			}
		}
	}
	r.Ledger, r.Findings = d.Ledger, findings.Of(d)
	r.countSpans(d)
	r.warn()
	return r
}

// A base is what a workload's cells are held against.
type base struct {
	demand        stats.Demand
	first, second map[int]float64 // wall time of the baseline's two trials, by round
}

// wall is the baseline's time in a round: the mean of the logarithms of its two
// trials, or the one that there is.
func (b base) wall(round int) (float64, bool) {
	x, ok1 := b.first[round]
	y, ok2 := b.second[round]
	switch {
	case ok1 && ok2:
		return math.Sqrt(x * y), true
	case ok1:
		return x, true
	}
	return y, ok2
}

func demandOf(d *results.Data, workload string, byCell map[string][]results.Trial) base {
	b := base{first: make(map[int]float64), second: make(map[int]float64)}
	b.demand.CPU, b.demand.User = math.Inf(1), math.Inf(1)
	for _, c := range d.Run.Cells {
		if c.Workload != workload {
			continue
		}
		var wall, cpu, user []float64
		for _, t := range byCell[c.ID] {
			if t.Kind != results.Timed || !t.OK() {
				continue
			}
			wall, cpu, user = append(wall, float64(t.WallNS)), append(cpu, float64(t.CPUNS())), append(user, float64(t.UserNS))
			switch {
			case c.Baseline && t.Copy:
				b.second[t.Round] = float64(t.WallNS)
			case c.Baseline:
				b.first[t.Round] = float64(t.WallNS)
			}
		}
		// What any model got by with is what the program needs; the rest is
		// what the models spend on themselves.
		if len(cpu) > 0 {
			b.demand.CPU = min(b.demand.CPU, stats.Median(cpu))
			b.demand.User = min(b.demand.User, stats.Median(user))
		}
		if !c.Baseline {
			continue
		}
		b.demand.Wall = stats.Median(wall)
		if i := slices.IndexFunc(d.Lanes, func(l results.Lanes) bool { return l.Cell == c.ID }); i >= 0 {
			for _, t := range d.Lanes[i].Tasks {
				b.demand.Tasks = append(b.demand.Tasks, float64(t.EndedNS-t.StartedNS))
			}
		}
	}
	return b
}

func (r *Report) row(c results.Cell, trials []results.Trial, b base) Row {
	row := Row{Cell: c, Verified: true}
	var wall, cpu, start, rss, num, den []float64
	metrics := make(map[string][]float64)
	for _, t := range trials {
		if !t.OK() {
			row.Failed++
			row.Verified = false
			continue
		}
		if t.Kind == results.Traced {
			row.TraceID = t.TraceID
		}
		if t.Kind != results.Timed {
			continue
		}
		switch first, ok := b.first[t.Round]; {
		case !c.Baseline:
			if w, ok := b.wall(t.Round); ok {
				num, den = append(num, w), append(den, float64(t.WallNS))
			}
		case t.Copy && ok:
			num, den = append(num, first), append(den, float64(t.WallNS))
		}
		if !t.Copy {
			row.Rounds++
		}
		wall, cpu = append(wall, float64(t.WallNS)), append(cpu, float64(t.CPUNS()))
		start, rss = append(start, float64(t.StartNS)), append(rss, float64(t.MaxRSSBytes))
		for _, m := range t.Metrics {
			if metrics[m.Name] == nil {
				row.Metrics = append(row.Metrics, MetricStat{Name: m.Name, Unit: m.Unit})
			}
			metrics[m.Name] = append(metrics[m.Name], m.Value)
		}
	}
	row.Verified = row.Verified && row.Rounds > 0
	if len(wall) == 0 {
		return row
	}
	row.Wall, row.CPU, row.Start, row.MaxRSS = spread(wall), spread(cpu), spread(start), stats.Median(rss)
	for i := range row.Metrics {
		row.Metrics[i].Median = stats.Median(metrics[row.Metrics[i].Name])
	}
	if len(num) > 0 {
		row.Speedup = estimate(stats.Ratio(num, den, Confidence))
		row.Range = ratios(num, den)
	}
	if b.demand.Wall > 0 {
		limit, by := stats.SpeedupLimit(b.demand, c.Workers, r.Run.Machine.Cores, r.serial(c))
		if !math.IsInf(limit, 0) {
			row.Limit, row.LimitBy = limit, by
		}
		if row.Speedup != nil && !c.Baseline && row.Limit > 0 {
			row.LimitShare = row.Speedup.Value / row.Limit
		}
	}
	return row
}

// serial reports whether a cell's model runs one task's code at a time.
func (r *Report) serial(c results.Cell) bool {
	return slices.ContainsFunc(r.Run.Backends, func(b results.BackendInfo) bool { return b.Name == c.Backend && b.Serial })
}

func spread(x []float64) Spread {
	return Spread{stats.Median(x), slices.Min(x), slices.Max(x)}
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

// overLimit is how far beyond the limit a speed-up cannot be an error of
// measurement.
const overLimit = 1.05

// warn collects what a reader must know before believing the figures.
func (r *Report) warn() {
	add := func(format string, args ...any) { r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...)) }
	switch r.Run.Status {
	case results.Running:
		add("The run has not ended, or its end was not recorded.")
	case results.Interrupted:
		add("The run was interrupted: cells may lack rounds. It can be continued with --resume.")
	}
	few := 0
	for _, row := range r.Rows {
		if row.Speedup == nil {
			continue
		}
		if row.Speedup.Low == nil {
			few++
		}
		if row.Baseline && row.Speedup.Low != nil && (*row.Speedup.Low > 1 || *row.Speedup.High < 1) {
			add("%s: the baseline differs from itself, %s between its two trials of a round: something disturbed this workload.", row.Workload, speedupText(row.Speedup))
		}
		if row.LimitShare > overLimit {
			add("%s on %s: %s is beyond the limit of %.2f×, which cannot be: the baseline was slowed down, or the limit misjudged.", row.Workload, row.Backend, times(row.Speedup.Value), row.Limit)
		}
		if shortest := time.Duration(row.Wall.Median); shortest < time.Millisecond {
			add("%s on %s took %v: trials below a millisecond measure their own start. Give it more to do.", row.Workload, row.Backend, shortest)
		}
	}
	if few > 0 {
		add("%d of the speed-ups have no interval: that takes at least 6 rounds.", few)
	}
}
