package chart

import (
	"encoding/xml"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestScale(t *testing.T) {
	tests := []struct {
		name  string
		scale Scale
		at    map[float64]float64 // place by value
	}{
		{"linear", Linear(Range{10, 20}, 100, 300), map[float64]float64{10: 100, 20: 300, 15: 200, 25: 400}},
		{"linear, upwards", Linear(Range{0, 4}, 90, 10), map[float64]float64{0: 90, 4: 10, 1: 70}},
		{"logarithmic", Log(Range{1, 8}, 0, 300), map[float64]float64{1: 0, 2: 100, 4: 200, 8: 300, 0.5: -100}},
		{"logarithmic, upwards", Log(Range{0.5, 2}, 200, 0), map[float64]float64{0.5: 200, 1: 100, 2: 0}},
	}
	for _, tt := range tests {
		for v, want := range tt.at {
			if got := tt.scale.At(v); math.Abs(got-want) > 1e-9 {
				t.Errorf("%s: At(%v) = %v; want %v", tt.name, v, got, want)
			}
		}
	}
}

func TestRange(t *testing.T) {
	r := Ratios()
	r.Include(1, 1.1, math.Inf(1), math.NaN(), 0, -3)
	if r != Ratios() {
		t.Errorf("the range is %v; want %v: these values need no more", r, Ratios())
	}
	r.Include(4, 0.5)
	if want := (Range{0.475, 4.2}); math.Abs(r.Low-want.Low) > 1e-12 || math.Abs(r.High-want.High) > 1e-12 {
		t.Errorf("the range is %v; want %v", r, want)
	}
	for v, want := range map[float64]float64{0.1: r.Low, 2: 2, 9: r.High} {
		if got := r.Clamp(v); got != want {
			t.Errorf("Clamp(%v) = %v; want %v", v, got, want)
		}
	}
}

func TestTicks(t *testing.T) {
	if d := cmp.Diff([]Tick{{0.5, "0.5×", false}, {1, "1×", true}, {2, "2×", false}}, Doublings(Range{0.4, 3})); d != "" {
		t.Errorf("Doublings (-want +got):\n%s", d)
	}
	for longest, want := range map[float64]string{
		100e6: "0 20 ms 40 ms 60 ms 80 ms 100 ms", 3e9: "0 500 ms 1 s 1.5 s 2 s 2.5 s 3 s", 700: "0 0.1 µs 0.2 µs 0.3 µs 0.4 µs 0.5 µs 0.6 µs 0.7 µs", 0: "",
	} {
		var labels []string
		for _, tick := range Times(longest) {
			labels = append(labels, tick.Label)
		}
		if got := strings.Join(labels, " "); got != want {
			t.Errorf("Times(%v) = %q; want %q", longest, got, want)
		}
	}
}

// Labels do not overlap any earlier label.
func TestLabels(t *testing.T) {
	var l Labels
	var got []float64
	for _, y := range []float64{100, 105, 90, 300} {
		got = append(got, l.Place(y))
	}
	if d := cmp.Diff([]float64{100, 119, 146, 300}, got); d != "" {
		t.Errorf("Place (-want +got):\n%s", d)
	}
}

// Every mark is well-formed XML, whatever the names.
func TestMarksAreEscaped(t *testing.T) {
	const name = `<b>"a" & 'c'</b>`
	c := &Chart{Name: "n", Title: name, Head: name, Note: name, Desc: name, Bottom: 100}
	c.Text(1, 2, "mid", name)
	c.Box(Box{X: 1, Y: 2, W: 3, H: 4, Class: "part", Fill: "#fff", Opacity: .5, Round: true, Title: name})
	c.Dot(1, 2, 3, Series(-1), name)
	c.Curve([]Point{{1, 2}, {3, 4}}, "law", name)
	c.Ribbon([]Point{{1, 2}, {3, 1}}, []Point{{1, 3}, {3, 4}}, Series(9))
	c.Bar(1, 2, 3, 4, "axis")
	c.Rows(Linear(Range{0, 1}, 10, 0), []Tick{{0, name, true}}, 0, 10)
	c.Columns(Linear(Range{0, 1}, 0, 10), []Tick{{1, name, false}}, 0, 10)
	var svg struct {
		Title string `xml:"title"`
		Desc  string `xml:"desc"`
	}
	if err := xml.Unmarshal([]byte(c.SVG()), &svg); err != nil {
		t.Fatal(err)
	}
	if svg.Title != name || svg.Desc != name {
		t.Errorf("title and description are %q and %q; want %q", svg.Title, svg.Desc, name)
	}
	if !strings.Contains(c.Inline(), `points="1,2 3,1 3,4 1,3" class="ribbon b1"`) {
		t.Errorf("the ribbon does not go around:\n%s", c.Inline())
	}
}
