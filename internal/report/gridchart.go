package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/f3f4c0de/harness/internal/report/chart"
	"github.com/f3f4c0de/harness/internal/report/document"
	"github.com/f3f4c0de/harness/internal/stats"
)

// gridsSection shows how the speed-ups change with what was varied.
func gridsSection(r *Report) document.Section {
	s := document.Section{ID: "varied", Title: "How it changes with what was varied"}
	for _, g := range r.Grids {
		s.Blocks = append(s.Blocks, document.Chart{Chart: gridChart(r, g)})
	}
	return s
}

// A gridSeries is the speed-ups of a model along a grid.
type gridSeries struct {
	backend, colour string
	at              []float64
	rows            []Row
}

// gridSeries returns the series of each model that has speed-ups on the grid.
func (r *Report) gridSeries(g Grid) (all []gridSeries) {
	for _, b := range r.comparedBackends() {
		s := gridSeries{backend: b.Name, colour: r.colour(b.Name)}
		for _, p := range g.Points {
			if row, ok := r.find(p.Label, b.Name); ok && row.Speedup != nil {
				s.at, s.rows = append(s.at, p.Value), append(s.rows, row)
			}
		}
		if len(s.rows) > 0 {
			all = append(all, s)
		}
	}
	return all
}

// A gridPlot is the area of the chart with its scales.
type gridPlot struct {
	*chart.Chart
	g      Grid
	x, y   chart.Scale
	labels chart.Labels
}

func gridChart(r *Report, g Grid) *chart.Chart {
	const left, right, bottom = 60.0, chart.Width - 150, chart.Top + 300
	series := r.gridSeries(g)
	ratios := chart.Ratios()
	for _, s := range series {
		for _, row := range s.rows {
			ratios.Include(row.Speedup.Value, row.low(), row.high(), row.Limit)
		}
	}
	along := chart.Range{Low: g.Points[0].Value, High: g.Points[len(g.Points)-1].Value}
	p := gridPlot{Chart: &chart.Chart{Name: "grid-" + g.Workload, Bottom: bottom + 26}, g: g, x: chart.Log(along, left, right), y: chart.Log(ratios, bottom, chart.Top)}
	if g.linear() {
		p.x = chart.Linear(along, left, right)
	}
	var values []chart.Tick
	for _, point := range g.Points {
		values = append(values, chart.Tick{At: point.Value, Label: g.Value(point.Value)})
	}
	p.Rows(p.y, chart.Doublings(ratios), left, right)
	p.Columns(p.x, values, chart.Top, bottom)
	var found []string
	for _, c := range r.Crossovers {
		if c.Workload != g.Workload {
			continue
		}
		found = append(found, c.Statement)
		if !c.Cold && c.At != nil {
			from, to := max(p.x.At(*c.Low), left), min(p.x.At(*c.High), right)
			p.Box(chart.Box{X: from, Y: chart.Top, W: max(1, to-from), H: bottom - chart.Top, Class: "band", Title: c.Statement})
		}
	}
	for _, s := range series {
		p.draw(s)
		last := s.rows[len(s.rows)-1].Speedup.Value
		p.Text(right+10, p.labels.Place(p.y.At(last)+4), "small", fmt.Sprintf("%s %s", s.backend, times(last)))
	}
	p.describe(strings.Join(found, " "))
	return p.Chart
}

// describe sets the texts of the chart.
func (p *gridPlot) describe(found string) {
	p.Title = fmt.Sprintf("%s: speed-up over sequential against %s", p.g.Workload, p.g.Vary)
	p.Head = p.Title
	p.Note = "Line and shade: estimate and 95 % interval. Dashed: the limit."
	if p.g.Vary == byWorkers {
		p.Note += " Dotted: the scaling law that fits."
	}
	p.Note += " Grey band: where models change places, if that is established."
	p.Desc = fmt.Sprintf("The speed-up of each model at %d values of %s. %s", len(p.g.Points), p.g.Vary, found)
}

// draw draws a model's intervals, limits, speed-ups and scaling law.
func (p *gridPlot) draw(s gridSeries) {
	var low, high, curve, limit []chart.Point
	for i, row := range s.rows {
		at := func(v float64) chart.Point { return chart.Point{X: p.x.At(s.at[i]), Y: p.y.At(v)} }
		low, high, curve = append(low, at(row.low())), append(high, at(row.high())), append(curve, at(row.Speedup.Value))
		if row.Limit > 0 {
			limit = append(limit, at(row.Limit))
		}
	}
	p.Ribbon(high, low, s.colour)
	p.Curve(limit, "dashed "+s.colour, "")
	p.Curve(curve, s.colour, "")
	if i := slices.IndexFunc(p.g.Scalings, func(f ScalingFit) bool { return f.Backend == s.backend }); i >= 0 {
		p.law(p.g.Scalings[i])
	}
	for i, row := range s.rows {
		p.Dot(curve[i].X, curve[i].Y, 4, s.colour, fmt.Sprintf("%s, %s = %s: %s (%.2f–%.2f)", s.backend, p.g.Vary, p.g.Value(s.at[i]), times(row.Speedup.Value), row.low(), row.high()))
	}
}

// law draws a scaling law as a curve; it has values between the measured points,
// too.
func (p *gridPlot) law(f ScalingFit) {
	const steps = 40
	s := stats.Scaling{Lambda: f.Lambda, Sigma: f.Sigma, Kappa: f.Kappa}
	var curve []chart.Point
	for i := range steps + 1 {
		n := p.x.Low * math.Pow(p.x.High/p.x.Low, float64(i)/steps)
		curve = append(curve, chart.Point{X: p.x.At(n), Y: p.y.At(s.At(n))})
	}
	p.Curve(curve, "law", f.Backend+": "+f.Law)
}

// low and high return the ends of the speed-up's interval, or the estimate if it
// has none.
func (row Row) low() float64  { return deref(row.Speedup.Low, row.Speedup.Value) }
func (row Row) high() float64 { return deref(row.Speedup.High, row.Speedup.Value) }
