package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/f3f4c0de/harness"
)

// Example returns the text of a file to begin with: those programs, or all
// workloads as they are by default, and every option that a file can give, with
// its value by default or commented out.
func (s Settings) Example(kinds Kinds) (string, error) {
	var b strings.Builder
	b.WriteString("# An experiment for harness run. Every line may be left out; flags have precedence.\n")
	for _, o := range Options {
		if !o.Key {
			continue
		}
		text, err := o.example(s, kinds)
		if err != nil {
			return "", err
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

// example is what a file to begin with says of an option.
func (o *Option) example(s Settings, kinds Kinds) (string, error) {
	switch {
	case o.begin != nil:
		return o.begin(o, s, kinds)
	case o.Default != "":
		return o.line("", o.Default), nil
	}
	return o.line("# ", o.Example), nil
}

func (o *Option) line(comment, value string) string {
	return fmt.Sprintf("%-20s # %s\n", comment+o.KeyName()+": "+value, o.Usage())
}

func beginBackends(o *Option, _ Settings, kinds Kinds) (string, error) {
	var all []string
	for _, k := range defaultBackends(kinds) {
		all = append(all, k.Name)
	}
	return o.line("", "["+strings.Join(all, ", ")+"]"), nil
}

// beginPrograms lists workloads with their parameters.
func beginPrograms(o *Option, s Settings, kinds Kinds) (string, error) {
	s.Programs = slices.Clone(s.Programs)
	s.listAll(kinds)
	var b strings.Builder
	fmt.Fprintf(&b, "%s:\n", o.KeyName())
	for _, p := range s.Programs {
		if err := writeExample(&b, p.Workload); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

// writeExample writes a workload with its parameters.
func writeExample(b *strings.Builder, w *harness.Workload) error {
	fmt.Fprintf(b, "  - workload: %s # %s\n", w.Name, FirstLine(w.Doc))
	params, err := Params(w)
	if err != nil {
		return err
	}
	if len(params) > 0 {
		b.WriteString("    params:\n")
	}
	for _, p := range params {
		fmt.Fprintf(b, "      %-24s # %s\n", fmt.Sprintf("%s: %v", p.Name, p.Default), p.Doc)
	}
	for _, x := range Axes(w) {
		fmt.Fprintf(b, "    # vary: {%s: [%s]} # %s\n", x.Name, strings.Join(x.Values, ", "), x.Doc)
	}
	return nil
}
