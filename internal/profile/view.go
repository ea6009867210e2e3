package profile

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"html"
	"io"
	"maps"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/pprof/driver"
	"github.com/google/pprof/profile"
)

// A View is a profile that is looked at. It is not changed by its methods.
type View struct{ p *profile.Profile }

// Read reads a profile from a file.
func Read(path string) (*View, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p, err := profile.Parse(f)
	if err != nil {
		return nil, fmt.Errorf("reading the profile %s: %w", path, err)
	}
	return &View{p}, nil
}

// value is the index of the sample value that is shown.
func (v *View) value() int {
	for i, t := range v.p.SampleType {
		if t.Type == v.p.DefaultSampleType {
			return i
		}
	}
	return len(v.p.SampleType) - 1
}

// Unit is that of [View.Total].
func (v *View) Unit() string { return v.p.SampleType[v.value()].Unit }

// Amount is the total with its unit, for people.
func (v *View) Amount() string { return amount(v.Total(), v.Unit()) }

// amount writes a value of a profile for people.
func amount(n int64, unit string) string {
	switch unit {
	case "nanoseconds":
		return time.Duration(n).Round(precision(time.Duration(n))).String()
	case "bytes":
		return byteSize(n)
	case "count":
		return fmt.Sprint(n)
	}
	return fmt.Sprint(n, " ", unit)
}

// precision is what three digits of a duration are rounded to, or a little more.
func precision(d time.Duration) (unit time.Duration) {
	for unit = 1; d.Abs() >= 10_000*unit; unit *= 10 {
	}
	return unit
}

func byteSize(n int64) string {
	v, unit := float64(n), 0
	for ; math.Abs(v) >= 1024 && unit < 3; unit++ {
		v /= 1024
	}
	if unit == 0 {
		return fmt.Sprint(n, " B")
	}
	return fmt.Sprintf("%.3g %s", v, []string{"", "KiB", "MiB", "GiB"}[unit])
}

// Count adds up what was counted of each stack, and says what that is: samples,
// contentions, objects that were allocated.
func (v *View) Count() (n int64, of string) {
	return v.Samples(), strings.ReplaceAll(v.p.SampleType[0].Type, "_", " ")
}

// Total adds up the values that are shown.
func (v *View) Total() (sum int64) {
	for _, s := range v.p.Sample {
		sum += s.Value[v.value()]
	}
	return sum
}

// Samples counts the samples of a CPU profile, and of another kind what
// [View.Count] says.
func (v *View) Samples() (n int64) {
	for _, s := range v.p.Sample {
		n += s.Value[0]
	}
	return n
}

// GCSamples counts the samples in which the garbage collector was at work.
func (v *View) GCSamples() (n int64) {
	for _, s := range v.p.Sample {
		if slices.ContainsFunc(s.Location, collectorAt) {
			n += s.Value[0]
		}
	}
	return n
}

func collectorAt(l *profile.Location) bool {
	return slices.ContainsFunc(l.Line, func(l profile.Line) bool { return collects.Has(l.Function.Name) })
}

// A Place is one in a program and how much of a profile's values is from there.
type Place struct {
	Where string   // function, file and line
	Stack []string // of the largest sample, innermost first
	Value int64
}

// Largest returns the place in the program's own code that most of the values
// that are shown are from; that of a profile without any is zero.
func (v *View) Largest() (largest Place) {
	places := make(map[string]*Place)
	most := make(map[string]int64)
	value := v.value()
	for _, s := range v.p.Sample {
		where := ""
		var stack []string
		for _, l := range s.Location {
			for _, line := range l.Line {
				at := fmt.Sprintf("%s (%s:%d)", shapes.ReplaceAllLiteralString(line.Function.Name, "[...]"), filepath.Base(line.Function.Filename), line.Line)
				if len(stack) < maxStack {
					stack = append(stack, at)
				}
				if where == "" && Own(line.Function.Name) {
					where = at
				}
			}
		}
		if where == "" {
			continue
		}
		p := places[where]
		if p == nil {
			p = &Place{Where: where}
			places[where] = p
		}
		p.Value += s.Value[value]
		if s.Value[value] > most[where] {
			most[where], p.Stack = s.Value[value], stack
		}
		if p.Value > largest.Value || p.Value == largest.Value && where < largest.Where {
			largest = *p
		}
	}
	return largest
}

