package document

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Text writes sections for a terminal. Lines have at most a hundred characters,
// except in tables and in the output of failures. It leaves out titles, charts and
// the explanations of terms.
func Text(w io.Writer, sections []Section) error {
	var t text
	for _, s := range sections {
		t.blocks(s.Blocks)
	}
	_, err := io.WriteString(w, t.String())
	return err
}

// text collects a document for a terminal.
type text struct {
	strings.Builder
	table bool // it ends with a table
}

func (t *text) blocks(blocks []Block) {
	for _, b := range blocks {
		switch b := b.(type) {
		case Paragraph:
			t.line(string(b))
		case Note:
			t.line(string(b))
		case Warning:
			t.line("! " + string(b))
		case Facts:
			for _, s := range b {
				t.line(s)
			}
		case List:
			for _, i := range b {
				t.line("* " + i.joined())
			}
		case Command:
			t.line(b.Before + " " + b.Line)
		case Failure:
			t.apart()
			fmt.Fprintf(t, "FAILED %s, %s: %s\n", b.Of, b.What, b.Output)
		case Finding:
			t.line(fmt.Sprintf("* %s, %s: %s [%s. See: %s]", b.Of, b.Rule, b.Says, b.Where, b.Command))
		case *Table:
			if t.Len() > 0 {
				t.WriteByte('\n')
			}
			b.Text(&t.Builder)
			t.table = true
		case Terminal:
			t.blocks(b)
		}
	}
}

// apart leaves an empty line below a table.
func (t *text) apart() {
	if t.table {
		t.WriteByte('\n')
	}
	t.table = false
}

func (t *text) line(s string) {
	t.apart()
	Wrap(&t.Builder, s)
}

// Wrap writes a paragraph with lines of at most a hundred characters.
func Wrap(b *strings.Builder, s string) {
	n := 0
	for word := range strings.FieldsSeq(s) {
		l := utf8.RuneCountInString(word)
		switch {
		case n == 0:
		case n+1+l > 100:
			b.WriteString("\n")
			n = 0
		default:
			b.WriteByte(' ')
			n++
		}
		b.WriteString(word)
		n += l
	}
	b.WriteByte('\n')
}

// Text writes the table with its columns aligned. An empty line separates groups,
// and only the first row of a group has the cell that they share.
func (t *Table) Text(b *strings.Builder) {
	head := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		head[i] = c.Name
	}
	rows := [][]string{head}
	for i, r := range t.Rows {
		cells := make([]string, len(t.Columns))
		for j, lines := range t.cells(r) {
			cells[j] = strings.Join(lines, ", ")
		}
		if t.Grouped && i > 0 {
			if cells[0] == t.Rows[i-1].Cells[0] {
				cells[0] = ""
			} else {
				rows = append(rows, nil)
			}
		}
		rows = append(rows, cells)
	}
	align(b, rows, t.Left)
}

// align writes rows in columns. The first columns, as many as left says, are
// aligned to the left, the others to the right.
func align(b *strings.Builder, rows [][]string, left int) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i < left {
				line.WriteString(cell + pad + "  ")
			} else {
				line.WriteString(pad + cell + "  ")
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}
