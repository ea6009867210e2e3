package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/f3f4c0de/harness/internal/report/document"
	"github.com/f3f4c0de/harness/internal/results"
)

// figuresSection is the table of all cells.
func figuresSection(r *Report) document.Section {
	t := document.NewTable(2, r.columns()...)
	t.Grouped = true
	for _, row := range r.Rows {
		t.Add(r.cells(row)...)
	}
	return document.Section{ID: "figures", Title: "All figures", Blocks: []document.Block{
		t, document.Terminal{document.Note(r.aboutLine())}, document.Note(r.legend()),
	}}
}

// columns returns the names of the table's columns. There is one for verdicts
// only if the run was long enough for any.
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

// cells returns a row of the table.
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

// model returns the name of the row's backend, and of its build if it has one.
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
func (r *Report) legend() string {
	return "time and CPU: medians over the rounds; CPU is of all processes. speed-up: over " + r.baselineName() + " in the same round (Hodges–Lehmann), with its interval and its range over the rounds; A/A is the baseline against itself, so it shows the noise. " + r.limitNote() + "Programs are a closed loop: each submits its tasks and waits for them, so a slow model is not asked for more."
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

// besideSection is the table of what is measured besides the time.
func besideSection(r *Report) document.Section {
	t := document.NewTable(2, "workload", "backend", "rounds", "cold", "CPU cost", "start", "warm-up", "peak memory", "the workload's own figures", "trace")
	t.Grouped = true
	for _, row := range r.Rows {
		if row.Rounds == 0 {
			continue
		}
		cold, cost := "", ""
		if !row.Baseline {
			cold, cost = ratioText(row.Cold), ratioText(row.CPUCost)
		}
		var own []string
		for _, m := range row.Metrics {
			own = append(own, m.text())
		}
		t.Add(row.Workload, row.Backend, fmt.Sprint(row.Rounds), cold, cost, duration(row.Start.Median), duration(row.Warm.Median),
			fmt.Sprintf("%.0f MiB", row.MaxRSS/(1<<20)), strings.Join(own, "\n"), row.TraceID)
	}
	return document.Section{ID: "beside", Title: "Beside the time", Blocks: []document.Block{
		document.Note("Cold: the speed-up if starting and warming up the workers counts, which the table above leaves out. CPU cost: how many times the baseline's processor time it takes."), t,
	}}
}

func ratioText(e *Estimate) string {
	if e == nil {
		return "–"
	}
	return speedupText(e)
}

func (m MetricStat) text() string {
	s := fmt.Sprintf("%s %.4g %s", m.Name, m.Median, m.Unit)
	if m.Unit == "ns" {
		s = m.Name + " " + duration(m.Median)
	}
	if m.Ratio != nil {
		s += ", " + speedupText(m.Ratio) + " of the baseline's"
	}
	return s
}

// setupSection describes what was run, and how.
func setupSection(r *Report) document.Section {
	var workloads, backends document.List
	for _, w := range r.Run.Workloads {
		workloads = append(workloads, document.Item{Of: w.Label, Says: w.Doc + paramsText(w.Params)})
	}
	for _, b := range r.Run.Backends {
		backends = append(backends, document.Item{Of: b.Name, Says: b.Doc})
	}
	repeated := ""
	if r.Run.TrialNS > 0 {
		repeated = fmt.Sprintf(", in which a program shorter than %s was repeated and the mean taken", duration(float64(r.Run.TrialNS)))
	}
	return document.Section{ID: "setup", Title: "What was run", Blocks: []document.Block{
		workloads, backends,
		document.Note(fmt.Sprintf("Every trial was a fresh process%s. The order within a round was random (seed %d), and every round ran the baseline twice. Every output was checked by an oracle and compared with the sequential one. Timed trials were not observed; the task timelines are from separate trials. Program %s %s (%s).",
			repeated, r.Run.Seed, r.Run.Version.Harness, r.Run.Version.Revision, r.Run.Version.Executable)),
	}}
}

// paramsText formats the parameters of a workload, to follow its description.
func paramsText(params results.Params) string {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(params)) {
		all = append(all, fmt.Sprintf("%s=%v", k, params[k]))
	}
	if all == nil {
		return ""
	}
	return " (" + strings.Join(all, ", ") + ")"
}
