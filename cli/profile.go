package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/internal/profile"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/trace"
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

A span's processor time is told from 30 samples on, 0.3 s; what a shorter one
did is in the ledger.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if slices.ContainsFunc(otlpProfileFlags, cmd.Flags().Changed) {
				return errors.New("--format, --out and --otlp are no more: OpenTelemetry's signal for profiles is not stable. A run's profiles are pprof files, in its folder profiles")
			}
			data, err := results.Read(args[0])
			if err != nil {
				return err
			}
			return a.profile(cmd.Context(), args[0], data, f)
		},
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
	flags.StringVar(&f.http, "http", "", "serve pprof's pages for all profiles at this address, such as "+profileAddr)
	flags.StringVar(&f.jaeger, "jaeger", defaultJaeger, "with --http: the Jaeger that the pages lead to")
	for _, name := range otlpProfileFlags {
		flags.String(name, "", "")
		_ = flags.MarkHidden(name) // it is there
	}
	cmd.MarkFlagsMutuallyExclusive("cell", "span", "diff", "http")
	return cmd
}

// otlpProfileFlags were flags of profile, and are refused with the reason.
var otlpProfileFlags = []string{"format", "out", "otlp"}

// profileAddr is where Jaeger's configuration has links to, and defaultJaeger
// where Jaeger is.
const (
	profileAddr   = "127.0.0.1:7171"
	defaultJaeger = "http://localhost:16686"
)

func (a *app) profile(ctx context.Context, dir string, data *results.Data, f profileFlags) error {
	if !slices.Contains(profile.Kinds, f.kind) {
		return fmt.Errorf("--kind is %q; want one of %s", f.kind, strings.Join(profile.Kinds, ", "))
	}
	p := profiles{dir: dir, data: data}
	switch {
	case f.http != "":
		jaeger, err := parseJaeger(f.jaeger)
		if err != nil {
			return err
		}
		return a.serveProfiles(ctx, profilePages{profiles: p, jaeger: jaeger}, f.http)
	case f.span != "":
		v, found, err := p.span(f.span)
		if err != nil {
			return fmt.Errorf("--span: %w", err)
		}
		if n := v.Samples(); n < results.MinSamples {
			_, err := fmt.Fprintln(a.stdout, fewSamples(dir, found, n))
			return failed(err)
		}
		title := fmt.Sprintf("%s (span %s), %d samples", found.Name, found.ID, v.Samples())
		return a.printProfile(v, nil, title, 0, f)
	case f.diff != "":
		first, second, ok := strings.Cut(f.diff, ",")
		if !ok {
			return fmt.Errorf("--diff is %q; want two cells, A,B", f.diff)
		}
		old, err := p.eachTask(first, f.kind)
		if err != nil {
			return fmt.Errorf("--diff: %w", err)
		}
		now, err := p.eachTask(second, f.kind)
		if err != nil {
			return fmt.Errorf("--diff: %w", err)
		}
		return a.printProfile(now, old, fmt.Sprintf("%s against %s, %s a task", second, first, f.kind), 0, f)
	case f.cell != "":
		v, err := p.cell(f.cell, f.kind)
		if err != nil {
			return err
		}
		if says := p.collector(f.cell); says != "" && f.flame == "" {
			if _, err := fmt.Fprintln(a.stdout, says); err != nil {
				return failed(err)
			}
		}
		return a.printProfile(v, nil, fmt.Sprintf("%s, %s of all its processes", f.cell, f.kind), p.tasks(f.cell), f)
	case f.flame != "":
		return errors.New("--flame needs --cell, --span or --diff: whose flame graph?")
	}
	return failed(p.list(a.stdout))
}

// printProfile prints or draws a profile, or its difference from a base. It is of
// that many tasks together, if that is known and not one.
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

// fewSamples says that a span's processor time is not known from n samples.
func fewSamples(dir string, found *trace.Found, n int64) string {
	return fmt.Sprintf("%s (span %s) has %d CPU samples; fewer than %d say nothing. %s", found.Name, found.ID, n, results.MinSamples, ledgerHint(dir, found))
}

// ledgerHint names the command that says more about a span.
func ledgerHint(dir string, found *trace.Found) string {
	switch {
	case found.Task != 0:
		return fmt.Sprintf("See: harness ledger %s --cell %s --task %d", dir, found.Cell, found.Task)
	case found.Cell != "":
		return fmt.Sprintf("See: harness ledger %s --cell %s", dir, found.Cell)
	}
	return "See: harness ledger " + dir
}

