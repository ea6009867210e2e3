package cli

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/internal/backends/inproc"
	"github.com/f3f4c0de/harness/internal/calibrate"
)

func newCalibrateCommand(a *app) *cobra.Command {
	var opt calibrate.Options
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "calibrate",
		Short: "Compare the GIL-like models with Python's own lock",
		Long: `Compare the GIL-like models with Python's own lock, in the two respects in which
programmers meet it:

  - how much faster the same computation is on 1, 2 and 4 threads
  - how long a ping takes beside 0, 1 and 2 threads that compute

The subjects are Python 3's threads, if it is installed, and the models gil,
gomaxprocs1 and goroutines. They take turns in random order. docs/gil.md says
what to make of the result.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opt.Rounds < 1 || opt.Pings < 1 || opt.Pause <= 0 {
				return fmt.Errorf("--rounds %d, --pings %d and --pause %v: want more than nothing of each", opt.Rounds, opt.Pings, opt.Pause)
			}
			if opt.Seed == 0 {
				opt.Seed = uint64(time.Now().UnixNano())
			}
			opt.Progress = func(round, of int) { fmt.Fprintf(a.stderr, "round %d of %d\n", round, of) }
			results, err := calibrate.Run(cmd.Context(), calibrate.Subjects(inproc.GIL, inproc.GOMAXPROCS1, inproc.Goroutines), opt)
			if err != nil {
				return failed(err)
			}
			if asJSON {
				return failed(a.printJSON(results))
			}
			return failed(printCalibration(a.stdout, results, opt))
		},
	}
	cmd.Flags().IntVar(&opt.Rounds, "rounds", 3, "rounds, each with every measurement once")
	cmd.Flags().IntVar(&opt.Pings, "pings", 100, "pings in each measurement of latency")
	cmd.Flags().DurationVar(&opt.Pause, "pause", 2*time.Millisecond, "between a reply and the next ping")
	cmd.Flags().Uint64Var(&opt.Seed, "seed", 0, "of the order; random if 0")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}

func printCalibration(out io.Writer, results []calibrate.Result, opt calibrate.Options) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	table := func(title string, columns []string, cells func(calibrate.Result) []string) {
		fmt.Fprintf(w, "%s\n  \t%s\n", title, strings.Join(columns, "\t"))
		for _, r := range results {
			fmt.Fprintf(w, "  %s\t%s\n", r.Subject, strings.Join(cells(r), "\t"))
		}
		fmt.Fprintln(w)
	}
	table("Speed-up of a computation over one thread (range over the rounds)", []string{"1 thread", "2 threads", "4 threads"}, func(r calibrate.Result) []string {
		cells := []string{r.Absent}
		for _, s := range r.Scaling {
			cells = append(cells, fmt.Sprintf("%.2f× (%.2f–%.2f)", s.Speedup, s.Low, s.High))
		}
		return cells[min(1, len(r.Scaling)):]
	})
	table("A ping beside threads that compute: p50, p95", []string{"none", "1 thread", "2 threads"}, func(r calibrate.Result) []string {
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
	if results[0].Version != "" {
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
