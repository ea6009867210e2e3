package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/internal/build"
	"github.com/f3f4c0de/harness/internal/experiment/plan"
	"github.com/f3f4c0de/harness/internal/experiment/spec"
	"github.com/f3f4c0de/harness/internal/progress"
	"github.com/f3f4c0de/harness/internal/report"
	"github.com/f3f4c0de/harness/internal/results"
)

func newCompareCommand(a *app) *cobra.Command {
	var rerun bool
	var pkg string
	cmd := &cobra.Command{
		Use:   "compare A B",
		Short: "Compare two runs, or two builds of the program",
		Long: `compare sets two runs, named by their folders, side by side. They were made at
different times, so the comparison is unpaired and has no verdicts.

With --rerun, A and B are two builds of the program, or two revisions of its
source that git knows here, which are built first. Each round has two trials of A
and one of B, in random order, so that there are verdicts:

  harness compare --rerun ./harness-before ./harness-after
  harness compare --rerun v1.2.0 HEAD --workloads sqrt --backends processes`,
		Args: cobra.ExactArgs(2),
	}
	flags := cmd.Flags()
	flags.BoolVar(&rerun, "rerun", false, "A and B are programs or revisions: measure both, paired")
	flags.StringVar(&pkg, "package", "./cmd/harness", "what to build of a revision")
	given := a.bindOptions(cmd, "workloads", "backends", "preset", "rounds", "precision", "trial", "seed", "param", "out", "progress", "quiet", "json")
	preset := *spec.Lookup("preset")
	preset.Default = comparePreset
	flags.Lookup("preset").Usage = preset.Usage()
	flags.Lookup("json").Usage = "print as JSON"
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := spec.Read(spec.Sources{Flags: given}, a.kinds)
		if err != nil {
			return err
		}
		if rerun {
			return a.rerun(cmd.Context(), args, pkg, s)
		}
		for _, o := range spec.Options {
			if o.New && given[o.Name] != nil {
				return fmt.Errorf("--%s is for --rerun; without it, compare measures nothing", o.Name)
			}
		}
		if flags.Changed("package") {
			return errors.New("--package is for --rerun; without it, compare measures nothing")
		}
		return a.compare(args, s.JSON)
	}
	return cmd
}

// comparePreset is the default preset of --rerun. It makes enough rounds for
// verdicts.
const comparePreset = "standard"

// compare prints two runs side by side.
func (a *app) compare(dirs []string, asJSON bool) error {
	var reports []*report.Report
	for _, dir := range dirs {
		data, err := results.Read(dir)
		if err != nil {
			return err
		}
		reports = append(reports, report.Build(data))
	}
	c, err := report.Compare(reports[0], reports[1])
	if err != nil {
		return err
	}
	if asJSON {
		return failed(a.printJSON(c))
	}
	return failed(report.CompareText(a.stdout, c))
}

// rerun measures two builds in one run.
func (a *app) rerun(ctx context.Context, programs []string, pkg string, s spec.Settings) error {
	if s.Preset == "" {
		s.Preset = comparePreset
	}
	wanted, err := s.Resolve(a.kinds)
	if err != nil {
		return err
	}
	printer, err := progress.New(a.stderr, wanted.Progress, s.Quiet)
	if err != nil {
		return err
	}
	wanted.Profile = 0 // builds are compared, not explained
	temp, err := os.MkdirTemp("", "harness-compare-*")
	if err != nil {
		return failed(err)
	}
	defer os.RemoveAll(temp)
	building, stop := untilSignal(ctx)
	wanted.Builds, err = build.Find(building, programs, pkg, temp)
	stop()
	if err != nil {
		return err
	}
	if len(wanted.Programs) == 0 {
		return errors.New("no workload is left to compare the builds on; name some with --workloads")
	}
	p, err := plan.New(wanted)
	if err != nil {
		return failed(err)
	}
	folder, err := createFolder(s.Out, p)
	if err != nil {
		return err
	}
	defer func() { _ = folder.Close() }() // every line in it has been synced
	return a.execute(ctx, p, folder, nil, printer, destinations{}, s.JSON)
}
