package progress

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/f3f4c0de/harness/internal/experiment/plan"
	"github.com/f3f4c0de/harness/internal/results"
)

// Plan describes what a run will do, how long it will take, and in which folder its
// results will be, if dir is not empty.
func Plan(p *plan.Plan, dir string) string {
	var b strings.Builder
	run := p.Run
	rounds := fmt.Sprint(run.Rounds)
	if run.BudgetNS > 0 && run.AskedRounds == 0 && run.Precision == 0 {
		rounds = "as many as fit"
	}
	fmt.Fprintf(&b, "Run %s: preset %s, rounds %s, seed %d\n", run.ID, run.Preset, rounds, run.Seed)
	if run.BudgetNS > 0 {
		fmt.Fprintf(&b, "  within %v in all, which has room for about %s; none is cut short\n", time.Duration(run.BudgetNS), count(plannedRounds(p), "round"))
	}
	if run.Precision > 0 {
		fmt.Fprintf(&b, "  until the intervals reach ±%.3g %%, at most %d rounds\n", 100*run.Precision, run.MaxRounds)
	}
	for _, build := range run.Builds {
		fmt.Fprintf(&b, "  build %s\n", build)
	}
	for _, w := range run.Workloads {
		writeWorkload(&b, &run, w)
	}
	writeTrials(&b, p)
	eta, known := p.Estimate(p.Steps, nil)
	about := "about " + roundDuration(eta)
	if !known {
		about = "at least " + about
	}
	fmt.Fprintf(&b, "Takes %s", about)
	if dir != "" {
		fmt.Fprintf(&b, "; results go to %s", dir)
	}
	b.WriteString("\n")
	return b.String()
}

// writeWorkload writes a workload with its backends and parameters.
func writeWorkload(b *strings.Builder, run *results.Run, w results.WorkloadInfo) {
	var backends []string
	for _, c := range run.Cells {
		switch {
		case c.Workload != w.Label:
		case c.Build != "":
			backends = append(backends, fmt.Sprintf("%s×%d", c.Build, c.Workers))
		case c.NotApplicable != "":
			backends = append(backends, c.Backend+" (not applicable)")
		default:
			backends = append(backends, fmt.Sprintf("%s×%d", c.Backend, c.Workers))
		}
	}
	var params []string
	for _, k := range slices.Sorted(maps.Keys(w.Params)) {
		params = append(params, fmt.Sprintf("%s=%v", k, w.Params[k]))
	}
	fmt.Fprintf(b, "  %-10s %s\n  %-10s %s\n", w.Label, strings.Join(backends, "  "), "", strings.Join(params, " "))
}

// writeTrials writes how many trials of each kind the plan has.
func writeTrials(b *strings.Builder, p *plan.Plan) {
	counts := make(map[results.Kind]int)
	for _, s := range p.Steps {
		counts[s.Kind]++
	}
	fmt.Fprintf(b, "Trials %d: pilot %d, timed in random order %d (the baseline twice a round), ", plan.Trials(p.Steps), counts[results.Pilot], counts[results.Timed])
	if n := counts[results.ObserverTrial]; n > 0 {
		fmt.Fprintf(b, "for the cost of observing %d (%d rounds of %s), ", n, p.Run.ObserverRounds, p.Run.Workloads[0].Label)
	}
	fmt.Fprintf(b, "traced %d, profiled %d\n", counts[results.Traced], counts[results.Profiled])
}

// plannedRounds returns how many rounds the steps of a plan have.
func plannedRounds(p *plan.Plan) int {
	n := 0
	for _, s := range p.Steps {
		if s.Kind == results.Probe {
			n++
		}
	}
	return n
}

// count formats a number of things.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

func roundDuration(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
