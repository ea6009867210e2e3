package report

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"

	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/stats"
)

// gridChart shows how the speed-up of each model changes with what was varied.
func gridChart(r *Report, g Grid) Chart {
	const left, right, height = 60.0, 150.0, 300.0
	type point struct{ at, value, low, high, limit float64 }
	lines := make(map[string][]point)
	lo, hi := 0.8, 1.25
	for _, b := range r.others() {
		for _, p := range g.Points {
			row, ok := r.find(p.Label, b.Name)
			if !ok || row.Speedup == nil {
				continue
			}
			e := row.Speedup
			q := point{p.Value, e.Value, deref(e.Low, e.Value), deref(e.High, e.Value), row.Limit}
			for _, v := range []float64{q.value, q.low, q.high, q.limit} {
				if v > 0 {
					lo, hi = min(lo, v*.95), max(hi, v*1.05)
				}
			}
			lines[b.Name] = append(lines[b.Name], q)
		}
	}
	first, last := g.Points[0].Value, g.Points[len(g.Points)-1].Value
	x := func(v float64) float64 {
		return left + (chartWidth-left-right)*(g.place(v)-g.place(first))/(g.place(last)-g.place(first))
	}
	y := func(v float64) float64 { return headHeight + height*math.Log(hi/v)/math.Log(hi/lo) }
	var d drawing
	title := fmt.Sprintf("%s: speed-up over sequential against %s", g.Workload, g.Vary)
	d.text(margin, 27, "head", title)
	for v := math.Exp2(math.Ceil(math.Log2(lo))); v <= hi; v *= 2 {
		class := "grid"
		if v == 1 {
			class = "axis"
		}
		d.line(left, y(v), chartWidth-right, y(v), class)
		d.text(left-8, y(v)+4, "end muted small", fmt.Sprintf("%g×", v))
	}
	for _, p := range g.Points {
		d.line(x(p.Value), headHeight, x(p.Value), headHeight+height, "grid")
		d.text(x(p.Value), headHeight+height+16, "mid muted small", g.Value(p.Value))
	}
	for _, c := range r.Crossovers {
		if c.Workload == g.Workload && !c.Cold && c.At != nil {
			from, to := max(x(*c.Low), left), min(x(*c.High), chartWidth-right)
			d.rect(from, headHeight, max(1, to-from), height, "band", "", c.Finding)
		}
	}
	var labels []float64 // heights that are taken
	for _, b := range r.others() {
		line := lines[b.Name]
		if len(line) == 0 {
			continue
		}
		colour := r.colour(b.Name)
		var ribbon, curve, limit strings.Builder
		for _, p := range line {
			fmt.Fprintf(&ribbon, "%s,%s ", num(x(p.at)), num(y(p.high)))
			fmt.Fprintf(&curve, "%s,%s ", num(x(p.at)), num(y(p.value)))
			if p.limit > 0 {
				fmt.Fprintf(&limit, "%s,%s ", num(x(p.at)), num(y(p.limit)))
			}
		}
		for _, p := range slices.Backward(line) {
			fmt.Fprintf(&ribbon, "%s,%s ", num(x(p.at)), num(y(p.low)))
		}
		fmt.Fprintf(&d, `<polygon points="%s" class="ribbon %s"/>`, strings.TrimSpace(ribbon.String()), colour)
		fmt.Fprintf(&d, `<polyline points="%s" class="curve dashed %s" fill="none" style="fill:none"/>`, strings.TrimSpace(limit.String()), colour)
		fmt.Fprintf(&d, `<polyline points="%s" class="curve %s" style="fill:none"/>`, strings.TrimSpace(curve.String()), colour)
		if i := slices.IndexFunc(g.Scalings, func(f ScalingFit) bool { return f.Backend == b.Name }); i >= 0 {
			f, steps := g.Scalings[i], 40
			law := stats.Scaling{Lambda: f.Lambda, Sigma: f.Sigma, Kappa: f.Kappa}
			var fit strings.Builder
			for s := range steps + 1 {
				n := first * math.Pow(last/first, float64(s)/float64(steps))
				fmt.Fprintf(&fit, "%s,%s ", num(x(n)), num(y(law.At(n))))
			}
			fmt.Fprintf(&d, `<polyline points="%s" class="curve law" style="fill:none"><title>%s: %s</title></polyline>`, strings.TrimSpace(fit.String()), b.Name, html.EscapeString(f.Law))
		}
		for _, p := range line {
			fmt.Fprintf(&d, `<circle cx="%s" cy="%s" r="4" class="%s"><title>%s</title></circle>`, num(x(p.at)), num(y(p.value)), colour,
				html.EscapeString(fmt.Sprintf("%s, %s = %s: %s (%.2f–%.2f)", b.Name, g.Vary, g.Value(p.at), times(p.value), p.low, p.high)))
		}
		at := y(line[len(line)-1].value) + 4
		for slices.ContainsFunc(labels, func(v float64) bool { return math.Abs(v-at) < 14 }) {
			at += 14
		}
		labels = append(labels, at)
		d.text(chartWidth-right+10, at, "small", fmt.Sprintf("%s %s", b.Name, times(line[len(line)-1].value)))
	}
	note := "Line and shade: estimate and 95 % interval. Dashed: the limit."
	if g.Vary == byWorkers {
		note += " Dotted: the scaling law that fits."
	}
	d.text(margin, headHeight+height+40, "muted small", note+" Grey band: where models change places, if that is established.")
	var desc []string
	for _, c := range r.Crossovers {
		if c.Workload == g.Workload {
			desc = append(desc, c.Finding)
		}
	}
	return Chart{
		Name: "grid-" + g.Workload, Title: title, w: chartWidth, h: headHeight + height + 54, body: d.String(),
		Desc: fmt.Sprintf("The speed-up of each model at %d values of %s. %s", len(g.Points), g.Vary, strings.Join(desc, " ")),
	}
}

