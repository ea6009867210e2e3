package spec

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/stats"
)

// Settings are what a user asks for. A zero field stands for the default.
type Settings struct {
	Workloads []Choice // all workloads with their defaults if empty
	Backends  []string // all but variants if empty
	Workers   int      // what suits each workload if zero
	Preset    string   // "quick" if empty
	Rounds    int      // those of the preset if zero
	Seed      *uint64  // a random one if nil
	Timeout   time.Duration
	Trial     time.Duration // least measured time of a trial; DefaultTrial if zero
	Observers *int          // rounds by which the cost of observing is measured; those of the preset if nil
	Precision float64       // half width that intervals are to have, as a share; a fixed number of rounds if zero
	Budget    time.Duration // that the run is to take at most; as long as it takes if zero
	Only      []string      // cells to run beside the baselines of their workloads, as workload/backend or by their ids; all if empty
}

// A Choice is a workload with the parameters that differ from its defaults.
type Choice struct {
	Workload string
	Label    string // tells it from another choice of the same workload
	Workers  int
	Params   map[string]any

	// Vary makes a choice of its own of each of the values of one parameter,
	// of an axis of the workload, or of "workers".
	Vary map[string][]any

	// Axis is where it stands on one, if it came of varying it.
	Axis *results.AxisValue
}

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

// Presets returns the names of the presets, least work first.
func Presets() []string {
	var names []string
	for _, p := range presets {
		names = append(names, p.name)
	}
	return names
}

func findPreset(name string) (preset, error) {
	if name == "" {
		return presets[0], nil
	}
	return Find("preset", presets, name, func(p preset) string { return p.name })
}

// SetParam applies a parameter of the form workload.name=value to every choice
// of that workload. If none is listed, which stands for all, every workload
// becomes one.
func (s *Settings) SetParam(arg string, kinds Kinds) error {
	target, value, ok := strings.Cut(arg, "=")
	name, key, ok2 := strings.Cut(target, ".")
	if !ok || !ok2 {
		return fmt.Errorf("parameter %q; want workload.name=value, such as mixed.wait=2ms", arg)
	}
	w, err := kinds.Workload(name)
	if err != nil {
		return fmt.Errorf("parameter %q: %w", arg, err)
	}
	var v any
	if err := yaml.Unmarshal([]byte(value), &v); err != nil {
		v = value
	}
	if _, err := DecodeParams(w, map[string]any{key: v}); err != nil {
		return fmt.Errorf("parameter %q: %w", arg, err)
	}
	s.listAll(kinds)
	applied := false
	for i := range s.Workloads {
		if c := &s.Workloads[i]; c.Workload == name {
			c.Params = maps.Clone(c.Params)
			if c.Params == nil {
				c.Params = make(map[string]any)
			}
			c.Params[key] = v
			applied = true
		}
	}
	if !applied {
		return fmt.Errorf("parameter %q: workload %s is not part of this run", arg, name)
	}
	return nil
}

// SetWorkers gives every workload that many workers, whatever it had before; of
// several numbers, each in turn. If no workload is listed, which stands for all,
// every workload becomes one.
func (s *Settings) SetWorkers(numbers []int, kinds Kinds) error {
	for _, n := range numbers {
		if err := checkWorkers(n); err != nil || n == 0 && len(numbers) > 1 {
			return cmp.Or(err, errors.New("0 workers among several; want 1 to 4096"))
		}
	}
	s.Workers = 0
	if len(numbers) == 1 {
		s.Workers = numbers[0]
	}
	for i := range s.Workloads {
		s.Workloads[i].Workers = 0
	}
	if len(numbers) < 2 {
		return nil
	}
	s.listAll(kinds)
	values := make([]any, len(numbers))
	for i, n := range numbers {
		values[i] = uint64(n) //nolint:gosec // it is at least 1
	}
	return s.varyAxis(varyWorkers, values, kinds)
}

// listAll lists every workload if none is listed.
func (s *Settings) listAll(kinds Kinds) {
	if len(s.Workloads) == 0 {
		for _, w := range kinds.Workloads {
			s.Workloads = append(s.Workloads, Choice{Workload: w.Name})
		}
	}
}

// Select keeps the named workloads, with the parameters that they have so far.
func (s *Settings) Select(names []string, kinds Kinds) error {
	var selected []Choice
	for _, name := range names {
		if _, err := kinds.Workload(name); err != nil {
			return err
		}
		n := len(selected)
		for _, c := range s.Workloads {
			if c.Workload == name {
				selected = append(selected, c)
			}
		}
		if len(selected) == n {
			selected = append(selected, Choice{Workload: name})
		}
	}
	s.Workloads = selected
	return nil
}

