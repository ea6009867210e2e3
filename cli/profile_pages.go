package cli

import (
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/f3f4c0de/harness/internal/profile"
	"github.com/f3f4c0de/harness/internal/report"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/trace"
)

// profilePages are the pages about a run's profiles: an index, one for each
// cell, and below them those of pprof.
type profilePages struct {
	profiles
	jaeger string // URL, without a slash at its end
	base   string // path that they are below, without a slash at its end; empty for the top
	report string // path of the run's report; empty if that is not served
}

// parseJaeger understands where Jaeger is.
func parseJaeger(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("--jaeger is %q; want the URL of Jaeger's page, such as %s", s, defaultJaeger)
	}
	return strings.TrimSuffix(s, "/"), nil
}

// trace is Jaeger's page of a trace, with a span picked out if it is named.
func (p profilePages) trace(traceID, span string) string {
	if span != "" {
		span = "?uiFind=" + span
	}
	return p.jaeger + "/trace/" + traceID + span
}

// tracedTrial returns Jaeger's page of the traced trial of a cell, or "".
func (p profilePages) tracedTrial(cell string) string {
	for _, t := range p.data.Latest() {
		if t.Cell == cell && t.TraceID != "" {
			return p.trace(t.TraceID, "")
		}
	}
	return ""
}

// handler serves the index, the cells below /cell/CELL/, and pprof's pages below
// /cell/CELL/KIND/, /cell/CELL/KIND/by/LABEL/, /span/ID/ and /diff/A/B/KIND/.
// A kind may name one process, as cpu.worker-0.
func (p profilePages) handler() http.Handler {
	var cache mounted
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		cells, err := p.cellPages()
		p.answer(w, err, "index", map[string]any{"Cells": cells, "Kinds": profileNames})
	})
	mux.HandleFunc("GET /cell/{cell}/{$}", func(w http.ResponseWriter, r *http.Request) {
		c, err := p.cellPage(r.PathValue("cell"))
		if err == nil {
			err = p.fillSpans(c)
		}
		p.answer(w, err, "cell", map[string]any{"Cell": c, "Kinds": profileNames, "Least": results.MinSamples})
	})
	mux.HandleFunc("GET /cell/{cell}/{kind}/", func(w http.ResponseWriter, r *http.Request) {
		cell, kind := r.PathValue("cell"), r.PathValue("kind")
		cache.serve(w, r, p, "/cell/"+cell+"/"+kind, func() (http.Handler, error) {
			v, err := p.named(cell, kind)
			if err != nil {
				return nil, err
			}
			return v.Handler(p.links(cell)...)
		})
	})
	mux.HandleFunc("GET /cell/{cell}/{kind}/by/{label}/", func(w http.ResponseWriter, r *http.Request) {
		cell, kind, label := r.PathValue("cell"), r.PathValue("kind"), r.PathValue("label")
		cache.serve(w, r, p, "/cell/"+cell+"/"+kind+"/by/"+label, func() (http.Handler, error) {
			v, err := p.named(cell, kind)
			if err != nil {
				return nil, err
			}
			if !slices.Contains(profileLabels, label) {
				return nil, fmt.Errorf("a profile is not divided by %q; want %s", label, strings.Join(profileLabels, ", "))
			}
			return v.By(label).Handler(p.links(cell)...)
		})
	})
	mux.HandleFunc("GET /span/{id}/", func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		cache.serve(w, r, p, "/span/"+id, func() (http.Handler, error) { return p.spanHandler(id) })
	})
	mux.HandleFunc("GET /diff/{a}/{b}/{kind}/", func(w http.ResponseWriter, r *http.Request) {
		first, second, kind := r.PathValue("a"), r.PathValue("b"), r.PathValue("kind")
		cache.serve(w, r, p, "/diff/"+first+"/"+second+"/"+kind, func() (http.Handler, error) {
			if !slices.Contains(profile.Kinds, kind) {
				return nil, fmt.Errorf("there are no profiles of kind %q; want one of %s", kind, strings.Join(profile.Kinds, ", "))
			}
			old, err := p.eachTask(first, kind)
			if err != nil {
				return nil, err
			}
			now, err := p.eachTask(second, kind)
			if err != nil {
				return nil, err
			}
			diff, err := now.Minus(old)
			if err != nil {
				return nil, err
			}
			return diff.Handler(p.links(second)...)
		})
	})
	return mux
}

