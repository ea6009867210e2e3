package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/internal/experiment"
	"github.com/f3f4c0de/harness/internal/progress"
)

// completeDirs completes the folder of a run.
func completeDirs(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// completeKinds completes the flags of a command that name workloads, backends
// and the like.
func (a *app) completeKinds(cmd *cobra.Command) {
	var workloads, backends, cells []cobra.Completion
	for _, w := range a.kinds.Workloads {
		workloads = append(workloads, cobra.CompletionWithDesc(w.Name, firstLine(w.Doc)))
		for _, b := range a.kinds.Backends {
			cells = append(cells, w.Name+"/"+b.Name)
		}
	}
	for _, b := range a.kinds.Backends {
		backends = append(backends, cobra.CompletionWithDesc(b.Name, firstLine(b.Doc)))
	}
	for flag, values := range map[string][]cobra.Completion{
		"workloads": workloads, "backends": backends, "only": cells, "preset": experiment.Presets(), "progress": progress.Modes,
	} {
		if cmd.Flags().Lookup(flag) == nil {
			continue
		}
		if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
			panic(err) // twice the same flag
		}
	}
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}
