package document

import (
	"fmt"
	"io"
	"strings"
)

// Markdown writes the document for a pull request or a repository. The charts
// are expected as files in the folder charts, which is relative to it.
func Markdown(w io.Writer, d *Document, charts string) error {
	m := markdown{charts: charts}
	fmt.Fprintf(&m, "# %s\n", plain(d.Title))
	for _, s := range d.Sections {
		if len(s.Blocks) == 0 {
			continue
		}
		if s.Title != "" {
			fmt.Fprintf(&m, "\n## %s\n", plain(s.Title))
		}
		m.blocks(s.Blocks)
	}
	_, err := io.WriteString(w, m.String())
	return err
}

// markdown collects a document as Markdown. Every block begins with an empty line.
type markdown struct {
	strings.Builder
	charts string
}

func (m *markdown) blocks(blocks []Block) {
	for _, b := range blocks {
		switch b := b.(type) {
		case Paragraph:
			fmt.Fprintf(m, "\n%s\n", plain(string(b)))
		case Note:
			fmt.Fprintf(m, "\n%s\n", plain(string(b)))
		case Warning:
			fmt.Fprintf(m, "\n> **Warning.** %s\n", plain(string(b)))
		case Facts:
			m.WriteByte('\n')
			for _, s := range b {
				fmt.Fprintf(m, "- %s\n", plain(s))
			}
		case List:
			m.items(b)
		case Terms:
			m.items(b)
		case Command:
			fmt.Fprintf(m, "\n%s `%s`.\n", plain(b.Before), b.Line)
		case Failure:
			fmt.Fprintf(m, "\n- `%s`, %s:\n", b.Of, b.What)
			m.code(b.Output)
		case Finding:
			m.finding(b)
		case *Table:
			m.table(b)
		case Chart:
			fmt.Fprintf(m, "\n![%s](%s/%s.svg)\n", plain(b.Title), m.charts, b.Name)
		case Files:
			m.blocks(b)
		}
	}
}

func (m *markdown) items(items []Item) {
	m.WriteByte('\n')
	for _, i := range items {
		if i.Of == "" {
			fmt.Fprintf(m, "- %s\n", plain(i.Says))
		} else {
			fmt.Fprintf(m, "- **%s**: %s\n", plain(i.Of), plain(i.Says))
		}
	}
}

func (m *markdown) finding(f Finding) {
	fmt.Fprintf(m, "\n- **%s**, %s: %s\n  - %s\n", plain(f.Of), f.Rule, plain(f.Says), plain(f.Where))
	for _, e := range f.Evidence {
		fmt.Fprintf(m, "  - %s\n", plain(e))
	}
	m.code(f.Command)
	if len(f.Stack) > 0 {
		m.code(strings.Join(f.Stack, "\n"))
	}
}

// code writes preformatted text as a part of the list item above it.
func (m *markdown) code(s string) {
	fmt.Fprintf(m, "\n  ```\n  %s\n  ```\n", strings.ReplaceAll(s, "\n", "\n  "))
}

func (m *markdown) table(t *Table) {
	head, rule := make([]string, len(t.Columns)), make([]string, len(t.Columns))
	for i, c := range t.Columns {
		head[i], rule[i] = plain(c.Name), "---:"
		if i < t.Left {
			rule[i] = "---"
		}
	}
	m.WriteByte('\n')
	m.row(head)
	m.row(rule)
	for _, r := range t.Rows {
		cells := make([]string, len(t.Columns))
		for i, lines := range t.cells(r) {
			for j := range lines {
				lines[j] = plain(lines[j])
			}
			cells[i] = strings.Join(lines, "<br>")
		}
		m.row(cells)
	}
}

func (m *markdown) row(cells []string) { fmt.Fprintf(m, "| %s |\n", strings.Join(cells, " | ")) }

var escaper = strings.NewReplacer("|", `\|`, "*", `\*`, "_", `\_`, "<", "&lt;", "`", "\\`")

// plain keeps text from being taken for markup.
func plain(s string) string { return escaper.Replace(s) }
