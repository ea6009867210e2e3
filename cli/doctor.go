package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/internal/experiment/run"
	"github.com/f3f4c0de/harness/internal/jaeger"
	"github.com/f3f4c0de/harness/internal/machine"
)

func newDoctorCommand(a *app) *cobra.Command {
	var strict, asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check this machine for what spoils figures",
		Long: `doctor checks the machine and this program for what spoils figures, and says
what to do about it. It changes nothing. Some checks measure for a second. What
the system does not show is unknown, which is not the same as ok.

With --strict it ends with exit code 5 if any check warns or fails.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.doctor(cmd.Context(), strict, asJSON) },
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "end with exit code 5 if any check warns or fails")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}

// doctor prints the results of the checks. If strict, it returns an error unless all
// are ok or unknown.
func (a *app) doctor(ctx context.Context, strict, asJSON bool) error {
	checks := machine.This.Checks(facts(ctx))
	if err := a.printChecks(checks, asJSON); err != nil {
		return failed(err)
	}
	bad := 0
	for _, c := range checks {
		if c.Status == machine.Warn || c.Status == machine.Fail {
			bad++
		}
	}
	if strict && bad > 0 {
		return exitError{exitRefused, fmt.Errorf("refused: %d of %d checks did not come out ok", bad, len(checks))}
	}
	return nil
}

func (a *app) printChecks(checks []machine.Check, asJSON bool) error {
	if asJSON {
		return a.printJSON(checks)
	}
	var b strings.Builder
	for _, c := range checks {
		fmt.Fprintf(&b, "%-8s %-15s %s\n", c.Status, c.Name, c.Found)
		if c.Do != "" {
			fmt.Fprintf(&b, "%24s → %s\n", "", c.Do)
		}
	}
	_, err := fmt.Fprint(a.stdout, b.String())
	return err
}

// facts measures what the checks need.
func facts(ctx context.Context) machine.Facts {
	f := machine.Measure(ctx)
	f.Receivers = jaeger.Receivers(ctx)
	if m, err := run.Capacity(ctx, f.NumCPU); err == nil && m.TogetherNS > 0 {
		f.Capacity = float64(f.NumCPU) * float64(m.AloneNS) / float64(m.TogetherNS)
	}
	return f
}
