package document

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/f3f4c0de/harness/internal/report/chart"
)

// everything has a block of each type, with text that is markup in some format.
func everything() *Document {
	t := NewTable(1, "name", "time")
	t.Grouped = true
	t.Add("a*b", "1 s")
	t.Add("a*b", "20 s\n<half>")
	t.Add("c|d")
	return &Document{Title: "Run <1>", Question: "Why?", Sections: []Section{
		{ID: "first", Title: "First", Blocks: []Block{
			Paragraph("A paragraph_."), Note("A <note>."), Warning("Beware."), Facts{"One.", "Two."},
			List{{Of: "it", Says: "is"}, {Says: "alone"}}, Terms{{Of: "word", Says: "meaning"}},
			Command{Before: "More:", Line: "harness help"}, Failure{Of: "cell", What: "trial 1", Output: "it\nbroke"},
			Finding{Of: "w", Rule: "rule", Says: "Says.", Where: "on 2", Evidence: []string{"5 ms"}, Command: "see it", Stack: []string{"f", "g"}},
		}},
		{ID: "none", Title: "Not there"},
		{ID: "second", Blocks: []Block{
			t, Chart{&chart.Chart{Name: "pic", Title: "Picture"}},
			Files{Paragraph("Only in files.")}, Terminal{Paragraph("Only in a terminal.")},
		}},
	}}
}

func TestText(t *testing.T) {
	var b strings.Builder
	if err := Text(&b, everything().Sections); err != nil {
		t.Fatal(err)
	}
	const want = `A paragraph_.
A <note>.
! Beware.
One.
Two.
* it: is
* alone
More: harness help
FAILED cell, trial 1: it
broke
* w, rule: Says. [on 2. See: see it]

name          time
a*b            1 s
      20 s, <half>

c|d

Only in a terminal.
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Errorf("Text (-want +got):\n%s", d)
	}
}

func TestMarkdown(t *testing.T) {
	var b strings.Builder
	if err := Markdown(&b, everything(), "pictures"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"# Run &lt;1>\n\n## First\n\nA paragraph\\_.\n", "\n> **Warning.** Beware.\n", "\n- One.\n- Two.\n\n- **it**: is\n- alone\n\n- **word**: meaning\n",
		"\nMore: `harness help`.\n", "\n- `cell`, trial 1:\n\n  ```\n  it\n  broke\n  ```\n",
		"\n- **w**, rule: Says.\n  - on 2\n  - 5 ms\n\n  ```\n  see it\n  ```\n\n  ```\n  f\n  g\n  ```\n",
		"\n| name | time |\n| --- | ---: |\n| a\\*b | 1 s |\n| a\\*b | 20 s<br>&lt;half> |\n| c\\|d |  |\n", "\n![Picture](pictures/pic.svg)\n\nOnly in files.\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("Markdown does not have %q:\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "Not there") || strings.Contains(b.String(), "terminal") {
		t.Errorf("Markdown has what is not for it:\n%s", b.String())
	}
}

func TestHTML(t *testing.T) {
	var b strings.Builder
	if err := HTML(&b, everything()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"<title>Run &lt;1&gt;</title>", "<h1>Why?</h1>", `<h2 id="first">First</h2>`, `<p class="muted">A &lt;note&gt;.</p>`, "<li><strong>it</strong>: is</li>\n<li>alone</li>",
		`<tr class="first"><td>a*b</td><td>1 s</td></tr>`, "<tr><td>a*b</td><td>20 s<br>&lt;half&gt;</td></tr>", `<tr class="first"><td>c|d</td><td></td></tr>`, `<title id="pic-t">Picture</title>`, "Only in files.",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the page does not have %q:\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "Not there") || strings.Contains(b.String(), "Only in a terminal") {
		t.Errorf("the page has what is not for it:\n%s", b.String())
	}
}

func TestCharts(t *testing.T) {
	d := &Document{Sections: []Section{{Blocks: []Block{Files{Chart{&chart.Chart{Name: "a"}}}, Chart{&chart.Chart{Name: "b"}}}}}}
	var names []string
	for _, c := range d.Charts() {
		names = append(names, c.Name)
	}
	if d := cmp.Diff([]string{"a", "b"}, names); d != "" {
		t.Errorf("Charts (-want +got):\n%s", d)
	}
}

// A line is not longer than a hundred characters, unless it has one word only.
func TestWrap(t *testing.T) {
	word := strings.Repeat("ö", 60)
	var b strings.Builder
	Wrap(&b, word+" "+word[:78]+" "+word[:4])
	if want := word + " " + word[:78] + "\n" + word[:4] + "\n"; b.String() != want {
		t.Errorf("Wrap = %q; want %q", b.String(), want)
	}
}
