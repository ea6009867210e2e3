// Package plan is what a run makes of a spec: cells, rounds, their order from a
// seed, and what fits into a time budget.
//
// To add a kind of trial, add a results.Kind, its steps in order.go, and what they
// take in [Plan.Estimate].
package plan

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/f3f4c0de/harness/internal/core"
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
	backends map[string]*core.Backend
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
	version, err := thisVersion()
	if err != nil {
		return nil, err
	}
	p := &Plan{Run: record(wanted, version, time.Now().UTC())}
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

// record is what is written of a run before its first trial, but for workloads
// and cells.
func record(wanted spec.Spec, version results.Version, now time.Time) results.Run {
	run := results.Run{
		Schema:    results.Schema,
		ID:        fmt.Sprintf("%s-%04x", now.Format("20060102-150405"), rand.Uint32N(1<<16)),
		Started:   now.Truncate(time.Millisecond),
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
	}
	for _, b := range wanted.Backends {
		run.Backends = append(run.Backends, results.BackendInfo{
			Name: b.Name, Doc: spec.FirstLine(b.Doc), Shared: b.Shared, Serial: b.Serial, Turn: b.Turn, Cooperative: b.Cooperative, GOMAXPROCS: b.GOMAXPROCS,
		})
	}
	return run
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

// Cell returns the cell with that id, its program and its backend.
func (p *Plan) Cell(id string) (results.Cell, spec.Program, *core.Backend) {
	c := p.cells[id]
	return c, p.programs[c.Workload], p.backends[c.Backend]
}

func (p *Plan) index(programs []spec.Program, backends []*core.Backend) {
	p.programs = make(map[string]spec.Program)
	for _, prog := range programs {
		p.programs[prog.Label] = prog
	}
	p.backends = make(map[string]*core.Backend)
	for _, b := range backends {
		p.backends[b.Name] = b
	}
	p.cells = make(map[string]results.Cell)
	for _, c := range p.Run.Cells {
		p.cells[c.ID] = c
	}
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
		if least := time.Duration(p.Run.TrialNS); (s.Kind == results.Timed || s.Kind == results.ObserverTrial) && one < least {
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
