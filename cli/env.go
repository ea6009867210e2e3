package cli

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// fromEnv are the flags of run that the environment can give, those that a user
// may want for every run, and which flags beside the same keep it from that:
// they say the same thing in another way.
var fromEnv = []struct {
	flag   string
	unless []string
}{
	{"workloads", []string{"only"}},
	{"backends", []string{"only"}},
	{"workers", nil},
	{"preset", nil},
	{"rounds", []string{"preset", "precision"}},
	{"precision", []string{"preset", "rounds"}},
	{"time-budget", nil},
	{"trial", nil},
	{"observers", []string{"preset"}},
	{"seed", nil},
	{"timeout", nil},
	{"otlp", nil},
	{"listen", nil},
	{"progress", nil},
	{"quiet", nil},
}

// flagsFromEnv gives flags that are not on the command line the values of their
// variables. A run that is resumed takes none that says what is measured.
func flagsFromEnv(cmd *cobra.Command) error {
	given := make(map[string]bool)
	for _, e := range fromEnv {
		for _, name := range append([]string{e.flag, "resume"}, e.unless...) {
			given[name] = cmd.Flags().Changed(name) // on the command line: no variable has been looked at
		}
	}
	for _, e := range fromEnv {
		name := "HARNESS_" + strings.ToUpper(strings.ReplaceAll(e.flag, "-", "_"))
		value := os.Getenv(name)
		if value == "" || given[e.flag] || slices.ContainsFunc(e.unless, func(other string) bool { return given[other] }) ||
			given["resume"] && slices.Contains(measuring, e.flag) {
			continue
		}
		if err := cmd.Flags().Set(e.flag, value); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