// profileNames are the merged profiles of a cell, and profileLabels what a flame
// graph can be divided by.
var (
	profileNames  = append(slices.Clone(profile.Kinds), strings.TrimSuffix(results.TracedCPUFile, ".pb.gz"))
	profileLabels = []string{"process", "worker", "task"}
)

// named reads a profile of a cell by its name.
func (p profilePages) named(cell, name string) (*profile.View, error) {
	c, err := p.cellPage(cell)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, row := range c.Rows {
		for _, e := range row.Entries {
			if e != nil && e.Name == name {
				return profile.Read(p.path(cell, name))
			} else if e != nil {
				all = append(all, e.Name)
			}
		}
	}
	return nil, fmt.Errorf("%s has no profile %q; it has %s", cell, name, strings.Join(all, ", "))
}

// links lead from the pages of pprof about a cell.
func (p profilePages) links(cell string) []profile.Link {
	links := []profile.Link{{Text: "All profiles", URL: p.base + "/"}, {Text: "Cell", URL: p.base + "/cell/" + cell + "/"}}
	if url := p.tracedTrial(cell); url != "" {
		links = append(links, profile.Link{Text: "Jaeger", URL: url})
	}
	return links
}

// spanHandler serves the samples of a span; if there are too few of them, its
// ledger.
func (p profilePages) spanHandler(id string) (http.Handler, error) {
	v, found, err := p.span(id)
	if err != nil {
		return nil, err
	}
	jaeger := p.trace(found.TraceID, found.ID)
	if v.Samples() >= results.MinSamples {
		links := p.links(found.Cell)[:2]
		return v.Handler(append(links, profile.Link{Text: "Jaeger: " + found.Name, URL: jaeger})...)
	}
	var text strings.Builder
	if err := p.ledger(&text, found); err != nil {
		text.WriteString(err.Error())
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.answer(w, nil, "few", map[string]any{
			"Found": found, "Says": fewSamples(p.dir, found, v.Samples()), "Jaeger": jaeger, "Ledger": text.String(),
		})
	}), nil
}

// ledger writes that of a span's task, or else that of its cell.
func (p profilePages) ledger(w io.Writer, found *trace.Found) error {
	if found.Task != 0 {
		t, err := findTask(p.dir, found.Cell, found.Task)
		if err != nil {
			return err
		}
		return report.LedgerTaskText(w, found.Cell, t)
	}
	i, err := findCell(p.data, found.Cell)
	if err != nil {
		return err
	}
	return report.LedgerText(w, &p.data.Ledger[i])
}

// mounted keeps the handlers that were asked for last.
type mounted struct {
	mu sync.Mutex
	by map[string]http.Handler // prefix -> handler
}

// mostMounted bounds them: there are as many as spans.
const mostMounted = 64

// serve serves what is below a prefix, with the handler that was made before or
// is made now.
func (m *mounted) serve(w http.ResponseWriter, r *http.Request, p profilePages, prefix string, with func() (http.Handler, error)) {
	m.mu.Lock()
	defer m.mu.Unlock() // pprof answers one request at a time anyway
	h, ok := m.by[prefix]
	if !ok {
		made, err := with()
		if err != nil {
			p.answer(w, err, "", nil)
			return
		}
		h = http.StripPrefix(prefix, made)
		if m.by == nil || len(m.by) >= mostMounted {
			m.by = make(map[string]http.Handler)
		}
		m.by[prefix] = h
	}
	h.ServeHTTP(w, r)
}

