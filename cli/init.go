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
		Long: `init writes an experiment file for harness run: FILE, experiment.yaml by default,
or - for standard output. The file has every workload with its parameters, their
default values and a description of each. init does not overwrite a file.

Beside the file it writes the JSON schema of such files, ` + spec.SchemaFile + `, with which
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

// init writes an experiment file, and its schema beside it.
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
	if err == nil { // a schema that exists may be of another program, or older
		err = results.WriteFile(filepath.Join(filepath.Dir(path), spec.SchemaFile), schema)
	}
	if err != nil {
		return failed(err)
	}
	_, err = fmt.Fprintf(a.stderr, "Run it with: harness run %s\n", path)
	return failed(err)
}

// writeNew writes a file that does not exist yet.
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