// A Spec is an experiment with every name resolved and every default filled
// in.
type Spec struct {
	Programs       []Program
	Backends       []*harness.Backend
	Preset         string
	Rounds         int
	Seed           uint64
	Timeout        time.Duration // of a trial
	Profile        time.Duration // how long a profiled trial lets its program run
	Cores          int
	Trial          time.Duration // least measured time of a trial
	ObserverRounds int           // by which the cost of observing is measured
	// Precision is as in Settings; MaxRounds bounds the rounds, those in
	// others' place included.
	Precision float64
	MaxRounds int
	// Budget is as in Settings: rounds are made as long as they fit. AskedRounds
	// are those that were asked for beside it, 0 for as many as fit; Rounds then
	// is their bound.
	Budget      time.Duration
	AskedRounds int
	// Builds, if any, are compared with each other instead of the backends:
	// the first is what the others are compared with, on each backend.
	Builds []results.Build

	// Observers are those whose cost can be measured.
	Observers []results.Observer

	only map[string]bool // ids of the cells to run; all if nil
}

// A Program is a workload with its parameters.
type Program struct {
	Workload *harness.Workload
	Label    string
	Params   any
	Workers  int // zero: what suits the workload
	Axis     *results.AxisValue
}

// DefaultTimeout bounds a trial.
const DefaultTimeout = time.Minute

// DefaultTrial is the least measured time of a trial. A program that takes less
// is repeated, so that what the clock and the scheduler do by chance evens out:
// a trial takes at most twice as long, or as long as the program takes once.
const DefaultTrial = 100 * time.Millisecond

// mostWorkers bounds those of a backend.
const mostWorkers = 4096

// mostRounds bounds a run that goes on until it is precise.
const mostRounds = 60

// mostBudgeted bounds the rounds of a run that makes as many as fit into its
// time budget: more would hardly make an interval narrower.
const mostBudgeted = 100

var labelForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_]*$`)

// Resolve checks the settings and fills in what they leave open.
func (s Settings) Resolve(kinds Kinds) (Spec, error) {
	p, err := findPreset(s.Preset)
	if err != nil {
		return Spec{}, err
	}
	spec := Spec{
		Preset: p.name, Rounds: p.rounds, Profile: p.profile,
		Seed: rand.Uint64(), Timeout: DefaultTimeout, Cores: runtime.NumCPU(), Trial: DefaultTrial, Precision: s.Precision,
		ObserverRounds: p.observers, Observers: kinds.Observers,
	}
	if s.Seed != nil {
		spec.Seed = *s.Seed
	}
	if s.Rounds != 0 {
		spec.Rounds = s.Rounds
	}
	if s.Timeout != 0 {
		spec.Timeout = s.Timeout
	}
	if s.Trial != 0 {
		spec.Trial = s.Trial
	}
	if s.Observers != nil {
		spec.ObserverRounds = *s.Observers
	}
	if spec.ObserverRounds < 0 || spec.ObserverRounds > 1000 {
		return Spec{}, fmt.Errorf("observers is %d; want the rounds by which their cost is measured, up to 1,000, or 0 for not at all", spec.ObserverRounds)
	}
	if spec.Trial < 0 || spec.Trial > spec.Timeout/4 {
		return Spec{}, fmt.Errorf("trial is %v; want more than 0, and at most a quarter of the timeout, %v", spec.Trial, spec.Timeout)
	}
	if spec.Rounds < 1 || spec.Rounds > 10_000 {
		return Spec{}, fmt.Errorf("rounds is %d; want 1 to 10,000", spec.Rounds)
	}
	switch {
	case spec.Precision != 0 && s.Rounds != 0:
		return Spec{}, errors.New("both rounds and precision are given: either the number of rounds is fixed, or rounds are made until the figures are precise")
	case spec.Precision != 0:
		spec.Rounds, spec.MaxRounds = stats.MinRounds, mostRounds
	case spec.Rounds >= stats.MinRounds:
		spec.MaxRounds = 2 * spec.Rounds
	}
	if spec.Budget = s.Budget; s.Budget != 0 {
		if s.Budget < time.Second {
			return Spec{}, fmt.Errorf("the time budget is %v; want at least 1s, such as 10m", s.Budget)
		}
		switch {
		case spec.Precision != 0:
		case s.Rounds != 0:
			spec.AskedRounds = s.Rounds
		default:
			spec.Rounds, spec.MaxRounds = mostBudgeted, mostBudgeted
		}
	}
	if spec.Timeout < time.Second {
		return Spec{}, fmt.Errorf("timeout is %v; want at least 1s", spec.Timeout)
	}
	if err := checkWorkers(s.Workers); err != nil {
		return Spec{}, err
	}
	if spec.Backends, err = s.backends(kinds); err != nil {
		return Spec{}, err
	}
	if len(s.Only) > 0 && len(s.Backends) == 0 {
		spec.Backends = slices.Clone(kinds.Backends) // variants are compared when asked for
	}
	choices := s.Workloads
	if len(choices) == 0 {
		for _, w := range kinds.Workloads {
			choices = append(choices, Choice{Workload: w.Name})
		}
	}
	choices, err = expandAll(choices, kinds)
	if err != nil {
		return Spec{}, err
	}
	labels := make(map[string]bool)
	for _, c := range choices {
		w, err := kinds.Workload(c.Workload)
		if err != nil {
			return Spec{}, err
		}
		prog := Program{Workload: w, Label: c.Label, Workers: c.Workers, Axis: c.Axis}
		if prog.Workers == 0 {
			prog.Workers = s.Workers
		}
		if err := checkWorkers(prog.Workers); err != nil {
			return Spec{}, fmt.Errorf("workload %s: %w", w.Name, err)
		}
		if prog.Params, err = DecodeParams(w, c.Params); err != nil {
			return Spec{}, err
		}
		if prog.Label == "" {
			prog.Label = w.Name
			for n := 2; labels[prog.Label]; n++ {
				prog.Label = fmt.Sprintf("%s_%d", w.Name, n)
			}
		}
		if !labelForm.MatchString(prog.Label) {
			return Spec{}, fmt.Errorf("label %q; want lower-case letters, digits and _", prog.Label)
		}
		if labels[prog.Label] {
			return Spec{}, fmt.Errorf("two workloads have the label %q", prog.Label)
		}
		labels[prog.Label] = true
		spec.Programs = append(spec.Programs, prog)
	}
	if err := spec.choose(s.Only); err != nil {
		return Spec{}, err
	}
	return spec, nil
}

// choose keeps the named cells and the baselines of their workloads. It leaves
// the others out of the plan, not out of the comparisons: what is compared with
// a baseline stays so, whatever else is measured.
func (s *Spec) choose(names []string) error {
	if len(names) == 0 {
		return nil
	}
	s.only = make(map[string]bool)
	programs, backends := make(map[string]bool), make(map[string]bool)
	for _, name := range names {
		found := false
		for _, prog := range s.Programs {
			for _, b := range s.Backends {
				c := CellOf(prog, b, s.Cores)
				if name != c.ID && name != prog.Label+"/"+b.Name && name != prog.Workload.Name+"/"+b.Name {
					continue
				}
				if c.NotApplicable != "" {
					return fmt.Errorf("cell %q cannot be run: %s", name, c.NotApplicable)
				}
				found, s.only[c.ID] = true, true
				programs[prog.Label], backends[b.Name] = true, true
			}
		}
		if !found {
			return s.unknownCell(name)
		}
	}
	s.Programs = slices.DeleteFunc(s.Programs, func(p Program) bool { return !programs[p.Label] })
	s.Backends = slices.DeleteFunc(s.Backends, func(b *harness.Backend) bool { return !backends[b.Name] && b.Name != baseline })
	return nil
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

// ParsePrecision reads a precision such as "2%" as a share.
func ParsePrecision(s string) (float64, error) {
	number, ok := strings.CutSuffix(s, "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if !ok || err != nil || !(v >= 0.1 && v <= 50) {
		return 0, fmt.Errorf("precision is %q; want 0.1%% to 50%%, such as 2%%", s)
	}
	return v / 100, nil
}

func checkWorkers(n int) error {
	if n < 0 || n > mostWorkers {
		return fmt.Errorf("workers is %d; want 1 to 4096, or 0 for what suits each workload", n)
	}
	return nil
}

// backends returns the chosen backends in the order of the list, the baseline
// among them in any case.
func (s Settings) backends(kinds Kinds) ([]*harness.Backend, error) {
	if len(s.Backends) == 0 {
		return slices.DeleteFunc(slices.Clone(kinds.Backends), func(b *harness.Backend) bool { return b.Variant }), nil
	}
	chosen := map[string]bool{baseline: true}
	for _, name := range s.Backends {
		if _, err := kinds.Backend(name); err != nil {
			return nil, err
		}
		chosen[name] = true
	}
	return slices.DeleteFunc(slices.Clone(kinds.Backends), func(b *harness.Backend) bool { return !chosen[b.Name] }), nil
}

// CellOf returns the cell of a program on a backend, of a machine with that many
// processors.
func CellOf(prog Program, b *harness.Backend, cores int) results.Cell {
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
