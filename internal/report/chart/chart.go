// Package chart draws charts as SVG: marks on a canvas, scales that place
// values, and axes that label them. It is pure, and knows nothing of runs.
//
// A chart is made in four steps: collect the [Range] of the values, make a scale
// from it with [Linear] or [Log], draw the axes with [Canvas.Rows] and
// [Canvas.Columns], then draw the marks. All text is escaped.
package chart

import (
	"fmt"
	"html"
)

// The sizes that all charts share, in pixels.
const (
	Width  = 960.0
	Margin = 16.0 // left and right of everything
	Top    = 44.0 // where the marks begin, below the heading
)

// A Chart is a picture. Its title and description say what it shows, for readers
// who cannot see it.
type Chart struct {
	Name  string // of its file, without the ending, and in its ids
	Title string // what it is, in few words
	Head  string // the heading in the picture
	Note  string // explains the marks, below them
	Desc  string // what can be seen, in sentences
	// Bottom is where the marks and their labels end; the note is below.
	Bottom float64

	Canvas
}

// noteHeight is the height of the note, half of it above the line of text.
const noteHeight = 28.0

// SVG returns the chart as a file of its own.
func (c *Chart) SVG() string { return c.svg("<style>" + Style + "</style>") }

// Inline returns the chart for a page that already has the [Style].
func (c *Chart) Inline() string { return c.svg("") }

func (c *Chart) svg(style string) string {
	var head, note Canvas
	head.Text(Margin, 27, "head", c.Head)
	note.Text(Margin, c.Bottom+noteHeight/2, "muted small", c.Note)
	h := c.Bottom + noteHeight
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 %g %g" width="%g" height="%g" role="img" aria-labelledby="%s-t %s-d"><title id="%s-t">%s</title><desc id="%s-d">%s</desc>%s<rect class="paper" width="%g" height="%g" rx="6"/>%s%s%s</svg>`+"\n",
		Width, h, Width, h, c.Name, c.Name, c.Name, html.EscapeString(c.Title), c.Name, html.EscapeString(c.Desc), style, Width, h, head.marks, c.marks, note.marks)
}

// Series returns the class that gives the marks of the n-th of several things
// their colour, counted from 0.
func Series(n int) string { return fmt.Sprintf("b%d", max(0, n)%8) }

// Style sets the colours, for light and dark pages. The colours of the series
// are those of Okabe and Ito, which colour-blind readers can tell apart.
const Style = `:root{--ink:#1b1f24;--muted:#57606a;--grid:#d0d7de;--paper:#fff;--more:#0072b2;--less:#d55e00}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--muted:#9da7b3;--grid:#3d444d;--paper:#0d1117;--more:#56b4e9;--less:#e69f00}}
.chart{font:12px system-ui,-apple-system,"Segoe UI",sans-serif;max-width:100%;height:auto}
.chart .paper{fill:var(--paper)}.chart text{fill:var(--ink)}.chart .muted{fill:var(--muted)}.chart .small{font-size:11px}.chart .head{font-size:15px;font-weight:600}.chart .num{font-size:14px;font-weight:600}
.chart .mid{text-anchor:middle}.chart .end{text-anchor:end}.chart .grid{stroke:var(--grid);stroke-width:1}.chart .axis{stroke:var(--muted);stroke-width:1}
.chart .limit{stroke:var(--ink);stroke-width:2}.chart .hatch{stroke:var(--muted);stroke-width:.7}.chart .band{fill:var(--grid);fill-opacity:.4}.chart .ribbon{fill-opacity:.15;stroke:none}.chart .curve{fill:none;stroke-width:2}.chart .law{stroke:var(--ink);stroke-width:1;stroke-dasharray:1 3}.chart .gone{fill:var(--grid);stroke:var(--muted)}.chart .part{stroke:none}.chart .none{fill:none;stroke:var(--grid)}.chart .track{fill:var(--grid);fill-opacity:.35}.chart .dashed{stroke:var(--muted);stroke-width:2;stroke-dasharray:5 4}
.b0{fill:#999;stroke:#999}.b1{fill:#e69f00;stroke:#e69f00}.b2{fill:#0072b2;stroke:#0072b2}.b3{fill:#009e73;stroke:#009e73}.b4{fill:#cc79a7;stroke:#cc79a7}.b5{fill:#56b4e9;stroke:#56b4e9}.b6{fill:#d55e00;stroke:#d55e00}.b7{fill:#b8a800;stroke:#b8a800}
.chart .bar{stroke:none}.chart .odd{fill-opacity:.62}.chart .more{fill:var(--more)}.chart .less{fill:var(--less)}
`
