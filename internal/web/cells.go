package web

import (
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/f3f4c0de/harness/internal/inspect"
	"github.com/f3f4c0de/harness/internal/profile"
	"github.com/f3f4c0de/harness/internal/results"
)

// A cell is a cell of the run as pages show it.
type cell struct {
	results.Cell
	URL     string
	Jaeger  string // of its traced trial
	PerTask string // processor time
	Tasks   int
	Against string // its baseline; empty if it is the baseline
	Rows    []row
}

// A row has the profiles of all processes of a cell together, or of one process.
type row struct {
	Process  string   // empty for all
	Samples  string   // of the CPU profile
	Profiles []*entry // in the order of inspect.Profiles; nil if there is none
}

// An entry is one profile.
type entry struct {
	URL            string
	Amount, Counts string
	Size           int64 // bytes
}

// A sampledSpan is a span of the traced trial that has CPU samples.
type sampledSpan struct {
	profile.SpanSamples
	CPU    time.Duration
	Enough bool
	Jaeger string
}

// mostSpans bounds how many spans the page of a cell shows.
const mostSpans = 25

// A cellPage is the page of a cell.
type cellPage struct {
	Cell  *cell
	Kinds []string
	Spans []sampledSpan
	More  int // spans that are not shown
	Least int // samples of a span from which its profile is shown
}

// cellURL is the path of the page of a cell.
func (p *profilePages) cellURL(id string) string { return p.Base + "/cell/" + url.PathEscape(id) + "/" }

// cells returns all cells that have profiles.
func (p *profilePages) cells() (all []*cell, err error) {
	for _, id := range p.Run.Profiled() {
		c, err := p.cell(id)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// cell returns a cell as pages show it.
func (p *profilePages) cell(id string) (*cell, error) {
	of, err := p.Run.ProfiledCell(id)
	if err != nil {
		return nil, err
	}
	c := &cell{Cell: of, URL: p.cellURL(id), Tasks: p.Run.Tasks(id), PerTask: "–"}
	if trace := p.Run.TraceID(id); trace != "" {
		c.Jaeger = p.jaeger.Trace(trace)
	}
	for _, other := range p.Run.Data.Run.Cells {
		if other.Workload == c.Workload && other.Baseline && other.ID != c.ID {
			c.Against = other.ID
		}
	}
	files, err := p.Run.Files(id)
	if err != nil {
		return nil, err
	}
	for _, f := range files { // the files of a process follow each other
		if n := len(c.Rows); n == 0 || c.Rows[n-1].Process != f.Process {
			c.Rows = append(c.Rows, row{Process: f.Process, Profiles: make([]*entry, len(inspect.Profiles))})
		}
		if err := c.add(&c.Rows[len(c.Rows)-1], f); err != nil {
			return nil, err
		}
	}
	if len(c.Rows) == 2 { // there is one process: its profiles are those of all
		c.Rows = c.Rows[:1]
	}
	return c, nil
}

// add adds a profile to a row of the cell.
func (c *cell) add(r *row, f inspect.File) error {
	v, err := f.Read()
	if err != nil {
		return err
	}
	n, of := v.Count()
	r.Profiles[slices.Index(inspect.Profiles, f.Kind)] = &entry{
		URL: c.URL + url.PathEscape(f.Name) + "/", Amount: v.Amount(), Counts: fmt.Sprint(n, " ", of), Size: f.Size,
	}
	if f.Kind == "cpu" {
		r.Samples = fmt.Sprint(n)
	}
	if f.Name == "cpu" && c.Tasks > 0 {
		c.PerTask = v.Each(c.Tasks).Amount()
	}
	return nil
}

// cellPage returns the page of a cell: its profiles, and the spans of its traced
// trial with the most samples.
func (p *profilePages) cellPage(id string) (*cellPage, error) {
	c, err := p.cell(id)
	if err != nil {
		return nil, err
	}
	spans, err := p.Run.SampledSpans(id)
	if err != nil {
		return nil, err
	}
	page := &cellPage{Cell: c, Kinds: inspect.Profiles, More: max(0, len(spans)-mostSpans), Least: results.MinSamples}
	for _, s := range spans[:len(spans)-page.More] {
		page.Spans = append(page.Spans, sampledSpan{
			SpanSamples: s, CPU: time.Duration(s.Samples) * profile.SamplePeriod,
			Enough: s.Samples >= results.MinSamples, Jaeger: p.jaeger.Span(s.TraceID, s.ID),
		})
	}
	return page, nil
}
