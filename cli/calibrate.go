package cli

import (
	"context"
	"fmt"
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
		Long: `Compare the GIL-like models with Python's own lock, in the two effects that
programmers see:

  - how much faster the same computation is on 1, 2 and 4 threads
  - how long a ping takes beside 0, 1 and 2 threads that compute

The subjects are Python 3's threads, if it is installed, and the models gil,
gomaxprocs1 and goroutines, in random order in each round. docs/gil.md explains
the result.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opt.Rounds < 1 || opt.Pings < 1 || opt.Pause <= 0 {
				return fmt.Errorf("--rounds %d, --pings %d and --pause %v: each must be greater than zero", opt.Rounds, opt.Pings, opt.Pause)
			}
			if opt.Seed == 0 {
				opt.Seed = uint64(time.Now().UnixNano())
			}
			return failed(a.calibrate(cmd.Context(), opt, asJSON))
		},
	}
	cmd.Flags().IntVar(&opt.Rounds, "rounds", 3, "rounds, each with every measurement once")
	cmd.Flags().IntVar(&opt.Pings, "pings", 100, "pings in each measurement of latency")
	cmd.Flags().DurationVar(&opt.Pause, "pause", 2*time.Millisecond, "time between a reply and the next ping")
	cmd.Flags().Uint64Var(&opt.Seed, "seed", 0, "seed of the random order; chosen at random if 0")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}

// calibrate compares the GIL-like models with Python, and prints the result.
func (a *app) calibrate(ctx context.Context, opt calibrate.Options, asJSON bool) error {
	opt.Progress = func(round, of int) { fmt.Fprintf(a.stderr, "round %d of %d\n", round, of) }
	results, err := calibrate.Run(ctx, calibrate.Subjects(inproc.GIL, inproc.GOMAXPROCS1, inproc.Goroutines), opt)
	if err != nil {
		return err
	}
	if asJSON {
		return a.printJSON(results)
	}
	return calibrate.Text(a.stdout, results, opt)
}
