package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/f3f4c0de/harness/internal/report/document"
)

// aboutSection names the run, its settings and its machine.
func aboutSection(r *Report) document.Section {
	return document.Section{ID: "about", Blocks: []document.Block{document.Note(r.aboutLine())}}
}

func (r *Report) aboutLine() string {
	return fmt.Sprintf("Run %s: preset %s, rounds %d, seed %d; %s.", r.Run.ID, r.Run.Preset, r.Run.Rounds, r.Run.Seed, r.machine())
}

func (r *Report) machine() string {
	m := r.Run.Machine
	s := fmt.Sprintf("%d cores", m.Cores)
	if m.CPU != "" {
		s += " of " + m.CPU
	}
	return fmt.Sprintf("%s, %s/%s, %s", s, m.OS, m.Arch, r.Run.Version.Go)
}

// warningsSection lists what a reader must know before trusting the figures.
func warningsSection(r *Report) document.Section {
	s := document.Section{ID: "warnings"}
	for _, w := range r.Warnings {
		s.Blocks = append(s.Blocks, document.Warning(w))
	}
	return s
}

// failuresSection lists the trials that failed, with their output.
func failuresSection(r *Report) document.Section {
	s := document.Section{ID: "failures", Title: "Failed trials"}
	for _, f := range r.Failures {
		s.Blocks = append(s.Blocks, document.Failure{Of: f.Cell, What: fmt.Sprintf("%s trial, round %d", f.Kind, f.Round+1), Output: f.Error})
	}
	return s
}

// answerSection states the main results in sentences. A terminal leaves out the
// speed-ups of each workload, since it begins with the table that has them.
func answerSection(r *Report) document.Section {
	var overall document.List
	for _, o := range r.Overall {
		overall = append(overall, document.Item{Of: "All together", Says: o.text()})
	}
	for _, line := range r.gridLines() {
		overall = append(overall, document.Item{Says: line})
	}
	answers := append(r.headlines(), overall...)
	if len(answers) == 0 {
		answers = document.List{{Says: "Nothing was compared."}}
	}
	return document.Section{ID: "answer", Title: "In a sentence", Blocks: []document.Block{document.Files{answers}, document.Terminal{overall}}}
}

// headlines returns a sentence for each workload with its speed-ups, the largest
// first.
func (r *Report) headlines() (lines document.List) {
	separator := ", "
	if r.Judged {
		separator = "; " // each part contains a comma
	}
	for _, w := range r.Run.Workloads {
		var rows []Row
		for _, row := range r.Rows {
			if row.Workload == w.Label && !row.Baseline && row.Speedup != nil {
				rows = append(rows, row)
			}
		}
		slices.SortStableFunc(rows, func(a, b Row) int { return cmp.Compare(b.Speedup.Value, a.Speedup.Value) })
		var parts []string
		for _, row := range rows {
			part := fmt.Sprintf("%s %s", row.model(), speedupText(row.Speedup))
			if row.Verdict != nil {
				part += ", " + string(row.Verdict.Word)
			}
			parts = append(parts, part)
		}
		if len(parts) > 0 {
			lines = append(lines, document.Item{Of: w.Label, Says: strings.Join(parts, separator) + "."})
		}
	}
	return lines
}
