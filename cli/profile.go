package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/internal/inspect"
	"github.com/f3f4c0de/harness/internal/jaeger"
	"github.com/f3f4c0de/harness/internal/profile"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/web"
)

// profileFlags are the flags of profile as they were given.
type profileFlags struct {
	cell, kind, span, diff, flame, http, jaeger string
	top                                         int
	lines                                       bool
}

func newProfileCommand(a *app) *cobra.Command {
	var f profileFlags
	cmd := &cobra.Command{
		Use:   "profile DIR",
		Short: "Look at a run's profiles",
		Long: `profile shows the profiles of a run: of a cell, of a span, or what one cell
spends more than another on a task.

  harness profile run-…                                      what there is
  harness profile run-… --cell factor-goroutines-w2          its top functions
  harness profile run-… --cell factor-goroutines-w2 --kind allocs
  harness profile run-… --diff factor-sequential-w1,factor-processes-w2
  harness profile run-… --span 5f0c41d2a90b3e77              a span and all below it
  harness profile run-… --diff A,B --flame diff.svg          a flame graph
  harness profile run-… --http 127.0.0.1:7171                pprof's own pages, with links to Jaeger

The profile of a span needs 30 samples, 0.3 s of processor time. For a shorter
span, see harness ledger.`,
		Args: cobra.ExactArgs(1),
		RunE: about(func(cmd *cobra.Command) (action, error) {
			if slices.ContainsFunc(otlpProfileFlags, cmd.Flags().Changed) {
				return nil, errors.New("--format, --out and --otlp were removed: OpenTelemetry's signal for profiles is not stable. A run's profiles are pprof files, in its folder profiles")
			}
			return a.parseProfile(f)
		}),
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.cell, "cell", "", "the cell")
	flags.StringVar(&f.kind, "kind", "cpu", "the kind of profile: "+strings.Join(profile.Kinds, ", "))
	flags.StringVar(&f.span, "span", "", "CPU samples of this span and those below it, by the beginning of its id")
	flags.StringVar(&f.diff, "diff", "", "what cell B has more than cell A, a task: A,B")
	flags.IntVar(&f.top, "top", 15, "how many functions to list")
	flags.BoolVar(&f.lines, "lines", false, "list lines of the program instead of functions")
	flags.StringVar(&f.flame, "flame", "", "draw a flame graph into this SVG file")
	flags.StringVar(&f.http, "http", "", "serve pprof's pages for all profiles at this address, such as "+web.Addr)
	flags.StringVar(&f.jaeger, "jaeger", string(jaeger.DefaultPage), "with --http: the Jaeger that the pages lead to")
	for _, name := range otlpProfileFlags {
		flags.String(name, "", "")
		_ = flags.MarkHidden(name) // cannot fail: the flag exists
	}
	cmd.MarkFlagsMutuallyExclusive("cell", "span", "diff", "http")
	return cmd
}

// otlpProfileFlags are former flags of profile, which are refused with the reason.
var otlpProfileFlags = []string{"format", "out", "otlp"}

// parseProfile returns the action that the flags ask for.
func (a *app) parseProfile(f profileFlags) (action, error) {
	if !slices.Contains(profile.Kinds, f.kind) {
		return nil, fmt.Errorf("--kind is %q; want one of %s", f.kind, strings.Join(profile.Kinds, ", "))
	}
	switch {
	case f.http != "":
		page, err := parseJaeger(f.jaeger)
		return func(ctx context.Context, run *inspect.Run) error { return a.serveProfiles(ctx, run, page, f.http) }, err
	case f.span != "":
		return func(_ context.Context, run *inspect.Run) error { return a.spanProfile(run, f) }, nil
	case f.diff != "":
		first, second, ok := strings.Cut(f.diff, ",")
		if !ok {
			return nil, fmt.Errorf("--diff is %q; want two cells, A,B", f.diff)
		}
		return func(_ context.Context, run *inspect.Run) error { return a.diffProfiles(run, first, second, f) }, nil
	case f.cell != "":
		return func(_ context.Context, run *inspect.Run) error { return a.cellProfile(run, f) }, nil
	case f.flame != "":
		return nil, errors.New("--flame needs --cell, --span or --diff: what to draw")
	}
	return func(_ context.Context, run *inspect.Run) error { return a.listProfiles(run) }, nil
}

