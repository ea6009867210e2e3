package calibrate

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"text/tabwriter"
)

// Text writes results as two tables, with the versions and options of the
// measurement.
func Text(out io.Writer, results []Result, opt Options) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	table := func(title string, columns []string, cells func(Result) []string) {
		fmt.Fprintf(w, "%s\n  \t%s\n", title, strings.Join(columns, "\t"))
		for _, r := range results {
			fmt.Fprintf(w, "  %s\t%s\n", r.Subject, strings.Join(cells(r), "\t"))
		}
		fmt.Fprintln(w)
	}
	table("Speed-up of a computation over one thread (range over the rounds)", []string{"1 thread", "2 threads", "4 threads"}, func(r Result) []string {
		cells := []string{r.Absent}
		for _, s := range r.Scaling {
			cells = append(cells, fmt.Sprintf("%.2f× (%.2f–%.2f)", s.Speedup, s.Low, s.High))
		}
		return cells[min(1, len(r.Scaling)):]
	})
	table("A ping beside threads that compute: p50, p95", []string{"none", "1 thread", "2 threads"}, func(r Result) []string {
		cells := []string{r.Absent}
		for _, l := range r.Latency {
			cells = append(cells, fmt.Sprintf("%s, %s", milliseconds(l.P50NS), milliseconds(l.P95NS)))
		}
		return cells[min(1, len(r.Latency)):]
	})
	if err := w.Flush(); err != nil {
		return err
	}
	python := ""
	if len(results) > 0 && results[0].Version != "" {
		python = results[0].Version + ", "
	}
	_, err := fmt.Fprintf(out, "%s%s, %d cores; medians of %d rounds, each of %d pings %v apart; seed %d\n",
		python, runtime.Version(), runtime.NumCPU(), opt.Rounds, opt.Pings, opt.Pause, opt.Seed)
	return err
}

func milliseconds(ns int64) string {
	ms := float64(ns) / 1e6
	switch {
	case ms < 1:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 10:
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}
