package profile

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"html"
	"io"
	"maps"
	"slices"
	"strings"
)

// A node is a function in a flame graph, reached by one path.
type node struct {
	value, base int64 // of it and what it calls
	calls       map[string]*node
}

func (n *node) call(name string) *node {
	if n.calls == nil {
		n.calls = make(map[string]*node)
	}
	if n.calls[name] == nil {
		n.calls[name] = &node{}
	}
	return n.calls[name]
}

// add adds the stacks of a view, callers first.
func (n *node) add(v *View, to func(n *node, value int64)) {
	i := v.value()
	for _, s := range v.p.Sample {
		at := n
		to(at, s.Value[i])
		for _, loc := range slices.Backward(s.Location) {
			for _, line := range slices.Backward(loc.Line) {
				at = at.call(line.Function.Name)
				to(at, s.Value[i])
			}
		}
	}
}

func (n *node) depth() (d int) {
	for _, c := range n.calls {
		d = max(d, c.depth())
	}
	return d + 1
}

const (
	flameWidth  = 1200.0
	flameRow    = 17.0
	flameMargin = 10.0
	flameLeast  = 0.3 // pixels below which a box is left out
)

// Flame draws a flame graph as SVG: callers above, the functions that they call
// below them, each as wide as its share. With a base it is a differential one:
// as wide as in v, red where v has more than base, blue where it has less.
func (v *View) Flame(w io.Writer, title string, base *View) error {
	root := &node{}
	root.add(v, func(n *node, value int64) { n.value += value })
	if base != nil {
		root.add(base, func(n *node, value int64) { n.base += value })
	}
	f := flame{unit: v.Unit(), total: max(1, root.value), diff: base != nil}
	height := flameRow*float64(root.depth()) + 66
	fmt.Fprintf(&f, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" width="%g" height="%g" role="img" font-family="ui-monospace,Menlo,monospace" font-size="11"><title>%s</title><rect width="100%%" height="100%%" fill="#fff"/>`,
		flameWidth, height, flameWidth, height, html.EscapeString(title))
	fmt.Fprintf(&f, `<text x="%g" y="22" font-size="15" font-weight="600" font-family="system-ui,sans-serif">%s</text>`+"\n", flameMargin, html.EscapeString(title))
	f.draw("all", root, flameMargin, 36)
	note := "Each box is a function, as wide as its share of the processor time; below it, what it calls."
	if f.diff {
		note = "As wide as in the second; red: more than in the first, blue: less. What only the first has is not drawn."
	}
	fmt.Fprintf(&f, `<text x="%g" y="%g" fill="#57606a" font-family="system-ui,sans-serif">%s</text></svg>`+"\n", flameMargin, height-12, note)
	_, err := io.WriteString(w, f.String())
	return err
}

type flame struct {
	strings.Builder
	unit  string
	total int64
	diff  bool
}

func (f *flame) draw(name string, n *node, x, y float64) {
	width := (flameWidth - 2*flameMargin) * float64(n.value) / float64(f.total)
	if width < flameLeast {
		return
	}
	tip := fmt.Sprintf("%s: %s (%.1f %%)", name, amount(n.value, f.unit), 100*float64(n.value)/float64(f.total))
	if f.diff {
		tip += fmt.Sprintf(", was %s", amount(n.base, f.unit))
	}
	fmt.Fprintf(f, `<g><title>%s</title><rect x="%.1f" y="%.1f" width="%.1f" height="%g" fill="%s" stroke="#fff" stroke-width=".5"/>`,
		html.EscapeString(tip), x, y, width, flameRow-1, f.colour(name, n))
	if fits := int(width/6.7) - 1; fits >= 3 {
		label := []rune(name[strings.LastIndexByte(name, '/')+1:])
		if len(label) > fits {
			label = append(label[:fits-1], '…')
		}
		fmt.Fprintf(f, `<text x="%.1f" y="%.1f">%s</text>`, x+3, y+12, html.EscapeString(string(label)))
	}
	f.WriteString("</g>\n")
	names := slices.SortedFunc(maps.Keys(n.calls), func(a, b string) int {
		return cmp.Or(cmp.Compare(n.calls[b].value, n.calls[a].value), cmp.Compare(a, b))
	})
	for _, c := range names {
		f.draw(c, n.calls[c], x, y+flameRow)
		x += (flameWidth - 2*flameMargin) * float64(n.calls[c].value) / float64(f.total)
	}
}

// colour is a warm one of the function's own, or says what has changed.
func (f *flame) colour(name string, n *node) string {
	if !f.diff {
		h := fnv.New32a()
		h.Write([]byte(name))
		v := h.Sum32()
		return fmt.Sprintf("hsl(%d,85%%,%d%%)", 18+v%34, 66+v>>8%12)
	}
	change := float64(n.value-n.base) / float64(max(n.value, n.base, 1))
	light := 97 - 42*min(1, max(change, -change))
	if change > 0 {
		return fmt.Sprintf("hsl(5,85%%,%.0f%%)", light)
	}
	return fmt.Sprintf("hsl(215,85%%,%.0f%%)", light)
}
