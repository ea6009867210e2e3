package cli

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/internal/export"
	"github.com/f3f4c0de/harness/internal/report"
	"github.com/f3f4c0de/harness/internal/results"
)

func newReportCommand(a *app) *cobra.Command {
	var asJSON, open bool
	var files []string
	for _, f := range export.All {
		files = append(files, fmt.Sprintf("  %-13s %s", f.File, f.Doc))
	}
	cmd := &cobra.Command{
		Use:   "report DIR",
		Short: "Make the report of a run again from its records",
		Long: `report prints the report of a run, and writes it in all formats into the run's
folder. The same records give the same bytes.

` + strings.Join(files, "\n"),
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			data, err := results.Read(args[0])
			if err != nil {
				return err
			}
			r := report.Build(data)
			if err := export.Files(cmd.Context(), args[0], export.NewRun(data, r)); err != nil {
				return failed(err)
			}
			if asJSON {
				err = report.JSON(a.stdout, r)
			} else {
				err = report.Text(a.stdout, r)
			}
			if err == nil && open {
				err = openPage(filepath.Join(args[0], results.HTMLFile))
			}
			return failed(err)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	cmd.Flags().BoolVar(&open, "open", false, "open the page in the browser")
	return cmd
}
