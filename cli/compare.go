package cli

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/internal/build"
	"github.com/f3f4c0de/harness/internal/experiment"
	"github.com/f3f4c0de/harness/internal/progress"
	"github.com/f3f4c0de/harness/internal/report"
	"github.com/f3f4c0de/harness/internal/results"
)

func newCompareCommand(a *app) *cobra.Command {
	var rerun bool
	var pkg string
	var f runFlags
	cmd := &cobra.Command{
		Use:   "compare A B",
		Short: "Compare two runs, or two builds of the program",
		Long: `compare puts the folders of two runs side by side. They are of different
times, so the comparison is unpaired and there are no verdicts.

With --rerun, A and B are two builds of the program, or two revisions of its
source that git knows here, which are built first. Their trials are made in
turns, in rounds in random order, A twice in each, so that there are verdicts:

  harness compare --rerun ./harness-before ./harness-after
  harness compare --rerun v1.2.0 HEAD --workloads sqrt --backends processes`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if rerun {
				return a.rerun(cmd, args, pkg, f)
			}
			for _, name := range []string{"workloads", "backends", "preset", "rounds", "precision", "trial", "seed", "param", "package", "out"} {
				if cmd.Flags().Changed(name) {
					return fmt.Errorf("--%s is for --rerun; without it, compare measures nothing", name)
				}
			}
			return a.compare(args, f.json)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.BoolVar(&rerun, "rerun", false, "A and B are programs or revisions: measure both, paired")
	flags.StringSliceVar(&f.workloads, "workloads", nil, "workloads to compare them on (all)")
	flags.StringSliceVar(&f.backends, "backends", nil, "backends to compare them on; sequential is always among them (all)")
	flags.StringVar(&f.preset, "preset", "standard", "how much to measure")
	flags.IntVar(&f.rounds, "rounds", 0, "rounds (those of the preset)")
	flags.StringVar(&f.precision, "precision", "", "instead of a number of rounds: make 12 to 60, until every interval is this narrow, such as 2%")
	flags.DurationVar(&f.trial, "trial", 0, "least measured time of a trial (100ms)")
	flags.Uint64Var(&f.seed, "seed", 0, "seed of the random order (a new one)")
	flags.StringArrayVar(&f.params, "param", nil, "parameter of a workload, as workload.name=value; may be repeated")
	flags.StringVar(&pkg, "package", "./cmd/harness", "what to build of a revision")
	flags.StringVar(&f.out, "out", "", "folder for the results, new or empty (run-ID)")
	flags.StringVar(&f.progress, "progress", "auto", "progress on standard error: auto, plain, json, none")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "print the report and what is wrong, and nothing else")
	flags.BoolVar(&f.json, "json", false, "print as JSON")
	a.completeKinds(cmd)
	return cmd
}

// compare puts two runs side by side.
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

// rerun measures two builds in turns.
func (a *app) rerun(cmd *cobra.Command, programs []string, pkg string, f runFlags) error {
	printer, err := progress.New(a.stderr, f.progress, f.quiet)
	if err != nil {
		return err
	}
	if err := cmd.Flags().Set("preset", f.preset); err != nil { // also where it is the default
		return err
	}
	spec, err := a.spec(cmd, nil, f)
	if err != nil {
		return err
	}
	spec.Profile = 0 // builds are compared, not explained
	temp, err := os.MkdirTemp("", "harness-compare-*")
	if err != nil {
		return failed(err)
	}
	defer os.RemoveAll(temp)
	building, stop := untilSignal(cmd.Context())
	spec.Builds, err = build.Find(building, programs, pkg, temp)
	stop()
	if err != nil {
		return err
	}
	if len(spec.Programs) == 0 {
		return errors.New("there is nothing to compare them on")
	}
	plan, err := experiment.NewPlan(spec)
	if err != nil {
		return failed(err)
	}
	folder, err := createFolder(f.out, plan)
	if err != nil {
		return err
	}
	defer func() { _ = folder.Close() }() // every line in it has been synced
	return a.execute(cmd.Context(), plan, folder, nil, printer, destinations{}, f.json)
}
