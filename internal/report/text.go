package report

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/stats"
)

// Text writes the report for a terminal.
func Text(w io.Writer, r *Report) error {
	var b strings.Builder
	rows := [][]string{r.columns()}
	previous := ""
	for _, row := range r.Rows {
		cells := r.cells(row)
		switch {
		case row.Workload == previous:
			cells[0] = ""
		case previous != "":
			rows = append(rows, nil)
		}
		previous = row.Workload
		rows = append(rows, cells)
	}
	writeTable(&b, rows, 2)
	b.WriteByte('\n')
	for _, line := range r.legend() {
		writeWrapped(&b, line)
	}
	if line := r.evidenceLine(); line != "" {
		writeWrapped(&b, line)
	}
	for _, line := range r.TrustLines() {
		writeWrapped(&b, line)
	}
	if table := r.costTable(); table != nil {
		b.WriteByte('\n')
		writeTable(&b, table, 3)
		writeWrapped(&b, costNote)
		b.WriteByte('\n')
	}
	for _, row := range r.Rows {
		if row.Verdict == nil || row.Verdict.Word == stats.NoVerdict { // of those the warnings tell
			continue
		}
		if w := row.Verdict.Word; w != stats.Faster && w != stats.Slower && (!row.Baseline || w != stats.Same) {
			writeWrapped(&b, "* "+row.Workload+": "+row.Finding)
		}
	}
	for _, o := range r.Overall {
		writeWrapped(&b, "* All together: "+o.text())
	}
	for _, line := range r.GridLines() {
		writeWrapped(&b, "* "+line)
	}
	for _, warning := range r.Warnings {
		writeWrapped(&b, "! "+warning)
	}
	for _, line := range r.findingLines() {
		writeWrapped(&b, "* "+line)
	}
	for _, f := range r.Failures {
		fmt.Fprintf(&b, "FAILED %s, %s trial, round %d: %s\n", f.Cell, f.Kind, f.Round, f.Error)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeTable writes rows in columns, the first ones aligned to the left and the
// others, numbers, to the right.
func writeTable(b *strings.Builder, rows [][]string, left int) {
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

// columns are the table's, in every format. The verdict is there if the run was
// long enough for any.
func (r *Report) columns() []string {
	c := []string{"workload", "backend", "workers", "time", "CPU", "speed-up", "95 % CI", "range", "limit", "of limit", "verified"}
	if len(r.Run.Builds) > 0 {
		c[1] = "backend, build"
	}
	if r.Judged {
		c = append(c, "verdict")
	}
	return c
}

// cells is a row of the table, without markup.
func (r *Report) cells(row Row) []string {
	cells := []string{row.Workload, row.model(), fmt.Sprint(row.Workers)}
	switch {
	case row.NotApplicable != "":
		cells = append(cells, "not applicable", "", "", "", "", "", "", "")
	case row.Rounds == 0:
		cells = append(cells, "–", "–", "–", "–", "–", "–", "–", verified(row))
	default:
		speedup, ci, spread := "–", "–", "–"
		if row.Speedup != nil {
			speedup, ci = times(row.Speedup.Value), interval(row.Speedup)
			spread = fmt.Sprintf("%.2f–%.2f", row.Range.Min, row.Range.Max)
		}
		limit, share := "–", "–"
		if row.Limit > 0 && !row.Baseline {
			limit = times(row.Limit)
			if row.MeasuredLimit > 0 && times(row.MeasuredLimit) != limit {
				limit += fmt.Sprintf(" (%s)", times(row.MeasuredLimit))
			}
		}
		if row.LimitShare > 0 {
			share = fmt.Sprintf("%.0f %%", 100*row.LimitShare)
		}
		if row.Baseline {
			speedup = "A/A " + speedup
		}
		cells = append(cells, duration(row.Wall.Median), duration(row.CPU.Median), speedup, ci, spread, limit, share, verified(row))
	}
	if r.Judged {
		word := ""
		if row.Verdict != nil {
			word = string(row.Verdict.Word)
		}
		cells = append(cells, word)
	}
	return cells
}

// model names what a row ran on.
func (row Row) model() string {
	if row.Build != "" {
		return row.Backend + ", " + row.Build
	}
	return row.Backend
}

func verified(row Row) string {
	switch {
	case row.Failed > 0:
		return fmt.Sprintf("no (%d failed)", row.Failed)
	case !row.Verified:
		return "no"
	}
	return "yes"
}

// legend explains the table.
func (r *Report) legend() []string {
	return []string{
		fmt.Sprintf("Run %s: preset %s, rounds %d, seed %d; %s.", r.Run.ID, r.Run.Preset, r.Run.Rounds, r.Run.Seed, r.machine()),
		"time and CPU: medians over the rounds; CPU is of all processes. speed-up: over " + r.baselineName() + " in the same round (Hodges–Lehmann), with its interval and its range over the rounds; A/A is the baseline against itself, so it shows the noise. " + r.limitNote() + "Programs are a closed loop: each submits its tasks and waits for them, so a slow model is not asked for more.",
	}
}

func (r *Report) baselineName() string {
	if len(r.Run.Builds) > 0 {
		return "build " + r.Run.Builds[0].Name
	}
	return "sequential"
}

func (r *Report) limitNote() string {
	switch {
	case len(r.Run.Builds) > 0:
		return "There is no limit: another build may do with less work. "
	case r.Trust.Capacity == nil:
		return "limit: no schedule can be faster with these workers and processors. "
	}
	return "limit: no schedule can be faster with these workers and processors; in brackets, with those that were measured to work at once. "
}

func (r *Report) machine() string {
	m := r.Run.Machine
	s := fmt.Sprintf("%d cores", m.Cores)
	if m.CPU != "" {
		s += " of " + m.CPU
	}
	return fmt.Sprintf("%s, %s/%s, %s", s, m.OS, m.Arch, r.Run.Version.Go)
}

func times(v float64) string {
	if math.IsInf(v, 0) {
		return "–"
	}
	return fmt.Sprintf("%.2f×", v)
}

func interval(e *Estimate) string {
	if e.Low == nil || e.High == nil {
		return "–"
	}
	return fmt.Sprintf("%.2f–%.2f", *e.Low, *e.High)
}

// speedupText is an estimate in a sentence.
func speedupText(e *Estimate) string {
	if e.Low == nil || e.High == nil {
		return fmt.Sprintf("%s (no interval from %d rounds)", times(e.Value), e.N)
	}
	return fmt.Sprintf("%s (95 %% CI %s)", times(e.Value), interval(e))
}

// duration writes nanoseconds with three digits.
func duration(ns float64) string {
	d := time.Duration(ns)
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{time.Second, "s"}, {time.Millisecond, "ms"}, {time.Microsecond, "µs"}} {
		if d >= u.unit {
			v := ns / float64(u.unit)
			digits := 2
			for limit := 10.0; limit <= 100 && v >= limit; limit *= 10 {
				digits--
			}
			return fmt.Sprintf("%.*f %s", digits, v, u.name)
		}
	}
	return fmt.Sprintf("%.0f ns", ns)
}

// writeWrapped writes a paragraph with lines of at most a hundred characters.
func writeWrapped(b *strings.Builder, s string) {
	n := 0
	for word := range strings.FieldsSeq(s) {
		l := len([]rune(word))
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

// Headlines says in a sentence for each workload what came out, the largest
// speed-up first.
func (r *Report) Headlines() []string {
	var lines []string
	separator := ", "
	if r.Judged {
		separator = "; " // a part has a comma in it
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
			lines = append(lines, w.Label+": "+strings.Join(parts, separator)+".")
		}
	}
	return lines
}

// Markdown writes the report for a pull request or a repository. The charts are
// expected in their folder beside it.
func Markdown(w io.Writer, r *Report, charts []Chart) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Run %s\n\n", r.Run.ID)
	fmt.Fprintf(&b, "%s\n\n", escapeMarkdown(r.legend()[0]))
	for _, h := range r.Headlines() {
		name, rest, _ := strings.Cut(h, ":")
		fmt.Fprintf(&b, "- **%s**:%s\n", name, escapeMarkdown(rest))
	}
	for _, o := range r.Overall {
		fmt.Fprintf(&b, "- **all together**: %s\n", escapeMarkdown(o.text()))
	}
	for _, line := range r.GridLines() {
		fmt.Fprintf(&b, "- %s\n", escapeMarkdown(line))
	}
	b.WriteByte('\n')
	for _, warning := range r.Warnings {
		fmt.Fprintf(&b, "> **Warning.** %s\n\n", escapeMarkdown(warning))
	}
	for _, line := range r.TrustLines() {
		fmt.Fprintf(&b, "%s\n\n", escapeMarkdown(line))
	}
	if len(r.Ledger) > 0 {
		intro := findingsIntro
		if len(r.Findings) == 0 {
			intro = noFindings
		}
		findingsMarkdown(&b, "What stands out", intro, r.Findings)
	}
	b.WriteString("## The figures\n\n")
	for _, c := range charts {
		fmt.Fprintf(&b, "![%s](%s/%s.svg)\n\n", escapeMarkdown(c.Title), results.ChartsDir, c.Name)
	}
	fmt.Fprintf(&b, "| %s |\n", strings.Join(r.columns(), " | "))
	b.WriteString("| --- | --- |" + strings.Repeat(" ---: |", len(r.columns())-2) + "\n")
	for _, row := range r.Rows {
		cells := r.cells(row)
		for i := range cells {
			cells[i] = escapeMarkdown(cells[i])
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
	}
	fmt.Fprintf(&b, "\n%s\n", escapeMarkdown(r.legend()[1]))
	r.ledgerMarkdown(&b)
	if line := r.evidenceLine(); line != "" {
		fmt.Fprintf(&b, "\n%s\n", escapeMarkdown(line))
	}
	if len(r.ModelCosts) > 0 {
		b.WriteByte('\n')
		findingsMarkdown(&b, "What the models cost here", costsIntro, r.ModelCosts)
	}
	if r.Judged {
		b.WriteString("\n## Verdicts\n\n")
		for _, line := range r.VerdictLines() {
			fmt.Fprintf(&b, "- %s\n", escapeMarkdown(line))
		}
	}
	if table := r.costTable(); table != nil {
		b.WriteString("\n## What observing costs\n\n")
		for i, row := range table {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
			if i == 0 {
				b.WriteString("| --- | --- | --- |" + strings.Repeat(" ---: |", len(row)-3) + "\n")
			}
		}
		fmt.Fprintf(&b, "\n%s\n", costNote)
	}
	if len(r.Failures) > 0 {
		b.WriteString("\n## Failed trials\n\n")
		for _, f := range r.Failures {
			fmt.Fprintf(&b, "- `%s`, %s trial, round %d:\n\n  ```\n  %s\n  ```\n", f.Cell, f.Kind, f.Round, strings.ReplaceAll(f.Error, "\n", "\n  "))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

var markdownEscaper = strings.NewReplacer("|", `\|`, "*", `\*`, "_", `\_`, "<", "&lt;", "`", "\\`")

func escapeMarkdown(s string) string { return markdownEscaper.Replace(s) }
