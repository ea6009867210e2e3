package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/internal/inspect"
	"github.com/f3f4c0de/harness/internal/report"
)

func newCheckCommand(a *app) *cobra.Command {
	var asserts []string
	var file string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check DIR --assert 'speedup(goroutines, sqrt) >= 1.8'",
		Short: "Check a run's figures against assertions",
		Long: `check compares the interval of each figure with the bound of its assertion,
never the estimate alone. An assertion passes if the whole interval satisfies it,
and fails if no part of the interval does. Exit code 3 means that at least one
failed, on evidence; 4 that none failed, but at least one cannot be decided: its
interval reaches to both sides of the bound, or there is no verdict on the figure.
With several assertions each has a wider interval, so that all together have 95 %.

What can be asserted, with >=, >, <= and <:

` + report.CheckDoc() + `
A file has one assertion a line; # begins a comment.`,
		Args: cobra.ExactArgs(1),
		RunE: about(func(*cobra.Command) (action, error) {
			assertions, err := parseAssertions(asserts, file)
			return func(_ context.Context, run *inspect.Run) error {
				return a.check(report.Build(run.Data), assertions, asJSON)
			}, err
		}),
	}
	cmd.Flags().StringArrayVar(&asserts, "assert", nil, "what is expected; may be repeated")
	cmd.Flags().StringVar(&file, "assert-file", "", "file with an assertion a line")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}

func parseAssertions(asserts []string, file string) ([]report.Assertion, error) {
	var all []report.Assertion
	for _, s := range asserts {
		a, err := report.ParseAssertion(s)
		if err != nil {
			return nil, fmt.Errorf("--assert: %w", err)
		}
		all = append(all, a)
	}
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading the assertions: %w", err)
		}
		n := 0
		for line := range strings.Lines(string(b)) {
			n++
			line, _, _ = strings.Cut(line, "#")
			if line = strings.TrimSpace(line); line == "" {
				continue
			}
			a, err := report.ParseAssertion(line)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", file, n, err)
			}
			all = append(all, a)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("nothing is asserted; want --assert 'speedup(goroutines, sqrt) >= 1.8' or --assert-file")
	}
	return all, nil
}

// check prints the outcomes of the assertions, and returns an error with an exit code
// of its own if one failed or cannot be decided.
func (a *app) check(r *report.Report, assertions []report.Assertion, asJSON bool) error {
	outcomes, err := r.Check(assertions)
	if err != nil {
		return err
	}
	counts := make(map[string]int)
	for _, o := range outcomes {
		counts[o.Result]++
	}
	if asJSON {
		err = a.printJSON(outcomes)
	} else {
		_, err = fmt.Fprint(a.stdout, report.CheckText(outcomes))
	}
	if err != nil {
		return failed(err)
	}
	switch {
	case counts[report.Failed] > 0:
		return exitError{exitAsserted, fmt.Errorf("%d of %d assertions failed", counts[report.Failed], len(outcomes))}
	case counts[report.Undecided] > 0:
		return exitError{exitNoVerdict, fmt.Errorf("%d of %d assertions cannot be decided", counts[report.Undecided], len(outcomes))}
	}
	return nil
}
