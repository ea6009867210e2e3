package spec

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/internal/results"
)

// varyWorkers is what is varied where it is no parameter but the workers.
const varyWorkers = "workers"

// expandAll replaces each program that varies something by one of each value.
func expandAll(programs []Program) ([]Program, error) {
	var all []Program
	for _, p := range programs {
		expanded, err := p.expand()
		if err != nil {
			return nil, err
		}
		all = append(all, expanded...)
	}
	return all, nil
}

// expand returns a program for each of the values that it varies over, labelled
// by it, or the program itself if it varies nothing.
func (p Program) expand() ([]Program, error) {
	if len(p.Vary) == 0 {
		return []Program{p}, nil
	}
	w := p.Workload
	if len(p.Vary) > 1 {
		return nil, fmt.Errorf("workload %s is to vary %s; want one of them at a time", w.Name, strings.Join(sortedKeys(p.Vary), " and "))
	}
	var all []Program
	for key, values := range p.Vary {
		if len(values) < 2 {
			return nil, fmt.Errorf("%s of %s is to vary over %v; want at least two values", key, w.Name, values)
		}
		for _, v := range values {
			one, err := p.at(key, v)
			if err != nil {
				return nil, err
			}
			label := p.Label
			if label == "" {
				label = w.Name
			}
			one.Vary = nil
			one.Label = label + "_" + labelPart(key) + "_" + labelPart(v)
			all = append(all, one)
		}
	}
	return all, nil
}

// at returns the program with one value of what is varied: the workers, an axis
// of the workload, or a parameter.
func (p Program) at(key, value string) (Program, error) {
	w := p.Workload
	_, isParam := paramFields(w)[key]
	if key == varyWorkers && !isParam {
		n, err := wholeNumber(value, 32)
		if err != nil || n < 1 || n > mostWorkers {
			return p, fmt.Errorf("workers of %s are %s; want 1 to 4096", w.Name, value)
		}
		p.Workers = int(n)
		return p, nil
	}
	if i := axisIndex(w, key); i >= 0 {
		v, err := axisValue(w.Axes[i], value)
		if err == nil {
			return p.along(w.Axes[i], v)
		}
		if !isParam || strings.HasSuffix(value, "%") { // else it may be the parameter's
			return p, fmt.Errorf("%s of %s: %w", key, w.Name, err)
		}
	}
	if !isParam {
		return p, unknownVary(w, key)
	}
	return p.with(map[string]string{key: value})
}

// along gives the program a value on an axis of its workload.
func (p Program) along(axis harness.Axis, value float64) (Program, error) {
	params := p.params()
	axis.Set(params, value)
	p.Params = params
	p.Axis = &results.AxisValue{Name: axis.Name, Unit: axis.Unit, Value: value}
	return p, validate(p.Workload, params)
}

// unknownVary says what there is to vary.
func unknownVary(w *harness.Workload, key string) error {
	known := sortedKeys(paramFields(w))
	for _, a := range w.Axes {
		known = append(known, a.Name)
	}
	slices.Sort(known)
	what := "parameter of " + w.Name
	if len(w.Axes) > 0 {
		what = "parameter or axis of " + w.Name
	}
	return unknown(what, key, append(slices.Compact(known), varyWorkers))
}

