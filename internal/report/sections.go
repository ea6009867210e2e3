package report

import (
	"io"

	"github.com/f3f4c0de/harness/internal/report/document"
	"github.com/f3f4c0de/harness/internal/results"
)

// A section makes a part of the report from the figures. A section without blocks is
// left out.
type section func(r *Report) document.Section

// sections are the parts of the report, in the order of the page and of
// Markdown. To add one, write a function in a file of its own and add a line.
var sections = []section{
	aboutSection,
	warningsSection,
	failuresSection,
	answerSection,
	findingsSection,
	trustSection,
	observersSection,
	mapSection,
	intervalsSection,
	gridsSection,
	timelineSection,
	workersTimeSection,
	driftSection,
	ledgerSection,
	modelCostsSection,
	figuresSection,
	verdictsSection,
	besideSection,
	setupSection,
}

// terminal are the sections for a terminal. The figures come first; what must not be
// overlooked comes last, above the prompt.
var terminal = []section{
	figuresSection,
	ledgerSection,
	trustSection,
	observersSection,
	verdictsSection,
	answerSection,
	warningsSection,
	findingsSection,
	modelCostsSection,
	failuresSection,
}

func (r *Report) sections(all []section) (made []document.Section) {
	for _, s := range all {
		made = append(made, s(r))
	}
	return made
}

// Document returns the report as a document with all of its sections. The document
// does not change if the report changes afterwards.
func (r *Report) Document() *document.Document {
	return &document.Document{Title: "Run " + r.Run.ID, Question: "Which execution model helps?", Sections: r.sections(sections)}
}

// Text writes the report for a terminal, which leaves out some sections.
func Text(w io.Writer, r *Report) error { return document.Text(w, r.sections(terminal)) }

// Markdown writes a report for a pull request or a repository. It refers to the
// charts in their folder beside it.
func Markdown(w io.Writer, d *document.Document) error {
	return document.Markdown(w, d, results.ChartsDir)
}

// HTML writes a report as one page that needs nothing else.
func HTML(w io.Writer, d *document.Document) error { return document.HTML(w, d) }
