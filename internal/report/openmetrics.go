package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/f3f4c0de/harness/internal/stats"
)

// OpenMetrics writes the figures as OpenMetrics text, which Prometheus reads:
// gauges with the workload, the backend and the workers as labels, and the ends
// of an interval as metrics of their own.
//
// (OpenMetrics 1.0, https://prometheus.io/docs/specs/om/open_metrics_spec/)
func OpenMetrics(w io.Writer, r *Report) error {
	var b strings.Builder
	family := func(name, unit, help string, value func(Row) (float64, bool)) {
		fmt.Fprintf(&b, "# TYPE %s gauge\n", name)
		if unit != "" {
			fmt.Fprintf(&b, "# UNIT %s %s\n", name, unit)
		}
		fmt.Fprintf(&b, "# HELP %s %s\n", name, help)
		for _, row := range r.Rows {
			if v, ok := value(row); ok {
				fmt.Fprintf(&b, "%s{%s} %g\n", name, r.labels(row), v)
			}
		}
	}
	of := func(e func(Row) *Estimate, pick func(*Estimate) *float64) func(Row) (float64, bool) {
		return func(row Row) (float64, bool) {
			if e(row) == nil || pick(e(row)) == nil {
				return 0, false
			}
			return *pick(e(row)), true
		}
	}
	speedup := func(row Row) *Estimate { return row.Speedup }
	cost := func(row Row) *Estimate { return row.CPUCost }
	value := func(e *Estimate) *float64 { return &e.Value }
	low := func(e *Estimate) *float64 { return e.Low }
	high := func(e *Estimate) *float64 { return e.High }
	ran := func(f func(Row) float64) func(Row) (float64, bool) {
		return func(row Row) (float64, bool) { return f(row), row.Rounds > 0 }
	}

	family("harness_wall_seconds", "seconds", "Median time of the program.", ran(func(row Row) float64 { return row.Wall.Median / 1e9 }))
	family("harness_cpu_seconds", "seconds", "Median processor time of the program, of all its processes.", ran(func(row Row) float64 { return row.CPU.Median / 1e9 }))
	family("harness_start_seconds", "seconds", "Median time of starting the workers.", ran(func(row Row) float64 { return row.Start.Median / 1e9 }))
	family("harness_peak_memory_bytes", "bytes", "Median of the sum of the peaks of the processes' memory.", ran(func(row Row) float64 { return row.MaxRSS }))
	family("harness_speedup_ratio", "ratio", "How many times faster than the baseline; of the baseline: its second trial against its first.", of(speedup, value))
	family("harness_speedup_low_ratio", "ratio", "Low end of the 95 % interval.", of(speedup, low))
	family("harness_speedup_high_ratio", "ratio", "High end of the 95 % interval.", of(speedup, high))
	family("harness_cpu_cost_ratio", "ratio", "How many times the baseline's processor time it takes.", of(cost, value))
	family("harness_limit_ratio", "ratio", "What the speed-up cannot exceed.", func(row Row) (float64, bool) { return row.Limit, row.Limit > 0 && !row.Baseline })
	family("harness_rounds", "", "Rounds that enter the figures.", func(row Row) (float64, bool) { return float64(row.Rounds), row.NotApplicable == "" })
	if r.Judged {
		b.WriteString("# TYPE harness_verdict stateset\n# HELP harness_verdict The verdict on the cell.\n")
		for _, row := range r.Rows {
			if row.Verdict == nil {
				continue
			}
			for _, word := range stats.Words {
				set := 0
				if row.Verdict.Word == word {
					set = 1
				}
				fmt.Fprintf(&b, "harness_verdict{%s,harness_verdict=%q} %d\n", r.labels(row), word, set)
			}
		}
	}
	if c := r.Trust.Capacity; c != nil {
		fmt.Fprintf(&b, "# TYPE harness_capacity_cores gauge\n# UNIT harness_capacity_cores cores\n# HELP harness_capacity_cores Processors' worth of work that ran at once.\nharness_capacity_cores{run=%q} %g\n", r.Run.ID, c.Median)
	}
	b.WriteString("# EOF\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// labels are those of a row; names have neither quotes nor backslashes.
func (r *Report) labels(row Row) string {
	s := fmt.Sprintf(`run=%q,workload=%q,backend=%q,workers="%d"`, r.Run.ID, row.Workload, row.Backend, row.Workers)
	if row.Build != "" {
		s += fmt.Sprintf(`,build=%q`, row.Build)
	}
	return s
}
