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
	"github.com/f3f4c0de/harness/internal/jaeger"
	"github.com/f3f4c0de/harness/internal/progress"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/web"
)

func newRunCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run [experiment.yaml]",
		Short: "Compare execution models on workloads",
		Long:  runDoc,
		Args:  cobra.MaximumNArgs(1),
	}
	given := a.bindOptions(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := a.settings(args, given)
		if err != nil {
			return err
		}
		return a.run(cmd.Context(), s)
	}
	return cmd
}

const runDoc = `run makes the trials of an experiment in rounds. The order in each round is
random, each trial is a fresh process, and every output is verified. Then it
makes the evidence, which is spans and profiles, and the report. Without a file
and flags it compares all workloads on all backends.

A flag has precedence over the environment, and the environment over the file. The
key of --time-budget in a file is time_budget, and its variable
HARNESS_TIME_BUDGET; docs/options.md lists them all, and harness init writes a file
with every key. Every line of a file may be left out:

  workloads:
    - sqrt
    - workload: mixed
      label: small_waits
      workers: 4
      params: {cpu: 1ms, wait: 2ms}
  backends: [sequential, goroutines, processes]
  preset: standard

precision: 2% instead of rounds makes rounds until the intervals are that narrow.
time_budget: 10m makes as many rounds as fit into that time, at least one; with
rounds or precision it makes at most the rounds that these ask for.
vary: {cpu: [100us, 1ms]} or {workers: [1, 2, 4]} beside the params of
a workload runs it with each of the values. {size: [1ms, 5ms]}, {wait: [0%, 90%]}
and {payload: [1KiB, 1MiB]} are for workloads that list these axes.

The presets are quick (7 rounds, no verdicts), standard (20) and rigorous (40).
In a run of 12 rounds or more, a round during which other programs used more than
a tenth of the machine is left out and made again, until there are enough rounds
or twice as many have been made.

Nothing observes a timed trial. The cost of observing is measured separately, by
--observers or observers: in rounds of the first workload, in which each cell
runs with every observer (spans, execution trace, each kind of profile) and
with none. The preset standard makes 12 of these rounds, rigorous 20, quick none.`

// run makes a new run, or continues one.
func (a *app) run(ctx context.Context, s spec.Settings) error {
	wanted, err := s.Resolve(a.kinds)
	if err != nil {
		return err
	}
	to, err := destinationsOf(s.OTLP)
	if err != nil {
		return err
	}
	if s.Listen == "" {
		s.Listen = to.metrics.Listen
	}
	printer, err := progress.New(a.stderr, wanted.Progress, s.Quiet)
	if err != nil {
		return err
	}
	if s.Listen != "" {
		var live web.Metrics
		server, err := open(ctx, s.Listen, live.Handler())
		if err != nil {
			return s.At("listen", err)
		}
		defer func() { _ = server.Close() }() // the run has ended: its error is no use to anybody
		printer.Tell("Metrics: %s", server.URL()+web.MetricsPath)
		a.publish = live.Set
	}
	if s.Jaeger {
		if _, err := jaeger.Find(); err != nil { // fail now rather than after the run
			return s.At("jaeger", err)
		}
	}
	finish := func(p *plan.Plan, folder *results.Folder, done []results.Trial) error {
		defer func() { _ = folder.Close() }() // every line in it has been synced
		return a.show(ctx, printer, folder.Dir(), s.Jaeger, a.execute(ctx, p, folder, done, printer, to, s.JSON))
	}
	if s.Resume != "" {
		return a.resume(ctx, s.Resume, finish)
	}
	return a.begin(wanted, finish)
}

// begin plans a new run.
func (a *app) begin(wanted spec.Spec, finish func(*plan.Plan, *results.Folder, []results.Trial) error) error {
	p, err := plan.New(wanted)
	if err != nil {
		return failed(err)
	}
	if err := p.CheckBudget(); err != nil {
		return err
	}
	if wanted.DryRun {
		_, err := fmt.Fprint(a.stdout, progress.Plan(p, ""))
		return failed(err)
	}
	folder, err := createFolder(wanted.Out, p)
	if err != nil {
		return err
	}
	return finish(p, folder, nil)
}

// resume continues the run in a folder.
func (a *app) resume(ctx context.Context, dir string, finish func(*plan.Plan, *results.Folder, []results.Trial) error) error {
	folder, data, err := results.Resume(dir)
	if err != nil {
		return err
	}
	temp, err := os.MkdirTemp("", "harness-compare-*")
	if err != nil {
		return failed(errors.Join(err, folder.Close()))
	}
	defer os.RemoveAll(temp)
	building, stop := untilSignal(ctx)
	err = build.Again(building, &data.Run, temp)
	stop()
	if err != nil {
		return errors.Join(err, folder.Close())
	}
	p, err := plan.Resume(data.Run, a.kinds)
	if err != nil {
		return errors.Join(err, folder.Close())
	}
	return finish(p, folder, data.Latest())
}

// createFolder makes the folder of a new run: out, or a folder named after the run if
// out is empty.
func createFolder(out string, p *plan.Plan) (*results.Folder, error) {
	if out == "" {
		out = "run-" + p.Run.ID
	}
	return results.Create(out, &p.Run)
}
