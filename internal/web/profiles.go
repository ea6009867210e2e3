package web

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/f3f4c0de/harness/internal/inspect"
	"github.com/f3f4c0de/harness/internal/jaeger"
	"github.com/f3f4c0de/harness/internal/profile"
	"github.com/f3f4c0de/harness/internal/report"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/trace"
)

// profileLabels are the labels by which a flame graph can be divided.
var profileLabels = []string{"process", "worker", "task"}

// profilePages are the pages about a run's profiles: the list of cells, a page for
// each cell, and below them the pages of pprof.
type profilePages struct {
	place
	root   string // Base as it is in the path of a request, without escapes
	jaeger jaeger.Page
	made   handlers
}

// Profiles returns the handler of the pages about the profiles of a run, with links
// to a Jaeger's page. A profile is read when its page is requested.
func Profiles(run *inspect.Run, page jaeger.Page) http.Handler {
	p := &profilePages{place: place{Run: run}, jaeger: page}
	return p.handler()
}

// handler serves the list of cells, a cell at /cell/CELL/, and pprof's pages below
// /cell/CELL/KIND/, /cell/CELL/KIND/by/LABEL/, /span/ID/ and /diff/A/B/KIND/.
// KIND may name one process, such as cpu.worker-0.
func (p *profilePages) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+p.Base+"/{$}", func(w http.ResponseWriter, _ *http.Request) {
		cells, err := p.cells()
		p.render(w, err, "profiles of a run", struct {
			Cells []*cell
			Kinds []string
		}{cells, inspect.Profiles})
	})
	mux.HandleFunc("GET "+p.Base+"/cell/{cell}/{$}", func(w http.ResponseWriter, r *http.Request) {
		page, err := p.cellPage(r.PathValue("cell"))
		p.render(w, err, "cell", page)
	})
	for _, h := range []struct {
		pattern string
		make    func(r *http.Request) (http.Handler, error)
	}{
		{"/cell/{cell}/{kind}/", p.profile},
		{"/cell/{cell}/{kind}/by/{label}/", p.divided},
		{"/span/{id}/", p.span},
		{"/diff/{a}/{b}/{kind}/", p.difference},
	} {
		mux.HandleFunc("GET "+p.Base+h.pattern, func(w http.ResponseWriter, r *http.Request) {
			prefix := p.root + expand(strings.TrimSuffix(h.pattern, "/"), r)
			made, err := p.made.get(prefix, func() (http.Handler, error) { return h.make(r) })
			if err != nil {
				p.render(w, err, "", nil)
				return
			}
			made.ServeHTTP(w, r)
		})
	}
	if p.Base == "" {
		mux.HandleFunc("GET /favicon.ico", noIcon)
	}
	return mux
}

// noIcon answers requests of browsers for an icon.
func noIcon(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

// expand returns the beginning of a request's path that matches a pattern.
func expand(pattern string, r *http.Request) string {
	segments := strings.Split(pattern, "/")
	for i, s := range segments {
		if name, ok := strings.CutPrefix(s, "{"); ok {
			segments[i] = r.PathValue(strings.TrimSuffix(name, "}"))
		}
	}
	return strings.Join(segments, "/")
}

// mostHandlers bounds how many handlers are kept: there could be one for each span.
const mostHandlers = 64

// handlers caches the handlers of profiles. It is safe for concurrent use.
type handlers struct {
	mu sync.Mutex
	by map[string]http.Handler // by prefix
}

// get returns the handler of the paths below a prefix. It calls open if there is
// none yet.
func (m *handlers) get(prefix string, open func() (http.Handler, error)) (http.Handler, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if h, ok := m.by[prefix]; ok {
		return h, nil
	}
	made, err := open()
	if err != nil {
		return nil, err
	}
	if m.by == nil || len(m.by) >= mostHandlers {
		m.by = make(map[string]http.Handler)
	}
	h := http.StripPrefix(prefix, made)
	m.by[prefix] = h
	return h, nil
}

// profile serves a profile of a cell.
func (p *profilePages) profile(r *http.Request) (http.Handler, error) {
	cell := r.PathValue("cell")
	v, err := p.Run.Profile(cell, r.PathValue("kind"))
	if err != nil {
		return nil, err
	}
	return p.pprof(v, cell)
}

// divided serves a profile of a cell, divided by the values of a label.
func (p *profilePages) divided(r *http.Request) (http.Handler, error) {
	cell, label := r.PathValue("cell"), r.PathValue("label")
	v, err := p.Run.Profile(cell, r.PathValue("kind"))
	if err != nil {
		return nil, err
	}
	if !slices.Contains(profileLabels, label) {
		return nil, fmt.Errorf("a profile is not divided by %q; want %s", label, strings.Join(profileLabels, ", "))
	}
	return p.pprof(v.By(label), cell)
}

// difference serves the profile of cell b less that of cell a, both per task.
func (p *profilePages) difference(r *http.Request) (http.Handler, error) {
	kind := r.PathValue("kind")
	old, err := p.Run.EachTask(r.PathValue("a"), kind)
	if err != nil {
		return nil, err
	}
	now, err := p.Run.EachTask(r.PathValue("b"), kind)
	if err != nil {
		return nil, err
	}
	diff, err := now.Minus(old)
	if err != nil {
		return nil, err
	}
	return p.pprof(diff, r.PathValue("b"))
}

// span serves the profile of a span, or its ledger if it has too few samples.
func (p *profilePages) span(r *http.Request) (http.Handler, error) {
	v, span, err := p.Run.Span(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	jaeger := p.jaeger.Span(span.TraceID, span.ID)
	if v.Samples() >= results.MinSamples {
		return p.pprof(v, span.Cell, profile.Link{Text: "Jaeger: " + span.Name, URL: jaeger})
	}
	var ledger strings.Builder
	if err := p.ledger(&ledger, span); err != nil {
		ledger.WriteString(err.Error())
	}
	page := struct {
		Span                 *trace.Found
		Says, Jaeger, Ledger string
	}{span, p.Run.TooFew(span, v.Samples()), jaeger, ledger.String()}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { p.render(w, nil, "span", page) }), nil
}

// ledger writes the ledger of a span's task, or that of its cell if it has no task.
func (p *profilePages) ledger(w io.Writer, span *trace.Found) error {
	if span.Task != 0 {
		t, err := p.Run.Task(span.Cell, span.Task)
		if err != nil {
			return err
		}
		return report.LedgerTaskText(w, span.Cell, t)
	}
	l, err := p.Run.Ledger(span.Cell)
	if err != nil {
		return err
	}
	return report.LedgerText(w, l)
}

// pprof serves pprof's own pages for a profile of a cell, with links to our pages
// and to those in to. Without any the last link leads to the cell's traced trial in
// Jaeger.
func (p *profilePages) pprof(v *profile.View, cell string, to ...profile.Link) (http.Handler, error) {
	if id := p.Run.TraceID(cell); to == nil && id != "" {
		to = []profile.Link{{Text: "Jaeger", URL: p.jaeger.Trace(id)}}
	}
	links := append([]profile.Link{{Text: "All profiles", URL: p.Base + "/"}, {Text: "Cell", URL: p.cellURL(cell)}}, to...)
	h, err := v.Handler(links...)
	if err != nil {
		return nil, &inspect.ReadError{Err: err}
	}
	return withPolicy(pprofPolicy, h), nil
}