const maxStack = 8

// shapes are the type arguments in the name of a generic function.
var shapes = regexp.MustCompile(`\[.*\]`)

// OfSpans returns the part of the profile that belongs to these spans.
func (v *View) OfSpans(ids map[string]bool) *View {
	p := v.p.Copy()
	p.Sample = slices.DeleteFunc(p.Sample, func(s *profile.Sample) bool {
		return !slices.ContainsFunc(s.Label[labelSpanID], func(id string) bool { return ids[id] })
	})
	return &View{p.Compact()}
}

// A SpanSamples says how many samples of a CPU profile belong to a span itself,
// without those below it.
type SpanSamples struct {
	ID, TraceID           string
	Task, Worker, Process string
	Samples               int64
}

// Spans returns the spans that samples of the profile belong to, those with the
// most of them first.
func (v *View) Spans() []SpanSamples {
	byID := make(map[string]SpanSamples)
	for _, s := range v.p.Sample {
		label := func(key string) string { return strings.Join(s.Label[key], ", ") }
		id := label(labelSpanID)
		if id == "" {
			continue
		}
		n := byID[id].Samples + s.Value[0]
		byID[id] = SpanSamples{id, label(labelTraceID), label(labelTask), label(labelWorker), label(labelProcess), n}
	}
	return slices.SortedFunc(maps.Values(byID), func(a, b SpanSamples) int {
		return cmp.Or(cmp.Compare(b.Samples, a.Samples), cmp.Compare(a.ID, b.ID))
	})
}

// By returns the profile with each stack below a function that is named for the
// value of a label: a flame graph of it is divided by the label.
func (v *View) By(label string) *View {
	p := v.p.Copy()
	var lastFunction, lastLocation uint64
	for _, f := range p.Function {
		lastFunction = max(lastFunction, f.ID)
	}
	for _, l := range p.Location {
		lastLocation = max(lastLocation, l.ID)
	}
	roots := make(map[string]*profile.Location)
	for _, s := range p.Sample {
		name := label + " " + strings.Join(s.Label[label], ", ")
		root := roots[name]
		if root == nil {
			lastFunction++
			lastLocation++
			f := &profile.Function{ID: lastFunction, Name: name}
			root = &profile.Location{ID: lastLocation, Line: []profile.Line{{Function: f}}}
			p.Function, p.Location = append(p.Function, f), append(p.Location, root)
			roots[name] = root
		}
		s.Location = append(slices.Clip(s.Location), root)
	}
	return &View{p}
}

// Each returns the profile divided by n, the number of tasks, to be compared
// with that of another backend: it has no labels, and the stacks of tasks begin
// where a backend calls the task.
func (v *View) Each(n int) *View {
	p := v.p.Copy()
	for _, s := range p.Sample {
		s.Label, s.NumLabel, s.NumUnit = nil, nil, nil
		if i := slices.IndexFunc(s.Location, runsTask); i >= 0 {
			s.Location = s.Location[:i+1]
		}
	}
	p.Scale(1 / float64(max(1, n)))
	return &View{p}
}

func runsTask(l *profile.Location) bool {
	return slices.ContainsFunc(l.Line, func(l profile.Line) bool { return CallsTask.Has(l.Function.Name) })
}

// Minus returns what v has more than base, stack by stack.
func (v *View) Minus(base *View) (*View, error) {
	minus := base.p.Copy()
	minus.Scale(-1)
	p, err := profile.Merge([]*profile.Profile{v.p, minus})
	if err != nil {
		return nil, fmt.Errorf("comparing two profiles: %w", err)
	}
	p.DurationNanos = v.p.DurationNanos
	return &View{p}, nil
}

// Top writes the functions with the largest values, as pprof does, or the lines.
func (v *View) Top(w io.Writer, n int, lines bool) error {
	args := []string{"-top", "-symbolize=none", "-output=w", fmt.Sprint("-nodecount=", n)}
	if lines {
		args = append(args, "-lines")
	}
	return v.pprof(args, w, nil)
}

// A Link leads from pprof's pages to another page.
type Link struct{ Text, URL string }

