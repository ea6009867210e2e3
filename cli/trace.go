package cli

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/internal/inspect"
	"github.com/f3f4c0de/harness/internal/ledger"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/trace"
)

func newTraceCommand(a *app) *cobra.Command {
	var otlp, format, cell, out string
	cmd := &cobra.Command{
		Use:   "trace DIR",
		Short: "Send a run's spans to Jaeger, or list its traces",
		Long: `trace sends the spans of a finished run to an OTLP receiver, such as Jaeger:
the one that --otlp names, or OTEL_EXPORTER_OTLP_ENDPOINT. Without either it
lists the traces. http://HOST:4318 is OTLP over HTTP, grpc://HOST:4317 over
gRPC. Receivers keep spans that are sent twice as duplicates.

  harness trace run-… --otlp http://localhost:4318
  harness trace run-… --format perfetto --out trace.json

writes the traced trials for ui.perfetto.dev and chrome://tracing: a row for
each worker of each process, its tasks, and what their goroutines did.`,
		Args: cobra.ExactArgs(1),
		RunE: about(func(*cobra.Command) (action, error) {
			if format != "" {
				if format != "perfetto" {
					return nil, fmt.Errorf("--format is %q; want perfetto", format)
				}
				return func(_ context.Context, run *inspect.Run) error { return a.exportTrace(run, cell, out) }, nil
			}
			to, err := destinationsOf(otlp)
			if err != nil {
				return nil, err
			}
			return func(ctx context.Context, run *inspect.Run) error {
				if to.spans.OTLP == nil {
					return failed(a.listTraces(run.Data))
				}
				return failed(a.sendTraces(ctx, run.Dir, to.spans.OTLP))
			}, nil
		}),
	}
	cmd.Flags().StringVar(&otlp, "otlp", "", "OTLP receiver, such as http://localhost:4318 or grpc://localhost:4317")
	cmd.Flags().StringVar(&format, "format", "", "write the trials for another viewer: perfetto")
	cmd.Flags().StringVar(&cell, "cell", "", "with --format: only this cell")
	cmd.Flags().StringVar(&out, "out", "", "with --format: the file (standard output)")
	cmd.MarkFlagsMutuallyExclusive("format", "otlp")
	return cmd
}

// sendTraces sends the spans of a run.
func (a *app) sendTraces(ctx context.Context, dir string, to *trace.Target) error {
	n, err := to.SendFile(ctx, filepath.Join(dir, results.TracesFile))
	if err != nil {
		return fmt.Errorf("after %d spans: %w", n, err)
	}
	_, err = fmt.Fprintf(a.stdout, "%d spans sent to %s\n", n, to.URL)
	return err
}

// exportTrace writes the traced trials for Perfetto.
func (a *app) exportTrace(run *inspect.Run, cell, out string) error {
	timelines := run.Data.Timelines
	if cell != "" {
		timelines = slices.DeleteFunc(slices.Clone(timelines), func(l results.Timeline) bool { return l.Cell != cell })
		if len(timelines) == 0 {
			return fmt.Errorf("--cell: the run has no traced trial of %q", cell)
		}
	}
	var b bytes.Buffer
	if err := ledger.Perfetto(&b, timelines, func(cell string) string { return filepath.Join(run.Dir, results.ExecDir, cell) }); err != nil {
		return failed(err)
	}
	if out == "" {
		_, err := b.WriteTo(a.stdout)
		return failed(err)
	}
	if err := results.WriteFile(out, b.Bytes()); err != nil {
		return failed(err)
	}
	_, err := fmt.Fprintf(a.stdout, "%s: open it in ui.perfetto.dev or chrome://tracing\n", out)
	return failed(err)
}

func (a *app) listTraces(data *results.Data) error {
	for _, t := range data.Latest() {
		if t.TraceID == "" {
			continue
		}
		if _, err := fmt.Fprintf(a.stdout, "%s  %5d spans  %s\n", t.TraceID, t.SpansExported, t.Cell); err != nil {
			return err
		}
	}
	return nil
}
