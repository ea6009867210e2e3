package cli

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/internal/ledger"
	"github.com/f3f4c0de/harness/internal/results"
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
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "" {
				return a.exportTrace(args[0], format, cell, out)
			}
			to, err := destinationsOf(otlp)
			if err != nil {
				return err
			}
			data, err := results.Read(args[0])
			if err != nil {
				return err
			}
			if to.spans.OTLP == nil {
				return failed(a.listTraces(data))
			}
			n, err := to.spans.OTLP.SendFile(cmd.Context(), filepath.Join(args[0], results.TracesFile))
			if err != nil {
				return failed(fmt.Errorf("after %d spans: %w", n, err))
			}
			_, err = fmt.Fprintf(a.stdout, "%d spans sent to %s\n", n, to.spans.OTLP.URL)
			return failed(err)
		},
	}
	cmd.Flags().StringVar(&otlp, "otlp", "", "OTLP receiver, such as http://localhost:4318 or grpc://localhost:4317")
	cmd.Flags().StringVar(&format, "format", "", "write the trials for another viewer: perfetto")
	cmd.Flags().StringVar(&cell, "cell", "", "with --format: only this cell")
	cmd.Flags().StringVar(&out, "out", "", "with --format: the file (standard output)")
	cmd.MarkFlagsMutuallyExclusive("format", "otlp")
	return cmd
}

// exportTrace writes the traced trials for another viewer.
func (a *app) exportTrace(dir, format, cell, out string) error {
	if format != "perfetto" {
		return fmt.Errorf("--format is %q; want perfetto", format)
	}
	data, err := results.Read(dir)
	if err != nil {
		return err
	}
	lanes := data.Lanes
	if cell != "" {
		lanes = slices.DeleteFunc(slices.Clone(lanes), func(l results.Lanes) bool { return l.Cell != cell })
		if len(lanes) == 0 {
			return fmt.Errorf("--cell: the run has no traced trial of %q", cell)
		}
	}
	var b bytes.Buffer
	if err := ledger.Perfetto(&b, lanes, func(cell string) string { return filepath.Join(dir, results.ExecDir, cell) }); err != nil {
		return failed(err)
	}
	if out == "" {
		_, err = b.WriteTo(a.stdout)
		return failed(err)
	}
	if err := results.WriteFile(out, b.Bytes()); err != nil {
		return failed(err)
	}
	_, err = fmt.Fprintf(a.stdout, "%s: open it in ui.perfetto.dev or chrome://tracing\n", out)
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
