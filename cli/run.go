package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/internal/experiment"
	"github.com/f3f4c0de/harness/internal/report"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/trace"
)

// runFlags are the flags of run as they were given.
type runFlags struct {
	workloads, backends, params []string
	only                        []string
	workers                     []int
	rounds                      int
	preset, out, resume, otlp   string
	listen                      string
	seed                        uint64
	timeout, trial, budget      time.Duration
	observers                   int
	precision                   string
	vary                        []string
	dryRun, json, jaeger, quiet bool
	progress                    string
}

func newRunCommand(a *app) *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run [experiment.yaml]",
		Short: "Compare execution models on workloads",
		Long: `run makes the trials of an experiment: rounds in random order, each trial a
fresh process, every output verified. Then it makes the evidence, spans and
profiles, and the report. Without a file and flags it compares all workloads
on all backends.

A flag has precedence over the environment, which has it over the file. Most
flags have a variable: HARNESS_PRESET=standard, HARNESS_TIME_BUDGET=10m. The file looks like this; every line may
be left out:

  workloads:
    - sqrt
    - workload: mixed
      label: small_waits
      workers: 4
      params: {cpu: 1ms, wait: 2ms}
  backends: [sequential, goroutines, processes]
  workers: 8
  preset: standard
  rounds: 30
  seed: 7
  timeout: 2m
  trial: 100ms
  observers: 12

precision: 2% in the place of rounds goes on until the intervals are that
narrow. time_budget: 10m makes as many rounds as fit, at least one, so that all
is done by then; beside rounds or precision it makes at most what they ask for.
vary: {cpu: [100us, 1ms]} or {workers: [1, 2, 4]} beside the params of
a workload runs it with each of the values; {size: [1ms, 5ms]}, {wait: [0%, 90%]}
and {payload: [1KiB, 1MiB]} are for those that list these axes.

The presets are quick (7 rounds, no verdicts), standard (20) and rigorous (40).
From 12 rounds on, those during which other programs took more than a tenth of
the machine are dropped whole and made again, until there are enough or twice
as many have been made.

Nothing observes a timed trial. What observing costs is measured apart, with
--observers or observers: rounds of the first workload, in which each cell
runs with every observer (spans, execution trace, each kind of profile) and
with none. The preset standard makes 12 of them, rigorous 20, quick none.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.run(cmd, args, f) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringSliceVar(&f.workloads, "workloads", nil, "workloads to run (all)")
	flags.StringSliceVar(&f.backends, "backends", nil, "backends to compare; sequential is always among them (all)")
	flags.StringSliceVar(&f.only, "only", nil, "only this cell beside the baseline of its workload, as sqrt/goroutines; may be repeated")
	flags.IntSliceVar(&f.workers, "workers", nil, "workers of every backend; several, as 1,2,4,8,16, to vary them (what suits each workload)")
	flags.StringVar(&f.preset, "preset", "", "how much to measure: "+strings.Join(experiment.Presets(), ", ")+" (quick)")
	flags.IntVar(&f.rounds, "rounds", 0, "rounds (those of the preset)")
	flags.StringVar(&f.precision, "precision", "", "instead of a number of rounds: make 12 to 60, until every interval is this narrow, such as 2%")
	flags.DurationVar(&f.budget, "time-budget", 0, "make as many rounds as fit, so that all is done in this time, such as 10m; with --rounds or --precision, at most as many as those ask for")
	flags.DurationVar(&f.trial, "trial", 0, "least measured time of a trial; shorter programs are repeated (100ms)")
	flags.IntVar(&f.observers, "observers", 0, "rounds by which the cost of observing is measured (those of the preset)")
	flags.StringArrayVar(&f.vary, "vary", nil, "run workloads once for each value of size, wait, payload or workers, as axis or axis=value,value; or of a parameter, as workload.name=value,value")
	flags.Uint64Var(&f.seed, "seed", 0, "seed of the random order (a new one)")
	flags.StringArrayVar(&f.params, "param", nil, "parameter of a workload, as workload.name=value; may be repeated")
	flags.DurationVar(&f.timeout, "timeout", 0, "longest that a trial may take (1m)")
	flags.StringVar(&f.out, "out", "", "folder for the results, new or empty (run-ID)")
	flags.StringVar(&f.resume, "resume", "", "folder of an interrupted run to continue")
	flags.StringVar(&f.otlp, "otlp", "", "also send spans and metrics to this OTLP receiver, such as http://localhost:4318")
	flags.StringVar(&f.listen, "listen", "", "serve metrics while the run goes on, at this loopback address, such as "+metricsAddr)
	flags.BoolVar(&f.jaeger, "jaeger", false, "afterwards start a Jaeger with the spans and print where each trial is to be seen")
	flags.BoolVar(&f.dryRun, "dry-run", false, "print the plan and stop")
	flags.BoolVar(&f.json, "json", false, "print the report as JSON")
	flags.StringVar(&f.progress, "progress", "auto", "progress on standard error: auto, plain, json, none")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "print the report and what is wrong, and nothing else")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error { return flagsFromEnv(cmd) }
	a.completeKinds(cmd)
	return cmd
}

// run parses, then does.
func (a *app) run(cmd *cobra.Command, args []string, f runFlags) error {
	to, err := destinationsOf(f.otlp)
	if err != nil {
		return err
	}
	if f.listen == "" {
		f.listen = to.metrics.Listen
	}
	progress, err := newProgress(a.stderr, f.progress, f.quiet)
	if err != nil {
		return err
	}
	if f.listen != "" {
		if a.metrics, err = serveMetrics(cmd.Context(), f.listen); err != nil {
			return fmt.Errorf("--listen: %w", err)
		}
		defer func() { _ = a.metrics.close() }() // nobody can be told any more
		progress.tell("Metrics: %s", a.metrics.url)
	}
	if f.jaeger {
		if _, err := findJaeger(); err != nil { // rather now than when all is done
			return fmt.Errorf("--jaeger: %w", err)
		}
	}
	if f.resume != "" {
		if err := onlyWithResume(cmd, args); err != nil {
			return err
		}
		folder, data, err := results.Resume(f.resume)
		if err != nil {
			return err
		}
		defer func() { _ = folder.Close() }() // every line in it has been synced
		building, stop := untilSignal(cmd.Context())
		remove, err := rebuild(building, &data.Run)
		stop()
		if err != nil {
			return err
		}
		defer remove()
		plan, err := experiment.ResumePlan(data.Run, a.kinds)
		if err != nil {
			return err
		}
		return a.show(cmd.Context(), progress, folder.Dir(), f, a.execute(cmd.Context(), plan, folder, data.Latest(), progress, to, f.json))
	}
	spec, err := a.spec(cmd, args, f)
	if err != nil {
		return err
	}
	plan, err := experiment.NewPlan(spec)
	if err != nil {
		return failed(err)
	}
	if err := plan.CheckBudget(); err != nil {
		return err
	}
	if f.dryRun {
		_, err := fmt.Fprint(a.stdout, describePlan(plan, ""))
		return failed(err)
	}
	folder, err := createFolder(f.out, plan)
	if err != nil {
		return err
	}
	defer func() { _ = folder.Close() }() // as above
	return a.show(cmd.Context(), progress, folder.Dir(), f, a.execute(cmd.Context(), plan, folder, nil, progress, to, f.json))
}

// createFolder makes the folder of a new run, named after it unless out says
// otherwise.
func createFolder(out string, plan *experiment.Plan) (*results.Folder, error) {
	if out == "" {
		out = "run-" + plan.Run.ID
	}
	return results.Create(out, &plan.Run)
}

// measuring are the flags that say what a run is.
var measuring = []string{"workloads", "backends", "only", "workers", "preset", "rounds", "precision", "time-budget", "trial", "observers", "vary", "seed", "param", "timeout", "out", "dry-run"}

// onlyWithResume refuses what would change a run that has begun.
func onlyWithResume(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return errors.New("--resume continues the run as it was planned; it takes no experiment file")
	}
	for _, name := range measuring {
		if cmd.Flags().Changed(name) {
			return fmt.Errorf("--resume continues the run as it was planned; it cannot be combined with --%s", name)
		}
	}
	return nil
}

// spec puts the file and the flags together.
func (a *app) spec(cmd *cobra.Command, args []string, f runFlags) (experiment.Spec, error) {
	var s experiment.Settings
	if len(args) == 1 {
		data, err := os.ReadFile(args[0])
		if err != nil {
			return experiment.Spec{}, fmt.Errorf("reading the experiment: %w", err)
		}
		if s, err = experiment.ParseFile(args[0], data, a.kinds); err != nil {
			return experiment.Spec{}, err
		}
	}
	changed := cmd.Flags().Changed
	if changed("workloads") {
		if err := s.Select(f.workloads, a.kinds); err != nil {
			return experiment.Spec{}, fmt.Errorf("--workloads: %w", err)
		}
	}
	if changed("backends") {
		s.Backends = f.backends
	}
	if changed("workers") {
		if err := s.SetWorkers(f.workers, a.kinds); err != nil {
			return experiment.Spec{}, fmt.Errorf("--workers: %w", err)
		}
	}
	if changed("preset") {
		s.Preset, s.Rounds = f.preset, 0
	}
	if changed("rounds") {
		s.Rounds = f.rounds
		if f.rounds == 0 {
			return experiment.Spec{}, errors.New("--rounds is 0; want at least 1")
		}
	}
	if changed("precision") {
		p, err := experiment.ParsePrecision(f.precision)
		if err != nil {
			return experiment.Spec{}, fmt.Errorf("--precision: %w", err)
		}
		s.Precision = p
		if !changed("rounds") {
			s.Rounds = 0
		}
	} else if changed("rounds") || changed("preset") {
		s.Precision = 0
	}
	if changed("time-budget") {
		s.Budget = f.budget
		if f.budget <= 0 {
			return experiment.Spec{}, fmt.Errorf("--time-budget is %v; want at least 1s, such as 10m", f.budget)
		}
		if !changed("rounds") && !changed("precision") { // the file's were for another time
			s.Rounds, s.Precision = 0, 0
		}
	}
	if changed("trial") {
		s.Trial = f.trial
		if f.trial <= 0 {
			return experiment.Spec{}, fmt.Errorf("--trial is %v; want more than 0", f.trial)
		}
	}
	if changed("observers") {
		s.Observers = &f.observers
	}
	if changed("seed") {
		s.Seed = &f.seed
	}
	if changed("timeout") {
		s.Timeout = f.timeout
	}
	for _, p := range f.params {
		if err := s.SetParam(p, a.kinds); err != nil {
			return experiment.Spec{}, fmt.Errorf("--param: %w", err)
		}
	}
	if len(f.workers) > 1 && len(f.vary) > 0 {
		return experiment.Spec{}, errors.New("--workers with several numbers varies them, and --vary something else; want one of them")
	}
	for _, v := range f.vary {
		if err := s.SetVary(v, a.kinds); err != nil {
			return experiment.Spec{}, fmt.Errorf("--vary: %w", err)
		}
	}
	s.Only = f.only
	return s.Resolve(a.kinds)
}

// destinations are where a run is told about beside its folder.
type destinations struct{ spans, metrics trace.Destination }

// destinationsOf returns where spans and metrics go. The flag has precedence
// over the environment.
func destinationsOf(flag string) (d destinations, err error) {
	if flag != "" {
		if _, err := trace.ParseTarget(flag, trace.Traces); err != nil {
			return d, fmt.Errorf("--otlp: %w", err)
		}
	}
	d.spans, d.metrics, err = trace.FromEnv(flag)
	return d, err
}

// trials makes the trials of a plan, and returns the error of a run that was
// interrupted. Between them it calls between. The first Ctrl-C ends it after the trial under way, the second at
// once.
func (a *app) trials(ctx context.Context, plan *experiment.Plan, folder *results.Folder, done []results.Trial, progress *progress, between func()) (results.Status, error) {
	ctx, kill := context.WithCancel(ctx)
	defer kill()
	stop := make(chan struct{})
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() { // ends with ctx
		for n := 0; ; n++ {
			select {
			case <-signals:
			case <-ctx.Done():
				return
			}
			if n > 0 {
				kill()
				return
			}
			progress.say("Interrupted: finishing the trial under way. Once more ends it at once.")
			close(stop)
		}
	}()

	progress.tell("%s", describePlan(plan, folder.Dir()))
	status, err := experiment.Execute(ctx, plan, experiment.Options{Folder: folder, Done: done, Stop: stop, Report: func(p experiment.Progress) {
		progress.report(p)
		between()
	}})
	progress.finish()
	if err != nil {
		return status, failed(err)
	}
	if status == results.Interrupted {
		return status, exitError{exitInterrupted, fmt.Errorf("interrupted; continue with: harness run --resume %s", folder.Dir())}
	}
	return status, nil
}

// execute makes the trials, then the report, then sends the spans and the metrics.
func (a *app) execute(ctx context.Context, plan *experiment.Plan, folder *results.Folder, done []results.Trial, progress *progress, to destinations, asJSON bool) (err error) {
	live, err := newLiveMetrics(ctx, &plan.Run, to.metrics, a.metrics)
	if err != nil {
		return failed(err)
	}
	defer func() { err = errors.Join(err, failed(live.close())) }()
	status, err := a.trials(ctx, plan, folder, done, progress, func() { live.refresh(ctx, folder.Dir(), progress) })
	if status == results.Interrupted {
		a.send(ctx, progress, to.spans, folder.Dir())
		live.send(ctx, folder.Dir(), progress)
	}
	if err != nil {
		return err
	}
	data, err := results.Read(folder.Dir())
	if err != nil {
		return failed(err)
	}
	r := report.Build(data)
	if err := writeReport(ctx, folder.Dir(), data, r); err != nil {
		return failed(err)
	}
	if asJSON {
		err = report.JSON(a.stdout, r)
	} else {
		err = report.Text(a.stdout, r)
	}
	if err != nil {
		return failed(fmt.Errorf("printing the report: %w", err))
	}
	a.send(ctx, progress, to.spans, folder.Dir())
	live.send(ctx, folder.Dir(), progress)
	progress.tell("%s", nextSteps(folder.Dir(), data))
	if status == results.Failed {
		return failed(fmt.Errorf("%d trials failed; the report tells why", len(r.Failures)))
	}
	return noVerdict(r)
}

// noVerdict is the error of a run that was to give verdicts and cannot.
func noVerdict(r *report.Report) error {
	var errs []error
	for _, t := range r.NoVerdicts() {
		errs = append(errs, fmt.Errorf("no verdict on %s: %s", t.Workload, t.Doubt))
	}
	if errs == nil {
		return nil
	}
	return exitError{exitNoVerdict, errors.Join(errs...)}
}

// send delivers the spans of a run. A receiver that is down does not make a
// run fail: its spans can be sent later.
func (a *app) send(ctx context.Context, progress *progress, to trace.Destination, dir string) {
	path := filepath.Join(dir, results.TracesFile)
	if to.Console {
		if err := printFile(a.stderr, path); err != nil {
			progress.say("Warning: not all spans were printed: %v", err)
		}
	}
	if to.OTLP == nil {
		return
	}
	n, err := to.OTLP.SendFile(ctx, path)
	if err == nil {
		progress.tell("%d spans sent to %s.", n, to.OTLP.URL)
		return
	}
	all, countErr := trace.CountFile(path)
	if countErr != nil {
		err = errors.Join(err, countErr)
	}
	progress.say("Warning: only %d of %d spans were sent: %v\nSend them later with: harness trace %s --otlp %s", n, all, err, dir, to.OTLP.URL)
}

func printFile(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// writeReport writes all forms of the report into the run's folder.
func writeReport(ctx context.Context, dir string, data *results.Data, r *report.Report) error {
	charts := report.Charts(r)
	if err := os.MkdirAll(filepath.Join(dir, results.ChartsDir), 0o777); err != nil {
		return fmt.Errorf("making the folder for charts: %w", err)
	}
	files := map[string]func(w *strings.Builder) error{
		results.HTMLFile:    func(w *strings.Builder) error { return report.HTML(w, r, charts) },
		results.MDFile:      func(w *strings.Builder) error { return report.Markdown(w, r, charts) },
		results.ResultsFile: func(w *strings.Builder) error { return report.JSON(w, r) },
		results.CSVFile:     func(w *strings.Builder) error { return report.CSV(w, data) },
		results.MetricsFile: func(w *strings.Builder) error { return writeMetrics(ctx, w, data, r) },
		results.BenchFile:   func(w *strings.Builder) error { return report.Bench(w, data) },
	}
	for _, c := range charts {
		files[filepath.Join(results.ChartsDir, c.Name+".svg")] = func(w *strings.Builder) error {
			_, err := w.WriteString(c.SVG())
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		var b strings.Builder
		err := files[name](&b)
		if err == nil {
			err = results.WriteFile(filepath.Join(dir, name), []byte(b.String()))
		}
		if err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return nil
}
