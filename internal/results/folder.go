package results

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// The files of a run's folder.
const (
	RunFile       = "run.json"
	TrialsFile    = "trials.ndjson"
	TimelinesFile = "lanes.ndjson"
	TracesFile    = "traces.jsonl" // OTLP, a TracesData per line
	ProfilesDir   = "profiles"     // a folder per cell
	// TracedCPUFile is the CPU profile of a cell's traced trial, whose samples
	// name the spans of the tasks.
	TracedCPUFile = "traced-cpu.pb.gz"
	LedgerFile    = "ledger.ndjson"
	LedgerDir     = "ledger"    // a file per cell, a line per task
	ExecDir       = "exectrace" // a folder per cell, a Go execution trace per process
	ChartsDir     = "charts"
	ResultsFile   = "results.json"
	HTMLFile      = "report.html"
	MDFile        = "report.md"
	BenchFile     = "bench.txt"
	CSVFile       = "results.csv"
	MetricsFile   = "metrics.txt" // OpenMetrics
)

// A Folder is the folder of a run that is being written. Its methods are safe
// for concurrent use. The caller must call Close.
type Folder struct {
	dir       string
	lock      *os.File
	mu        sync.Mutex
	trials    *os.File
	timelines *os.File
	ledger    *os.File
}

// Create makes the folder of a new run, which must not exist or be empty.
func Create(dir string, r *Run) (*Folder, error) {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return nil, fmt.Errorf("folder %s is not empty; name another, or continue the run in it with --resume", dir)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("making the run's folder: %w", err)
	}
	f, err := open(dir)
	if err != nil {
		return nil, err
	}
	if err := f.WriteRun(r); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Resume opens the folder of a run to continue it, and reads its records. It removes
// a last line that was not written completely. The caller must close the folder.
func Resume(dir string) (*Folder, *Data, error) {
	f, err := open(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, file := range []*os.File{f.trials, f.timelines, f.ledger} {
		if err := dropPartialLine(file); err != nil {
			return nil, nil, errors.Join(err, f.Close())
		}
	}
	d, err := Read(dir)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, d, nil
}

func open(dir string) (*Folder, error) {
	f := &Folder{dir: dir}
	var err error
	if f.lock, err = lock(dir); err != nil {
		return nil, fmt.Errorf("folder %s: %w", dir, err)
	}
	const flags = os.O_RDWR | os.O_CREATE | os.O_APPEND
	f.trials, err = os.OpenFile(filepath.Join(dir, TrialsFile), flags, 0o666)
	if err == nil {
		f.timelines, err = os.OpenFile(filepath.Join(dir, TimelinesFile), flags, 0o666)
	}
	if err == nil {
		f.ledger, err = os.OpenFile(filepath.Join(dir, LedgerFile), flags, 0o666)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Dir returns the folder's path.
func (f *Folder) Dir() string { return f.dir }

// WriteRun replaces run.json.
func (f *Folder) WriteRun(r *Run) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", RunFile, err)
	}
	return WriteFile(filepath.Join(f.dir, RunFile), append(b, '\n'))
}

// AddTrial appends a trial. When it returns, the trial is on the disk.
func (f *Folder) AddTrial(t *Trial) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := appendLine(f.trials, t); err != nil {
		return err
	}
	return f.trials.Sync()
}

// AddTimeline appends the timeline of a traced trial.
func (f *Folder) AddTimeline(l *Timeline) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return appendLine(f.timelines, l)
}