// profiles are those of a run.
type profiles struct {
	dir  string
	data *results.Data
}

// cells returns those that have profiles.
func (p profiles) cells() (cells []string) {
	for _, c := range p.data.Run.Cells {
		if _, err := os.Stat(p.path(c.ID, "cpu")); err == nil {
			cells = append(cells, c.ID)
		}
	}
	return cells
}

func (p profiles) cell(cell, kind string) (*profile.View, error) {
	if err := p.known(cell); err != nil {
		return nil, err
	}
	return profile.Read(p.path(cell, kind))
}

// known refuses a cell that has no profiles.
func (p profiles) known(cell string) error {
	if cells := p.cells(); !slices.Contains(cells, cell) {
		return fmt.Errorf("there are no profiles of cell %q; there are those of %s", cell, strings.Join(cells, ", "))
	}
	return nil
}

// path returns where a profile of a cell lies: of a kind, of all its processes
// or, as "cpu.worker-0", of one.
func (p profiles) path(cell, name string) string {
	return filepath.Join(p.dir, results.ProfilesDir, cell, name+".pb.gz")
}

// tasks counts those that a cell's profiles are about; 0 if that is not known.
func (p profiles) tasks(cell string) int {
	for _, t := range p.data.Latest() {
		if t.Cell == cell && t.Kind == results.Profiled && t.OK() {
			return t.Tasks * max(1, t.Repeats)
		}
	}
	return 0
}

// collector says how much of a cell's processor time is the garbage collector's;
// nothing if there are too few samples.
func (p profiles) collector(cell string) string {
	for _, t := range p.data.Latest() {
		if t.Cell == cell && t.Kind == results.Profiled && t.OK() && t.CPUSamples >= results.MinSamples {
			return fmt.Sprintf("In the garbage collector: %d of %d CPU samples, %.0f %% of the processor time", t.GCSamples, t.CPUSamples, 100*float64(t.GCSamples)/float64(t.CPUSamples))
		}
	}
	return ""
}

// eachTask returns the profile of a cell divided by the tasks that ran.
func (p profiles) eachTask(cell, kind string) (*profile.View, error) {
	v, err := p.cell(cell, kind)
	if err != nil {
		return nil, err
	}
	n := p.tasks(cell)
	if n == 0 {
		return nil, fmt.Errorf("the profiled trial of %s failed", cell)
	}
	return v.Each(n), nil
}

// span returns the CPU samples of a span and of those below it: from the traced
// trial, or, for a cell's own span, from the profiled one.
func (p profiles) span(id string) (*profile.View, *trace.Found, error) {
	found, err := trace.Find(p.dir, id)
	if err != nil {
		return nil, nil, err
	}
	if found.Cell == "" {
		return nil, nil, fmt.Errorf("%s (%s) is of no cell, so it has no profile; name one of a cell, a trial or a task", found.ID, found.Name)
	}
	for _, name := range []string{results.TracedCPUFile, "cpu.pb.gz"} {
		v, err := profile.Read(filepath.Join(p.dir, results.ProfilesDir, found.Cell, name))
		if err != nil {
			return nil, nil, failed(err)
		}
		if v = v.OfSpans(found.Below); v.Samples() > 0 || name == "cpu.pb.gz" {
			return v, found, nil
		}
	}
	panic("unreachable")
}

func (p profiles) list(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range p.cells() {
		for _, kind := range profile.Kinds {
			v, err := p.cell(c, kind)
			if err != nil {
				return err
			}
			n, of := v.Count()
			fmt.Fprintf(out, "%s\t%s\t%s\t%d %s\n", c, kind, v.Amount(), n, of)
		}
	}
	return out.Flush()
}

// serveProfiles serves until Ctrl-C.
func (a *app) serveProfiles(ctx context.Context, p profilePages, addr string) error {
	l, err := listenLoopback(ctx, addr)
	if err != nil {
		return fmt.Errorf("--http: %w", err)
	}
	return a.serveUntilSignal(ctx, l, p.handler(), fmt.Sprintf("Profiles of %s: http://%s/\n", p.dir, l.Addr()))
}

// listenLoopback listens at an address that others on the network cannot reach.
func listenLoopback(ctx context.Context, addr string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("%q is not an address: %w; want one such as %s", addr, err, profileAddr)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("%q can be reached from elsewhere; want a loopback address such as %s", addr, profileAddr)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, failed(err)
	}
	return l, nil
}