// answer writes a page, or says what went wrong.
func (p profilePages) answer(w http.ResponseWriter, err error, name string, data map[string]any) {
	code := http.StatusOK
	if err != nil {
		code = http.StatusNotFound
		if ExitCode(err) == exitFailed {
			code = http.StatusInternalServerError
		}
		name, data = "wrong", map[string]any{"Error": err.Error()}
	}
	data["Run"], data["Dir"], data["Base"], data["Report"] = p.data.Run, p.dir, p.base, p.report
	var b strings.Builder
	if err := profilePage.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(b.String())) // the reader may have gone
}

// A cellPage is what is shown of a cell's profiles.
type cellPage struct {
	results.Cell
	Jaeger  string // of its traced trial
	PerTask string // processor time
	Tasks   int
	Against string // what it is compared with, if it is not that itself
	Rows    []profileRow
	Spans   []cellSpan
	More    int // spans that are not shown
}

// A profileRow is those of all its processes, or of one.
type profileRow struct {
	Process string         // empty for all
	Entries []*profileFile // by kind; nil where there is none
}

// A profileFile is one profile.
type profileFile struct {
	Name           string // as in its URL
	Amount, Counts string
	Samples        int64
	Size           int64 // bytes
}

// Of is what the template of a row needs.
func (c *cellPage) Of(row profileRow, base string) map[string]any {
	return map[string]any{"Cell": c.ID, "Row": row, "Base": base}
}

// A cellSpan is a span with samples in the traced trial.
type cellSpan struct {
	profile.SpanSamples
	CPU    time.Duration
	Enough bool
	Jaeger string
}

