// Package plan is what a run makes of a spec: cells, rounds, their order from a
// seed, and what fits into a time budget.
package plan

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/internal/experiment/spec"
	"github.com/f3f4c0de/harness/internal/results"
)

// A Plan is what a run will do, step by step. The same run has the same plan,
// which is how an interrupted one is continued.
type Plan struct {
	Run results.Run

	// Steps are those of a run that nothing disturbs. Rounds are added in the
	// place of those that were, or until the figures are precise.
	Steps []Step

	programs map[string]spec.Program // by label
	backends map[string]*harness.Backend
	cells    map[string]results.Cell
}

// A Step is one trial to be made.
type Step struct {
	Cell  string
	Kind  results.Kind
	Round int
	Copy  bool // the second trial of the baseline in its round
	Order int

	// Observer is what watches a trial of kind Cost, if anything does.
	Observer string
}

// New plans an experiment.
func New(wanted spec.Spec) (*Plan, error) {
	now := time.Now()
	version, err := thisVersion()
	if err != nil {
		return nil, err
	}
	p := &Plan{Run: results.Run{
		Schema:    results.Schema,
		ID:        fmt.Sprintf("%s-%04x", now.UTC().Format("20060102-150405"), rand.Uint32N(1<<16)),
		Started:   now.UTC().Truncate(time.Millisecond),
		Status:    results.Running,
		Version:   version,
		Machine:   thisMachine(),
		Preset:    wanted.Preset,
		Seed:      *wanted.Seed,
		Rounds:    wanted.Rounds,
		MaxRounds: wanted.MaxRounds,
		Precision: wanted.Precision,
		BudgetNS:  int64(wanted.Budget),
		TrialNS:   int64(wanted.Trial),
		ProfileNS: int64(wanted.Profile),
		TimeoutNS: int64(wanted.Timeout),

		AskedRounds: wanted.AskedRounds,
		Environment: environment(),
		Builds:      wanted.Builds,
	}}
	for _, b := range wanted.Backends {
		p.Run.Backends = append(p.Run.Backends, results.BackendInfo{
			Name: b.Name, Doc: spec.FirstLine(b.Doc), Shared: b.Shared, Serial: b.Serial, GOMAXPROCS: b.GOMAXPROCS,
		})
	}
	if len(wanted.Builds) > 0 {
		if err := p.compareBuilds(wanted); err != nil {
			return nil, err
		}
		return p, nil
	}
	for _, prog := range wanted.Programs {
		if err := p.addWorkload(prog); err != nil {
			return nil, err
		}
		for _, b := range wanted.Backends {
			if c := spec.CellOf(prog, b, wanted.Cores); wanted.Runs(c) {
				p.Run.Cells = append(p.Run.Cells, c)
			}
		}
	}
	if *wanted.ObserverRounds > 0 && len(wanted.Observers) > 0 {
		p.Run.ObserverRounds, p.Run.Observers = *wanted.ObserverRounds, wanted.Observers
	}
	p.index(wanted.Programs, wanted.Backends)
	p.budget()
	return p, nil
}

func (p *Plan) addWorkload(prog spec.Program) error {
	params, err := spec.EncodeParams(prog.Params)
	if err != nil {
		return fmt.Errorf("parameters of %s: %w", prog.Label, err)
	}
	p.Run.Workloads = append(p.Run.Workloads, results.WorkloadInfo{
		Name: prog.Workload.Name, Label: prog.Label, Doc: spec.FirstLine(prog.Workload.Doc), Params: params, Axis: prog.Axis,
	})
	return nil
}

// compareBuilds plans a comparison of programs: every workload on every backend
// becomes a workload of its own, with a cell for each build.
func (p *Plan) compareBuilds(wanted spec.Spec) error {
	var programs []spec.Program
	for _, prog := range wanted.Programs {
		for _, b := range wanted.Backends {
			one := prog
			one.Label = prog.Label + "_" + b.Name
			cell := spec.CellOf(prog, b, wanted.Cores)
			if cell.NotApplicable != "" {
				continue
			}
			programs = append(programs, one)
			if err := p.addWorkload(one); err != nil {
				return err
			}
			for i, build := range wanted.Builds {
				c := cell
				c.ID = fmt.Sprintf("%s-%s-w%d", one.Label, build.Name, c.Workers)
				c.Workload, c.Build, c.Baseline = one.Label, build.Name, i == 0
				p.Run.Cells = append(p.Run.Cells, c)
			}
		}
	}
	p.index(programs, wanted.Backends)
	p.budget()
	return nil
}