// serveProfiles serves the pages about the profiles of a run until Ctrl-C.
func (a *app) serveProfiles(ctx context.Context, run *inspect.Run, jaeger jaeger.Page, addr string) error {
	s, err := open(ctx, addr, web.Profiles(run, jaeger))
	if err != nil {
		return fmt.Errorf("--http: %w", err)
	}
	return a.serveUntilSignal(ctx, s, fmt.Sprintf("Profiles of %s: %s", run.Dir, s.URL()))
}

// spanProfile prints the profile of a span, or that it has too few samples.
func (a *app) spanProfile(run *inspect.Run, f profileFlags) error {
	v, span, err := run.Span(f.span)
	if err != nil {
		return fmt.Errorf("--span: %w", err)
	}
	if n := v.Samples(); n < results.MinSamples {
		_, err := fmt.Fprintln(a.stdout, run.TooFew(span, n))
		return failed(err)
	}
	title := fmt.Sprintf("%s (span %s), %d samples", span.Name, span.ID, v.Samples())
	return a.printProfile(v, nil, title, 0, f)
}

// diffProfiles prints the profile of the second cell less that of the first, both per
// task.
func (a *app) diffProfiles(run *inspect.Run, first, second string, f profileFlags) error {
	old, err := run.EachTask(first, f.kind)
	if err != nil {
		return fmt.Errorf("--diff: %w", err)
	}
	now, err := run.EachTask(second, f.kind)
	if err != nil {
		return fmt.Errorf("--diff: %w", err)
	}
	return a.printProfile(now, old, fmt.Sprintf("%s against %s, %s a task", second, first, f.kind), 0, f)
}

// cellProfile prints a profile of a cell.
func (a *app) cellProfile(run *inspect.Run, f profileFlags) error {
	v, err := run.Profile(f.cell, f.kind)
	if err != nil {
		return err
	}
	if says := run.Collector(f.cell); says != "" && f.flame == "" {
		if _, err := fmt.Fprintln(a.stdout, says); err != nil {
			return failed(err)
		}
	}
	return a.printProfile(v, nil, fmt.Sprintf("%s, %s of all its processes", f.cell, f.kind), run.Tasks(f.cell), f)
}

// printProfile prints or draws a profile, or its difference from a base if that is
// not nil. tasks is how many tasks the profile is of; 0 if it is unknown or the
// profile is per task.
func (a *app) printProfile(v, base *profile.View, title string, tasks int, f profileFlags) error {
	if f.flame != "" {
		var b strings.Builder
		if err := v.Flame(&b, profile.Flame{Title: title, Base: base, Tasks: tasks}); err != nil {
			return failed(err)
		}
		if err := results.WriteFile(f.flame, []byte(b.String())); err != nil {
			return failed(fmt.Errorf("writing the flame graph: %w", err))
		}
		_, err := fmt.Fprintf(a.stdout, "%s: %s\n", f.flame, title)
		return failed(err)
	}
	if base != nil {
		var err error
		if v, err = v.Minus(base); err != nil {
			return failed(err)
		}
	}
	if _, err := fmt.Fprintln(a.stdout, title); err != nil {
		return failed(err)
	}
	return failed(v.Top(a.stdout, f.top, f.lines))
}

// listProfiles prints the profiles of all cells.
func (a *app) listProfiles(run *inspect.Run) error {
	out := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, cell := range run.Profiled() {
		for _, kind := range profile.Kinds {
			v, err := run.Profile(cell, kind)
			if err != nil {
				return failed(err)
			}
			n, of := v.Count()
			fmt.Fprintf(out, "%s\t%s\t%s\t%d %s\n", cell, kind, v.Amount(), n, of)
		}
	}
	return failed(out.Flush())
}
