package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/internal/experiment/spec"
	"github.com/f3f4c0de/harness/internal/results"
)

func newInitCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init [FILE]",
		Short: "Write an experiment file to begin with",
		Long: `init writes a file for harness run, experiment.yaml unless another is named or -
for standard output. It has every workload with its parameters as they are by
default, and says what each is about. It overwrites nothing.

Beside the file it puts the JSON schema of such files, ` + spec.SchemaFile + `, by which
editors complete and check it; see harness schema.`,
		Args: cobra.MaximumNArgs(1),
	}
	given := a.bindOptions(cmd, "workloads")
	cmd.Flags().Lookup("workloads").Usage = "only these (all)"
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		s, err := spec.Read(spec.Sources{Flags: given}, a.kinds)
		if err != nil {
			return err
		}
		path := "experiment.yaml"
		if len(args) == 1 {
			path = args[0]
		}
		return a.init(s, path)
	}
	return cmd
}

// init writes a file to begin with, and its schema beside it.
func (a *app) init(s spec.Settings, path string) error {
	text, err := s.Example(a.kinds)
	if err != nil {
		return failed(err)
	}
	if path == "-" {
		_, err := io.WriteString(a.stdout, text)
		return failed(err)
	}
	if err := writeNew(path, "# yaml-language-server: $schema="+spec.SchemaFile+"\n"+text); err != nil {
		return err
	}
	schema, err := experimentSchema(a.kinds)
	if err == nil { // one that is there is of another program, or older
		err = results.WriteFile(filepath.Join(filepath.Dir(path), spec.SchemaFile), schema)
	}
	if err != nil {
		return failed(err)
	}
	_, err = fmt.Fprintf(a.stderr, "Run it with: harness run %s\n", path)
	return failed(err)
}

// writeNew writes a file that is not there yet.
func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s is there already; name another file, or - to print it", path)
	}
	if err != nil {
		return failed(err)
	}
	_, err = io.WriteString(f, text)
	return failed(errors.Join(err, f.Close()))
}
