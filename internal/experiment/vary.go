package experiment

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/f3f4c0de/harness"
)

// varyWorkers is what is varied where it is no parameter but the workers.
const varyWorkers = "workers"

// expandAll replaces each choice that varies something by one of each value.
func expandAll(choices []Choice, kinds Kinds) ([]Choice, error) {
	var all []Choice
	for _, c := range choices {
		w, err := kinds.workload(c.Workload)
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
			one := c
			one.Vary = nil
			if _, isParam := paramFields(w)[key]; key == varyWorkers && !isParam {
				n, ok := wholeNumber(v)
				if !ok || n < 1 || checkWorkers(n) != nil {
					return nil, fmt.Errorf("workers of %s are %v; want 1 to 4096", w.Name, v)
				}
				one.Workers = n
			} else {
				one.Params = maps.Clone(c.Params)
				if one.Params == nil {
					one.Params = make(map[string]any)
				}
				one.Params[key] = v
				if _, err := decodeParams(w, map[string]any{key: v}); err != nil {
					return nil, err
				}
			}
			label := c.Label
			if label == "" {
				label = w.Name
			}
			one.Label = label + "_" + labelPart(key) + "_" + labelPart(fmt.Sprint(v))
			all = append(all, one)
		}
	}
	return all, nil
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

// SetVary has every choice of a workload vary, by an argument of the form
// workload.name=value,value. If no workload is listed, that one becomes the
// only one.
func (s *Settings) SetVary(arg string, kinds Kinds) error {
	target, list, ok := strings.Cut(arg, "=")
	name, key, ok2 := strings.Cut(target, ".")
	if !ok || !ok2 {
		return fmt.Errorf("%q; want workload.name=value,value, such as mixed.cpu=100us,1ms or sqrt.workers=1,2,4", arg)
	}
	w, err := kinds.workload(name)
	if err != nil {
		return fmt.Errorf("%q: %w", arg, err)
	}
	var values []any
	for part := range strings.SplitSeq(list, ",") {
		var v any
		if err := yaml.Unmarshal([]byte(part), &v); err != nil {
			v = part
		}
		values = append(values, v)
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
