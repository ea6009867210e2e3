package spec

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/stats"
)

// A preset says how much is measured.
type preset struct {
	name    string
	rounds  int
	profile time.Duration // how long a profiled trial lets its program run

	// observers is in how many rounds the cost of observing is measured. Fewer
	// than give a verdict are none: that would take time and say little.
	observers int
}

var presets = []preset{
	{"quick", 7, 200 * time.Millisecond, 0},
	{"standard", 20, time.Second, stats.MinRounds},
	{"rigorous", 40, 3 * time.Second, 20},
}

func findPreset(name string) (preset, error) {
	return Find("preset", presets, name, func(p preset) string { return p.name })
}

// A Spec is an experiment as it is made: settings with every default filled in,
// and what follows from them.
type Spec struct {
	Settings

	Profile time.Duration // how long a profiled trial lets its program run
	Cores   int
	// MaxRounds bounds the rounds, those in others' place included.
	MaxRounds int
	// AskedRounds are those that were asked for beside a time budget, 0 for as
	// many as fit; Rounds then is their bound.
	AskedRounds int
	// Builds, if any, are compared with each other instead of the backends:
	// the first is what the others are compared with, on each backend.
	Builds []results.Build
	// Observers are those whose cost can be measured.
	Observers []results.ObserverInfo

	only map[string]bool // ids of the cells to run; all if nil
}

// mostRounds bounds a run that goes on until it is precise.
const mostRounds = 60

// mostBudgeted bounds the rounds of a run that makes as many as fit into its
// time budget: more would hardly make an interval narrower.
const mostBudgeted = 100

// Resolve checks the settings and fills in what they leave open.
func (s Settings) Resolve(kinds Kinds) (Spec, error) {
	if err := s.verify(kinds); err != nil {
		return Spec{}, err
	}
	s.fill()
	p, err := findPreset(s.Preset)
	if err != nil {
		return Spec{}, err
	}
	spec := Spec{Settings: s, Profile: p.profile, Cores: runtime.NumCPU(), Observers: kinds.Observers}
	if s.Seed == nil {
		spec.Seed = new(rand.Uint64())
	}
	if s.ObserverRounds == nil {
		spec.ObserverRounds = new(p.observers)
	}
	if s.Trial > s.Timeout/4 {
		return Spec{}, s.At("trial", wantError{s.Trial.String(), fmt.Sprintf("more than 0, and at most a quarter of the timeout, %v", s.Timeout)})
	}
	if err := checkWorkers(s.Workers); err != nil {
		return Spec{}, err
	}
	spec.planRounds(p)
	if err := spec.listPrograms(kinds); err != nil {
		return Spec{}, err
	}
	spec.listBackends(kinds)
	if err := spec.selectCells(s.Only); err != nil {
		return Spec{}, s.At("only", err)
	}
	return spec, nil
}

// planRounds says how many rounds are made, and at most.
func (s *Spec) planRounds(p preset) {
	asked := s.Rounds
	if asked == 0 {
		s.Rounds = p.rounds
	}
	switch {
	case s.Precision != 0:
		s.Rounds, s.MaxRounds = stats.MinRounds, mostRounds
	case s.Budget != 0 && asked == 0:
		s.Rounds, s.MaxRounds = mostBudgeted, mostBudgeted
	case s.Rounds >= stats.MinRounds:
		s.MaxRounds = 2 * s.Rounds
	}
	if s.Budget != 0 {
		s.AskedRounds = asked
	}
}

// listBackends lists those that are compared if none is chosen.
func (s *Spec) listBackends(kinds Kinds) {
	switch {
	case len(s.Backends) > 0:
		s.Backends = slices.Clone(s.Backends)
	case len(s.Only) > 0:
		s.Backends = slices.Clone(kinds.Backends) // variants are compared when asked for
	default:
		s.Backends = defaultBackends(kinds)
	}
}

var labelForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_]*$`)

// listPrograms lists all workloads if none is listed, makes several of what is
// varied, and completes each.
func (s *Spec) listPrograms(kinds Kinds) error {
	s.listAll(kinds)
	programs, err := expandAll(s.Programs)
	if err != nil {
		return err
	}
	labels := make(map[string]bool)
	for i := range programs {
		if err := programs[i].complete(s.Workers, labels); err != nil {
			return err
		}
		labels[programs[i].Label] = true
	}
	s.Programs = programs
	return nil
}

// complete gives the program a label that no other has, workers and parameters.
func (p *Program) complete(workers int, labels map[string]bool) error {
	if p.Workers == 0 {
		p.Workers = workers
	}
	if err := checkWorkers(p.Workers); err != nil {
		return fmt.Errorf("workload %s: %w", p.Workload.Name, err)
	}
	p.Params = p.params()
	if err := validate(p.Workload, p.Params); err != nil {
		return err
	}
	if p.Label == "" {
		p.Label = p.Workload.Name
		for n := 2; labels[p.Label]; n++ {
			p.Label = fmt.Sprintf("%s_%d", p.Workload.Name, n)
		}
	}
	if !labelForm.MatchString(p.Label) {
		return fmt.Errorf("label %q; want lower-case letters, digits and _", p.Label)
	}
	if labels[p.Label] {
		return fmt.Errorf("two workloads have the label %q", p.Label)
	}
	return nil
}

// selectCells keeps the named cells and the baselines of their workloads. It
// leaves the others out of the plan, not out of the comparisons: what is compared
// with a baseline stays so, whatever else is measured.
func (s *Spec) selectCells(names []string) error {
	if len(names) == 0 {
		return nil
	}
	s.only = make(map[string]bool)
	programs, backends := make(map[string]bool), make(map[string]bool)
	for _, name := range names {
		cells := s.cellsNamed(name)
		if len(cells) == 0 {
			return s.unknownCell(name)
		}
		for _, c := range cells {
			if c.NotApplicable != "" {
				return fmt.Errorf("cell %q cannot be run: %s", name, c.NotApplicable)
			}
			s.only[c.ID], programs[c.Workload], backends[c.Backend] = true, true, true
		}
	}
	s.Programs = slices.DeleteFunc(s.Programs, func(p Program) bool { return !programs[p.Label] })
	s.Backends = slices.DeleteFunc(s.Backends, func(b *core.Backend) bool { return !backends[b.Name] && b.Name != baseline })
	return nil
}

// cellsNamed returns the cells of that id, or of that workload or label and
// backend.
func (s *Spec) cellsNamed(name string) (cells []results.Cell) {
	for _, p := range s.Programs {
		for _, b := range s.Backends {
			c := CellOf(p, b, s.Cores)
			if name == c.ID || name == p.Label+"/"+b.Name || name == p.Workload.Name+"/"+b.Name {
				cells = append(cells, c)
			}
		}
	}
	return cells
}

// unknownCell says which half of a cell's name is wrong.
func (s *Spec) unknownCell(name string) error {
	workload, backend, ok := strings.Cut(name, "/")
	if !ok {
		return fmt.Errorf("cell %q; want workload/backend, such as %s/%s", name, s.Programs[0].Label, s.Backends[len(s.Backends)-1].Name)
	}
	var labels, backends []string
	for _, p := range s.Programs {
		labels = append(labels, p.Label, p.Workload.Name)
	}
	for _, b := range s.Backends {
		backends = append(backends, b.Name)
	}
	err := unknown("backend", backend, backends)
	if !slices.Contains(labels, workload) {
		slices.Sort(labels)
		err = unknown("workload", workload, slices.Compact(labels))
	}
	return fmt.Errorf("cell %q: %w", name, err)
}

// CellOf returns the cell of a program on a backend, of a machine with that many
// processors.
func CellOf(prog Program, b *core.Backend, cores int) results.Cell {
	workers := prog.Workers
	if workers == 0 && prog.Workload.Workers != nil {
		workers = prog.Workload.Workers(cores)
	}
	if workers == 0 {
		workers = cores
	}
	if b.MaxWorkers > 0 {
		workers = min(workers, b.MaxWorkers)
	}
	c := results.Cell{
		ID:       fmt.Sprintf("%s-%s-w%d", prog.Label, b.Name, workers),
		Workload: prog.Label, Backend: b.Name, Workers: workers, Baseline: b.Name == baseline,
	}
	if prog.Workload.NeedsSharedMemory && !b.Shared {
		c.NotApplicable = "the workload's tasks share memory, which this backend does not"
	}
	return c
}

// Runs reports whether a cell is among those to run.
func (s *Spec) Runs(c results.Cell) bool { return s.only == nil || s.only[c.ID] || c.Baseline }
