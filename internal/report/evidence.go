package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/f3f4c0de/harness/internal/findings"
	"github.com/f3f4c0de/harness/internal/results"
)

// Spans compares the spans that there should be with those that were written.
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

// evidenceLine says whether the evidence is whole.
func (r *Report) evidenceLine() string {
	s := r.Spans
	if s.Trials == 0 {
		return ""
	}
	line := fmt.Sprintf("Spans: %d of %d expected were exported, of %d traced trials", s.Exported, s.Expected, s.Trials)
	if s.Processes > 0 {
		line += fmt.Sprintf(" in %d processes", s.Processes)
	}
	return line + "."
}

// ledgerChart shows for every cell what its workers' time went to.
func ledgerChart(r *Report) (Chart, bool) {
	if len(r.Ledger) == 0 {
		return Chart{}, false
	}
	const left, rowHeight, gap = 210.0, 20.0, 8.0
	width := chartWidth - left - margin - 70
	var d drawing
	var used []results.Part
	for p := range results.PartInfo {
		if results.Part(p).AtWorker() && slices.ContainsFunc(r.Ledger, func(l results.Ledger) bool { return l.Parts[p] > 0 }) {
			used = append(used, results.Part(p))
		}
	}
	d.text(margin, 27, "head", "What the workers' time went to")
	x := margin
	for _, p := range used {
		d.rect(x, 40, 11, 11, "part", fmt.Sprintf(` fill="%s"`, results.PartInfo[p].Colour), results.PartInfo[p].Doc)
		d.text(x+15, 50, "small", p.String())
		x += 26 + 6.6*float64(len(p.String()))
	}
	d.rect(x, 40, 11, 11, "none", "", "no task")
	d.text(x+15, 50, "small", "no task")
	y := 64.0
	var parts []string
	for _, w := range r.Run.Workloads {
		d.text(margin, y+14, "", w.Label)
		for _, row := range r.Rows {
			i := slices.IndexFunc(r.Ledger, func(l results.Ledger) bool { return l.Cell == row.ID })
			if row.Workload != w.Label || i < 0 {
				continue
			}
			l := &r.Ledger[i]
			whole := float64(max(1, l.WallNS*int64(l.Workers)))
			d.text(left-10, y+14, "end muted small", fmt.Sprintf("%s×%d", row.Backend, l.Workers))
			d.rect(left, y+2, width, rowHeight-4, "none", "", "")
			at := left
			for _, p := range used {
				share := float64(l.Parts[p]) / whole
				if share*width < .3 {
					continue
				}
				d.rect(at, y+2, share*width, rowHeight-4, "part", fmt.Sprintf(` fill="%s"`, results.PartInfo[p].Colour), fmt.Sprintf("%s: %s of %s", results.PartInfo[p].Doc, ofWhole(share, 1), findings.WorkersTime))
				at += share * width
			}
			d.text(chartWidth-margin, y+14, "end small", duration(float64(l.WallNS)))
			parts = append(parts, fmt.Sprintf("%s running %s", row.ID, ofWhole(float64(l.Parts[results.PartRunning]), whole)))
			y += rowHeight
		}
		y += gap
	}
	d.text(margin, y+12, "muted small", "One traced trial each. The whole width is the workers' time: all workers, for as long as is on the right.")
	return Chart{
		Name: "ledger", Title: "What the workers' time went to", w: chartWidth, h: y + 26, body: d.String(),
		Desc: "For each cell, the shares of its workers' time. " + strings.Join(parts, ", ") + ".",
	}, true
}

// findingLines are the findings, a line for each cause, for a terminal.
func (r *Report) findingLines() (lines []string) {
	for _, g := range findings.Groups(r.Findings) {
		f := g.Worst()
		lines = append(lines, fmt.Sprintf("%s, %s: %s [%s. See: %s]", g.Workload, g.Rule, f.Says, g.Models(), f.Command))
	}
	if n := len(findings.Groups(r.ModelCosts)); n > 0 {
		lines = append(lines, fmt.Sprintf("What the models themselves cost the programs, %s, is in the report's files.", counted(n, "cause")))
	}
	return lines
}

func counted(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}

// evidenceOf is the evidence of a group: the models with their figures, and then
// what is known of the one where it is largest.
func evidenceOf(g findings.Group) []string {
	f := g.Worst()
	lines := []string{g.Models()}
	if len(g.Findings) > 1 {
		lines = append(lines, "the rest is about "+f.Model)
	}
	return append(lines, f.Evidence...)
}

// shownBy names the task that shows a finding best; nothing if none does.
func shownBy(f findings.Finding) string {
	if f.Task == 0 {
		return ""
	}
	return fmt.Sprintf("task %d shows it best, span %s: harness ledger DIR --cell %s --task %d", f.Task, f.SpanID, f.Cell, f.Task)
}

// What is said above the findings, and above the costs.
const (
	findingsIntro = "What the programs' authors can change, each with its evidence. DIR is the folder of this report."
	noFindings    = "Nothing was found in the programs themselves: no polling, no queue for a lock, no task that holds up the others, no garbage to speak of."
	costsIntro    = "No fault of the programs: what these models do with any program of the kind. A cell that is slow and has no finding is explained here, by its limit, or by where its time went."
)

// findingsMarkdown writes findings with all of their evidence, each cause once.
func findingsMarkdown(b *strings.Builder, heading, intro string, all []findings.Finding) {
	fmt.Fprintf(b, "## %s\n\n%s\n\n", heading, intro)
	for _, g := range findings.Groups(all) {
		f := g.Worst()
		fmt.Fprintf(b, "- **%s**, %s: %s\n", escapeMarkdown(g.Workload), g.Rule, escapeMarkdown(f.Says))
		for _, e := range evidenceOf(g) {
			fmt.Fprintf(b, "  - %s\n", escapeMarkdown(e))
		}
		if by := shownBy(f); by != "" {
			fmt.Fprintf(b, "  - %s\n", escapeMarkdown(by))
		}
		fmt.Fprintf(b, "\n  ```\n  %s\n  ```\n", f.Command)
		if len(f.Stack) > 0 {
			fmt.Fprintf(b, "\n  ```\n  %s\n  ```\n", strings.Join(f.Stack, "\n  "))
		}
		b.WriteByte('\n')
	}
}

// CellFindings writes what stands out in a cell, and what its model costs, below
// its ledger, where the places are.
func CellFindings(w io.Writer, d *results.Data, cell string) error {
	var b strings.Builder
	for _, f := range append(findings.Of(d), findings.CostsOf(d)...) {
		if f.Cell != cell {
			continue
		}
		b.WriteByte('\n')
		writeWrapped(&b, f.Rule+": "+f.Says)
		for _, e := range f.Evidence {
			writeWrapped(&b, "- "+e)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
