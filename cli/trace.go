package cli

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/internal/results"
)

func newTraceCommand(a *app) *cobra.Command {
	var otlp string
	cmd := &cobra.Command{
		Use:   "trace DIR",
		Short: "Send a run's spans to Jaeger, or list its traces",
		Long: `trace sends the spans of a finished run to an OTLP receiver, such as Jaeger:
the one that --otlp names, or OTEL_EXPORTER_OTLP_ENDPOINT. Without either it
lists the traces. http://HOST:4318 is OTLP over HTTP, grpc://HOST:4317 over
gRPC. Receivers keep spans that are sent twice as duplicates.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			to, err := destinationOf(otlp)
			if err != nil {
				return err
			}
			data, err := results.Read(args[0])
			if err != nil {
				return err
			}
			if to.OTLP == nil {
				return failed(a.listTraces(data))
			}
			n, err := to.OTLP.SendFile(cmd.Context(), filepath.Join(args[0], results.TracesFile))
			if err != nil {
				return failed(fmt.Errorf("after %d spans: %w", n, err))
			}
			_, err = fmt.Fprintf(a.stdout, "%d spans sent to %s\n", n, to.OTLP.URL)
			return failed(err)
		},
	}
	cmd.Flags().StringVar(&otlp, "otlp", "", "OTLP receiver, such as http://localhost:4318 or grpc://localhost:4317")
	return cmd
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
