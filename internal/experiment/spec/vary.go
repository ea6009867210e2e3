package spec

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/internal/results"
)

// varyWorkers is what is varied where it is no parameter but the workers.
const varyWorkers = "workers"

// expandAll replaces each choice that varies something by one of each value.
func expandAll(choices []Choice, kinds Kinds) ([]Choice, error) {
	var all []Choice
	for _, c := range choices {
		w, err := kinds.Workload(c.Workload)
		if err != nil {
			return nil, err
		}
		expanded, err := c.expand(w)
		if err != nil {
			return nil, err
		}
		all = append(all, expanded...)
	}
	return all, nil
}

// expand returns a choice for each of the values that it varies over, labelled
// by it, or the choice itself if it varies nothing.
func (c Choice) expand(w *harness.Workload) ([]Choice, error) {
	if len(c.Vary) == 0 {
		return []Choice{c}, nil
	}
	if len(c.Vary) > 1 {
		return nil, fmt.Errorf("workload %s is to vary %s; want one of them at a time", w.Name, strings.Join(slices.Sorted(maps.Keys(c.Vary)), " and "))
	}
	var all []Choice
	for key, values := range c.Vary {
		if len(values) < 2 {
			return nil, fmt.Errorf("%s of %s is to vary over %v; want at least two values", key, w.Name, values)
		}
		for _, v := range values {
			one, err := c.at(w, key, v)
			if err != nil {
				return nil, err
			}
			label := c.Label
			if label == "" {
				label = w.Name
			}
			one.Vary = nil
			one.Label = label + "_" + labelPart(key) + "_" + labelPart(fmt.Sprint(v))
			all = append(all, one)
		}
	}
	return all, nil
}

// at returns the choice with one value of what is varied: the workers, an axis
// of the workload, or a parameter.
func (c Choice) at(w *harness.Workload, key string, v any) (Choice, error) {
	_, isParam := paramFields(w)[key]
	if key == varyWorkers && !isParam {
		n, ok := wholeNumber(v)
		if !ok || n < 1 || checkWorkers(n) != nil {
			return c, fmt.Errorf("workers of %s are %v; want 1 to 4096", w.Name, v)
		}
		c.Workers = n
		return c, nil
	}
	if i := slices.IndexFunc(w.Axes, func(a harness.Axis) bool { return a.Name == key }); i >= 0 {
		value, err := axisValue(w.Axes[i], v)
		if err == nil {
			return c.along(w, w.Axes[i], value)
		}
		if !isParam || strings.HasSuffix(fmt.Sprint(v), "%") { // else it may be the parameter's
			return c, fmt.Errorf("%s of %s: %w", key, w.Name, err)
		}
	}
	if !isParam {
		return c, unknownVary(w, key)
	}
	c.Params = maps.Clone(c.Params)
	if c.Params == nil {
		c.Params = make(map[string]any)
	}
	c.Params[key] = v
	_, err := DecodeParams(w, map[string]any{key: v})
	return c, err
}

// along gives the choice a value on an axis of its workload.
func (c Choice) along(w *harness.Workload, axis harness.Axis, value float64) (Choice, error) {
	params, err := DecodeParams(w, c.Params)
	if err != nil {
		return c, err
	}
	axis.Set(params, value)
	if err := validate(w, params); err != nil {
		return c, err
	}
	c.Params, err = EncodeParams(params)
	c.Axis = &results.AxisValue{Name: axis.Name, Unit: axis.Unit, Value: value}
	return c, err
}

// unknownVary says what there is to vary.
func unknownVary(w *harness.Workload, key string) error {
	known := slices.Collect(maps.Keys(paramFields(w)))
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
func axisValue(a harness.Axis, v any) (float64, error) {
	s := strings.TrimSpace(fmt.Sprint(v))
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
	return 0, fmt.Errorf("%q; want bytes, such as 4096 or 64KiB", fmt.Sprint(v))
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
var workersValues = []any{uint64(1), uint64(2), uint64(4), uint64(8), uint64(16)}

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

func wholeNumber(v any) (int, bool) {
	switch n := v.(type) {
	case uint64:
		return int(n), n < 1<<31
	case int64:
		return int(n), n > -1<<31 && n < 1<<31
	}
	return 0, false
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
	var values []any
	for part := range strings.SplitSeq(list, ",") {
		var v any
		if err := yaml.Unmarshal([]byte(part), &v); err != nil {
			v = part
		}
		values = append(values, v)
	}
	name, key, qualified := strings.Cut(target, ".")
	if !qualified {
		if !listed {
			values = nil
		}
		return s.varyAxis(target, values, kinds)
	}
	if !listed {
		return fmt.Errorf("%q; want workload.name=value,value, such as mixed.cpu=100us,1ms or sqrt.workers=1,2,4, or one of size, wait, payload and workers", arg)
	}
	w, err := kinds.Workload(name)
	if err != nil {
		return fmt.Errorf("%q: %w", arg, err)
	}
	if len(s.Workloads) == 0 {
		s.Workloads = []Choice{{Workload: name}}
	}
	applied := false
	for i := range s.Workloads {
		if c := &s.Workloads[i]; c.Workload == name {
			c.Vary = map[string][]any{key: values}
			if _, err := c.expand(w); err != nil {
				return fmt.Errorf("%q: %w", arg, err)
			}
			applied = true
		}
	}
	if !applied {
		return errors.New(arg + ": workload " + name + " is not part of this run")
	}
	return nil
}

// varyAxis has every workload vary along an axis, or its workers; without values
// over those that the axis suggests. If no workload is listed, those that have
// any axis become the only ones.
func (s *Settings) varyAxis(key string, values []any, kinds Kinds) error {
	if len(s.Workloads) == 0 {
		for _, w := range kinds.Workloads {
			if len(w.Axes) > 0 && (key == varyWorkers || hasAxis(w, key)) {
				s.Workloads = append(s.Workloads, Choice{Workload: w.Name})
			}
		}
	}
	applied := false
	for i := range s.Workloads {
		c := &s.Workloads[i]
		w, err := kinds.Workload(c.Workload)
		if err != nil {
			return err
		}
		over := values
		switch {
		case key == varyWorkers:
			if over == nil {
				over = workersValues
			}
		case !hasAxis(w, key):
			continue
		case over == nil:
			for _, a := range Axes(w) {
				if a.Name == key {
					for _, v := range a.Values {
						over = append(over, v)
					}
				}
			}
		}
		c.Vary = map[string][]any{key: over}
		if _, err := c.expand(w); err != nil {
			return fmt.Errorf("%q: %w", key, err)
		}
		applied = true
	}
	if !applied {
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
	return nil
}

func hasAxis(w *harness.Workload, name string) bool {
	return slices.ContainsFunc(w.Axes, func(a harness.Axis) bool { return a.Name == name })
}
