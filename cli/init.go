package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/internal/experiment/spec"
	"github.com/f3f4c0de/harness/internal/results"
)

func newInitCommand(a *app) *cobra.Command {
	var names []string
	cmd := &cobra.Command{
		Use:   "init [FILE]",
		Short: "Write an experiment file to begin with",
		Long: `init writes a file for harness run, experiment.yaml unless another is named or -
for standard output. It has every workload with its parameters as they are by
default, and says what each is about. It overwrites nothing.

Beside the file it puts the JSON schema of such files, ` + spec.SchemaFile + `, by which
editors complete and check it; see harness schema.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var s spec.Settings
			if err := s.Select(names, a.kinds); err != nil {
				return fmt.Errorf("--workloads: %w", err)
			}
			text, err := experimentFile(a.kinds, names)
			if err != nil {
				return failed(err)
			}
			path := "experiment.yaml"
			if len(args) == 1 {
				path = args[0]
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
		},
	}
	cmd.Flags().StringSliceVar(&names, "workloads", nil, "only these (all)")
	return cmd
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

// experimentFile returns the text of an experiment of those workloads, or of
// all, as they are by default.
func experimentFile(kinds spec.Kinds, names []string) (string, error) {
	chosen := make(map[string]bool)
	for _, n := range names {
		chosen[n] = true
	}
	var b strings.Builder
	b.WriteString("# An experiment for harness run. Every line may be left out; flags have precedence.\nworkloads:\n")
	for _, w := range kinds.Workloads {
		if len(chosen) > 0 && !chosen[w.Name] {
			continue
		}
		doc, _, _ := strings.Cut(w.Doc, "\n")
		fmt.Fprintf(&b, "  - workload: %s # %s\n", w.Name, doc)
		if err := writeParams(&b, w); err != nil {
			return "", err
		}
		for _, x := range spec.Axes(w) {
			fmt.Fprintf(&b, "    # vary: {%s: [%s]} # %s\n", x.Name, strings.Join(x.Values, ", "), x.Doc)
		}
	}
	var backends []string
	for _, k := range kinds.Backends {
		if !k.Variant {
			backends = append(backends, k.Name)
		}
	}
	fmt.Fprintf(&b, `backends: [%s]
preset: %s # or %s
# rounds: 20         # instead of those of the preset
# precision: 2%%      # or as many as it takes for intervals this narrow
# time_budget: 10m   # or as many as fit into this time
# workers: 8         # of every backend, instead of what suits each workload
# seed: 7            # of the random order; a new one otherwise
# trial: %v       # least measured time of a trial
# timeout: %v      # longest that one may take
`, strings.Join(backends, ", "), spec.Presets()[0], strings.Join(spec.Presets()[1:], ", "), spec.DefaultTrial, spec.DefaultTimeout)
	return b.String(), nil
}

func writeParams(b *strings.Builder, w *harness.Workload) error {
	params, err := spec.Params(w)
	if err != nil || len(params) == 0 {
		return err
	}
	b.WriteString("    params:\n")
	for _, p := range params {
		fmt.Fprintf(b, "      %-24s # %s\n", fmt.Sprintf("%s: %v", p.Name, p.Default), p.Doc)
	}
	return nil
}
