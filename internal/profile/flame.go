package profile

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"html"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// A node is a function in a flame graph, reached by one path.
type node struct {
	value, base int64 // of the function and what it calls
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
	flameLeast  = 0.3 // pixels; narrower boxes are left out
)

// A Flame describes a flame graph to be drawn.
type Flame struct {
	Title string
	Base  *View // what the view is compared with, or nil
	Tasks int   // the number of tasks that the values are of; 0 if it is not known or the values are per task
}

// flameStyle has a light and a dark scheme, of which the reader's preference is used.
// Boxes are light and their text is dark in both.
const flameStyle = `.paper{fill:#fff}.ink{fill:#1f2328}.muted{fill:#57606a}.box text{fill:#1f2328}.box rect{stroke:#fff;stroke-width:.5}.box:hover rect{stroke:#000;stroke-width:1.5}` +
	`@media(prefers-color-scheme:dark){.paper{fill:#0d1117}.ink{fill:#e6edf3}.muted{fill:#9198a1}.box rect{stroke:#0d1117}.box:hover rect{stroke:#fff}}`

// Flame draws a flame graph as SVG: callers above, the functions that they call below
// them, each as wide as its share. The tooltip of a box has the function's full name, its
// value, its value per task, and its share. With a base the graph is differential: boxes
// are as wide as in v, red where v has more than base, blue where it has less.
func (v *View) Flame(w io.Writer, of Flame) error {
	root := &node{}
	root.add(v, func(n *node, value int64) { n.value += value })
	if of.Base != nil {
		root.add(of.Base, func(n *node, value int64) { n.base += value })
	}
	f := flame{unit: v.Unit(), total: max(1, root.value), tasks: of.Tasks, diff: of.Base != nil}
	height := flameRow*float64(root.depth()) + 66
	note := "Each box is a function, as wide as its share; below it, what it calls."
	if f.diff {
		note = "As wide as in the second; red: more than in the first, blue: less. What only the first has is not drawn."
	}
	fmt.Fprintf(&f, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" width="%g" height="%g" role="img" aria-labelledby="title desc" font-family="ui-monospace,Menlo,monospace" font-size="11"><title id="title">%s</title><desc id="desc">%s</desc><style>%s</style><rect class="paper" width="100%%" height="100%%"/>`,
		flameWidth, height, flameWidth, height, html.EscapeString(of.Title), html.EscapeString(f.describe(root)), flameStyle)
	fmt.Fprintf(&f, `<text class="ink" x="%g" y="22" font-size="15" font-weight="600" font-family="system-ui,sans-serif">%s</text>`+"\n", flameMargin, html.EscapeString(of.Title))
	f.draw("all", root, flameMargin, 36)
	fmt.Fprintf(&f, `<text class="muted" x="%g" y="%g" font-family="system-ui,sans-serif">%s</text></svg>`+"\n", flameMargin, height-12, note)
	_, err := io.WriteString(w, f.String())
	return err
}

type flame struct {
	strings.Builder
	unit  string
	total int64
	tasks int
	diff  bool
}

// describe describes the graph in words, for readers who cannot see it.
func (f *flame) describe(root *node) string {
	hot, name := root, ""
	for {
		names := hot.byValue()
		if len(names) == 0 || 2*hot.calls[names[0]].value < root.value {
			break
		}
		name, hot = names[0], hot.calls[names[0]]
	}
	text := fmt.Sprintf("A flame graph of %s.", f.tip("all", root))
	if name != "" {
		text += fmt.Sprintf(" The deepest function with half of it or more is %s.", f.tip(name, hot))
	}
	return text
}

// byValue returns the names of the functions that n calls, the largest first.
func (n *node) byValue() []string {
	return slices.SortedFunc(maps.Keys(n.calls), func(a, b string) int {
		return cmp.Or(cmp.Compare(n.calls[b].value, n.calls[a].value), cmp.Compare(a, b))
	})
}

func (f *flame) tip(name string, n *node) string {
	tip := fmt.Sprintf("%s: %s", name, amount(n.value, f.unit))
	if f.tasks > 0 {
		tip += fmt.Sprintf(", %s a task", amount(n.value/int64(f.tasks), f.unit))
	}
	tip += fmt.Sprintf(" (%.1f %%)", 100*float64(n.value)/float64(f.total))
	if f.diff {
		tip += fmt.Sprintf(", was %s", amount(n.base, f.unit))
	}
	return tip
}

func (f *flame) draw(name string, n *node, x, y float64) {
	width := (flameWidth - 2*flameMargin) * float64(n.value) / float64(f.total)
	if width < flameLeast {
		return
	}
	fmt.Fprintf(f, `<g class="box"><title>%s</title><rect x="%.1f" y="%.1f" width="%.1f" height="%g" fill="%s"/>`,
		html.EscapeString(f.tip(name, n)), x, y, width, flameRow-1, f.colour(name, n))
	if label := flameLabel(name, int(width/6.7)-1); label != "" {
		fmt.Fprintf(f, `<text x="%.1f" y="%.1f">%s</text>`, x+3, y+12, html.EscapeString(label))
	}
	f.WriteString("</g>\n")
	for _, c := range n.byValue() {
		f.draw(c, n.calls[c], x, y+flameRow)
		x += (flameWidth - 2*flameMargin) * float64(n.calls[c].value) / float64(f.total)
	}
}

var typeArguments = regexp.MustCompile(`\[[^()]*\]`)

// flameLabel shortens a function's name to fits characters. It leaves out the path of the
// package and the type arguments, then the package, then the receiver's type.
func flameLabel(name string, fits int) string {
	if fits < 3 {
		return ""
	}
	short := typeArguments.ReplaceAllString(name, "[…]")
	short = short[strings.LastIndexByte(short, '/')+1:]
	_, inPackage, _ := strings.Cut(short, ".")
	for _, label := range []string{short, inPackage, short[strings.LastIndexByte(short, '.')+1:]} {
		if n := utf8.RuneCountInString(label); n > 0 && n <= fits {
			return label
		}
	}
	last := []rune(strings.TrimSuffix(short[strings.LastIndexByte(short, '.')+1:], "[…]"))
	if len(last) > fits {
		last = append(last[:fits-1], '…')
	}
	return string(last)
}

// colour returns a warm colour that depends on the name, or, in a differential graph, one
// that shows the change.
func (f *flame) colour(name string, n *node) string {
	if !f.diff {
		h := fnv.New32a()
		h.Write([]byte(name))
		v := h.Sum32()
		return fmt.Sprintf("hsl(%d,85%%,%d%%)", 18+v%34, 66+v>>8%12)
	}
	change := float64(n.value-n.base) / float64(max(n.value, n.base, 1))
	light := 97 - 35*min(1, max(change, -change))
	if change > 0 {
		return fmt.Sprintf("hsl(5,85%%,%.0f%%)", light)
	}
	return fmt.Sprintf("hsl(215,85%%,%.0f%%)", light)
}