func (p profilePages) cellPages() (all []*cellPage, err error) {
	for _, cell := range p.cells() {
		c, err := p.cellPage(cell)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

func (p profilePages) cellPage(cell string) (*cellPage, error) {
	if err := p.known(cell); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(p.data.Run.Cells, func(c results.Cell) bool { return c.ID == cell })
	c := &cellPage{Cell: p.data.Run.Cells[i], Jaeger: p.tracedTrial(cell), Tasks: p.tasks(cell), PerTask: "–"}
	for _, other := range p.data.Run.Cells {
		if other.Workload == c.Workload && other.Baseline && other.ID != c.ID {
			c.Against = other.ID
		}
	}
	files, err := filepath.Glob(filepath.Join(p.dir, results.ProfilesDir, cell, "*.pb.gz"))
	if err != nil {
		return nil, failed(err)
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".pb.gz")
		kind, process, _ := strings.Cut(name, ".")
		k := slices.Index(profileNames, kind)
		if k < 0 {
			continue
		}
		f, v, err := readProfile(path, name)
		if err != nil {
			return nil, failed(err)
		}
		row := slices.IndexFunc(c.Rows, func(r profileRow) bool { return r.Process == process })
		if row < 0 {
			row = len(c.Rows)
			c.Rows = append(c.Rows, profileRow{process, make([]*profileFile, len(profileNames))})
		}
		c.Rows[row].Entries[k] = f
		if name == "cpu" && c.Tasks > 0 {
			c.PerTask = v.Each(c.Tasks).Amount()
		}
	}
	slices.SortFunc(c.Rows, func(a, b profileRow) int { return byProcess(a.Process, b.Process) })
	if len(c.Rows) == 2 { // what one process did is what all did
		c.Rows = c.Rows[:1]
	}
	return c, nil
}

// byProcess puts all of them first, then the trial, then its workers by number.
func byProcess(a, b string) int {
	if len(a) != len(b) && a != "trial" && b != "trial" {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

func readProfile(path, name string) (*profileFile, *profile.View, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	v, err := profile.Read(path)
	if err != nil {
		return nil, nil, err
	}
	n, of := v.Count()
	return &profileFile{Name: name, Amount: v.Amount(), Counts: fmt.Sprint(n, " ", of), Samples: n, Size: info.Size()}, v, nil
}

// mostSpans bounds how many spans a cell's page shows.
const mostSpans = 25

// fillSpans adds the spans that were sampled most in the traced trial.
func (p profilePages) fillSpans(c *cellPage) error {
	v, err := profile.Read(filepath.Join(p.dir, results.ProfilesDir, c.ID, results.TracedCPUFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil // no traced trial
	}
	if err != nil {
		return failed(err)
	}
	spans := v.Spans()
	c.More = max(0, len(spans)-mostSpans)
	for _, s := range spans[:len(spans)-c.More] {
		c.Spans = append(c.Spans, cellSpan{
			SpanSamples: s, CPU: time.Duration(s.Samples) * 10 * time.Millisecond,
			Enough: s.Samples >= results.MinSamples, Jaeger: p.trace(s.TraceID, s.ID),
		})
	}
	return nil
}

var profilePage = template.Must(template.New("").Parse(`
{{define "head"}}<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.}}</title>
<style>
:root{color-scheme:light dark;--paper:#fff;--ink:#1f2328;--muted:#57606a;--grid:#d0d7de;--link:#0969da}
@media (prefers-color-scheme:dark){:root{--paper:#0d1117;--ink:#e6edf3;--muted:#9198a1;--grid:#3d444d;--link:#58a6ff}}
body{margin:0 auto;max-width:1180px;padding:24px 20px 60px;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
h1{font-size:26px;margin:0 0 4px}h2{font-size:19px;margin:30px 0 8px}p{margin:8px 0}.muted,small{color:var(--muted)}a{color:var(--link)}
table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}th,td{padding:3px 12px 3px 0;text-align:right;white-space:nowrap;vertical-align:top}
th:first-child,td:first-child{text-align:left}th{font-weight:600;color:var(--muted);border-bottom:1px solid var(--grid)}tbody tr:first-child td{border-top:1px solid var(--grid)}
tbody.of tr:first-child td:first-child{font-weight:600}tbody.of tr+tr td:first-child{padding-left:16px}
.scroll{overflow-x:auto}code,pre{font-size:13px}pre{white-space:pre-wrap}
</style></head><body>{{end}}

{{define "foot"}}<p class="muted">Run {{.Run.ID}} in {{.Dir}}. <a href="{{.Base}}/">All profiles</a>{{with .Report}} · <a href="{{.}}">Report</a> · <a href="/">All runs</a>{{end}}</p></body></html>{{end}}

{{define "kinds"}}{{range .}}<th>{{.}}</th>{{end}}{{end}}

{{define "entries"}}{{$cell := .Cell}}{{range .Row.Entries}}<td>{{with .}}<a href="{{$.Base}}/cell/{{$cell}}/{{.Name}}/" title="{{.Counts}} in {{.Size}} bytes">{{.Amount}}</a>{{else}}<span class="muted">–</span>{{end}}</td>{{end}}{{end}}

{{define "index"}}{{template "head" "Profiles"}}
<h1>Profiles</h1>
<p class="muted">Of each cell, of all its processes together and of each. A link leads to the flame graph and the other pages of pprof. What it says is the total over
the tasks that were profiled; the number of samples and the size of the file are its tooltip. The CPU profile of the traced trial, last, knows the spans of tasks.</p>
<div class="scroll"><table>
<thead><tr><th>cell</th><th>CPU a task</th><th>tasks</th><th>samples</th>{{template "kinds" .Kinds}}<th>trace</th></tr></thead>
{{range .Cells}}{{$c := .}}<tbody class="of">{{range $i, $row := .Rows}}<tr>
{{- if not $i}}<td><a href="{{$.Base}}/cell/{{$c.ID}}/">{{$c.ID}}</a></td><td>{{$c.PerTask}}</td><td>{{$c.Tasks}}</td>{{else}}<td class="muted">{{.Process}}</td><td></td><td></td>{{end -}}
<td>{{with index .Entries 0}}{{.Samples}}{{end}}</td>{{template "entries" ($c.Of . $.Base)}}<td>{{if not $i}}{{with $c.Jaeger}}<a href="{{.}}">Jaeger</a>{{end}}{{end}}</td></tr>
{{end}}</tbody>
{{end}}</table></div>
<p class="muted">CPU: 100 samples a second of running. allocs: what was allocated. heap: what was in use at the end. block and mutex: what was waited for. goroutine: how many there were at the end.
The profile of a span is at <code>{{.Base}}/span/ID/</code>; what one cell has more than another, a task, at <code>{{.Base}}/diff/A/B/cpu/</code>.</p>
{{template "foot" .}}{{end}}

{{define "cell"}}{{template "head" .Cell.ID}}{{$c := .Cell}}
<h1>{{.Cell.ID}}</h1>
<p class="muted">{{.Cell.Workload}} on {{.Cell.Backend}}, {{.Cell.Workers}} workers; {{.Cell.PerTask}} of processor time a task, from {{.Cell.Tasks}} tasks.</p>
<p>{{with .Cell.Jaeger}}<a href="{{.}}">The traced trial in Jaeger</a> · {{end}}{{with .Cell.Against}}<a href="{{$.Base}}/diff/{{.}}/{{$c.ID}}/cpu/">CPU a task against {{.}}</a> · {{end}}<code>harness ledger {{.Dir}} --cell {{.Cell.ID}}</code></p>
<div class="scroll"><table>
<thead><tr><th>process</th><th>samples</th>{{template "kinds" .Kinds}}</tr></thead>
<tbody>{{range .Cell.Rows}}<tr><td>{{or .Process "all"}}</td><td>{{with index .Entries 0}}{{.Samples}}{{end}}</td>{{template "entries" ($c.Of . $.Base)}}</tr>
{{end}}</tbody></table></div>
<p>Divided by worker: {{range $i, $k := .Kinds}}{{if $i}} · {{end}}<a href="{{$.Base}}/cell/{{$c.ID}}/{{$k}}/by/worker/">{{$k}}</a>{{end}}{{if gt (len .Cell.Rows) 1}}; by process: {{range $i, $k := .Kinds}}{{if $i}} · {{end}}<a href="{{$.Base}}/cell/{{$c.ID}}/{{$k}}/by/process/">{{$k}}</a>{{end}}{{end}}.</p>
{{if .Cell.Spans}}<h2>Spans</h2>
<p class="muted">Those with the most CPU samples of the traced trial{{with .Cell.More}}; {{.}} more have some{{end}}. Fewer than {{.Least}} samples of a span say nothing about its code: its link leads to its ledger.</p>
<div class="scroll"><table>
<thead><tr><th>span</th><th>task</th><th>worker</th><th>process</th><th>samples</th><th>CPU</th><th>trace</th></tr></thead>
<tbody>{{range .Cell.Spans}}<tr><td><a href="{{$.Base}}/span/{{.ID}}/"><code>{{.ID}}</code></a></td><td>{{.Task}}</td><td>{{.Worker}}</td><td>{{.Process}}</td><td>{{.Samples}}</td><td>{{if .Enough}}{{.CPU}}{{else}}<span class="muted">too few</span>{{end}}</td><td><a href="{{.Jaeger}}">Jaeger</a></td></tr>
{{end}}</tbody></table></div>{{end}}
{{template "foot" .}}{{end}}

{{define "few"}}{{template "head" .Found.Name}}
<h1>{{.Found.Name}}</h1>
<p>{{.Says}}</p>
<p><a href="{{.Jaeger}}">The span in Jaeger</a> · <a href="{{$.Base}}/cell/{{.Found.Cell}}/">Its cell</a></p>
{{with .Ledger}}<pre>{{.}}</pre>{{end}}
{{template "foot" .}}{{end}}

{{define "wrong"}}{{template "head" "Not found"}}
<h1>Not found</h1>
<p>{{.Error}}</p>
{{template "foot" .}}{{end}}
`))
