package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/f3f4c0de/harness/internal/findings"
	"github.com/f3f4c0de/harness/internal/report/chart"
	"github.com/f3f4c0de/harness/internal/report/document"
	"github.com/f3f4c0de/harness/internal/results"
)

// workersTimeSection shows what the workers spent their time on.
func workersTimeSection(r *Report) document.Section {
	s := document.Section{ID: "workers-time", Title: "Where the workers' time went"}
	if len(r.Ledger) > 0 {
		s.Blocks = []document.Block{document.Chart{Chart: ledgerChart(r)}}
	}
	return s
}

// ledgerChart shows for every cell what its workers spent their time on.
func ledgerChart(r *Report) *chart.Chart {
	const left, right, rowHeight, gap = 210.0, chart.Width - chart.Margin - 70, 20.0, 8.0
	c := &chart.Chart{
		Name: "ledger", Title: "What the workers' time went to", Head: "What the workers' time went to",
		Note: "One traced trial each. The whole width is the workers' time: all workers, for as long as is on the right.",
	}
	var used []results.Part
	for p := range results.PartInfo {
		if results.Part(p).AtWorker() && slices.ContainsFunc(r.Ledger, func(l results.Ledger) bool { return l.Parts[p] > 0 }) {
			used = append(used, results.Part(p))
		}
	}
	ledgerKey(c, used)
	y := 64.0
	var running []string
	for _, w := range r.Run.Workloads {
		c.Text(chart.Margin, y+14, "", w.Label)
		for _, row := range r.Rows {
			i := slices.IndexFunc(r.Ledger, func(l results.Ledger) bool { return l.Cell == row.ID })
			if row.Workload != w.Label || i < 0 {
				continue
			}
			l := &r.Ledger[i]
			c.Text(left-10, y+14, "end muted small", fmt.Sprintf("%s×%d", row.Backend, l.Workers))
			workersTimeBar(c, l, used, chart.Box{X: left, Y: y + 2, W: right - left, H: rowHeight - 4})
			c.Text(chart.Width-chart.Margin, y+14, "end small", duration(float64(l.WallNS)))
			running = append(running, fmt.Sprintf("%s running %s", row.ID, ofWhole(float64(l.Parts[results.PartRunning]), workersTime(l))))
			y += rowHeight
		}
		y += gap
	}
	c.Desc = "For each cell, the shares of its workers' time. " + strings.Join(running, ", ") + "."
	c.Bottom = y - 2
	return c
}

// ledgerKey draws the key of the colours.
func ledgerKey(c *chart.Chart, used []results.Part) {
	at := chart.Box{X: chart.Margin, Y: 40, W: 11, H: 11, Class: "part"}
	for _, p := range used {
		at.Fill, at.Title = results.PartInfo[p].Colour, results.PartInfo[p].Doc
		c.Box(at)
		c.Text(at.X+15, 50, "small", p.String())
		at.X += 26 + 6.6*float64(len(p.String()))
	}
	at.Class, at.Fill, at.Title = "none", "", "no task"
	c.Box(at)
	c.Text(at.X+15, 50, "small", "no task")
}

// workersTimeBar draws a bar, divided as a cell's ledger divides its workers' time.
func workersTimeBar(c *chart.Chart, l *results.Ledger, used []results.Part, whole chart.Box) {
	frame := whole
	frame.Class = "none"
	c.Box(frame)
	at := whole
	at.Class = "part"
	for _, p := range used {
		share := float64(l.Parts[p]) / workersTime(l)
		if share*whole.W < .3 {
			continue
		}
		at.W, at.Fill = share*whole.W, results.PartInfo[p].Colour
		at.Title = fmt.Sprintf("%s: %s of %s", results.PartInfo[p].Doc, ofWhole(share, 1), findings.WorkersTime)
		c.Box(at)
		at.X += at.W
	}
}

// workersTime returns the time of all workers together, for as long as the program
// took.
func workersTime(l *results.Ledger) float64 { return float64(max(1, l.WallNS*int64(l.Workers))) }
