// Package document is a report before it has a form: sections with a title, and
// blocks of text, tables and charts in them. What is shown, and in which order,
// is decided by whoever makes the document; [Text], [Markdown] and [HTML] render
// it and decide nothing. The package is pure, and knows nothing of runs.
//
// To add a kind of block, add a type here and a case to each of the three.
package document

import (
	"strings"

	"github.com/f3f4c0de/harness/internal/report/chart"
)

// A Document is a report.
type Document struct {
	Title    string // what it is about: of the page, and above Markdown
	Question string // what it answers: the heading of the page
	Sections []Section
}

// A Section is a part of a document. One without blocks is left out.
type Section struct {
	ID     string // by which a page can be linked to: lower case, one word or several with hyphens
	Title  string // empty for none
	Blocks []Block
}

// A Block is one of the types below. Strings are plain text, which renderers
// escape.
type Block interface{ block() }

// A Paragraph is text that is read.
type Paragraph string

// A Note is text that explains what is beside it.
type Note string

// A Warning is what a reader must know before believing the rest.
type Warning string

// Facts are sentences, each of which stands for itself.
type Facts []string

// A List holds what is said of several things.
type List []Item

// Terms explain the names that are used above them.
type Terms []Item

// An Item is a thing and what is said of it. The thing may be empty.
type Item struct{ Of, Says string }

// A Command shows more than the document does.
type Command struct{ Before, Line string }

// A Failure is something that went wrong, with what it wrote.
type Failure struct{ Of, What, Output string }

// A Finding is a cause with its evidence.
type Finding struct {
	Of, Rule string
	Says     string
	Where    string // it was found, and how large it is
	Evidence []string
	Command  string // shows it
	Stack    []string
	// Folded tells that a page shows the evidence when it is asked to.
	Folded bool
}

// A Table has rows of as many cells as there are columns; missing cells are
// empty. Lines in a cell are separated by "\n".
type Table struct {
	Columns []Column
	Left    int // so many columns are text, aligned to the left; the others are numbers
	Rows    []Row
	// Grouped tells that rows with the same first cell belong together.
	Grouped bool
	// Wide tells that the first column is to stay in sight.
	Wide bool
}

// A Column is the head of one; Doc says what is in it, and may be empty.
type Column struct{ Name, Doc string }

// A Row is one of a table's. Rule asks for a line above it.
type Row struct {
	Cells []string
	Rule  bool
}

// Chart is a picture. Terminals leave it out.
type Chart struct{ *chart.Chart }

// Files are blocks for Markdown and pages, where there is room.
type Files []Block

// Terminal are blocks for a terminal, in the place of others.
type Terminal []Block

func (Paragraph) block() {}
func (Note) block()      {}
func (Warning) block()   {}
func (Facts) block()     {}
func (List) block()      {}
func (Terms) block()     {}
func (Command) block()   {}
func (Failure) block()   {}
func (Finding) block()   {}
func (*Table) block()    {}
func (Chart) block()     {}
func (Files) block()     {}
func (Terminal) block()  {}

// NewTable returns a table without rows. So many of its columns, from the first,
// are text.
func NewTable(left int, columns ...string) *Table {
	t := &Table{Left: left}
	for _, name := range columns {
		t.Columns = append(t.Columns, Column{Name: name})
	}
	return t
}

// Add adds a row.
func (t *Table) Add(cells ...string) { t.Rows = append(t.Rows, Row{Cells: cells}) }

// Charts returns the charts of the document, in its order.
func (d *Document) Charts() (charts []*chart.Chart) {
	var find func([]Block)
	find = func(blocks []Block) {
		for _, b := range blocks {
			switch b := b.(type) {
			case Chart:
				charts = append(charts, b.Chart)
			case Files:
				find(b)
			}
		}
	}
	for _, s := range d.Sections {
		find(s.Blocks)
	}
	return charts
}

// joined returns an item in one line.
func (i Item) joined() string {
	if i.Of == "" {
		return i.Says
	}
	return i.Of + ": " + i.Says
}

// cells returns the lines of each cell, as many as there are columns.
func (t *Table) cells(r Row) [][]string {
	all := make([][]string, len(t.Columns))
	for i := range all {
		if i < len(r.Cells) {
			all[i] = strings.Split(r.Cells[i], "\n")
		} else {
			all[i] = []string{""}
		}
	}
	return all
}
