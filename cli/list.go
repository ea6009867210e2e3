package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/internal/experiment/spec"
	"github.com/f3f4c0de/harness/internal/metrics"
)

// A listed is an entry of a list. --json prints it as it is.
type listed struct {
	Name   string             `json:"name"`
	Doc    string             `json:"doc"`
	Params []spec.Param       `json:"params,omitempty"`
	Axes   []spec.Axis        `json:"axes,omitempty"`
	Metric *metrics.Described `json:"metric,omitempty"`
}

func newListCommand(a *app) *cobra.Command {
	var asJSON, long bool
	cmd := &cobra.Command{
		Use:       "list workloads|backends|metrics",
		Short:     "List what can be run, on what, and the metrics of a run",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"workloads", "backends", "metrics"},
		RunE: func(_ *cobra.Command, args []string) error {
			entries, err := a.list(args[0])
			if err != nil {
				return failed(err)
			}
			if asJSON {
				return failed(a.printJSON(entries))
			}
			return failed(printList(a.stdout, entries, long))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	cmd.Flags().BoolVarP(&long, "long", "l", false, "print what each is about")
	return cmd
}

func (a *app) list(what string) ([]listed, error) {
	var entries []listed
	switch what {
	case "backends":
		for _, b := range a.kinds.Backends {
			entries = append(entries, listed{Name: b.Name, Doc: b.Doc})
		}
		return entries, nil
	case "metrics":
		all, err := metrics.List()
		if err != nil {
			return nil, err
		}
		for _, m := range all {
			entries = append(entries, listed{Name: m.Name, Doc: m.Doc, Metric: &m})
		}
		return entries, nil
	}
	for _, w := range a.kinds.Workloads {
		params, err := spec.Params(w)
		if err != nil {
			return nil, err
		}
		entries = append(entries, listed{Name: w.Name, Doc: w.Doc, Params: params, Axes: spec.Axes(w)})
	}
	return entries, nil
}

// describeMetric describes the values of a metric.
func describeMetric(m *metrics.Described) string {
	s := m.Kind
	if m.Unit != "" {
		s += " in " + m.Unit
	}
	if len(m.Attributes) > 0 {
		s += " by " + strings.Join(m.Attributes, ", ")
	}
	return s
}

func printList(w io.Writer, entries []listed, long bool) error {
	width := 12
	for _, e := range entries {
		width = max(width, len(e.Name))
	}
	var b strings.Builder
	for i, e := range entries {
		first, rest, _ := strings.Cut(e.Doc, "\n")
		fmt.Fprintf(&b, "%-*s %s\n", width, e.Name, first)
		if long && e.Metric != nil {
			rest = describeMetric(e.Metric)
		}
		if long {
			for line := range strings.Lines(strings.TrimSpace(rest)) {
				fmt.Fprintf(&b, "%*s %s\n", width, "", strings.TrimSuffix(line, "\n"))
			}
		}
		for _, p := range e.Params {
			fmt.Fprintf(&b, "    %-24s %s\n", fmt.Sprintf("%s.%s=%v", e.Name, p.Name, p.Default), p.Doc)
		}
		for _, x := range e.Axes {
			fmt.Fprintf(&b, "    %-24s %s: %s\n", "--vary "+x.Name, x.Doc, strings.Join(x.Values, ", "))
		}
		if long && i < len(entries)-1 {
			b.WriteByte('\n')
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
