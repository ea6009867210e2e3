package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/trace"
)

func newServeCommand(a *app) *cobra.Command {
	var listen, jaeger string
	var open bool
	cmd := &cobra.Command{
		Use:   "serve DIR",
		Short: "Serve runs to a browser: reports, profiles, files",
		Long: `serve serves the run in a folder, or all runs in the folders in it, on this
machine alone: for each its report, every file that it left, and the pages about
its profiles, with pprof's own. Runs that are added meanwhile are there when the
page is loaded again. Links from Jaeger to profiles lead here, too.

  harness serve run-…
  harness serve .           every run-… here`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			jaeger, err := parseJaeger(jaeger)
			if err != nil {
				return err
			}
			s := &site{dir: args[0], jaeger: jaeger}
			runs, err := s.runs()
			if err != nil {
				return err
			}
			if len(runs) == 0 {
				return fmt.Errorf("%s has no run in it: neither it nor a folder in it has a %s", args[0], results.RunFile)
			}
			l, err := listenLoopback(cmd.Context(), listen)
			if err != nil {
				return fmt.Errorf("--listen: %w", err)
			}
			page := fmt.Sprintf("http://%s/", l.Addr())
			if len(runs) == 1 && runs[0].Report {
				page += "runs/" + runs[0].Path() + "/" + results.HTMLFile
			}
			if open {
				if err := openPage(page); err != nil {
					fmt.Fprintf(a.stderr, "Warning: %v\n", err)
				}
			}
			return a.serveUntilSignal(cmd.Context(), l, s.handler(), fmt.Sprintf("Serving %s: %s\n", count(len(runs), "run"), page))
		},
	}
	cmd.Flags().StringVar(&listen, "listen", profileAddr, "loopback address to serve at; port 0 takes a free one")
	cmd.Flags().StringVar(&jaeger, "jaeger", defaultJaeger, "the Jaeger that the pages lead to")
	cmd.Flags().BoolVar(&open, "open", false, "open it in the browser")
	return cmd
}

// The deadlines of a server: for a request to be read, and for answers that are
// under way when it is to end.
const (
	readTimeout     = 10 * time.Second
	shutdownTimeout = time.Second
)

// serveUntilSignal says what it serves, and serves until Ctrl-C or the end of
// ctx. It closes l.
func (a *app) serveUntilSignal(ctx context.Context, l net.Listener, h http.Handler, says string) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	srv := &http.Server{Handler: onlyLocal(h), ReadTimeout: readTimeout, ReadHeaderTimeout: readTimeout}
	if _, err := fmt.Fprintf(a.stdout, "%sCtrl-C ends it.\n", says); err != nil {
		return failed(errors.Join(err, l.Close()))
	}
	ended := make(chan error, 1)
	defer context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil { // someone is still reading
			ended <- srv.Close()
			return
		}
		ended <- nil
	})()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return failed(err)
	}
	return failed(<-ended)
}

// onlyLocal refuses requests for other hosts: by a name of its own that leads to
// this machine, a page from elsewhere could read what is served here.
func onlyLocal(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if ip := net.ParseIP(strings.Trim(host, "[]")); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, "this is for localhost only", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// A site serves the run in a folder, or those in the folders in it.
type site struct {
	dir    string
	jaeger string

	mu    sync.Mutex
	pages map[string]servedPages // by the name of the run
}

// servedPages are the pages about the profiles of a run as its records were.
type servedPages struct {
	as time.Time // when run.json was written
	h  http.Handler
}

// A servedRun is a line of the index.
type servedRun struct {
	*results.Run
	Name     string // in the paths
	Dir      string
	Report   bool
	Profiles bool
}

// Path is the name in links.
func (r servedRun) Path() string { return url.PathEscape(r.Name) }

// Labels are the workloads of the run.
func (r servedRun) Labels() string {
	var all []string
	for _, w := range r.Workloads {
		all = append(all, w.Label)
	}
	return strings.Join(all, ", ")
}

// Models are what the run compares them on.
func (r servedRun) Models() string {
	var all []string
	for _, b := range r.Backends {
		all = append(all, b.Name)
	}
	return strings.Join(all, ", ")
}

// runs returns what there is, the latest first. What cannot be read is left out,
// except where it is all that was asked for.
func (s *site) runs() ([]servedRun, error) {
	if _, err := os.Stat(filepath.Join(s.dir, results.RunFile)); err == nil {
		dir, err := filepath.Abs(s.dir) // "." has a name, too
		if err != nil {
			return nil, failed(err)
		}
		r, err := served(s.dir, filepath.Base(dir))
		return []servedRun{r}, err
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var all []servedRun
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if r, err := served(filepath.Join(s.dir, e.Name()), e.Name()); err == nil {
			all = append(all, r)
		}
	}
	slices.SortStableFunc(all, func(a, b servedRun) int { return cmp.Or(b.Started.Compare(a.Started), cmp.Compare(a.Name, b.Name)) })
	return all, nil
}

func served(dir, name string) (servedRun, error) {
	run, err := results.ReadRun(dir)
	there := func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err == nil
	}
	return servedRun{Run: run, Name: name, Dir: dir, Report: there(results.HTMLFile), Profiles: there(results.ProfilesDir)}, err
}