// AddLedger appends a cell's ledger, and writes the ledgers of its tasks.
func (f *Folder) AddLedger(l *Ledger, tasks []LedgerTask) (err error) {
	if err := os.MkdirAll(filepath.Join(f.dir, LedgerDir), 0o777); err != nil {
		return fmt.Errorf("making the folder for ledgers: %w", err)
	}
	out, err := os.Create(filepath.Join(f.dir, LedgerDir, l.Cell+".ndjson"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	w := bufio.NewWriter(out)
	enc := json.NewEncoder(w)
	for i := range tasks {
		if err := enc.Encode(&tasks[i]); err != nil {
			return fmt.Errorf("writing the ledger of %s: %w", l.Cell, err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing the ledger of %s: %w", l.Cell, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return appendLine(f.ledger, l)
}

// Close closes the files and releases the folder. Closing twice is harmless.
func (f *Folder) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for _, file := range []**os.File{&f.trials, &f.timelines, &f.ledger, &f.lock} {
		if *file != nil {
			errs = append(errs, (*file).Close())
			*file = nil
		}
	}
	return errors.Join(errs...)
}

func appendLine(f *os.File, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding a line of %s: %w", filepath.Base(f.Name()), err)
	}
	if _, err := f.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("recording: %w", err)
	}
	return nil
}

// dropPartialLine removes what follows the last newline.
func dropPartialLine(f *os.File) error {
	b, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	if whole := bytes.LastIndexByte(b, '\n') + 1; whole < len(b) {
		return f.Truncate(int64(whole))
	}
	return nil
}

// WriteFile replaces the file at path atomically: at every moment it holds either
// its earlier content or all of b.
func WriteFile(path string, b []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(b)
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}

// Data are all records of a run.
type Data struct {
	Run       Run
	Trials    []Trial
	Timelines []Timeline
	Ledger    []Ledger
}

// ReadRun reads the run.json of a run's folder.
func ReadRun(dir string) (*Run, error) {
	b, err := os.ReadFile(filepath.Join(dir, RunFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not the folder of a run: it has no %s", dir, RunFile)
	}
	if err != nil {
		return nil, err
	}
	r := &Run{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, RunFile), err)
	}
	if r.Schema != Schema {
		return nil, fmt.Errorf("%s has schema %d; this program reads schema %d", filepath.Join(dir, RunFile), r.Schema, Schema)
	}
	return r, nil
}

// Read reads the records in a run's folder.
func Read(dir string) (*Data, error) {
	run, err := ReadRun(dir)
	if err != nil {
		return nil, err
	}
	d := &Data{Run: *run}
	if d.Trials, err = readLines[Trial](filepath.Join(dir, TrialsFile)); err != nil {
		return nil, err
	}
	if d.Timelines, err = readLines[Timeline](filepath.Join(dir, TimelinesFile)); err != nil {
		return nil, err
	}
	all, err := readLines[Ledger](filepath.Join(dir, LedgerFile))
	for _, l := range all { // a resumed run may have made one again
		d.Ledger = append(slices.DeleteFunc(d.Ledger, func(old Ledger) bool { return old.Cell == l.Cell }), l)
	}
	return d, err
}

// readLines decodes a file of one JSON value per line. A last line without its
// newline was being written when the run ended, and is left out.
func readLines[T any](path string) ([]T, error) {
	return readLinesWith[T](path, func([]byte) bool { return true })
}

// readLinesWith decodes the lines for which wanted returns true.
func readLinesWith[T any](path string, wanted func(line []byte) bool) ([]T, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []T
	r := bufio.NewReader(f)
	for n := 1; ; n++ {
		line, err := r.ReadBytes('\n')
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
		if !wanted(line) {
			continue
		}
		var v T
		if err := json.Unmarshal(line, &v); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", path, n, err)
		}
		all = append(all, v)
	}
}

// Latest returns the trials in the order of their records, without those that were
// made again later. A run that is resumed repeats the trials that failed.
func (d *Data) Latest() []Trial {
	type key struct {
		cell      string
		kind      Kind
		round     int
		replicate bool
		observer  string
	}
	keyOf := func(t Trial) key { return key{t.Cell, t.Kind, t.Round, t.Replicate, t.Observer} }
	last := make(map[key]int)
	for i, t := range d.Trials {
		last[keyOf(t)] = i
	}
	var latest []Trial
	for i, t := range d.Trials {
		if last[keyOf(t)] == i {
			latest = append(latest, t)
		}
	}
	return latest
}
