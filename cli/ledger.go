package cli

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/internal/report"
	"github.com/f3f4c0de/harness/internal/results"
)

func newLedgerCommand(a *app) *cobra.Command {
	var cell string
	var task uint64
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ledger DIR",
		Short: "Say where the time of a run's tasks went",
		Long: `ledger says what the time of the tasks went to, from submission to result and
over process borders: the queue, encoding and transport, running, waiting for
the scheduler, for I/O, for locks. The parts add up; what they leave is shown.
It is about the traced trial of each cell, which the timings leave out.

  harness ledger run-…                          a line for each cell
  harness ledger run-… --cell mixed-processes-w8
  harness ledger run-… --cell mixed-processes-w8 --task 7`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("task") && cell == "" {
				return errors.New("--task needs --cell: tasks are numbered in each cell")
			}
			data, err := readLedgers(args[0])
			if err != nil {
				return err
			}
			if cell == "" {
				if asJSON {
					return failed(a.printJSON(data.Ledger))
				}
				return failed(report.Ledgers(a.stdout, data.Ledger))
			}
			i, err := findCell(data, cell)
			if err != nil {
				return err
			}
			if !cmd.Flags().Changed("task") {
				if asJSON {
					return failed(a.printJSON(data.Ledger[i]))
				}
				return failed(cmp.Or(report.LedgerText(a.stdout, &data.Ledger[i]), report.CellFindings(a.stdout, data, cell)))
			}
			t, err := findTask(args[0], cell, task)
			if err != nil {
				return err
			}
			if asJSON {
				return failed(a.printJSON(t))
			}
			return failed(report.LedgerTaskText(a.stdout, cell, t))
		},
	}
	cmd.Flags().StringVar(&cell, "cell", "", "only this cell, in full")
	cmd.Flags().Uint64Var(&task, "task", 0, "only this task of the cell, by its number, from 1")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON, in nanoseconds")
	return cmd
}

// readLedgers reads a run that has ledgers, the last one of each cell.
func readLedgers(dir string) (*results.Data, error) {
	data, err := results.Read(dir)
	if err != nil {
		return nil, err
	}
	if len(data.Ledger) == 0 {
		return nil, fmt.Errorf("%s has no ledger: its traced trials were not made, or by an older harness", dir)
	}
	return data, nil
}

func findCell(data *results.Data, cell string) (int, error) {
	i := slices.IndexFunc(data.Ledger, func(l results.Ledger) bool { return l.Cell == cell })
	if i < 0 {
		var cells []string
		for _, l := range data.Ledger {
			cells = append(cells, l.Cell)
		}
		return 0, fmt.Errorf("--cell: the run has no ledger of %q; it has those of %s", cell, strings.Join(cells, ", "))
	}
	return i, nil
}

func findTask(dir, cell string, number uint64) (*results.LedgerTask, error) {
	tasks, err := results.ReadLedger(dir, cell)
	if err != nil {
		return nil, failed(err)
	}
	i := slices.IndexFunc(tasks, func(t results.LedgerTask) bool { return t.Number == number })
	if i < 0 {
		return nil, fmt.Errorf("--task: %s has no task %d; they are numbered from 1 to %d", cell, number, len(tasks))
	}
	return &tasks[i], nil
}