// axisValue reads a value on an axis: a duration, a number of bytes or a share.
func axisValue(a harness.Axis, text string) (float64, error) {
	s := strings.TrimSpace(text)
	switch a.Unit {
	case "ns":
		if d, err := time.ParseDuration(s); err == nil && d > 0 {
			return float64(d), nil
		}
		return 0, fmt.Errorf("%q; want a duration such as 5ms", s)
	case "1":
		number, percent := strings.CutSuffix(s, "%")
		if f, err := strconv.ParseFloat(number, 64); percent && err == nil && f >= 0 && f < 100 {
			return f / 100, nil
		}
		return 0, fmt.Errorf("%q; want a share of 0%% up to less than 100%%, such as 75%%", s)
	}
	factor := 1.0
	for suffix, by := range map[string]float64{"KiB": 1 << 10, "MiB": 1 << 20} {
		if number, ok := strings.CutSuffix(s, suffix); ok {
			s, factor = number, by
		}
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && f >= 0 && f*factor <= 1<<30 && f*factor == math.Trunc(f*factor) {
		return f * factor, nil
	}
	return 0, fmt.Errorf("%q; want bytes, such as 4096 or 64KiB", text)
}

// axisText is the inverse of axisValue.
func axisText(a harness.Axis, v float64) string {
	switch {
	case a.Unit == "ns":
		return time.Duration(v).String()
	case a.Unit == "1":
		return fmt.Sprintf("%.4g%%", 100*v)
	case v >= 1<<20 && v == math.Trunc(v/(1<<20))*(1<<20):
		return fmt.Sprintf("%.0fMiB", v/(1<<20))
	case v >= 1<<10 && v == math.Trunc(v/(1<<10))*(1<<10):
		return fmt.Sprintf("%.0fKiB", v/(1<<10))
	}
	return fmt.Sprintf("%.0f", v)
}

// workersValues are the numbers of workers unless others are asked for: as many
// as it takes to fit a law.
var workersValues = []string{"1", "2", "4", "8", "16"}

// An Axis describes an axis of a workload for a list.
type Axis struct {
	Name   string   `json:"name"`
	Doc    string   `json:"doc"`
	Values []string `json:"values"` // unless others are asked for
}

// Axes lists the axes of a workload.
func Axes(w *harness.Workload) (all []Axis) {
	for _, a := range w.Axes {
		one := Axis{Name: a.Name, Doc: a.Doc}
		for _, v := range a.Values {
			one.Values = append(one.Values, axisText(a, v))
		}
		all = append(all, one)
	}
	return all
}

var notInLabel = regexp.MustCompile(`[^a-z0-9]+`)

// labelPart makes part of a label of a name or a value.
func labelPart(s string) string {
	s = strings.ReplaceAll(strings.ToLower(s), "µ", "u")
	return strings.Trim(notInLabel.ReplaceAllString(s, "_"), "_")
}

// SetVary has workloads vary something, by an argument of one of the forms
//
//	workload.name=value,value   a parameter, an axis or the workers of one
//	axis=value,value            of every workload that has it
//	axis                        the same, with the axis's own values
//
// If no workload is listed, those that vary become the only ones.
func (s *Settings) SetVary(arg string, kinds Kinds) error {
	target, list, listed := strings.Cut(arg, "=")
	var values []string
	if listed {
		values = Names.split(list)
	}
	name, key, qualified := strings.Cut(target, ".")
	if !qualified {
		return s.varyAxis(target, values, kinds)
	}
	if !listed {
		return fmt.Errorf("%q; want workload.name=value,value, such as mixed.cpu=100us,1ms or sqrt.workers=1,2,4, or one of size, wait, payload and workers", arg)
	}
	w, err := kinds.Workload(name)
	if err != nil {
		return fmt.Errorf("%q: %w", arg, err)
	}
	if len(s.Programs) == 0 {
		s.Programs = []Program{{Workload: w}}
	}
	applied, err := s.vary(key, func(of *harness.Workload) ([]string, bool) { return values, of == w })
	if err != nil {
		return fmt.Errorf("%q: %w", arg, err)
	}
	if !applied {
		return errors.New(arg + ": workload " + name + " is not part of this run")
	}
	return nil
}

// varyAxis has every workload vary along an axis, or its workers; without values
// over those that the axis suggests. If no workload is listed, those that have
// any axis become the only ones.
func (s *Settings) varyAxis(key string, values []string, kinds Kinds) error {
	has := func(w *harness.Workload) bool { return key == varyWorkers || axisIndex(w, key) >= 0 }
	if len(s.Programs) == 0 {
		for _, w := range kinds.Workloads {
			if len(w.Axes) > 0 && has(w) {
				s.Programs = append(s.Programs, Program{Workload: w})
			}
		}
	}
	applied, err := s.vary(key, func(w *harness.Workload) ([]string, bool) {
		if values == nil {
			return suggested(w, key), has(w)
		}
		return values, has(w)
	})
	if err != nil {
		return fmt.Errorf("%q: %w", key, err)
	}
	if !applied {
		return noAxis(key, kinds)
	}
	return nil
}

// vary has the programs vary something over the values that over says for their
// workloads, if it says ok. It reports whether any does.
func (s *Settings) vary(key string, over func(w *harness.Workload) (values []string, ok bool)) (applied bool, err error) {
	for i, p := range s.Programs {
		values, ok := over(p.Workload)
		if !ok {
			continue
		}
		applied = true
		p.Vary = map[string][]string{key: values}
		if _, err := p.expand(); err != nil {
			return applied, err
		}
		s.Programs[i] = p
	}
	return applied, nil
}

// suggested are the values on an axis unless others are asked for.
func suggested(w *harness.Workload, key string) []string {
	if key == varyWorkers {
		return workersValues
	}
	i := axisIndex(w, key)
	if i < 0 {
		return nil
	}
	return Axes(w)[i].Values
}

// noAxis says why no workload varies along an axis.
func noAxis(key string, kinds Kinds) error {
	known := []string{varyWorkers}
	for _, w := range kinds.Workloads {
		for _, a := range w.Axes {
			known = append(known, a.Name)
		}
	}
	slices.Sort(known)
	if slices.Contains(known, key) {
		return fmt.Errorf("%q: no workload of this run has that axis; harness list workloads tells which do", key)
	}
	return fmt.Errorf("%w (for a parameter: workload.name=value,value)", unknown("axis", key, slices.Compact(known)))
}

// axisIndex returns the place of an axis among those of a workload, or -1.
func axisIndex(w *harness.Workload, name string) int {
	return slices.IndexFunc(w.Axes, func(a harness.Axis) bool { return a.Name == name })
}
