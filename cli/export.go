package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/internal/report"
	"github.com/f3f4c0de/harness/internal/results"
)

// An exporter writes a run in a format.
type exporter struct {
	name, doc string
	write     func(w io.Writer, d *results.Data) error
}

var exporters = []exporter{
	{"benchfmt", "Go benchmarks, for benchstat: a result per trial", report.Bench},
	{"csv", "a line per trial, with all that it measured", report.CSV},
	{"json", "the report with all figures", func(w io.Writer, d *results.Data) error { return report.JSON(w, report.Build(d)) }},
	{"openmetrics", "the figures as gauges, for Prometheus", func(w io.Writer, d *results.Data) error { return report.OpenMetrics(w, report.Build(d)) }},
}

func newExportCommand(a *app) *cobra.Command {
	var format, out string
	var names, docs []string
	for _, e := range exporters {
		names = append(names, e.name)
		docs = append(docs, fmt.Sprintf("  %-12s %s", e.name, e.doc))
	}
	cmd := &cobra.Command{
		Use:   "export DIR --format " + strings.Join(names, "|"),
		Short: "Write a run in a format of other programs",
		Long:  "export writes a run to standard output, or to a file:\n\n" + strings.Join(docs, "\n"),
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			i := slices.Index(names, format)
			if i < 0 {
				return fmt.Errorf("--format is %q; want %s", format, strings.Join(names, ", "))
			}
			data, err := results.Read(args[0])
			if err != nil {
				return err
			}
			if out == "" {
				return failed(exporters[i].write(a.stdout, data))
			}
			var b strings.Builder
			if err := exporters[i].write(&b, data); err != nil {
				return failed(err)
			}
			return failed(results.WriteFile(out, []byte(b.String())))
		},
	}
	cmd.Flags().StringVar(&format, "format", "", "one of "+strings.Join(names, ", "))
	cmd.Flags().StringVar(&out, "out", "", "file to write (standard output)")
	return cmd
}
