package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/f3f4c0de/harness/internal/findings"
	"github.com/f3f4c0de/harness/internal/report/document"
	"github.com/f3f4c0de/harness/internal/results"
)

// Spans counts the spans that were expected and those that were exported.
type Spans struct {
	Expected  int `json:"expected"`
	Exported  int `json:"exported"`
	Trials    int `json:"trials"`
	Processes int `json:"processes,omitempty"` // zero if not known
}

func (r *Report) countSpans(d *results.Data) {
	for _, t := range d.Latest() {
		if t.Kind == results.Traced && t.SpansExpected > 0 {
			r.Spans.Expected += t.SpansExpected
			r.Spans.Exported += t.SpansExported
			r.Spans.Trials++
		}
	}
	for _, l := range d.Ledger {
		r.Spans.Processes += len(l.Processes)
	}
}

// text says how many of the expected spans were exported; "" if no trial was
// traced.
func (s Spans) text() string {
	if s.Trials == 0 {
		return ""
	}
	line := fmt.Sprintf("Spans: %d of %d expected were exported, of %d traced trials", s.Exported, s.Expected, s.Trials)
	if s.Processes > 0 {
		line += fmt.Sprintf(" in %d processes", s.Processes)
	}
	return line + "."
}

// findingsSection lists the findings about the programs.
func findingsSection(r *Report) document.Section {
	s := document.Section{ID: "findings", Title: "What stands out"}
	switch {
	case len(r.Ledger) == 0:
	case len(r.Findings) == 0:
		s.Blocks = []document.Block{document.Files{document.Paragraph("Nothing was found in the programs themselves: no polling, no queue for a lock, no task that holds up the others, no garbage to speak of.")}}
	default:
		s.Blocks = []document.Block{document.Files{document.Note("What the programs' authors can change, each with its evidence. DIR is the folder of this report.")}}
		for _, g := range findings.Groups(r.Findings) {
			s.Blocks = append(s.Blocks, findingBlock(g))
		}
	}
	return s
}

// modelCostsSection lists what the models themselves cost the programs. On a
// terminal it only says where they are listed.
func modelCostsSection(r *Report) document.Section {
	groups := findings.Groups(r.ModelCosts)
	if len(groups) == 0 {
		return document.Section{}
	}
	files := document.Files{document.Note("No fault of the programs: what these models do with any program of the kind. A cell that is slow and has no finding is explained here, by its limit, or by where its time went.")}
	for _, g := range groups {
		f := findingBlock(g)
		f.Folded = true
		files = append(files, f)
	}
	short := fmt.Sprintf("What the models themselves cost the programs, %s, is in the report's files.", counted(len(groups), "cause"))
	return document.Section{ID: "model-costs", Title: "What the models cost here", Blocks: []document.Block{files, document.Terminal{document.List{{Says: short}}}}}
}

// findingBlock shows a group of findings: the models with their figures, then the
// evidence of the model with the largest figure.
func findingBlock(g findings.Group) document.Finding {
	worst := g.Worst()
	f := document.Finding{Of: g.Workload, Rule: g.Rule, Says: worst.Says, Where: g.Models(), Command: worst.Command, Stack: worst.Stack}
	if len(g.Findings) > 1 {
		f.Evidence = []string{"the evidence is from " + worst.Model}
	}
	f.Evidence = append(f.Evidence, worst.Evidence...)
	if worst.Task != 0 {
		f.Evidence = append(f.Evidence, fmt.Sprintf("task %d shows it best, span %s: harness ledger DIR --cell %s --task %d", worst.Task, worst.SpanID, worst.Cell, worst.Task))
	}
	return f
}

// CellFindings writes the findings about a cell and about its model. It writes no
// stacks, since the cell's ledger, which is printed above, has them.
func CellFindings(w io.Writer, d *results.Data, cell string) error {
	var b strings.Builder
	for _, f := range append(findings.Of(d), findings.ModelCostsOf(d)...) {
		if f.Cell != cell {
			continue
		}
		b.WriteByte('\n')
		document.Wrap(&b, f.Rule+": "+f.Says)
		for _, e := range f.Evidence {
			document.Wrap(&b, "- "+e)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
