package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/internal/jaeger"
	"github.com/f3f4c0de/harness/internal/progress"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/trace"
)

func newJaegerCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "jaeger",
		Short: "Start a Jaeger on this machine, with links to profiles",
		Long: `jaeger starts the Jaeger that is on the PATH, or the one that "bash tools/build
jaeger" has built, and waits for Ctrl-C. Jaeger keeps everything in memory and
listens on loopback. Then, in another terminal:

  harness run --otlp http://localhost:4318
  harness trace run-… --otlp http://localhost:4318
  harness profile run-… --http 127.0.0.1:7171    what the spans' links lead to

Environment variables change the ports: JAEGER_QUERY_PORT (16686),
JAEGER_OTLP_HTTP_PORT (4318), JAEGER_OTLP_GRPC_PORT (4317),
JAEGER_QUERY_GRPC_PORT (16685) and JAEGER_HEALTH_PORT (13133).`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return failed(a.jaeger(cmd.Context())) },
	}
}

// jaeger starts a Jaeger and ends it on Ctrl-C.
func (a *app) jaeger(ctx context.Context) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	j, err := jaeger.Start(ctx)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(a.stdout, "Jaeger: %s (OTLP over HTTP %s, over gRPC %s)\n%sCtrl-C ends it.\n", j.Page, j.HTTP, j.GRPC, j.Note(ctx)); err != nil {
		return errors.Join(err, j.Close())
	}
	return j.Wait(ctx)
}

// show ends a run whose error is ranErr. With --jaeger it starts a Jaeger, sends it
// the run's spans, prints a link to each trial, and waits for Ctrl-C.
func (a *app) show(ctx context.Context, printer *progress.Printer, dir string, inJaeger bool, ranErr error) error {
	if !inJaeger || ExitCode(ranErr) == exitInterrupted {
		return ranErr
	}
	return errors.Join(ranErr, failed(a.showInJaeger(ctx, printer, dir)))
}

func (a *app) showInJaeger(ctx context.Context, printer *progress.Printer, dir string) error {
	data, err := results.Read(dir)
	if err != nil {
		return err
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	j, err := jaeger.Start(ctx)
	if err != nil {
		return err
	}
	target, err := trace.ParseTarget(j.HTTP, trace.Traces)
	if err != nil {
		return errors.Join(err, j.Close())
	}
	a.send(ctx, printer, trace.Destination{OTLP: &target}, dir)
	for _, t := range data.Latest() {
		if t.TraceID != "" {
			printer.Say("%-28s %s", t.Cell, j.Page.Trace(t.TraceID))
		}
	}
	printer.Say("%sJaeger: %s. Ctrl-C ends it; the run is in %s.", j.Note(ctx), j.Page, dir)
	return j.Wait(ctx)
}
