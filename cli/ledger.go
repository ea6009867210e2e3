package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/internal/inspect"
	"github.com/f3f4c0de/harness/internal/report"
)

func newLedgerCommand(a *app) *cobra.Command {
	var cell string
	var task uint64
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ledger DIR",
		Short: "Show where the time of a run's tasks went",
		Long: `ledger divides the time of the tasks, from submission to result and across
processes, into parts: the queue, encoding and transport, running, waiting for
the scheduler, for I/O, for locks. The parts and the residual, which is shown, add
up to the whole. It is made from the traced trial of each cell, not from the timed
trials.

  harness ledger run-…                          a line for each cell
  harness ledger run-… --cell mixed-processes-w8
  harness ledger run-… --cell mixed-processes-w8 --task 7`,
		Args: cobra.ExactArgs(1),
		RunE: about(func(cmd *cobra.Command) (action, error) {
			one := cmd.Flags().Changed("task")
			if one && cell == "" {
				return nil, errors.New("--task needs --cell: tasks are numbered in each cell")
			}
			return func(_ context.Context, run *inspect.Run) error {
				switch {
				case len(run.Data.Ledger) == 0:
					return fmt.Errorf("%s has no ledger: its traced trials were not made, or by an older harness", run.Dir)
				case one:
					return a.taskLedger(run, cell, task, asJSON)
				case cell != "":
					return a.cellLedger(run, cell, asJSON)
				case asJSON:
					return failed(a.printJSON(run.Data.Ledger))
				}
				return failed(report.Ledgers(a.stdout, run.Data.Ledger))
			}, nil
		}),
	}
	cmd.Flags().StringVar(&cell, "cell", "", "only this cell, in full")
	cmd.Flags().Uint64Var(&task, "task", 0, "only this task of the cell, by its number, from 1")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON, in nanoseconds")
	return cmd
}

// cellLedger prints the ledger of a cell and the findings about it.
func (a *app) cellLedger(run *inspect.Run, cell string, asJSON bool) error {
	l, err := run.Ledger(cell)
	if err != nil {
		return fmt.Errorf("--cell: %w", err)
	}
	if asJSON {
		return failed(a.printJSON(l))
	}
	return failed(cmp.Or(report.LedgerText(a.stdout, l), report.CellFindings(a.stdout, run.Data, cell)))
}

// taskLedger prints the ledger of a task.
func (a *app) taskLedger(run *inspect.Run, cell string, number uint64, asJSON bool) error {
	if _, err := run.Ledger(cell); err != nil {
		return fmt.Errorf("--cell: %w", err)
	}
	t, err := run.Task(cell, number)
	if err != nil {
		return fmt.Errorf("--task: %w", err)
	}
	if asJSON {
		return failed(a.printJSON(t))
	}
	return failed(report.LedgerTaskText(a.stdout, cell, t))
}
