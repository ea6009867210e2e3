// Package cli is the command line of harness, for its own workloads and backends and
// for those of the program that calls it:
//
//	func main() { cli.Main(&myWorkload) }
//
// It is the only package that knows all workloads and backends, the flags and the
// exit codes. To add a command, write a file with a function that returns it, and
// add the function to commands. One function of a command parses its flags, another
// does what they ask for. Commands that read the run in a folder use about.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/internal/backends/ipc"
	"github.com/f3f4c0de/harness/internal/build"
	"github.com/f3f4c0de/harness/internal/calibrate"
	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/experiment/spec"
	"github.com/f3f4c0de/harness/internal/experiment/trial"
	"github.com/f3f4c0de/harness/internal/inspect"
)

// Main runs the command line with the given workloads and backends beside the
// built-in ones, and exits. In a process that was started as a worker, a trial or a
// server, it runs as that instead, so main must call it first. It never returns.
func Main(more ...Kind) {
	ctx := context.Background()
	kinds, err := kindsWith(more)
	if err == nil {
		entryPoint(ctx, kinds)
		err = Run(ctx, os.Stdout, os.Stderr, os.Args[1:], more...)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "harness:", err)
	}
	os.Exit(ExitCode(err))
}

// Run runs the command line with those arguments, without the program's name. It
// does not exit; [ExitCode] returns the exit code for its error. When ctx ends, the
// processes of a trial under way are killed.
func Run(ctx context.Context, stdout, stderr io.Writer, args []string, more ...Kind) error {
	kinds, err := kindsWith(more)
	if err != nil {
		return err
	}
	root := newRoot(&app{kinds: kinds, stdout: stdout, stderr: stderr})
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return root.ExecuteContext(ctx)
}

// entryPoint runs this process as a worker, a trial or a subject, if it was started as
// one. It then never returns.
func entryPoint(ctx context.Context, kinds spec.Kinds) {
	ipc.EntryPoint(kinds.Tasks(), func() (core.WorkerHooks, error) { return trial.WorkerHooks(ctx) })
	trial.EntryPoint(ctx, kinds)
	calibrate.EntryPoint(ctx, kinds.Backends)
}

// An app has what all commands use.
type app struct {
	kinds          spec.Kinds
	stdout, stderr io.Writer
	publish        func(text []byte) // serves the metrics of a run as OpenMetrics; nil if they are not served
}

// commands are the commands of the command line. Each has a file in this package.
var commands = []func(*app) *cobra.Command{
	newCalibrateCommand,
	newCheckCommand,
	newCompareCommand,
	newCrossoverCommand,
	newDoctorCommand,
	newExportCommand,
	newInitCommand,
	newJaegerCommand,
	newLedgerCommand,
	newListCommand,
	newMetricsCommand,
	newNoiseCommand,
	newProfileCommand,
	newReportCommand,
	newRunCommand,
	newSchemaCommand,
	newServeCommand,
	newTraceCommand,
	newVersionCommand,
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "harness",
		Short: "Which execution model helps this program, and why?",
		Long: `harness runs the same program on one goroutine, on many, on one processor and
on worker processes, verifies every result, and says with intervals and
physical limits where each model helps.

  harness run                      compare everything, in less than two minutes
  harness run experiment.yaml      compare what the file asks for; harness init writes one
  harness list workloads           what can be run, with its parameters
  harness doctor                   what this machine would do to the figures
  harness check DIR --assert ...   check a run's figures against assertions

Exit codes: 0 done, 1 a trial failed, 2 usage or configuration, 3 an assertion
failed on evidence, 4 no verdict, 5 refused by doctor --strict, 130 interrupted.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())
	})
	for _, command := range commands {
		root.AddCommand(command(a))
	}
	for _, c := range root.Commands() {
		if strings.Contains(c.Use, " DIR") {
			c.ValidArgsFunction = completeDirs
		}
	}
	return root
}

// printJSON prints v as the only output of a command with --json.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// The exit codes.
const (
	exitFailed      = 1   // a trial failed, or something could not be written
	exitUsage       = 2   // the command line or the configuration is wrong
	exitAsserted    = 3   // an assertion failed on evidence
	exitNoVerdict   = 4   // the evidence does not suffice: rounds were disturbed, or too few
	exitRefused     = 5   // by doctor --strict
	exitInterrupted = 130 // by Ctrl-C, as shells report it
)

// An exitError is an error with an exit code of its own.
type exitError struct {
	code int
	error
}

func (e exitError) Unwrap() error { return e.error }

// failed marks an error that is not the user's fault, for [ExitCode].
func failed(err error) error {
	if err == nil {
		return nil
	}
	return exitError{exitFailed, err}
}

// ExitCode returns the exit code for an error of [Run], 0 for nil. An error without a
// code of its own is one of usage, since all other errors are marked.
func ExitCode(err error) int {
	var e exitError
	var unread *inspect.ReadError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.code
	case errors.Is(err, build.ErrInterrupted):
		return exitInterrupted
	case errors.As(err, &unread):
		return exitFailed
	}
	return exitUsage
}
