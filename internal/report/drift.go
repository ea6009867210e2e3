package report

import (
	"fmt"

	"github.com/f3f4c0de/harness/internal/report/chart"
	"github.com/f3f4c0de/harness/internal/report/document"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/stats"
)

// driftSection shows all trials over the time of the run.
func driftSection(r *Report) document.Section {
	s := document.Section{ID: "course", Title: "In the course of the run"}
	if c := drift(r); c != nil {
		s.Blocks = []document.Block{document.Chart{Chart: c}}
	}
	return s
}

// A driftPlot shows trials over the time of the run, and below them how many
// processors other programs used.
type driftPlot struct {
	*chart.Chart
	r       *Report
	medians map[string]float64 // by cell
	x, y    chart.Scale
	others  chart.Scale // of other programs' processors, upwards from the lower edge
	drawn   int         // trials
	dropped int         // of them, those of rounds that were left out
}

const (
	driftLeft  = 60.0
	driftRight = chart.Width - chart.Margin
	driftBase  = chart.Top + 270 // the lower edge of other programs' processors
)

// drift shows every timed trial as a multiple of its cell's median, and below how
// many processors other programs used. It returns nil if there is nothing to show.
func drift(r *Report) *chart.Chart {
	p := &driftPlot{Chart: &chart.Chart{Name: "drift", Title: "Trials against the clock", Bottom: driftBase + 22}, r: r, medians: r.medians()}
	clock, ok := p.scales()
	if !ok {
		return nil
	}
	p.Head = "Every trial against the clock, and what other programs did"
	p.Note = "Above: each trial's time as a multiple of its cell's median; grey ones were left out. Below: other programs' processors, round by round; dashed: what they may use."
	p.Rows(p.y, chart.Doublings(p.y.Range), driftLeft, driftRight)
	r.eachBlock(p.block)
	allowed := p.others.At(r.Trust.OtherCores)
	p.Line(driftLeft, allowed, driftRight, allowed, "axis dashed")
	p.Text(driftLeft-8, allowed+4, "end muted small", fmt.Sprintf("%.2g cores", r.Trust.OtherCores))
	p.Line(driftLeft, driftBase, driftRight, driftBase, "axis")
	p.Text(driftLeft, driftBase+16, "muted small", "0 s")
	p.Text(driftRight, driftBase+16, "end muted small", duration(clock.High-clock.Low))
	p.Desc = fmt.Sprintf("%d trials in the course of %s, %d of them left out; below, how many processors other programs used.", p.drawn, duration(clock.High-clock.Low), p.dropped)
	return p.Chart
}

// medians returns the median time of each cell over all rounds, including those
// that were left out.
func (r *Report) medians() map[string]float64 {
	medians := make(map[string]float64)
	for _, c := range r.Run.Cells {
		var walls []float64
		for _, b := range r.blocks[c.Workload] {
			for _, t := range b.Trials(c) {
				walls = append(walls, float64(t.WallNS))
			}
		}
		medians[c.ID] = stats.Median(walls)
	}
	return medians
}

// scales computes the scales of the axes. ok is false if the run has no duration.
func (p *driftPlot) scales() (clock chart.Range, ok bool) {
	ratios, most := chart.Ratios(), p.r.Trust.OtherCores*2
	p.r.eachBlock(func(b *results.Block) {
		from := float64(b.Started().UnixNano())
		if !ok {
			clock.Low, ok = from, true
		}
		clock.Low, clock.High = min(clock.Low, from), max(clock.High, from+float64(b.Load().WindowNS))
		if others, known := b.OtherCores(); known {
			most = max(most, others)
		}
		p.each(b, func(_ results.Cell, t *results.Trial, median float64) { ratios.Include(float64(t.WallNS) / median) })
	})
	ratios = chart.Range{Low: max(ratios.Low, 1./8), High: min(ratios.High, 8)}
	p.x = chart.Linear(clock, driftLeft, driftRight)
	p.y = chart.Log(ratios, chart.Top+180, chart.Top)
	p.others = chart.Linear(chart.Range{High: most}, driftBase, driftBase-70)
	return clock, ok && clock.High > clock.Low
}

// each calls f with the trials of a block whose cells have a median.
func (p *driftPlot) each(b *results.Block, f func(c results.Cell, t *results.Trial, median float64)) {
	for _, c := range p.r.Run.Cells {
		for _, t := range b.Trials(c) {
			if m := p.medians[c.ID]; m > 0 {
				f(c, t, m)
			}
		}
	}
}

// block draws the trials of a block and the processors that other programs used
// during it.
func (p *driftPlot) block(b *results.Block) {
	from := float64(b.Started().UnixNano())
	if others, known := b.OtherCores(); known {
		class := "bar track"
		if p.r.Run.Disturbed(b) {
			class = "bar less"
		}
		width := p.x.At(from+float64(b.Load().WindowNS)) - p.x.At(from)
		p.Box(chart.Box{
			X: p.x.At(from), Y: p.others.At(others), W: max(1, width-.5), H: driftBase - p.others.At(others), Class: class,
			Title: fmt.Sprintf("%s, round %d: other programs used %.2f cores", b.Workload, b.Round+1, others),
		})
	}
	dropped := p.r.Run.Drops(b)
	p.each(b, func(c results.Cell, t *results.Trial, median float64) {
		class := p.r.colour(c.Backend)
		p.drawn++
		if dropped {
			class = "gone"
			p.dropped++
		}
		p.Dot(p.x.At(float64(t.Started.UnixNano())), p.y.At(p.y.Clamp(float64(t.WallNS)/median)), 2.2, class, "")
	})
}

// eachBlock calls f with every block, workload by workload.
func (r *Report) eachBlock(f func(*results.Block)) {
	for _, w := range r.Run.Workloads {
		for _, b := range r.blocks[w.Label] {
			f(b)
		}
	}
}
