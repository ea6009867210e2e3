package web

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/f3f4c0de/harness/internal/inspect"
	"github.com/f3f4c0de/harness/internal/jaeger"
	"github.com/f3f4c0de/harness/internal/results"
)

// Runs serves the run in a folder, or the runs in the folders in it. Its methods are
// safe for concurrent use.
type Runs struct {
	dir    string
	jaeger jaeger.Page

	mu       sync.Mutex
	profiles map[string]servedProfiles // by the name of the run
}

// servedProfiles are the pages about the profiles of a run as its records were at a
// moment.
type servedProfiles struct {
	asOf time.Time // when run.json was written
	h    http.Handler
}

// NewRuns returns the runs in the folder dir. Their pages have links to page.
func NewRuns(dir string, page jaeger.Page) *Runs {
	return &Runs{dir: dir, jaeger: page, profiles: make(map[string]servedProfiles)}
}

// A ListedRun is a run that is served.
type ListedRun struct {
	*results.Run
	Name     string // in its URLs
	Dir      string
	Report   bool // whether it has a report
	Profiles bool // whether it has profiles
}

// FilesURL is the path of the run's files.
func (r ListedRun) FilesURL() string { return "/runs/" + url.PathEscape(r.Name) + "/" }

// ReportURL is the path of the run's report.
func (r ListedRun) ReportURL() string { return r.FilesURL() + results.HTMLFile }

// ProfilesURL is the path of the pages about the run's profiles.
func (r ListedRun) ProfilesURL() string { return "/profiles/" + url.PathEscape(r.Name) + "/" }

// Labels returns the labels of the run's workloads.
func (r ListedRun) Labels() string {
	var all []string
	for _, w := range r.Workloads {
		all = append(all, w.Label)
	}
	return strings.Join(all, ", ")
}

// Models returns the backends of the run.
func (r ListedRun) Models() string {
	var all []string
	for _, b := range r.Backends {
		all = append(all, b.Name)
	}
	return strings.Join(all, ", ")
}

// List returns the runs that exist now, the latest first. A run that cannot be read
// is left out, unless the folder itself is that run: then List returns the error.
func (s *Runs) List() ([]ListedRun, error) {
	if _, err := os.Stat(filepath.Join(s.dir, results.RunFile)); err == nil {
		dir, err := filepath.Abs(s.dir) // for the name of the folder, which may be "."
		if err != nil {
			return nil, &inspect.ReadError{Err: err}
		}
		r, err := listed(s.dir, filepath.Base(dir))
		if err != nil {
			return nil, err
		}
		return []ListedRun{r}, nil
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var all []ListedRun
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if r, err := listed(filepath.Join(s.dir, e.Name()), e.Name()); err == nil {
			all = append(all, r)
		}
	}
	slices.SortStableFunc(all, func(a, b ListedRun) int { return cmp.Or(b.Started.Compare(a.Started), cmp.Compare(a.Name, b.Name)) })
	return all, nil
}

func listed(dir, name string) (ListedRun, error) {
	run, err := results.ReadRun(dir)
	there := func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err == nil
	}
	return ListedRun{Run: run, Name: name, Dir: dir, Report: there(results.HTMLFile), Profiles: there(results.ProfilesDir)}, err
}

// find finds a run by its name.
func (s *Runs) find(name string) (ListedRun, error) {
	all, err := s.List()
	if err != nil {
		return ListedRun{}, err
	}
	i := slices.IndexFunc(all, func(r ListedRun) bool { return r.Name == name })
	if i < 0 {
		return ListedRun{}, fmt.Errorf("there is no run %q", name)
	}
	return all[i], nil
}

// Handler serves the list of runs, the files of each run below /runs/NAME/, and the
// pages about its profiles below /profiles/NAME/. Links in Jaeger lead to /span/ID/,
// which redirects to the pages of the run that has the span.
func (s *Runs) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		all, err := s.List()
		place{}.render(w, err, "runs", struct {
			Dir  string
			Runs []ListedRun
		}{s.dir, all})
	})
	mux.HandleFunc("GET /runs/{name}/", s.serveFiles)
	mux.HandleFunc("GET /profiles/{name}/", func(w http.ResponseWriter, r *http.Request) {
		h, err := s.profilesOf(r.PathValue("name"))
		if err != nil {
			place{}.render(w, err, "", nil)
			return
		}
		h.ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /span/{id}/{$}", func(w http.ResponseWriter, r *http.Request) {
		run, err := s.ofSpan(r.PathValue("id"))
		if err != nil {
			place{}.render(w, err, "", nil)
			return
		}
		http.Redirect(w, r, run.ProfilesURL()+"span/"+url.PathEscape(r.PathValue("id"))+"/", http.StatusFound)
	})
	mux.HandleFunc("GET /favicon.ico", noIcon)
	return mux
}

// serveFiles serves the files of a run.
func (s *Runs) serveFiles(w http.ResponseWriter, r *http.Request) {
	run, err := s.find(r.PathValue("name"))
	if err != nil {
		place{}.render(w, err, "", nil)
		return
	}
	root, err := os.OpenRoot(run.Dir) // neither paths nor symbolic links lead out of it
	if err != nil {
		place{}.render(w, &inspect.ReadError{Err: err}, "", nil)
		return
	}
	defer func() { _ = root.Close() }() // it was only read
	if ext := filepath.Ext(r.URL.Path); ext == ".ndjson" || ext == ".jsonl" || ext == ".yaml" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	setPolicy(w, filePolicy)
	http.StripPrefix("/runs/"+run.Name, http.FileServerFS(root.FS())).ServeHTTP(w, r)
}

// profilesOf returns the pages about the profiles of a run. It reads the run again if
// it has changed.
func (s *Runs) profilesOf(name string) (http.Handler, error) {
	run, err := s.find(name)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(filepath.Join(run.Dir, results.RunFile))
	if err != nil {
		return nil, &inspect.ReadError{Err: err}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.profiles[name]; p.h != nil && p.asOf.Equal(info.ModTime()) && run.Status != results.Running {
		return p.h, nil
	}
	data, err := inspect.Open(run.Dir)
	if err != nil {
		return nil, err
	}
	p := profilePages{place: place{Run: data, Base: strings.TrimSuffix(run.ProfilesURL(), "/")}, root: "/profiles/" + name, jaeger: s.jaeger}
	if run.Report {
		p.Report = run.ReportURL()
	}
	h := p.handler()
	s.profiles[name] = servedProfiles{info.ModTime(), h}
	return h, nil
}

// ofSpan returns the run that has a span.
func (s *Runs) ofSpan(id string) (ListedRun, error) {
	all, err := s.List()
	if err != nil {
		return ListedRun{}, err
	}
	for _, r := range all {
		if _, err := inspect.FindSpan(r.Dir, id); err == nil {
			return r, nil
		}
	}
	return ListedRun{}, fmt.Errorf("no run here has a span %q", id)
}
