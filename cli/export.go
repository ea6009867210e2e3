package cli

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/internal/export"
	"github.com/f3f4c0de/harness/internal/report"
	"github.com/f3f4c0de/harness/internal/results"
)

func newExportCommand(a *app) *cobra.Command {
	var format, out string
	var names, docs []string
	for _, f := range export.All {
		names = append(names, f.Name)
		docs = append(docs, fmt.Sprintf("  %-12s %s", f.Name, f.Doc))
	}
	cmd := &cobra.Command{
		Use:   "export DIR --format " + strings.Join(names, "|"),
		Short: "Write a run in a format of other programs",
		Long:  "export writes a run to standard output, or to a file:\n\n" + strings.Join(docs, "\n"),
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			i := slices.Index(names, format)
			if i < 0 {
				return fmt.Errorf("--format is %q; want %s", format, strings.Join(names, ", "))
			}
			data, err := results.Read(args[0])
			if err != nil {
				return err
			}
			run := export.NewRun(data, report.Build(data))
			if out == "" {
				return failed(export.All[i].Write(cmd.Context(), a.stdout, run))
			}
			var b bytes.Buffer
			if err := export.All[i].Write(cmd.Context(), &b, run); err != nil {
				return failed(err)
			}
			return failed(results.WriteFile(out, b.Bytes()))
		},
	}
	cmd.Flags().StringVar(&format, "format", "", "one of "+strings.Join(names, ", "))
	cmd.Flags().StringVar(&out, "out", "", "file to write (standard output)")
	return cmd
}