// NewBuild describes the program in a file.
func NewBuild(name, path string) (results.Build, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return results.Build{}, err
	}
	sum, err := hashFile(path)
	b := results.Build{Name: name, Path: path, Executable: sum}
	if info, err := buildinfo.ReadFile(path); err == nil { // else it is no Go program, or stripped
		b.Settings = map[string]string{"go": info.GoVersion}
		for _, s := range info.Settings {
			b.Settings[s.Key] = s.Value
		}
	}
	return b, err
}

// sameBuild checks that a build of a run is what it was.
func sameBuild(was results.Build) error {
	now, err := NewBuild(was.Name, was.Path)
	if err != nil {
		return fmt.Errorf("build %s, is gone; start a new run: %w", was, err)
	}
	if now.Executable == was.Executable {
		return nil
	}
	var differ []string
	for _, key := range slices.Sorted(maps.Keys(union(was.Settings, now.Settings))) {
		if a, b := was.Settings[key], now.Settings[key]; a != b {
			differ = append(differ, fmt.Sprintf("%s was %q and is %q", key, a, b))
		}
	}
	if differ == nil {
		differ = []string{"the settings that it tells are the same, which -ldflags are not among"}
	}
	return fmt.Errorf("build %s, is not what it was: it is %s now (%s); trials of two builds cannot be put together: start a new run", was, now.Executable, strings.Join(differ, ", "))
}

func union(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	if all == nil {
		all = make(map[string]string)
	}
	maps.Copy(all, b)
	return all
}

// Resume is the plan of a run that was recorded. It fails if this program
// or machine is not the one that began it: their trials could not be compared.
func Resume(run results.Run, kinds spec.Kinds) (*Plan, error) {
	version, err := thisVersion()
	if err != nil {
		return nil, err
	}
	if version.Executable != run.Version.Executable {
		return nil, fmt.Errorf("the run was begun by another build of this program (%s, this is %s); trials of two builds cannot be compared: start a new run", run.Version.Executable, version.Executable)
	}
	if m := thisMachine(); m != run.Machine {
		return nil, fmt.Errorf("the run was begun on another machine (%+v, this is %+v); start a new run", run.Machine, m)
	}
	for _, b := range run.Builds {
		if err := sameBuild(b); err != nil {
			return nil, err
		}
	}
	p := &Plan{Run: run}
	var programs []spec.Program
	for _, info := range run.Workloads {
		w, err := kinds.Workload(info.Name)
		if err != nil {
			return nil, err
		}
		params, err := spec.DecodeParams(w, info.Params)
		if err != nil {
			return nil, err
		}
		programs = append(programs, spec.Program{Workload: w, Label: info.Label, Params: params})
	}
	var backends []*harness.Backend
	for _, info := range run.Backends {
		b, err := kinds.Backend(info.Name)
		if err != nil {
			return nil, err
		}
		backends = append(backends, b)
	}
	p.index(programs, backends)
	p.budget()
	return p, nil
}

// Cell returns the cell with that id, its program and its backend.
func (p *Plan) Cell(id string) (results.Cell, spec.Program, *harness.Backend) {
	c := p.cells[id]
	return c, p.programs[c.Workload], p.backends[c.Backend]
}

func (p *Plan) index(programs []spec.Program, backends []*harness.Backend) {
	p.programs = make(map[string]spec.Program)
	for _, prog := range programs {
		p.programs[prog.Label] = prog
	}
	p.backends = make(map[string]*harness.Backend)
	for _, b := range backends {
		p.backends[b.Name] = b
	}
	p.cells = make(map[string]results.Cell)
	for _, c := range p.Run.Cells {
		p.cells[c.ID] = c
	}
}

// steps lays out the trials as they are made if nothing has to be made again:
// first a pilot of each workload, whose output the others must equal, then the
// rounds, then those by which the cost of observing is measured, last the
// evidence.
func (p *Plan) steps(rounds int) []Step {
	all := p.Pilots()
	for round := range rounds {
		all = append(all, p.Round(round, func(string) bool { return true })...)
	}
	return slices.Concat(all, p.AllCosts(), p.Evidence())
}

// Applicable returns the cells that are run.
func (p *Plan) Applicable(workload string) []results.Cell {
	return slices.DeleteFunc(slices.Clone(p.Run.Cells), func(c results.Cell) bool {
		return c.NotApplicable != "" || workload != "" && c.Workload != workload
	})
}

// Pilots are the first trials: one of each workload, on the baseline.
func (p *Plan) Pilots() (steps []Step) {
	for _, c := range p.Applicable("") {
		if c.Baseline {
			steps = append(steps, Step{Cell: c.ID, Kind: results.Pilot})
		}
	}
	return steps
}

