package report

import (
	"cmp"
	"fmt"
	"html"
	"math"
	"slices"
	"strings"

	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/stats"
)

// A Chart is a picture of the report, drawn as SVG. It says in its title and
// description what it shows, for those who cannot see it.
type Chart struct {
	Name  string // of its file, without the ending
	Title string
	// Heading is that of the part of the page which begins with the chart.
	Heading string
	Desc    string
	body    string
	w, h    float64
}

// Charts draws all charts of a report.
func Charts(r *Report) []Chart {
	charts := []Chart{speedupIntervals(r)}
	if len(r.Run.Builds) == 0 { // else there is one column
		charts = slices.Insert(charts, 0, speedupMap(r))
	}
	head := func(heading string, c Chart) {
		if !slices.ContainsFunc(charts, func(c Chart) bool { return c.Heading == heading }) {
			c.Heading = heading
		}
		charts = append(charts, c)
	}
	for _, g := range r.Grids {
		head("How it changes with what was varied", gridChart(r, g))
	}
	for _, w := range r.Run.Workloads {
		if c, ok := workerLanes(r, w.Label); ok {
			head("Worker lanes", c)
		}
	}
	if c, ok := ledgerChart(r); ok {
		head("Where the workers' time went", c)
	}
	if c, ok := drift(r); ok {
		head("In the course of the run", c)
	}
	return charts
}

// SVG returns the chart as a file of its own.
func (c Chart) SVG() string { return c.svg("<style>" + chartStyle + "</style>") }

// Inline returns the chart for a page that has the style already.
func (c Chart) Inline() string { return c.svg("") }

func (c Chart) svg(style string) string {
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 %g %g" width="%g" height="%g" role="img" aria-labelledby="%s-t %s-d"><title id="%s-t">%s</title><desc id="%s-d">%s</desc>%s<rect class="paper" width="%g" height="%g" rx="6"/>%s</svg>`+"\n",
		c.w, c.h, c.w, c.h, c.Name, c.Name, c.Name, html.EscapeString(c.Title), c.Name, html.EscapeString(c.Desc), style, c.w, c.h, c.body)
}

// chartStyle sets the colours, for light and dark pages. The colours of the
// backends are those of Okabe and Ito, which colour-blind readers can tell
// apart.
const chartStyle = `:root{--ink:#1b1f24;--muted:#57606a;--grid:#d0d7de;--paper:#fff;--more:#0072b2;--less:#d55e00}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--muted:#9da7b3;--grid:#3d444d;--paper:#0d1117;--more:#56b4e9;--less:#e69f00}}
.chart{font:12px system-ui,-apple-system,"Segoe UI",sans-serif;max-width:100%;height:auto}
.chart .paper{fill:var(--paper)}.chart text{fill:var(--ink)}.chart .muted{fill:var(--muted)}.chart .small{font-size:11px}.chart .head{font-size:15px;font-weight:600}.chart .num{font-size:14px;font-weight:600}
.chart .mid{text-anchor:middle}.chart .end{text-anchor:end}.chart .grid{stroke:var(--grid);stroke-width:1}.chart .axis{stroke:var(--muted);stroke-width:1}
.chart .limit{stroke:var(--ink);stroke-width:2}.chart .hatch{stroke:var(--muted);stroke-width:.7}.chart .band{fill:var(--grid);fill-opacity:.4}.chart .ribbon{fill-opacity:.15;stroke:none}.chart .curve{fill:none;stroke-width:2}.chart .law{stroke:var(--ink);stroke-width:1;stroke-dasharray:1 3}.chart .gone{fill:var(--grid);stroke:var(--muted)}.chart .part{stroke:none}.chart .none{fill:none;stroke:var(--grid)}.chart .lane{fill:var(--grid);fill-opacity:.35}.chart .dashed{stroke:var(--muted);stroke-width:2;stroke-dasharray:5 4}
.b0{fill:#999;stroke:#999}.b1{fill:#e69f00;stroke:#e69f00}.b2{fill:#0072b2;stroke:#0072b2}.b3{fill:#009e73;stroke:#009e73}.b4{fill:#cc79a7;stroke:#cc79a7}.b5{fill:#56b4e9;stroke:#56b4e9}.b6{fill:#d55e00;stroke:#d55e00}.b7{fill:#b8a800;stroke:#b8a800}
.chart .bar{stroke:none}.chart .odd{fill-opacity:.62}.chart .more{fill:var(--more)}.chart .less{fill:var(--less)}
`

// A drawing collects the elements of a chart.
type drawing struct{ strings.Builder }

