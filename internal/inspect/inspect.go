// Package inspect looks things up in the records of a run: the profiles of a cell,
// the samples of a span, the ledger of a task. Commands print what it returns, and
// pages show it.
//
// There are two kinds of errors. A [ReadError] means that a file cannot be read; any
// other error means that the run does not have what was asked for.
package inspect

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/f3f4c0de/harness/internal/profile"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/trace"
)

// A Run has the records of a run, and the folder that they are from. Its methods do
// not change it, and are safe for concurrent use.
type Run struct {
	Dir  string
	Data *results.Data
}

// Open reads the records of the run in a folder.
func Open(dir string) (*Run, error) {
	data, err := results.Read(dir)
	if err != nil {
		return nil, err
	}
	return &Run{dir, data}, nil
}

// A ReadError is the failure to read a file of the run.
type ReadError struct{ Err error }

func (e *ReadError) Error() string { return e.Err.Error() }

// Unwrap returns the error of the file system or of the decoder.
func (e *ReadError) Unwrap() error { return e.Err }

// Ledger returns the ledger of a cell.
func (r *Run) Ledger(cell string) (*results.Ledger, error) {
	var cells []string
	for i, l := range r.Data.Ledger {
		if l.Cell == cell {
			return &r.Data.Ledger[i], nil
		}
		cells = append(cells, l.Cell)
	}
	return nil, fmt.Errorf("the run has no ledger of %q; it has those of %s", cell, strings.Join(cells, ", "))
}

// Task returns the ledger of a task, by its number in its cell, from 1.
func (r *Run) Task(cell string, number uint64) (*results.LedgerTask, error) {
	if _, err := r.Ledger(cell); err != nil {
		return nil, err
	}
	tasks, err := results.ReadLedger(r.Dir, cell)
	if err != nil {
		return nil, &ReadError{err}
	}
	i := slices.IndexFunc(tasks, func(t results.LedgerTask) bool { return t.Number == number })
	if i < 0 {
		return nil, fmt.Errorf("%s has no task %d; they are numbered from 1 to %d", cell, number, len(tasks))
	}
	return &tasks[i], nil
}

// TraceID returns the id of the trace of a cell's traced trial, or "".
func (r *Run) TraceID(cell string) string {
	for _, t := range r.Data.Latest() {
		if t.Cell == cell && t.TraceID != "" {
			return t.TraceID
		}
	}
	return ""
}

// FindSpan finds a span of the run in a folder by its id, or by the beginning of its
// id.
func FindSpan(dir, id string) (*trace.Found, error) {
	return trace.Find(dir, id)
}

// MoreAbout returns the command that shows the ledger of a span.
func (r *Run) MoreAbout(span *trace.Found) string {
	switch {
	case span.Task != 0:
		return fmt.Sprintf("harness ledger %s --cell %s --task %d", r.Dir, span.Cell, span.Task)
	case span.Cell != "":
		return fmt.Sprintf("harness ledger %s --cell %s", r.Dir, span.Cell)
	}
	return "harness ledger " + r.Dir
}

// TooFew returns the message that n samples are too few to know what a span spent
// its processor time on.
func (r *Run) TooFew(span *trace.Found, n int64) string {
	return fmt.Sprintf("%s (span %s) has %d CPU samples; fewer than %d say nothing. See: %s", span.Name, span.ID, n, results.MinSamples, r.MoreAbout(span))
}

// extension is the extension of profile files.
const extension = ".pb.gz"

// Profiles are the names of a cell's profiles of all its processes together: one of
// each kind, and the CPU profile of the traced trial, whose samples name spans.
var Profiles = append(slices.Clone(profile.Kinds), tracedCPU)

var tracedCPU = strings.TrimSuffix(results.TracedCPUFile, extension)

// Profiled returns the cells that have profiles, in the order of the run.
func (r *Run) Profiled() (cells []string) {
	for _, c := range r.Data.Run.Cells {
		if _, err := os.Stat(r.path(c.ID, "cpu")); err == nil {
			cells = append(cells, c.ID)
		}
	}
	return cells
}

// ProfiledCell returns a cell that has profiles.
func (r *Run) ProfiledCell(id string) (results.Cell, error) {
	cells := r.Profiled()
	if !slices.Contains(cells, id) {
		return results.Cell{}, fmt.Errorf("there are no profiles of cell %q; there are those of %s", id, strings.Join(cells, ", "))
	}
	i := slices.IndexFunc(r.Data.Run.Cells, func(c results.Cell) bool { return c.ID == id })
	return r.Data.Run.Cells[i], nil
}

// path returns the path of a profile of a cell. name is a kind, or for one process a
// kind with its name: "cpu.worker-0".
func (r *Run) path(cell, name string) string {
	return filepath.Join(r.Dir, results.ProfilesDir, cell, name+extension)
}

