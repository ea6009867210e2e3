package cli

import (
	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/internal/report"
	"github.com/f3f4c0de/harness/internal/results"
)

func newReportCommand(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "report DIR",
		Short: "Make the report of a run again from its records",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			data, err := results.Read(args[0])
			if err != nil {
				return err
			}
			r := report.Build(data)
			if err := writeReport(cmd.Context(), args[0], data, r); err != nil {
				return failed(err)
			}
			if asJSON {
				return failed(report.JSON(a.stdout, r))
			}
			return failed(report.Text(a.stdout, r))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	return cmd
}
