package report

import (
	"fmt"
	"math"

	"github.com/f3f4c0de/harness/internal/report/chart"
	"github.com/f3f4c0de/harness/internal/report/document"
)

// intervalsSection shows every speed-up with its interval and its limit.
func intervalsSection(r *Report) document.Section {
	return document.Section{ID: "intervals", Title: "How sure, and how close to the limit", Blocks: []document.Block{document.Chart{Chart: speedupIntervals(r)}}}
}

func speedupIntervals(r *Report) *chart.Chart {
	const rowHeight, gap = 20.0, 10.0
	left := max(230, chart.Margin+r.labelWidth()+134) // room for the models' names
	right := chart.Width - 70.0
	if r.Judged {
		right -= 100 // for the verdicts
	}
	ratios := chart.Ratios()
	for _, row := range r.Rows {
		if e := row.Speedup; e != nil {
			ratios.Include(e.Value, deref(e.Low, 1), deref(e.High, 1), row.Limit, row.MeasuredLimit)
		}
	}
	x := chart.Log(ratios, left, right)
	c := &chart.Chart{
		Name: "speedup-intervals", Title: "Speed-up with intervals", Head: "Speed-up with its 95 % interval and its limit",
		Note: "Dot and line: estimate and interval. Upright mark: what no schedule can exceed (thin: at measured capacity). A/A: the baseline against itself, which shows the noise.",
		Desc: "Each speed-up over sequential as a dot with its interval, on a logarithmic scale, beside its physical limit.",
	}
	var marks chart.Canvas // drawn above the axes, whose length depends on the marks
	y := chart.Top + 8
	for _, w := range r.Run.Workloads {
		marks.Text(chart.Margin, y+14, "", w.Label)
		for _, row := range r.Rows {
			if row.Workload == w.Label && row.Speedup != nil {
				r.whisker(&marks, row, x, left, right, y)
				y += rowHeight
			}
		}
		y += gap
		marks.Line(chart.Margin, y-gap/2, chart.Width-chart.Margin, y-gap/2, "grid")
	}
	c.Columns(x, chart.Doublings(ratios), chart.Top+4, y-gap/2)
	c.Above(&marks)
	c.Bottom = y + 16
	return c
}

// whisker draws a row of the report at y: its name, its estimate with its
// interval and its limit, and its figure and verdict.
func (r *Report) whisker(c *chart.Canvas, row Row, x chart.Scale, left, right, y float64) {
	name := row.model()
	if row.Baseline {
		name += " (A/A)"
	}
	c.Text(left-10, y+14, "end muted small", name)
	mid := y + 10
	e, colour := row.Speedup, r.colour(row.Backend)
	title := fmt.Sprintf("%s on %s: %s", row.Workload, row.Backend, speedupText(e))
	if row.Limit > 0 && !row.Baseline && !math.IsInf(row.Limit, 0) {
		c.Line(x.At(row.Limit), mid-7, x.At(row.Limit), mid+7, "limit")
		title += fmt.Sprintf("; limit %s, by %s", times(row.Limit), row.LimitBy)
	}
	if row.MeasuredLimit > 0 && !row.Baseline {
		c.Line(x.At(row.MeasuredLimit), mid-4, x.At(row.MeasuredLimit), mid+4, "axis")
	}
	if e.Low != nil && e.High != nil {
		c.Bar(x.At(*e.Low), mid, x.At(*e.High), mid, colour)
	}
	c.Dot(x.At(e.Value), mid, 4.5, colour, title)
	c.Text(right+chart.Margin+38, y+14, "end small", times(e.Value))
	if row.Verdict != nil {
		c.Text(right+chart.Margin+46, y+14, "small", string(row.Verdict.Word))
	}
}
