package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/internal/experiment/plan"
	"github.com/f3f4c0de/harness/internal/experiment/spec"
	"github.com/f3f4c0de/harness/internal/progress"
	"github.com/f3f4c0de/harness/internal/report"
	"github.com/f3f4c0de/harness/internal/results"
)

func newNoiseCommand(a *app) *cobra.Command {
	var length time.Duration
	var rounds int
	var out string
	var asJSON, quiet bool
	cmd := &cobra.Command{
		Use:   "noise",
		Short: "Measure how small a difference can be seen on this machine now",
		Long: `noise compares programs with themselves (A/A), as a run compares models with each
other: one that computes, on one processor and on all, and one that waits. Any
difference is noise. It says how small a difference 10, 20 and 40 rounds would
show, and so how many rounds a run needs.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case rounds == 0:
				rounds = max(6, int(length/noiseRound))
			case rounds < 6:
				return fmt.Errorf("--rounds is %d; want at least 6", rounds)
			}
			return a.noise(cmd.Context(), rounds, out, asJSON, quiet)
		},
	}
	cmd.Flags().DurationVar(&length, "for", 20*time.Second, "about how long to measure")
	cmd.Flags().IntVar(&rounds, "rounds", 0, "how many rounds to make, instead of --for")
	cmd.Flags().StringVar(&out, "out", "", "keep the records in this folder, new or empty")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print only the result and what is wrong")
	return cmd
}

// noiseRound is about how long a round takes: eight trials and a probe.
const noiseRound = 1700 * time.Millisecond

func (a *app) noise(ctx context.Context, rounds int, out string, asJSON, quiet bool) (err error) {
	p, err := a.planNoise(rounds)
	if err != nil {
		return err
	}
	if out == "" {
		temp, err := os.MkdirTemp("", "harness-noise-*")
		if err != nil {
			return failed(err)
		}
		defer os.RemoveAll(temp)
		out = filepath.Join(temp, "run")
	}
	folder, err := results.Create(out, &p.Run)
	if err != nil {
		return err
	}
	defer func() { _ = folder.Close() }() // every line in it has been synced
	printer, err := progress.New(a.stderr, "auto", quiet)
	if err != nil {
		return err
	}
	status, err := a.trials(ctx, p, folder, nil, printer, func() {})
	if err != nil {
		return err
	}
	data, err := results.Read(out)
	if err != nil {
		return failed(err)
	}
	n := report.Noise(report.Build(data))
	if asJSON {
		err = a.printJSON(n)
	} else {
		err = report.NoiseText(a.stdout, n)
	}
	if err != nil {
		return failed(err)
	}
	if status == results.Failed {
		return failed(fmt.Errorf("some of its trials failed; look at them with: harness noise --out DIR, harness report DIR"))
	}
	return nil
}

// planNoise plans the comparison of two programs with themselves.
func (a *app) planNoise(rounds int) (*plan.Plan, error) {
	settings, err := spec.Read(spec.Sources{Flags: spec.Given{
		"workloads": {"sqrt", "http"}, "param": {"http.pages=20"}, "backends": {"goroutines"}, "rounds": {fmt.Sprint(rounds)},
	}}, a.kinds)
	if err != nil {
		return nil, err
	}
	wanted, err := settings.Resolve(a.kinds)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, failed(err)
	}
	build, err := plan.NewBuild("A", self)
	if err != nil {
		return nil, failed(err)
	}
	wanted.Builds = []results.Build{build}  // one build is compared with itself
	wanted.Profile, wanted.MaxRounds = 0, 0 // no evidence, and no round is made again
	p, err := plan.New(wanted)
	return p, failed(err)
}