// Handler returns pprof's own pages for the profile, to be served without a
// prefix, with links at the top. What would write the user's configuration or
// read files that the profile names is left out.
func (v *View) Handler(links ...Link) (http.Handler, error) {
	var menu strings.Builder
	for _, l := range links {
		fmt.Fprintf(&menu, `<div class="menu-item"><div class="menu-name"><a href="%s" style="white-space:nowrap">%s</a></div></div>`,
			html.EscapeString(l.URL), html.EscapeString(l.Text))
	}
	mux := http.NewServeMux()
	err := v.pprof([]string{"-http=localhost:0", "-no_browser", "-symbolize=none"}, io.Discard, func(args *driver.HTTPServerArgs) error {
		for path, h := range args.Handlers {
			switch path {
			case "/saveconfig", "/deleteconfig", "/source", "/disasm":
			case "/":
				mux.Handle("/{$}", h) // leads to the flame graph
			default:
				mux.Handle(path, oneAtATime(h, menu.String()))
			}
		}
		return nil
	})
	return mux, err
}

// menuBegins is where the menu of each of pprof's pages does.
const menuBegins = `<div id="view" class="menu-item">`

// pages keeps two requests from using pprof's global state at once.
var pages sync.Mutex

// oneAtATime serves h with more in the menus of its pages.
func oneAtATime(h http.Handler, menu string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reply := reply{header: w.Header()}
		pages.Lock()
		h.ServeHTTP(&reply, r)
		pages.Unlock()
		w.WriteHeader(cmp.Or(reply.code, http.StatusOK))
		_, _ = io.WriteString(w, strings.Replace(reply.String(), menuBegins, menu+menuBegins, 1)) // the reader may have gone
	})
}

// A reply is what a handler answers, while it is still being made.
type reply struct {
	strings.Builder
	header http.Header
	code   int
}

func (r *reply) Header() http.Header  { return r.header }
func (r *reply) WriteHeader(code int) { r.code = cmp.Or(r.code, code) }

// pprof runs the pprof tool on the profile.
func (v *View) pprof(args []string, w io.Writer, serve func(*driver.HTTPServerArgs) error) error {
	pages.Lock()
	defer pages.Unlock()
	f := &arguments{FlagSet: flag.NewFlagSet("pprof", flag.ContinueOnError), args: append(args, "profile")}
	f.SetOutput(io.Discard)
	ui := &silent{}
	err := driver.PProf(&driver.Options{Flagset: f, Fetch: v, Obj: noFiles{}, UI: ui, Writer: writer{w}, HTTPServer: serve})
	if err != nil {
		return fmt.Errorf("pprof: %w", errors.Join(append(ui.errs, err)...))
	}
	return nil
}

// Fetch implements [driver.Fetcher].
func (v *View) Fetch(string, time.Duration, time.Duration) (*profile.Profile, string, error) {
	return v.p.Copy(), "", nil // a name would have pprof keep a copy in the home directory
}

// writer implements [driver.Writer].
type writer struct{ io.Writer }

func (w writer) Open(string) (io.WriteCloser, error) { return w, nil }
func (writer) Close() error                          { return nil }

// arguments implements [driver.FlagSet].
type arguments struct {
	*flag.FlagSet
	args []string
}

func (a *arguments) StringList(name, def, usage string) *[]*string {
	return &[]*string{a.String(name, def, usage)}
}
func (a *arguments) ExtraUsage() string   { return "" }
func (a *arguments) AddExtraUsage(string) {}
func (a *arguments) Parse(usage func()) []string {
	a.Usage = usage
	if err := a.FlagSet.Parse(a.args); err != nil {
		return nil
	}
	return a.Args()
}

// silent implements [driver.UI] and keeps the errors.
type silent struct{ errs []error }

func (*silent) ReadLine(string) (string, error) { return "", io.EOF }
func (*silent) Print(...any)                    {}
func (s *silent) PrintErr(args ...any)          { s.errs = append(s.errs, errors.New(fmt.Sprint(args...))) }
func (*silent) IsTerminal() bool                { return false }
func (*silent) WantBrowser() bool               { return false }

func (*silent) SetAutoComplete(func(string) string) {}
