package cli

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/internal/experiment/spec"
	"github.com/f3f4c0de/harness/internal/report"
)

func newSchemaCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "schema experiment|results",
		Short: "Print the JSON schema of an experiment file or of results.json",
		Long: `schema prints a JSON schema: that of an experiment file for harness run, with the
workloads and models of this program, or that of the results.json of a run.

With the first, editors complete and check experiment files. harness init writes
it beside the file, whose first line names it. For a file without a schema:

  harness schema experiment > ` + spec.SchemaFile + `
  # yaml-language-server: $schema=` + spec.SchemaFile,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"experiment", "results"},
		RunE: func(_ *cobra.Command, args []string) error {
			if args[0] == "results" {
				_, err := a.stdout.Write(report.Schema)
				return failed(err)
			}
			b, err := experimentSchema(a.kinds)
			if err == nil {
				_, err = a.stdout.Write(b)
			}
			return failed(err)
		},
	}
}

func experimentSchema(kinds spec.Kinds) ([]byte, error) {
	b, err := json.MarshalIndent(spec.Schema(kinds), "", "  ")
	return append(b, '\n'), err
}