// run finds a run by its name.
func (s *site) run(name string) (servedRun, error) {
	all, err := s.runs()
	if err != nil {
		return servedRun{}, err
	}
	i := slices.IndexFunc(all, func(r servedRun) bool { return r.Name == name })
	if i < 0 {
		return servedRun{}, fmt.Errorf("there is no run %q", name)
	}
	return all[i], nil
}

// handler serves the index, the files of each run below /runs/NAME/, the pages
// about its profiles below /profiles/NAME/, and at /span/ID/, where Jaeger's
// links lead, those of the run that has the span.
func (s *site) handler() http.Handler {
	s.pages = make(map[string]servedPages)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		all, err := s.runs()
		s.answer(w, err, "runs", map[string]any{"Runs": all, "Dir": s.dir})
	})
	mux.HandleFunc("GET /runs/{name}/", func(w http.ResponseWriter, r *http.Request) {
		run, err := s.run(r.PathValue("name"))
		if err != nil {
			s.answer(w, err, "", nil)
			return
		}
		root, err := os.OpenRoot(run.Dir) // no path leads out of it, and no link
		if err != nil {
			s.answer(w, failed(err), "", nil)
			return
		}
		defer func() { _ = root.Close() }() // it was only read
		if ext := filepath.Ext(r.URL.Path); ext == ".ndjson" || ext == ".jsonl" || ext == ".yaml" {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		}
		http.StripPrefix("/runs/"+run.Name, http.FileServerFS(root.FS())).ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /profiles/{name}/", func(w http.ResponseWriter, r *http.Request) {
		h, err := s.profiles(r.PathValue("name"))
		if err != nil {
			s.answer(w, err, "", nil)
			return
		}
		h.ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /span/{id}/{$}", func(w http.ResponseWriter, r *http.Request) {
		run, err := s.ofSpan(r.PathValue("id"))
		if err != nil {
			s.answer(w, err, "", nil)
			return
		}
		http.Redirect(w, r, "/profiles/"+run.Path()+"/span/"+r.PathValue("id")+"/", http.StatusFound)
	})
	return mux
}

// profiles returns the pages about the profiles of a run, as it is now.
func (s *site) profiles(name string) (http.Handler, error) {
	run, err := s.run(name)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(filepath.Join(run.Dir, results.RunFile))
	if err != nil {
		return nil, failed(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.pages[name]; p.h != nil && p.as.Equal(info.ModTime()) && run.Status != results.Running {
		return p.h, nil
	}
	data, err := results.Read(run.Dir)
	if err != nil {
		return nil, err
	}
	p := profilePages{profiles: profiles{dir: run.Dir, data: data}, jaeger: s.jaeger, base: "/profiles/" + run.Path()}
	if run.Report {
		p.report = "/runs/" + run.Path() + "/" + results.HTMLFile
	}
	h := http.StripPrefix("/profiles/"+name, p.handler())
	s.pages[name] = servedPages{info.ModTime(), h}
	return h, nil
}

// ofSpan returns the run that has a span.
func (s *site) ofSpan(id string) (servedRun, error) {
	all, err := s.runs()
	if err != nil {
		return servedRun{}, err
	}
	for _, r := range all {
		if _, err := trace.Find(r.Dir, id); err == nil {
			return r, nil
		}
	}
	return servedRun{}, fmt.Errorf("no run here has a span %q", id)
}

// answer writes a page, or says what went wrong.
func (s *site) answer(w http.ResponseWriter, err error, name string, data map[string]any) {
	code := http.StatusOK
	if err != nil {
		code = http.StatusNotFound
		if ExitCode(err) == exitFailed {
			code = http.StatusInternalServerError
		}
		name, data = "noRun", map[string]any{"Error": err.Error()}
	}
	var b strings.Builder
	if err := runsPage.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, b.String()) // the reader may have gone
}

var runsPage = template.Must(template.Must(profilePage.Clone()).Parse(`
{{define "runs"}}{{template "head" "Runs"}}
<h1>Runs</h1>
<p class="muted">In {{.Dir}}, the latest first.</p>
<div class="scroll"><table>
<thead><tr><th>run</th><th>started (UTC)</th><th>status</th><th>preset</th><th>rounds</th><th style="text-align:left">workloads</th><th style="text-align:left">models</th><th></th></tr></thead>
<tbody>{{range .Runs}}<tr><td>{{if .Report}}<a href="/runs/{{.Path}}/report.html">{{.Name}}</a>{{else}}{{.Name}}{{end}}</td><td>{{.Started.UTC.Format "2006-01-02 15:04"}}</td><td>{{.Status}}</td><td>{{.Preset}}</td><td>{{.Rounds}}</td>
<td style="white-space:normal;text-align:left">{{.Labels}}</td><td style="white-space:normal;text-align:left">{{.Models}}</td>
<td>{{if .Profiles}}<a href="/profiles/{{.Path}}/">profiles</a> · {{end}}<a href="/runs/{{.Path}}/">files</a></td></tr>
{{end}}</tbody></table></div>
<p class="muted">{{if not .Runs}}There is none any more. {{end}}A run has a report when it has ended; <code>harness report DIR</code> makes one of what there is.</p>
</body></html>{{end}}

{{define "noRun"}}{{template "head" "Not found"}}
<h1>Not found</h1>
<p>{{.Error}}</p>
<p class="muted"><a href="/">All runs</a></p></body></html>{{end}}
`))
