package cli

import "github.com/spf13/cobra"

// completeDirs completes the folder of a run.
func completeDirs(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}
