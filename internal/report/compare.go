package report

import (
	"fmt"
	"io"

	"github.com/f3f4c0de/harness/internal/report/document"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/stats"
)

// A Comparison sets the cells of two runs side by side. The runs were made at
// different times: their trials are not paired, and what else changed between
// them is unknown. So it is an indication only, without verdicts.
type Comparison struct {
	A        string          `json:"a"` // ids of the runs
	B        string          `json:"b"`
	Rows     []ComparisonRow `json:"rows"`
	Warnings []string        `json:"warnings,omitempty"`
}

// A ComparisonRow is a cell that both runs have.
type ComparisonRow struct {
	results.Cell
	A     Spread   `json:"a_ns"`
	B     Spread   `json:"b_ns"`
	Ratio Estimate `json:"ratio"` // how many times faster B is
}

// Compare sets two runs side by side. It returns an error if they have no cell in
// common.
func Compare(a, b *Report) (*Comparison, error) {
	c := &Comparison{A: a.Run.ID, B: b.Run.ID}
	add := func(format string, args ...any) { c.Warnings = append(c.Warnings, fmt.Sprintf(format, args...)) }
	add("Unpaired, indicative: the runs are of different times. A program that is run again an hour later differs from itself in half of such comparisons. harness compare --rerun measures both builds alternately, in one run.")
	if a.Run.Machine != b.Run.Machine {
		add("The runs are of different machines: %s and %s.", a.machine(), b.machine())
	}
	if a.Run.Version.Go != b.Run.Version.Go {
		add("The programs were built with %s and %s.", a.Run.Version.Go, b.Run.Version.Go)
	}
	for _, row := range a.Rows {
		other, ok := b.find(row.Workload, row.Backend)
		if !ok || other.Workers != row.Workers || other.Build != row.Build {
			continue
		}
		x, y := a.walls(row.Cell), b.walls(other.Cell)
		if len(x) == 0 || len(y) == 0 {
			continue
		}
		if p, q := a.params(row.Workload), b.params(row.Workload); p != q {
			add("%s has other parameters in the two runs, and is left out: %s and %s.", row.Workload, p, q)
			continue
		}
		c.Rows = append(c.Rows, ComparisonRow{row.Cell, spread(x), spread(y), *estimate(stats.RatioUnpaired(x, y, Confidence))})
	}
	if len(c.Rows) == 0 {
		return nil, fmt.Errorf("runs %s and %s have nothing in common: no workload with equal parameters on the same backend with as many workers", c.A, c.B)
	}
	return c, nil
}

// walls returns the times of a cell in the rounds that were kept.
func (r *Report) walls(c results.Cell) []float64 {
	var walls []float64
	for _, b := range r.kept(c.Workload) {
		if t := b.Trial(c.ID); t != nil {
			walls = append(walls, float64(t.WallNS))
		}
	}
	return walls
}

func (r *Report) params(workload string) string {
	for _, w := range r.Run.Workloads {
		if w.Label == workload {
			return fmt.Sprint(map[string]any(w.Params)) // sorted
		}
	}
	return ""
}

// CompareText writes a comparison for a terminal.
func CompareText(w io.Writer, c *Comparison) error {
	t := document.NewTable(2, "workload", "backend", "workers", "A", "B", "B is faster by", "95 % CI, unpaired")
	for _, row := range c.Rows {
		t.Add(row.Workload, row.Backend, fmt.Sprint(row.Workers), duration(row.A.Median), duration(row.B.Median), times(row.Ratio.Value), interval(&row.Ratio))
	}
	blocks := []document.Block{t, document.Paragraph(fmt.Sprintf("A is run %s, B is run %s.", c.A, c.B))}
	for _, warning := range c.Warnings {
		blocks = append(blocks, document.Warning(warning))
	}
	return document.Text(w, []document.Section{{Blocks: blocks}})
}
