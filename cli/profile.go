package cli

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/internal/profile"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/trace"
)

// profileFlags are the flags of profile as they were given.
type profileFlags struct {
	cell, kind, span, diff, flame, http string
	top                                 int
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
  harness profile run-… --http 127.0.0.1:7171                pprof's own pages

A span's processor time is told from 30 samples on, 0.3 s; what a shorter one
did is in the ledger.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
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
	flags.StringVar(&f.flame, "flame", "", "draw a flame graph into this SVG file")
	flags.StringVar(&f.http, "http", "", "serve pprof's pages for all profiles at this address, such as "+profileAddr)
	cmd.MarkFlagsMutuallyExclusive("cell", "span", "diff", "http")
	return cmd
}

// profileAddr is where Jaeger's configuration has links to.
const profileAddr = "127.0.0.1:7171"

func (a *app) profile(ctx context.Context, dir string, data *results.Data, f profileFlags) error {
	if !slices.Contains(profile.Kinds, f.kind) {
		return fmt.Errorf("--kind is %q; want one of %s", f.kind, strings.Join(profile.Kinds, ", "))
	}
	p := profiles{dir: dir, data: data}
	switch {
	case f.http != "":
		return a.serveProfiles(ctx, p, f.http)
	case f.span != "":
		v, found, err := p.span(f.span)
		if err != nil {
			return err
		}
		if n := v.Samples(); n < results.MinSamples {
			_, err := fmt.Fprintf(a.stdout, "%s (span %s) has %d CPU samples; fewer than %d say nothing. %s\n", found.Name, found.ID, n, results.MinSamples, ledgerHint(dir, found))
			return failed(err)
		}
		title := fmt.Sprintf("%s (span %s), %d samples", found.Name, found.ID, v.Samples())
		return a.printProfile(v, nil, title, f)
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
		return a.printProfile(now, old, fmt.Sprintf("%s against %s, %s a task", second, first, f.kind), f)
	case f.cell != "":
		v, err := p.cell(f.cell, f.kind)
		if err != nil {
			return err
		}
		return a.printProfile(v, nil, fmt.Sprintf("%s, %s of all its processes", f.cell, f.kind), f)
	case f.flame != "":
		return errors.New("--flame needs --cell, --span or --diff: whose flame graph?")
	}
	return failed(p.list(a.stdout))
}

// printProfile prints or draws a profile, or its difference from a base.
func (a *app) printProfile(v, base *profile.View, title string, f profileFlags) error {
	if f.flame != "" {
		var b strings.Builder
		if err := v.Flame(&b, title, base); err != nil {
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
	return failed(v.Top(a.stdout, f.top))
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
		if _, err := os.Stat(filepath.Join(p.dir, results.ProfilesDir, c.ID, "cpu.pb.gz")); err == nil {
			cells = append(cells, c.ID)
		}
	}
	return cells
}

func (p profiles) cell(cell, kind string) (*profile.View, error) {
	if cells := p.cells(); !slices.Contains(cells, cell) {
		return nil, fmt.Errorf("there are no profiles of cell %q; there are those of %s", cell, strings.Join(cells, ", "))
	}
	return profile.Read(filepath.Join(p.dir, results.ProfilesDir, cell, kind+".pb.gz"))
}

// eachTask returns the profile of a cell divided by the tasks that ran.
func (p profiles) eachTask(cell, kind string) (*profile.View, error) {
	v, err := p.cell(cell, kind)
	if err != nil {
		return nil, err
	}
	for _, t := range p.data.Latest() {
		if t.Cell == cell && t.Kind == results.Profiled && t.OK() {
			return v.Each(t.Tasks * t.Repeats), nil
		}
	}
	return nil, fmt.Errorf("the profiled trial of %s failed", cell)
}

// span returns the CPU samples of a span and of those below it: from the traced
// trial, or, for a cell's own span, from the profiled one.
func (p profiles) span(id string) (*profile.View, *trace.Found, error) {
	found, err := trace.Find(filepath.Join(p.dir, results.TracesFile), id)
	if err != nil {
		return nil, nil, fmt.Errorf("--span: %w", err)
	}
	if found.Cell == "" {
		return nil, nil, fmt.Errorf("--span: %s (%s) is of no cell, so it has no profile; name one of a cell, a trial or a task", found.ID, found.Name)
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
			total := fmt.Sprint(v.Total(), " ", v.Unit())
			if v.Unit() == "nanoseconds" {
				total = time.Duration(v.Total()).Round(time.Microsecond).String()
			}
			fmt.Fprintf(out, "%s\t%s\t%s\n", c, kind, total)
		}
	}
	return out.Flush()
}