// Round is one round of those workloads. It runs every cell of a workload once
// and the baseline twice, the workloads in random order and the cells of a
// workload one after the other in random order, so that what is compared is
// close in time. Before comes a look at how much runs at once.
func (p *Plan) Round(round int, of func(workload string) bool) []Step {
	steps := []Step{{Kind: results.Probe, Round: round}}
	rng := rand.New(rand.NewPCG(p.Run.Seed, uint64(round)))
	order := 0
	for _, w := range rng.Perm(len(p.Run.Workloads)) {
		label := p.Run.Workloads[w].Label
		var block []Step
		for _, c := range p.Applicable(label) {
			block = append(block, Step{Cell: c.ID, Kind: results.Timed, Round: round})
			if c.Baseline {
				block = append(block, Step{Cell: c.ID, Kind: results.Timed, Round: round, Copy: true})
			}
		}
		for _, i := range rng.Perm(len(block)) {
			if !of(label) {
				continue // the others stay in their order
			}
			s := block[i]
			s.Order = order
			order++
			steps = append(steps, s)
		}
	}
	return steps
}

// AllCosts are the rounds by which the cost of observing is measured.
func (p *Plan) AllCosts() (steps []Step) {
	for round := range p.Run.ObserverRounds {
		steps = append(steps, p.Costs(round, func(string) bool { return true })...)
	}
	return steps
}

// Costs is one round by which the cost of observing those cells is measured:
// every cell of the first workload with each observer and with none, one after
// the other in random order, the cells in random order too.
func (p *Plan) Costs(round int, of func(cell string) bool) (steps []Step) {
	rng := rand.New(rand.NewPCG(p.Run.Seed, 1<<32+uint64(round)))
	cells := p.Applicable(p.Run.Workloads[0].Label)
	for _, c := range rng.Perm(len(cells)) {
		arms := rng.Perm(1 + len(p.Run.Observers))
		if !of(cells[c].ID) {
			continue // the others stay in their order
		}
		for _, i := range arms {
			s := Step{Cell: cells[c].ID, Kind: results.Cost, Round: round, Order: len(steps)}
			if i > 0 {
				s.Observer = p.Run.Observers[i-1].Name
			}
			steps = append(steps, s)
		}
	}
	return steps
}

// Evidence are the trials of each cell that are observed.
func (p *Plan) Evidence() (steps []Step) {
	if p.Run.ProfileNS == 0 {
		return nil
	}
	for _, c := range p.Applicable("") {
		steps = append(steps, Step{Cell: c.ID, Kind: results.Traced}, Step{Cell: c.ID, Kind: results.Profiled})
	}
	return steps
}

// Trials returns how many of the steps are trials, which probes are not.
func Trials(steps []Step) int {
	n := 0
	for _, s := range steps {
		if s.Kind != results.Probe {
			n++
		}
	}
	return n
}

// overhead is about what a trial costs beside its program: two processes or
// more must start.
const overhead = 60 * time.Millisecond

// Estimate returns about how long the steps take. pilots holds what the pilots
// of the workloads took, by label, where they have been made already; the
// workloads' own nominal times stand in for the others. known is false if a
// workload has neither.
func (p *Plan) Estimate(steps []Step, pilots map[string]time.Duration) (total time.Duration, known bool) {
	known = true
	for _, s := range steps {
		if s.Kind == results.Probe {
			total += overhead
			continue
		}
		cell := p.cells[s.Cell]
		prog := p.programs[cell.Workload]
		one, ok := pilots[cell.Workload]
		if !ok && prog.Workload.Nominal != nil {
			one, ok = prog.Workload.Nominal(prog.Params), true
		}
		known = known && ok
		if !cell.Baseline {
			one = one * 2 / 3 // some are faster, some are not
		}
		if least := time.Duration(p.Run.TrialNS); (s.Kind == results.Timed || s.Kind == results.Cost) && one < least {
			one = least + one/2 // repeated until it is no shorter
		}
		if s.Kind == results.Profiled {
			// Between two repetitions the result is checked, and the next set up.
			one = max(one, time.Duration(p.Run.ProfileNS)) * 2
		}
		total += one + overhead
	}
	return total, known
}

// environment returns the variables that change how Go programs run, and are
// set. Trials inherit them.
func environment() map[string]string {
	set := make(map[string]string)
	for _, name := range []string{"GOGC", "GOMEMLIMIT", "GODEBUG"} {
		if v, ok := os.LookupEnv(name); ok {
			set[name] = v
		}
	}
	return set
}

func thisVersion() (results.Version, error) {
	v := results.Version{Harness: "devel", Go: runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" && info.Main.Version != "(devel)" {
			v.Harness = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v.Revision = s.Value
			}
		}
	}
	var err error
	v.Executable, err = thisExecutable()
	return v, err
}

// thisExecutable returns the hash of this program, which takes a while and does
// not change.
var thisExecutable = sync.OnceValues(func() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding this program: %w", err)
	}
	return hashFile(path)
})

// hashFile returns the first 16 digits of a program's SHA-256.
func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("reading the program: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("reading the program: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
}
