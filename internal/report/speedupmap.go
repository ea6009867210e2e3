package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/f3f4c0de/harness/internal/report/chart"
	"github.com/f3f4c0de/harness/internal/report/document"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/stats"
)

// mapSection shows the speed-ups of all models on all workloads. A comparison of
// builds has no map, since the map would have one column.
func mapSection(r *Report) document.Section {
	s := document.Section{ID: "map", Title: "The speed-up map"}
	if len(r.Run.Builds) == 0 {
		s.Blocks = []document.Block{document.Chart{Chart: speedupMap(r)}}
	}
	return s
}

func speedupMap(r *Report) *chart.Chart {
	c := &chart.Chart{
		Name: "speedup-map", Title: "Speed-up map", Head: "Where each model helps: speed-up over sequential",
		Note: "Blue is faster than sequential, orange slower; the stronger, the more. 95 % interval below each figure.",
		Desc: "For each workload and execution model, how many times faster than sequential. " + r.spoken(),
	}
	if r.Judged {
		c.Note += " Dashed: no verdict. Hatched: invalid."
	}
	backends := r.comparedBackends()
	left := max(130, chart.Margin+r.labelWidth()+14)
	rowHeight := 54.0
	if r.Judged {
		rowHeight = 70 // for the verdict
	}
	colWidth := (chart.Width - left - chart.Margin) / float64(max(1, len(backends)))
	for i, b := range backends {
		c.Text(left+(float64(i)+.5)*colWidth, chart.Top+14, "mid", b.Name)
	}
	y := chart.Top + 24
	for _, w := range r.Run.Workloads {
		c.Text(chart.Margin, y+rowHeight/2, "", w.Label)
		for i, b := range backends {
			if row, ok := r.find(w.Label, b.Name); ok {
				mapCell(c, row, chart.Box{X: left + float64(i)*colWidth + 2, Y: y + 2, W: colWidth - 4, H: rowHeight - 4})
			}
		}
		y += rowHeight
	}
	c.Bottom = y + 6
	return c
}

// mapCell draws a row of the report as a cell of the map.
func mapCell(c *chart.Chart, row Row, at chart.Box) {
	if row.Speedup == nil {
		emptyCell(c, row, at)
		return
	}
	mid := at.X + at.W/2
	s := math.Log2(row.Speedup.Value) / 3 // eightfold is the full colour
	full := at
	full.Class, full.Opacity, full.Round = "more", .06+.6*min(1, math.Abs(s)), true
	if s < 0 {
		full.Class = "less"
	}
	full.Title = fmt.Sprintf("%s on %s, %d workers: %s", row.Workload, row.Backend, row.Workers, speedupText(row.Speedup))
	if row.Statement != "" {
		full.Title += ". " + row.Statement
	}
	c.Box(full)
	if v := row.Verdict; v != nil {
		switch v.Word {
		case stats.NoVerdict:
			at.Class, at.Round = "none dashed", true
			c.Box(at)
		case stats.Invalid:
			hatch(c, at)
		}
		c.Text(mid, at.Y+56, "mid small", string(v.Word))
	}
	label := times(row.Speedup.Value)
	if !row.Verified {
		label += " (failed)"
	}
	c.Text(mid, at.Y+20, "mid num", label)
	below := interval(row.Speedup)
	if row.LimitShare > 0 {
		below += fmt.Sprintf(" · %.0f %% of limit", 100*row.LimitShare)
	}
	c.Text(mid, at.Y+38, "mid small", below)
}

// emptyCell says why there is no figure.
func emptyCell(c *chart.Chart, row Row, at chart.Box) {
	class, says := "mid muted small", "no result"
	at.Class = "none"
	switch {
	case row.NotApplicable != "":
		at.Title, says = row.NotApplicable, "not applicable"
	case row.Verdict != nil:
		at.Class, at.Round, at.Title = "none dashed", true, row.Statement
		class, says = "mid small", string(row.Verdict.Word)
	}
	c.Box(at)
	c.Text(at.X+at.W/2, at.Y+at.H/2+4, class, says)
}

func hatch(c *chart.Chart, at chart.Box) {
	right := at.X + at.W
	for x := at.X + 6; x < right; x += 12 {
		c.Line(x, at.Y+at.H, min(x+at.H, right), at.Y+at.H-min(at.H, right-x), "hatch")
	}
}

// spoken returns the results as sentences, for readers who cannot see a chart.
func (r *Report) spoken() string {
	var lines []string
	for _, i := range r.headlines() {
		lines = append(lines, i.Of+": "+i.Says)
	}
	return strings.Join(lines, " ")
}

// labelWidth estimates the width of the widest label of a workload.
func (r *Report) labelWidth() float64 {
	n := 0
	for _, w := range r.Run.Workloads {
		n = max(n, len(w.Label))
	}
	return 7 * float64(n)
}

// comparedBackends returns the backends that are compared with the baseline.
func (r *Report) comparedBackends() []results.BackendInfo {
	return slices.DeleteFunc(slices.Clone(r.Run.Backends), func(b results.BackendInfo) bool {
		return slices.ContainsFunc(r.Rows, func(row Row) bool { return row.Backend == b.Name && row.Baseline })
	})
}

func (r *Report) find(workload, backend string) (Row, bool) {
	i := slices.IndexFunc(r.Rows, func(row Row) bool { return row.Workload == workload && row.Backend == backend })
	if i < 0 {
		return Row{}, false
	}
	return r.Rows[i], true
}

// colour returns the class of a backend's colour, which is the same in all charts
// of a run.
func (r *Report) colour(backend string) string {
	return chart.Series(slices.IndexFunc(r.Run.Backends, func(b results.BackendInfo) bool { return b.Name == backend }))
}
