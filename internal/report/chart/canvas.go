package chart

import (
	"fmt"
	"html"
	"strings"
)

// A Canvas holds marks. Later marks cover earlier ones. The zero Canvas is empty.
// Positions are in pixels from the top left; classes are those of [Style].
type Canvas struct{ marks []byte }

// Text writes a line that begins at x, or is centred at it with the class mid,
// or ends there with the class end; y is its baseline.
func (c *Canvas) Text(x, y float64, class, s string) {
	c.marks = fmt.Appendf(c.marks, `<text x="%s" y="%s" class="%s">%s</text>`, num(x), num(y), class, html.EscapeString(s))
}

// Line draws a straight line.
func (c *Canvas) Line(x1, y1, x2, y2 float64, class string) {
	c.marks = fmt.Appendf(c.marks, `<line x1="%s" y1="%s" x2="%s" y2="%s" class="%s"/>`, num(x1), num(y1), num(x2), num(y2), class)
}

// Bar draws a thick straight line.
func (c *Canvas) Bar(x1, y1, x2, y2 float64, class string) {
	c.marks = fmt.Appendf(c.marks, `<line x1="%s" y1="%s" x2="%s" y2="%s" class="%s" stroke-width="3"/>`, num(x1), num(y1), num(x2), num(y2), class)
}

// A Box is a rectangle.
type Box struct {
	X, Y, W, H float64
	Class      string
	Fill       string  // a colour in the place of the class's; empty for that
	Opacity    float64 // of the fill; 0 for the class's
	Round      bool    // its corners
	Title      string  // shown when it is pointed at; may be empty
}

// Box draws a rectangle.
func (c *Canvas) Box(b Box) {
	c.marks = fmt.Appendf(c.marks, `<rect x="%s" y="%s" width="%s" height="%s" class="%s"`, num(b.X), num(b.Y), num(b.W), num(b.H), b.Class)
	if b.Fill != "" {
		c.marks = fmt.Appendf(c.marks, ` fill="%s"`, b.Fill)
	}
	if b.Opacity > 0 {
		c.marks = fmt.Appendf(c.marks, ` fill-opacity="%.2f"`, b.Opacity)
	}
	if b.Round {
		c.marks = append(c.marks, ` rx="4"`...)
	}
	c.end("rect", b.Title)
}

// Dot draws a circle of radius r that shows title, if there is one, when it is
// pointed at.
func (c *Canvas) Dot(x, y, r float64, class, title string) {
	c.marks = fmt.Appendf(c.marks, `<circle cx="%s" cy="%s" r="%s" class="%s"`, num(x), num(y), num(r), class)
	c.end("circle", title)
}

// A Point is a place on the canvas.
type Point struct{ X, Y float64 }

// Curve draws straight lines from point to point.
func (c *Canvas) Curve(points []Point, class, title string) {
	c.marks = fmt.Appendf(c.marks, `<polyline points="%s" class="curve %s" style="fill:none"`, places(points), class)
	c.end("polyline", title)
}

// Ribbon shades the area between two curves whose points are in the same order.
func (c *Canvas) Ribbon(above, below []Point, class string) {
	around := append([]Point(nil), above...)
	for i := len(below) - 1; i >= 0; i-- {
		around = append(around, below[i])
	}
	c.marks = fmt.Appendf(c.marks, `<polygon points="%s" class="ribbon %s"/>`, places(around), class)
}

// Above draws the marks of another canvas above those of this one.
func (c *Canvas) Above(other *Canvas) { c.marks = append(c.marks, other.marks...) }

// end closes an element, with a title if it is to have one.
func (c *Canvas) end(element, title string) {
	if title == "" {
		c.marks = append(c.marks, `/>`...)
		return
	}
	c.marks = fmt.Appendf(c.marks, `><title>%s</title></%s>`, html.EscapeString(title), element)
}

func places(points []Point) string {
	all := make([]string, len(points))
	for i, p := range points {
		all[i] = num(p.X) + "," + num(p.Y)
	}
	return strings.Join(all, " ")
}

// num writes a coordinate with at most two decimals.
func num(v float64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", v), "0"), ".")
}

// Labels are the vertical positions of the labels beside a chart. The zero Labels
// have none.
type Labels []float64

// Place returns the position for a new label: y, or the first position below it
// at which the label overlaps no earlier one. The position is then taken.
func (l *Labels) Place(y float64) float64 {
	const height = 14
	for i := 0; i < len(*l); i++ {
		if d := (*l)[i] - y; -height < d && d < height {
			y, i = y+height, -1
		}
	}
	*l = append(*l, y)
	return y
}
