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

// Settings are what a user asks for. A zero field stands for the default. What
// each says is in [Options].
type Settings struct {
	// What is measured.
	Programs       []Program // all workloads as they are by default if empty
	Backends       []*core.Backend
	Only           []string // cells beside the baselines of their workloads, as workload/backend or by their ids
	Workers        int
	Preset         string
	Rounds         int
	Precision      float64 // half width of intervals, as a share
	Budget         time.Duration
	Trial          time.Duration
	ObserverRounds *int
	Seed           *uint64
	Timeout        time.Duration

	// Where it goes.
	Out, Resume, OTLP, Listen   string
	Jaeger, DryRun, JSON, Quiet bool
	Progress                    string

	places map[string]place // of what was given, by the options' names
}

// A Program is a workload with its parameters.
type Program struct {
	Workload *harness.Workload
	Label    string // tells it from another of the same workload
	Params   any    // of the type of the workload's; as they are by default if nil
	Workers  int    // what suits the workload if zero

	// Vary makes a program of its own of each of the values of one parameter, of
	// an axis of the workload, or of "workers".
	Vary map[string][]string

	// Axis is where it stands on one, if it came of varying it.
	Axis *results.AxisValue
}

// choose keeps the named workloads, with the parameters that they have so far.
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

// SetParam applies a parameter of the form workload.name=value to every program
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
	if _, err := (Program{Workload: w}).with(map[string]string{key: value}); err != nil {
		return fmt.Errorf("parameter %q: %w", arg, err)
	}
	s.listAll(kinds)
	applied := false
	for i, p := range s.Programs {
		if p.Workload != w {
			continue
		}
		if s.Programs[i], err = p.with(map[string]string{key: value}); err != nil {
			return fmt.Errorf("parameter %q: %w", arg, err)
		}
		applied = true
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

// mostWorkers bounds those of a backend.
const mostWorkers = 4096

const wantWorkers = "1 to 4096, or 0 for what suits each workload"

func checkWorkers(n int) error {
	if n < 0 || n > mostWorkers {
		return fmt.Errorf("workers is %d; want %s", n, wantWorkers)
	}
	return nil
}

// with returns the program with some of its parameters changed.
func (p Program) with(params map[string]string) (Program, error) {
	changed := p.params()
	for _, key := range sortedKeys(params) {
		if err := setParam(p.Workload, changed, key, params[key]); err != nil {
			return p, err
		}
	}
	p.Params = changed
	return p, validate(p.Workload, changed)
}
