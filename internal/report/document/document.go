// Package document holds a report that has no format yet: sections with a title,
// and in them blocks of text, tables and charts. Whoever makes the document decides
// what is shown and in which order; [Text], [Markdown] and [HTML] only render it.
// The package is pure, and knows nothing of runs.
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

// A Paragraph is text of its own.
type Paragraph string

// A Note is text that explains the blocks around it.
type Note string

// A Warning is text that a reader must know before trusting the rest.
type Warning string

// Facts are sentences that can each be read alone.
type Facts []string

// A List has an item for each of several things.
type List []Item

// Terms explain the names that are used above them.
type Terms []Item

// An Item is a thing, which may be empty, and what is said about it.
type Item struct{ Of, Says string }

// A Command is a command line that shows more than the document.
type Command struct{ Before, Line string }

// A Failure is something that went wrong, with its output.
type Failure struct{ Of, What, Output string }

// A Finding is a finding about a program or a model, with its evidence.
type Finding struct {
	Of, Rule string
	Says     string
	Where    string // on which models it was found, and how large it is
	Evidence []string
	Command  string // that shows it
	Stack    []string
	// Folded tells that a page hides the evidence until the reader opens it.
	Folded bool
}

// A Table has rows of as many cells as there are columns; missing cells are
// empty. Lines in a cell are separated by "\n".
type Table struct {
	Columns []Column
	Left    int // how many columns, from the first, are text; the others are numbers, aligned to the right
	Rows    []Row
	// Grouped tells that rows with the same first cell belong together.
	Grouped bool
	// Wide tells that a page keeps the first column in sight while it is scrolled.
	Wide bool
}

// A Column is the head of a column. Doc says what is in it, and may be empty.
type Column struct{ Name, Doc string }

// A Row is a row of a table. Rule asks for a line above it.
type Row struct {
	Cells []string
	Rule  bool
}

// A Chart is a picture. Terminals leave it out.
type Chart struct{ *chart.Chart }

// Files are blocks that only Markdown and pages have.
type Files []Block

// Terminal are blocks that only a terminal has.
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

// NewTable returns a table without rows. left is how many of its columns, from the
// first, are text.
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
