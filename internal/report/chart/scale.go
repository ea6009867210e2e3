package chart

import (
	"fmt"
	"math"
)

// A Range is what an axis has to show.
type Range struct{ Low, High float64 }

// Ratios returns the smallest range of an axis of ratios: 1 with a quarter on both
// sides.
func Ratios() Range { return Range{0.8, 1.25} }

// Include widens the range to include ratios, with a little room beside them.
// Values that a logarithmic axis cannot show are ignored.
func (r *Range) Include(ratios ...float64) {
	for _, v := range ratios {
		if v > 0 && !math.IsInf(v, 0) {
			r.Low, r.High = min(r.Low, v*.95), max(r.High, v*1.05)
		}
	}
}

// Clamp returns the value in the range that is nearest to v.
func (r Range) Clamp(v float64) float64 { return min(r.High, max(r.Low, v)) }

// A Scale places values along an axis. Values outside of its range are placed
// outside of the axis.
type Scale struct {
	Range
	from, to float64
	place    func(float64) float64
}

// Linear places the ends of a range at two places, in pixels, and equal
// differences at equal distances.
func Linear(r Range, from, to float64) Scale {
	return Scale{r, from, to, func(v float64) float64 { return v }}
}

// Log places the ends of a range of positive values at two places, in pixels,
// and equal ratios at equal distances.
func Log(r Range, from, to float64) Scale { return Scale{r, from, to, math.Log} }

// At returns the place of a value, in pixels.
func (s Scale) At(v float64) float64 {
	return s.from + (s.to-s.from)*(s.place(v)-s.place(s.Low))/(s.place(s.High)-s.place(s.Low))
}

// A Tick is a value with a label on an axis.
type Tick struct {
	At    float64
	Label string
	Base  bool // the value that the others are compared with
}

// Doublings returns a tick for each power of two in a range of ratios.
func Doublings(r Range) (ticks []Tick) {
	for v := math.Exp2(math.Ceil(math.Log2(r.Low))); v <= r.High; v *= 2 {
		ticks = append(ticks, Tick{v, fmt.Sprintf("%g×", v), v == 1})
	}
	return ticks
}

// Times returns about eight ticks at round times, from 0 to a little above the
// longest. Times are in nanoseconds.
func Times(longest float64) (ticks []Tick) {
	if !(longest > 0) {
		return nil
	}
	step := niceStep(longest / 8)
	for t := 0.0; t <= longest*1.02; t += step {
		ticks = append(ticks, Tick{At: t, Label: timeLabel(t)})
	}
	return ticks
}

// timeLabel formats a round time.
func timeLabel(ns float64) string {
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

// Rows draws a horizontal line for each tick of a vertical scale, with its label on
// the left.
func (c *Canvas) Rows(y Scale, ticks []Tick, left, right float64) {
	for _, t := range ticks {
		c.Line(left, y.At(t.At), right, y.At(t.At), t.class())
		c.Text(left-8, y.At(t.At)+4, "end muted small", t.Label)
	}
}

// Columns draws a vertical line for each tick of a horizontal scale, with its label
// below.
func (c *Canvas) Columns(x Scale, ticks []Tick, top, bottom float64) {
	for _, t := range ticks {
		c.Line(x.At(t.At), top, x.At(t.At), bottom, t.class())
		c.Text(x.At(t.At), bottom+16, "mid muted small", t.Label)
	}
}

func (t Tick) class() string {
	if t.Base {
		return "axis"
	}
	return "grid"
}
