package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/f3f4c0de/harness/internal/experiment/plan"
	"github.com/f3f4c0de/harness/internal/experiment/run"
	"github.com/f3f4c0de/harness/internal/export"
	"github.com/f3f4c0de/harness/internal/metrics"
	"github.com/f3f4c0de/harness/internal/progress"
	"github.com/f3f4c0de/harness/internal/report"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/web"
)

// trials makes the trials of a plan, and calls between after each. The first Ctrl-C
// ends it after the trial under way, the second at once; the error then has the exit
// code of an interrupted run.
func (a *app) trials(ctx context.Context, p *plan.Plan, folder *results.Folder, done []results.Trial, printer *progress.Printer, between func()) (results.Status, error) {
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
			printer.Say("Interrupted: finishing the trial under way. Once more ends it at once.")
			close(stop)
		}
	}()

	printer.Tell("%s", progress.Plan(p, folder.Dir()))
	status, err := run.Execute(ctx, p, run.Options{Folder: folder, Done: done, Stop: stop, Report: func(e run.Progress) {
		printer.Report(e)
		between()
	}})
	printer.Finish()
	if err != nil {
		return status, failed(err)
	}
	if status == results.Interrupted {
		return status, exitError{exitInterrupted, fmt.Errorf("interrupted; continue with: harness run --resume %s", folder.Dir())}
	}
	return status, nil
}

// execute makes the trials of a plan and the report, prints it, and sends the spans
// and the metrics.
func (a *app) execute(ctx context.Context, p *plan.Plan, folder *results.Folder, done []results.Trial, printer *progress.Printer, to destinations, asJSON bool) (err error) {
	live, err := metrics.NewLive(ctx, &p.Run, to.metrics, a.publish, printer.Say)
	if err != nil {
		return failed(err)
	}
	defer func() { err = errors.Join(err, failed(live.Close())) }()
	status, err := a.trials(ctx, p, folder, done, printer, func() { live.Refresh(ctx, folder.Dir()) })
	if status == results.Interrupted {
		a.send(ctx, printer, to.spans, folder.Dir())
		live.Send(ctx, folder.Dir())
	}
	if err != nil {
		return err
	}
	data, err := results.Read(folder.Dir())
	if err != nil {
		return failed(err)
	}
	r := report.Build(data)
	if err := export.Files(ctx, folder.Dir(), export.NewRun(data, r)); err != nil {
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
	a.send(ctx, printer, to.spans, folder.Dir())
	live.Send(ctx, folder.Dir())
	printer.Tell("%s", nextSteps(folder.Dir(), data))
	if status == results.Failed {
		return failed(fmt.Errorf("%d trials failed; the report tells why", len(r.Failures)))
	}
	return noVerdict(r)
}

// noVerdict returns an error if the run was planned to give verdicts and cannot.
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

// nextSteps names the report, and the commands that show the evidence.
func nextSteps(dir string, data *results.Data) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Report:   %s\n", filepath.Join(dir, results.HTMLFile))
	if data.Run.ProfileNS > 0 {
		fmt.Fprintf(&b, "Profiles: harness profile %s --http %s\n", dir, web.Addr)
		fmt.Fprintf(&b, "Spans:    harness trace %s --otlp http://localhost:4318, or upload %s to Jaeger", dir, results.TracesFile)
	}
	return b.String()
}
