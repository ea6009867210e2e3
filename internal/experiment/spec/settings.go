package spec

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/results"
)

// Settings are the values of the options of a run. A zero field means the default. [Options]
// describes each.
type Settings struct {
	// What is measured.
	Programs       []Program // if empty, all workloads with default parameters
	Backends       []*core.Backend
	Only           []string // cells, as workload/backend or by their ids; the baselines of their workloads are added
	Workers        int
	Preset         string
	Rounds         int
	Precision      float64 // half the width of intervals, as a share
	Budget         time.Duration
	Trial          time.Duration
	ObserverRounds *int
	Seed           *uint64
	Timeout        time.Duration

	// Where it goes.
	Out, Resume, OTLP, Listen   string
	Jaeger, DryRun, JSON, Quiet bool
	Progress                    string

	places map[string]place // where options were given, by their names
}

// A Program is a workload with its parameters.
type Program struct {
	Workload *harness.Workload
	Label    string // distinguishes programs of one workload
	Params   any    // of the type of the workload's parameters; if nil, the defaults
	Workers  int    // if zero, the number that suits the workload

	// Vary has one key, which is a parameter, an axis of the workload or "workers", and
	// its values. Resolve replaces the program by one for each value.
	Vary map[string][]string

	// Axis is the program's value on an axis, if the program was made by varying that axis.
	Axis *results.AxisValue
}

// choose keeps only the named workloads, with the parameters that they have so far.
func (s *Settings) choose(names []string, kinds Kinds) error {
	var chosen []Program
	for _, name := range names {
		w, err := kinds.Workload(name)
		if err != nil {
			return err
		}
		n := len(chosen)
		for _, p := range s.Programs {
			if p.Workload == w {
				chosen = append(chosen, p)
			}
		}
		if len(chosen) == n {
			chosen = append(chosen, Program{Workload: w})
		}
	}
	s.Programs = chosen
	return nil
}

// listAll lists every workload if none is listed.
func (s *Settings) listAll(kinds Kinds) {
	if len(s.Programs) > 0 {
		return
	}
	for _, w := range kinds.Workloads {
		s.Programs = append(s.Programs, Program{Workload: w})
	}
}

// SetParam applies an argument of the form workload.name=value to every program of that
// workload. If no program is listed, which means all workloads, all are listed first.
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
	if _, err := (Program{Workload: w}).withParams(map[string]string{key: value}); err != nil {
		return fmt.Errorf("parameter %q: %w", arg, err)
	}
	s.listAll(kinds)
	applied := false
	for i, p := range s.Programs {
		if p.Workload != w {
			continue
		}
		if s.Programs[i], err = p.withParams(map[string]string{key: value}); err != nil {
			return fmt.Errorf("parameter %q: %w", arg, err)
		}
		applied = true
	}
	if !applied {
		return fmt.Errorf("parameter %q: workload %s is not part of this run", arg, name)
	}
	return nil
}

// SetWorkers sets the number of workers of every program, whatever it was before. Several
// numbers are varied over. If no program is listed, which means all workloads, all are
// listed first.
func (s *Settings) SetWorkers(numbers []int, kinds Kinds) error {
	for _, n := range numbers {
		if err := checkWorkers(n); err != nil {
			return err
		}
		if n == 0 && len(numbers) > 1 {
			return errors.New("0 workers among several; want 1 to 4096")
		}
	}
	s.Workers = 0
	if len(numbers) == 1 {
		s.Workers = numbers[0]
	}
	for i := range s.Programs {
		s.Programs[i].Workers = 0
	}
	if len(numbers) < 2 {
		return nil
	}
	s.listAll(kinds)
	var values []string
	for _, n := range numbers {
		values = append(values, fmt.Sprint(n))
	}
	return s.varyAxis(varyWorkers, values, kinds)
}

// maxWorkers bounds the workers of a backend.
const maxWorkers = 4096

const wantWorkers = "1 to 4096, or 0 for what suits each workload"

func checkWorkers(n int) error {
	if n < 0 || n > maxWorkers {
		return fmt.Errorf("workers is %d; want %s", n, wantWorkers)
	}
	return nil
}

// withParams returns the program with these parameters changed, by name.
func (p Program) withParams(params map[string]string) (Program, error) {
	changed := p.params()
	for _, key := range sortedKeys(params) {
		if err := setParam(p.Workload, changed, key, params[key]); err != nil {
			return p, err
		}
	}
	p.Params = changed
	return p, validate(p.Workload, changed)
}
