package report

import (
	"io"

	"github.com/f3f4c0de/harness/internal/report/document"
	"github.com/f3f4c0de/harness/internal/results"
)

// A section makes a part of the report from what Build found. One without blocks
// is left out.
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
	lanesSection,
	workersTimeSection,
	driftSection,
	ledgerSection,
	modelCostsSection,
	figuresSection,
	verdictsSection,
	besideSection,
	setupSection,
}

// terminal are those that a terminal has room for. The figures come first; what
// must not be overlooked comes last, above the prompt.
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

// Document returns the report with all of its sections, drawn and worded. It
// does not change with the report afterwards.
func (r *Report) Document() *document.Document {
	return &document.Document{Title: "Run " + r.Run.ID, Question: "Which execution model helps?", Sections: r.sections(sections)}
}

// Text writes what a terminal has room for of the report.
func Text(w io.Writer, r *Report) error { return document.Text(w, r.sections(terminal)) }

// Markdown writes a report for a pull request or a repository. The charts are
// expected in their folder beside it.
func Markdown(w io.Writer, d *document.Document) error {
	return document.Markdown(w, d, results.ChartsDir)
}

// HTML writes a report as one page that needs nothing else.
func HTML(w io.Writer, d *document.Document) error { return document.HTML(w, d) }