// drift shows every timed trial against the clock, as a multiple of its cell's
// median, and below what other programs did. ok is false if there is nothing to
// show.
func drift(r *Report) (Chart, bool) {
	const left, height, below = 60.0, 180.0, 70.0
	var start, end float64
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
	lo, hi, most := 0.8, 1.25, r.Trust.OtherCores*2
	first := true
	r.eachBlock(func(b *results.Block) {
		at := float64(b.Started().UnixNano())
		if first {
			start, first = at, false
		}
		start, end = min(start, at), max(end, at+float64(b.Load().WindowNS))
		if others, known := b.OtherCores(); known {
			most = max(most, others)
		}
		for _, c := range r.Run.Cells {
			for _, t := range b.Trials(c) {
				if m := medians[c.ID]; m > 0 {
					v := float64(t.WallNS) / m
					lo, hi = min(lo, v*.95), max(hi, v*1.05)
				}
			}
		}
	})
	if first || end <= start {
		return Chart{}, false
	}
	lo, hi = max(lo, 1./8), min(hi, 8)
	x := func(at float64) float64 { return left + (chartWidth-left-margin)*(at-start)/(end-start) }
	y := func(v float64) float64 { return headHeight + height*math.Log(hi/v)/math.Log(hi/lo) }
	var d drawing
	d.text(margin, 27, "head", "Every trial against the clock, and what other programs did")
	for v := math.Exp2(math.Ceil(math.Log2(lo))); v <= hi; v *= 2 {
		class := "grid"
		if v == 1 {
			class = "axis"
		}
		d.line(left, y(v), chartWidth-margin, y(v), class)
		d.text(left-8, y(v)+4, "end muted small", fmt.Sprintf("%g×", v))
	}
	base := headHeight + height + below + 20
	level := base - below*r.Trust.OtherCores/most
	trials, gone := 0, 0
	r.eachBlock(func(b *results.Block) {
		dropped := r.Run.Drops(b)
		from := float64(b.Started().UnixNano())
		if others, known := b.OtherCores(); known {
			class := "bar lane"
			if r.Run.Disturbed(b) {
				class = "bar less"
			}
			h := below * others / most
			d.rect(x(from), base-h, max(1, x(from+float64(b.Load().WindowNS))-x(from)-.5), h, class, "", fmt.Sprintf("%s, round %d: other programs used %.2f cores", b.Workload, b.Round+1, others))
		}
		for _, c := range r.Run.Cells {
			for _, t := range b.Trials(c) {
				m := medians[c.ID]
				class := r.colour(c.Backend)
				trials++
				if dropped {
					class = "gone"
					gone++
				}
				if !(m > 0) {
					continue
				}
				v := min(hi, max(lo, float64(t.WallNS)/m))
				fmt.Fprintf(&d, `<circle cx="%s" cy="%s" r="2.2" class="%s"/>`, num(x(float64(t.Started.UnixNano()))), num(y(v)), class)
			}
		}
	})
	d.line(left, level, chartWidth-margin, level, "axis dashed")
	d.text(left-8, level+4, "end muted small", fmt.Sprintf("%.2g cores", r.Trust.OtherCores))
	d.line(left, base, chartWidth-margin, base, "axis")
	d.text(left, base+16, "muted small", "0 s")
	d.text(chartWidth-margin, base+16, "end muted small", duration(end-start))
	d.text(margin, base+36, "muted small", "Above: each trial's time as a multiple of its cell's median; grey ones were left out. Below: other programs' processors, round by round; dashed: what they may use.")
	return Chart{
		Name: "drift", Title: "Trials against the clock", w: chartWidth, h: base + 48, body: d.String(),
		Desc: fmt.Sprintf("%d trials in the course of %s, %d of them left out; below, how many processors other programs used.", trials, duration(end-start), gone),
	}, true
}

// eachBlock calls f with every block, workload by workload.
func (r *Report) eachBlock(f func(*results.Block)) {
	for _, w := range r.Run.Workloads {
		for _, b := range r.blocks[w.Label] {
			f(b)
		}
	}
}