// A File is a profile of a cell.
type File struct {
	Name    string // "cpu.worker-0"
	Kind    string // one of [Profiles]
	Process string // empty for all of them together
	Size    int64  // bytes

	path string
}

// Read reads the profile.
func (f File) Read() (*profile.View, error) { return read(f.path) }

// Files returns the profiles of a cell: those of all its processes first, then
// those of the trial, then those of its workers by number.
func (r *Run) Files(cell string) (files []File, err error) {
	if _, err := r.ProfiledCell(cell); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(filepath.Join(r.Dir, results.ProfilesDir, cell))
	if err != nil {
		return nil, &ReadError{err}
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), extension)
		kind, process, _ := strings.Cut(name, ".")
		if !ok || !slices.Contains(Profiles, kind) {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, &ReadError{err}
		}
		files = append(files, File{Name: name, Kind: kind, Process: process, Size: info.Size(), path: r.path(cell, name)})
	}
	slices.SortStableFunc(files, func(a, b File) int { return byProcess(a.Process, b.Process) })
	return files, nil
}

// byProcess orders the names of processes: empty for all together, then the trial,
// then its workers by number.
func byProcess(a, b string) int {
	if len(a) != len(b) && a != "trial" && b != "trial" {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// Profile reads a profile of a cell by its name: "cpu" is that of all its processes
// together, "cpu.worker-0" that of one.
func (r *Run) Profile(cell, name string) (*profile.View, error) {
	files, err := r.Files(cell)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range files {
		if f.Name == name {
			return f.Read()
		}
		names = append(names, f.Name)
	}
	return nil, fmt.Errorf("%s has no profile %q; it has %s", cell, name, strings.Join(names, ", "))
}

func read(path string) (*profile.View, error) {
	v, err := profile.Read(path)
	if err != nil {
		return nil, &ReadError{err}
	}
	return v, nil
}

// profiledTrial returns the trial that the profiles of a cell are from; nil if it
// failed.
func (r *Run) profiledTrial(cell string) *results.Trial {
	for _, t := range r.Data.Latest() {
		if t.Cell == cell && t.Kind == results.Profiled && t.OK() {
			return &t
		}
	}
	return nil
}

// Tasks returns how many tasks ran while a cell's profiles were made; 0 if that is
// not known.
func (r *Run) Tasks(cell string) int {
	if t := r.profiledTrial(cell); t != nil {
		return t.Tasks * max(1, t.Repeats)
	}
	return 0
}

// Collector says how much of a cell's processor time the garbage collector took. It
// returns "" if there are too few samples.
func (r *Run) Collector(cell string) string {
	t := r.profiledTrial(cell)
	if t == nil || t.CPUSamples < results.MinSamples {
		return ""
	}
	return fmt.Sprintf("In the garbage collector: %d of %d CPU samples, %.0f %% of the processor time", t.GCSamples, t.CPUSamples, 100*float64(t.GCSamples)/float64(t.CPUSamples))
}

// EachTask returns the profile of a cell of that kind, divided by the number of
// tasks that ran.
func (r *Run) EachTask(cell, kind string) (*profile.View, error) {
	if !slices.Contains(profile.Kinds, kind) {
		return nil, fmt.Errorf("there are no profiles of kind %q; want one of %s", kind, strings.Join(profile.Kinds, ", "))
	}
	v, err := r.Profile(cell, kind)
	if err != nil {
		return nil, err
	}
	n := r.Tasks(cell)
	if n == 0 {
		return nil, fmt.Errorf("the profiled trial of %s failed", cell)
	}
	return v.Each(n), nil
}

// Span returns the CPU samples of a span and of the spans below it: from the traced
// trial, or from the profiled trial if the span is that of a cell.
func (r *Run) Span(id string) (*profile.View, *trace.Found, error) {
	found, err := FindSpan(r.Dir, id)
	if err != nil {
		return nil, nil, err
	}
	if found.Cell == "" {
		return nil, nil, fmt.Errorf("%s (%s) is of no cell, so it has no profile; name one of a cell, a trial or a task", found.ID, found.Name)
	}
	if _, err := r.ProfiledCell(found.Cell); err != nil { // the file of spans may name any cell
		return nil, nil, err
	}
	var v *profile.View
	for _, name := range []string{tracedCPU, "cpu"} {
		all, err := read(r.path(found.Cell, name))
		if err != nil {
			return nil, nil, err
		}
		if v = all.OfSpans(found.Below); v.Samples() > 0 {
			break
		}
	}
	return v, found, nil
}

// SampledSpans returns the spans of a cell's traced trial that have CPU samples, in
// descending order of samples; none if there is no traced trial.
func (r *Run) SampledSpans(cell string) ([]profile.SpanSamples, error) {
	v, err := read(r.path(cell, tracedCPU))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return v.Spans(), nil
}
