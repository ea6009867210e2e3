package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/internal/inspect"
	"github.com/f3f4c0de/harness/internal/report"
	"github.com/f3f4c0de/harness/internal/results"
)

func newCrossoverCommand(a *app) *cobra.Command {
	var vary, pair string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "crossover DIR",
		Short: "Find where one model overtakes another as a parameter grows",
		Long: `crossover reads a run that varied something, such as one of

  harness run --preset standard --vary size                how long a task lasts
  harness run --preset standard --vary wait=0%,50%,90%     what share of it it waits
  harness run --preset standard --vary payload             what it carries
  harness run --preset standard --vary workers=1,2,4,8     how many work
  harness run --preset standard --vary sqrt.n=10000,1000000

and prints the value at which two models change places, with an interval from a
bootstrap over rounds: once warm, and once cold, where the time of starting and
warming up the workers counts. It also says if they do not change places within
the measured values, or if that is not established: if fewer than 95 of 100
resampled runs have a crossing.`,
		Args: cobra.ExactArgs(1),
		RunE: about(func(*cobra.Command) (action, error) {
			var models []string
			if pair != "" {
				if models = strings.Split(pair, ","); len(models) != 2 {
					return nil, fmt.Errorf("--pair is %q; want two backends, such as processes,gomaxprocs1", pair)
				}
			}
			return func(_ context.Context, run *inspect.Run) error {
				found, err := crossovers(report.Build(run.Data), vary, models)
				if err != nil {
					return err
				}
				if asJSON {
					return failed(a.printJSON(found))
				}
				return failed(report.CrossoverText(a.stdout, found))
			}, nil
		}),
	}
	cmd.Flags().StringVar(&vary, "vary", "", "only along size, wait, payload, workers or this parameter (all that was varied)")
	cmd.Flags().StringVar(&pair, "pair", "", "only these two backends, as a,b (all pairs)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}

// crossovers returns the crossovers along the grids of a run.
func crossovers(r *report.Report, vary string, models []string) ([]report.Crossover, error) {
	var varied []string
	var found []report.Crossover
	for _, g := range r.Grids {
		varied = append(varied, g.Vary)
		if vary != "" && g.Vary != vary {
			continue
		}
		for i, a := range r.Run.Backends {
			for _, b := range r.Run.Backends[i+1:] {
				if models != nil && (models[0] != a.Name || models[1] != b.Name) && (models[0] != b.Name || models[1] != a.Name) {
					continue
				}
				for _, cold := range []bool{false, true} {
					if c, ok := r.Crossover(g, a.Name, b.Name, cold); ok {
						found = append(found, c)
					}
				}
			}
		}
	}
	switch {
	case len(r.Grids) == 0:
		return nil, errors.New("the run varied nothing; make one that does, such as: harness run --preset standard --vary size")
	case len(found) == 0 && vary != "" && !slices.Contains(varied, vary):
		return nil, fmt.Errorf("the run varied %s, not %s", strings.Join(varied, ", "), vary)
	case len(found) == 0 && (models == nil || hasBackend(r, models[0]) && hasBackend(r, models[1])):
		return nil, exitError{exitNoVerdict, errors.New("no verdict: too few rounds were kept to compare any two models; the report says why")}
	case len(found) == 0:
		return nil, fmt.Errorf("--pair %s leaves nothing: the run has other backends", strings.Join(models, ","))
	}
	return found, nil
}

func hasBackend(r *report.Report, name string) bool {
	return slices.ContainsFunc(r.Run.Backends, func(b results.BackendInfo) bool { return b.Name == name })
}