// serveProfiles serves until Ctrl-C.
func (a *app) serveProfiles(ctx context.Context, p profiles, addr string) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	l, err := listenLoopback(ctx, addr)
	if err != nil {
		return fmt.Errorf("--http: %w", err)
	}
	srv := &http.Server{Handler: p.handler(), ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	if _, err := fmt.Fprintf(a.stdout, "Profiles of %s: http://%s/\nCtrl-C ends it.\n", p.dir, l.Addr()); err != nil {
		return failed(errors.Join(err, l.Close()))
	}
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return failed(err)
	}
	return nil
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

var profileIndex = template.Must(template.New("index").Parse(`<!doctype html><meta charset="utf-8"><title>Profiles</title>
<style>body{font:15px system-ui,sans-serif;margin:24px auto;max-width:900px}td{padding:3px 10px 3px 0}</style>
<h1>Profiles of {{.Dir}}</h1><table>
{{range $c := .Cells}}<tr><td>{{$c}}</td>{{range $.Kinds}}<td><a href="/cell/{{$c}}/{{.}}/flamegraph">{{.}}</a></td>{{end}}</tr>
{{end}}</table><p>The profile of a span: <code>/span/ID/</code>; of what one cell has more than another, a task: <code>/diff/A/B/</code>.</p>
`))

// handler serves the index, and pprof's pages below /cell/CELL/KIND/, /span/ID/
// and /diff/A/B/.
func (p profiles) handler() http.Handler {
	var made sync.Map // prefix -> handler
	mount := func(w http.ResponseWriter, r *http.Request, prefix string, view func() (*profile.View, error)) {
		h, ok := made.Load(prefix)
		if !ok {
			v, err := view()
			if err == nil {
				h, err = v.Handler()
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusNotFound)
				return
			}
			h, _ = made.LoadOrStore(prefix, http.StripPrefix(prefix, h.(http.Handler)))
		}
		if strings.TrimPrefix(r.URL.Path, prefix) == "/" {
			http.Redirect(w, r, prefix+"/flamegraph", http.StatusFound)
			return
		}
		h.(http.Handler).ServeHTTP(w, r)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		_ = profileIndex.Execute(w, map[string]any{"Dir": p.dir, "Cells": p.cells(), "Kinds": profile.Kinds}) // the reader may have gone
	})
	mux.HandleFunc("GET /cell/{cell}/{kind}/", func(w http.ResponseWriter, r *http.Request) {
		cell, kind := r.PathValue("cell"), r.PathValue("kind")
		mount(w, r, "/cell/"+cell+"/"+kind, func() (*profile.View, error) {
			if !slices.Contains(profile.Kinds, kind) {
				return nil, fmt.Errorf("no profiles of kind %q", kind)
			}
			return p.cell(cell, kind)
		})
	})
	mux.HandleFunc("GET /span/{id}/", func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		mount(w, r, "/span/"+id, func() (*profile.View, error) {
			v, found, err := p.span(id)
			if err == nil && v.Samples() < results.MinSamples {
				err = fmt.Errorf("%s has %d CPU samples; fewer than %d say nothing. %s", found.Name, v.Samples(), results.MinSamples, ledgerHint(p.dir, found))
			}
			return v, err
		})
	})
	mux.HandleFunc("GET /diff/{a}/{b}/", func(w http.ResponseWriter, r *http.Request) {
		first, second := r.PathValue("a"), r.PathValue("b")
		mount(w, r, "/diff/"+first+"/"+second, func() (*profile.View, error) {
			old, err := p.eachTask(first, "cpu")
			if err != nil {
				return nil, err
			}
			now, err := p.eachTask(second, "cpu")
			if err != nil {
				return nil, err
			}
			return now.Minus(old)
		})
	})
	return mux
}