func (d *drawing) text(x, y float64, class, s string) {
	fmt.Fprintf(d, `<text x="%s" y="%s" class="%s">%s</text>`, num(x), num(y), class, html.EscapeString(s))
}

func (d *drawing) line(x1, y1, x2, y2 float64, class string) {
	fmt.Fprintf(d, `<line x1="%s" y1="%s" x2="%s" y2="%s" class="%s"/>`, num(x1), num(y1), num(x2), num(y2), class)
}

// rect draws a box that shows title when pointed at.
func (d *drawing) rect(x, y, w, h float64, class, attr, title string) {
	fmt.Fprintf(d, `<rect x="%s" y="%s" width="%s" height="%s" class="%s"%s`, num(x), num(y), num(w), num(h), class, attr)
	if title == "" {
		d.WriteString(`/>`)
		return
	}
	fmt.Fprintf(d, `><title>%s</title></rect>`, html.EscapeString(title))
}

// num writes a coordinate with at most two decimals.
func num(v float64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", v), "0"), ".")
}

// others are the backends that are compared with the baseline.
func (r *Report) others() []results.BackendInfo {
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

// colour is the class of a backend's colour: the same in every chart of a run.
func (r *Report) colour(backend string) string {
	i := slices.IndexFunc(r.Run.Backends, func(b results.BackendInfo) bool { return b.Name == backend })
	return fmt.Sprintf("b%d", max(0, i)%8)
}

const (
	chartWidth = 960.0
	margin     = 16.0
	headHeight = 44.0
)

// speedupMap shows at a glance where each model helps.
func speedupMap(r *Report) Chart {
	backends := r.others()
	left := max(130, margin+r.labelWidth()+14)
	rowHeight := 54.0
	if r.Judged {
		rowHeight = 70 // for the verdict
	}
	colWidth := (chartWidth - left - margin) / float64(max(1, len(backends)))
	var d drawing
	d.text(margin, 27, "head", "Where each model helps: speed-up over sequential")
	for i, b := range backends {
		d.text(left+(float64(i)+.5)*colWidth, headHeight+14, "mid", b.Name)
	}
	y := headHeight + 24
	for _, w := range r.Run.Workloads {
		d.text(margin, y+rowHeight/2, "", w.Label)
		for i, b := range backends {
			x := left + float64(i)*colWidth
			row, ok := r.find(w.Label, b.Name)
			r.mapCell(&d, row, ok, x+2, y+2, colWidth-4, rowHeight-4)
		}
		y += rowHeight
	}
	d.text(margin, y+20, "muted small", "Blue is faster than sequential, orange slower; the stronger, the more. 95 % interval below each figure."+mapNote(r))
	return Chart{
		Name: "speedup-map", Title: "Speed-up map", Heading: "The speed-up map", w: chartWidth, h: y + 34, body: d.String(),
		Desc: "For each workload and execution model, how many times faster than sequential. " + strings.Join(r.Headlines(), " "),
	}
}

// labelWidth is about how wide the widest label of a workload is.
func (r *Report) labelWidth() float64 {
	n := 0
	for _, w := range r.Run.Workloads {
		n = max(n, len(w.Label))
	}
	return 7 * float64(n)
}

func mapNote(r *Report) string {
	if r.Judged {
		return " Dashed: no verdict. Hatched: invalid."
	}
	return ""
}

func (r *Report) mapCell(d *drawing, row Row, ok bool, x, y, w, h float64) {
	mid := x + w/2
	switch {
	case !ok:
		return
	case row.NotApplicable != "":
		d.rect(x, y, w, h, "none", "", row.NotApplicable)
		d.text(mid, y+h/2+4, "mid muted small", "not applicable")
		return
	case row.Speedup == nil && row.Verdict != nil:
		d.rect(x, y, w, h, "none dashed", ` rx="4"`, row.Finding)
		d.text(mid, y+h/2+4, "mid small", string(row.Verdict.Word))
		return
	case row.Speedup == nil:
		d.rect(x, y, w, h, "none", "", "")
		d.text(mid, y+h/2+4, "mid muted small", "no result")
		return
	}
	s := math.Log2(row.Speedup.Value) / 3 // eightfold is the full colour
	class := "more"
	if s < 0 {
		class = "less"
	}
	title := fmt.Sprintf("%s on %s, %d workers: %s", row.Workload, row.Backend, row.Workers, speedupText(row.Speedup))
	if row.Finding != "" {
		title += ". " + row.Finding
	}
	d.rect(x, y, w, h, class, fmt.Sprintf(` fill-opacity="%.2f" rx="4"`, .06+.6*min(1, math.Abs(s))), title)
	if v := row.Verdict; v != nil {
		switch v.Word {
		case stats.NoVerdict:
			d.rect(x, y, w, h, "none dashed", ` rx="4"`, "")
		case stats.Invalid:
			for at := x + 6; at < x+w; at += 12 {
				d.line(at, y+h, min(at+h, x+w), y+h-min(h, x+w-at), "hatch")
			}
		}
		d.text(mid, y+56, "mid small", string(v.Word))
	}
	label := times(row.Speedup.Value)
	if !row.Verified {
		label += " (failed)"
	}
	d.text(mid, y+20, "mid num", label)
	below := interval(row.Speedup)
	if row.LimitShare > 0 {
		below += fmt.Sprintf(" · %.0f %% of limit", 100*row.LimitShare)
	}
	d.text(mid, y+38, "mid small", below)
}

// speedupIntervals shows every speed-up with its interval and its limit.
func speedupIntervals(r *Report) Chart {
	const rowHeight, gap = 20.0, 10.0
	left := max(230, margin+r.labelWidth()+134) // the models' names are between
	right := 70.0
	if r.Judged {
		right = 170 // for the verdicts
	}
	lo, hi := 0.8, 1.25
	for _, row := range r.Rows {
		if row.Speedup == nil {
			continue
		}
		for _, v := range []float64{row.Speedup.Value, deref(row.Speedup.Low, 1), deref(row.Speedup.High, 1), row.Limit, row.MeasuredLimit} {
			if v > 0 && !math.IsInf(v, 0) {
				lo, hi = min(lo, v*.95), max(hi, v*1.05)
			}
		}
	}
	x := func(v float64) float64 {
		return left + (chartWidth-left-right)*(math.Log2(v)-math.Log2(lo))/(math.Log2(hi)-math.Log2(lo))
	}
	var rows, grid drawing
	y := headHeight + 8
	top := y
	for _, w := range r.Run.Workloads {
		rows.text(margin, y+14, "", w.Label)
		for _, row := range r.Rows {
			if row.Workload != w.Label || row.Speedup == nil {
				continue
			}
			name := row.model()
			if row.Baseline {
				name += " (A/A)"
			}
			rows.text(left-10, y+14, "end muted small", name)
			r.whisker(&rows, row, x, y+rowHeight/2)
			rows.text(chartWidth-right+margin+38, y+14, "end small", times(row.Speedup.Value))
			if row.Verdict != nil {
				rows.text(chartWidth-right+margin+46, y+14, "small", string(row.Verdict.Word))
			}
			y += rowHeight
		}
		y += gap
		rows.line(margin, y-gap/2, chartWidth-margin, y-gap/2, "grid")
	}
	for v := math.Exp2(math.Ceil(math.Log2(lo))); v <= hi; v *= 2 {
		class := "grid"
		if v == 1 {
			class = "axis"
		}
		grid.line(x(v), top-4, x(v), y-gap/2, class)
		grid.text(x(v), y+10, "mid muted small", fmt.Sprintf("%g×", v))
	}
	var d drawing
	d.text(margin, 27, "head", "Speed-up with its 95 % interval and its limit")
	d.WriteString(grid.String() + rows.String())
	d.text(margin, y+30, "muted small", "Dot and line: estimate and interval. Upright mark: what no schedule can exceed (thin: at measured capacity). A/A: the baseline against itself, which shows the noise.")
	return Chart{
		Name: "speedup-intervals", Title: "Speed-up with intervals", Heading: "How sure, and how close to the limit", w: chartWidth, h: y + 44, body: d.String(),
		Desc: "Each speed-up over sequential as a dot with its interval, on a logarithmic scale, beside its physical limit.",
	}
}

func (r *Report) whisker(d *drawing, row Row, x func(float64) float64, y float64) {
	e := row.Speedup
	title := fmt.Sprintf("%s on %s: %s", row.Workload, row.Backend, speedupText(e))
	if row.Limit > 0 && !row.Baseline && !math.IsInf(row.Limit, 0) {
		d.line(x(row.Limit), y-7, x(row.Limit), y+7, "limit")
		title += fmt.Sprintf("; limit %s, by %s", times(row.Limit), row.LimitBy)
	}
	colour := r.colour(row.Backend)
	if row.MeasuredLimit > 0 && !row.Baseline {
		d.line(x(row.MeasuredLimit), y-4, x(row.MeasuredLimit), y+4, "axis")
	}
	if e.Low != nil && e.High != nil {
		d.line(x(*e.Low), y, x(*e.High), y, colour+`" stroke-width="3`)
	}
	fmt.Fprintf(d, `<circle cx="%s" cy="%s" r="4.5" class="%s"><title>%s</title></circle>`, num(x(e.Value)), num(y), colour, html.EscapeString(title))
}

func deref(v *float64, otherwise float64) float64 {
	if v == nil {
		return otherwise
	}
	return *v
}

// workerLanes shows what each worker did, the models one below the other on
// the same axis of time.
func workerLanes(r *Report, workload string) (Chart, bool) {
	var shown []results.Lanes
	var rows []Row
	longest := int64(0)
	for _, row := range r.Rows {
		i := slices.IndexFunc(r.lanes, func(l results.Lanes) bool { return l.Cell == row.ID })
		if row.Workload != workload || i < 0 {
			continue
		}
		shown, rows = append(shown, r.lanes[i]), append(rows, row)
		longest = max(longest, r.lanes[i].WallNS)
	}
	if longest == 0 {
		return Chart{}, false
	}
	const left, laneHeight = 130.0, 11.0
	scale := (chartWidth - left - margin - 60) / float64(longest)
	var d drawing
	d.text(margin, 27, "head", "What each worker did: "+workload)
	y := headHeight + 6
	for i, l := range shown {
		row := rows[i]
		d.text(margin, y+11, "", row.Backend)
		top := y
		for w := range l.Workers {
			d.rect(left, y+1, scale*float64(l.WallNS), laneHeight-2, "lane", "", "")
			drawLane(&d, l, w, r.colour(row.Backend), left, y+1, scale, laneHeight-2)
			y += laneHeight
		}
		d.text(left+scale*float64(l.WallNS)+6, (top+y)/2+4, "small", duration(float64(l.WallNS)))
		y = max(y, top+14) + 8
	}
	step := niceStep(float64(longest) / 8)
	for t := 0.0; t <= float64(longest)*1.02; t += step {
		d.line(left+scale*t, headHeight, left+scale*t, y, "grid")
		d.text(left+scale*t, y+14, "mid muted small", tick(t))
	}
	d.text(margin, y+36, "muted small", "One traced trial each, on the same axis. A lane is a worker, a bar is a task; neighbouring tasks differ in shade.")
	return Chart{
		Name: "lanes-" + workload, Title: "Worker lanes of " + workload, w: chartWidth, h: y + 48, body: d.String(),
		Desc: laneDesc(rows, shown),
	}, true
}

func laneDesc(rows []Row, shown []results.Lanes) string {
	var parts []string
	for i, l := range shown {
		parts = append(parts, fmt.Sprintf("%s: %d tasks on %d workers in %s", rows[i].Backend, len(l.Tasks), l.Workers, duration(float64(l.WallNS))))
	}
	return strings.Join(parts, "; ") + "."
}

// drawLane draws the tasks of one worker. Tasks too short to be seen are drawn
// as one, so that a million of them make no more than a lane's width.
func drawLane(d *drawing, l results.Lanes, worker int, colour string, left, y, scale, height float64) {
	var tasks []results.TaskRecord
	for _, t := range l.Tasks {
		if t.Worker == worker {
			tasks = append(tasks, t)
		}
	}
	slices.SortFunc(tasks, func(a, b results.TaskRecord) int { return cmp.Compare(a.StartedNS, b.StartedNS) })
	const least = 0.6 // of a pixel
	for i, n := 0, 0; i < len(tasks); n++ {
		from, to, j := tasks[i].StartedNS, tasks[i].EndedNS, i+1
		for j < len(tasks) && scale*float64(tasks[j].EndedNS-from) < least {
			to = max(to, tasks[j].EndedNS)
			j++
		}
		title := fmt.Sprintf("%s: %s, started at %s", tasks[i].Task, duration(float64(to-from)), duration(float64(from)))
		if j > i+1 {
			title = fmt.Sprintf("%d tasks", j-i)
		}
		class := "bar " + colour
		if n%2 == 1 {
			class += " odd"
		}
		d.rect(left+scale*float64(from), y, max(.3, scale*float64(to-from)), height, class, "", title)
		i = j
	}
}

// tick labels a round time on an axis.
func tick(ns float64) string {
	switch {
	case ns == 0:
		return "0"
	case ns >= 1e9:
		return fmt.Sprintf("%g s", ns/1e9)
	case ns >= 1e6:
		return fmt.Sprintf("%g ms", ns/1e6)
	}
	return fmt.Sprintf("%g µs", ns/1e3)
}

// niceStep rounds up to 1, 2 or 5 times a power of ten.
func niceStep(v float64) float64 {
	p := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if m*p >= v {
			return m * p
		}
	}
	return 10 * p
}
