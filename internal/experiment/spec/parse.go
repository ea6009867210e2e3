package spec

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// A fileSpec is the YAML form of Settings. Fields whose content is checked
// against the known kinds stay nodes, so that errors can tell where they are.
type fileSpec struct {
	Workloads []ast.Node `yaml:"workloads"`
	Backends  []ast.Node `yaml:"backends"`
	Workers   int        `yaml:"workers"`
	Preset    ast.Node   `yaml:"preset"`
	Rounds    int        `yaml:"rounds"`
	Seed      *uint64    `yaml:"seed"`
	Timeout   ast.Node   `yaml:"timeout"`
	Trial     ast.Node   `yaml:"trial"`
	Observers *int       `yaml:"observers"`
	Precision ast.Node   `yaml:"precision"`
	Budget    ast.Node   `yaml:"time_budget"`
}

type fileChoice struct {
	Workload ast.Node            `yaml:"workload"`
	Label    string              `yaml:"label"`
	Workers  int                 `yaml:"workers"`
	Params   map[string]ast.Node `yaml:"params"`
	Vary     map[string]ast.Node `yaml:"vary"`
}

// ParseFile reads the YAML form of Settings. Errors name the file, the line and
// the column.
func ParseFile(name string, data []byte, kinds Kinds) (Settings, error) {
	var s Settings
	at := func(n ast.Node, err error) error {
		if err == nil {
			return nil
		}
		if n == nil { // a null that stands nowhere
			return fmt.Errorf("%s: %w", name, err)
		}
		p := n.GetToken().Position
		return fmt.Errorf("%s:%d:%d: %w", name, p.Line, p.Column, err)
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return s, yamlError(name, err)
	}
	if len(file.Docs) > 1 {
		return s, fmt.Errorf("%s holds %d documents; want one", name, len(file.Docs))
	}
	var spec fileSpec
	if err := yaml.UnmarshalWithOptions(data, &spec, yaml.Strict()); err != nil {
		return s, yamlError(name, err)
	}
	s = Settings{Workers: spec.Workers, Rounds: spec.Rounds, Seed: spec.Seed, Observers: spec.Observers}
	for _, f := range []struct {
		node ast.Node
		to   *time.Duration
	}{{spec.Timeout, &s.Timeout}, {spec.Trial, &s.Trial}, {spec.Budget, &s.Budget}} {
		if f.node == nil {
			continue
		}
		if yaml.NodeToValue(f.node, f.to) != nil { // whose error does not say where, or what is wanted
			return s, at(f.node, fmt.Errorf("%q; want %s", f.node.GetToken().Value, described(reflect.TypeFor[time.Duration]())))
		}
	}
	for _, n := range spec.Workloads {
		var c fileChoice
		if n == nil {
			return s, at(n, errNoWorkload)
		}
		if n.Type() == ast.StringType {
			c.Workload = n
		} else if err := yaml.NodeToValue(n, &c, yaml.Strict()); err != nil {
			return s, yamlError(name, err)
		} else if c.Workload == nil {
			return s, at(n, errNoWorkload)
		}
		choice := Choice{Label: c.Label, Workers: c.Workers, Params: make(map[string]any)}
		if err := yaml.NodeToValue(c.Workload, &choice.Workload); err != nil {
			return s, yamlError(name, err)
		}
		w, err := kinds.Workload(choice.Workload)
		if err != nil {
			return s, at(c.Workload, err)
		}
		for _, key := range slices.Sorted(maps.Keys(c.Params)) {
			var v any
			if c.Params[key] == nil {
				return s, at(c.Workload, fmt.Errorf("parameter %s of %s has no value", key, w.Name))
			}
			if err := yaml.NodeToValue(c.Params[key], &v); err != nil {
				return s, yamlError(name, err)
			}
			choice.Params[key] = v
		}
		if _, err := DecodeParams(w, choice.Params); err != nil {
			for key, v := range choice.Params { // which one is it?
				if _, err := DecodeParams(w, map[string]any{key: v}); err != nil {
					return s, at(c.Params[key], err)
				}
			}
			return s, at(c.Workload, err)
		}
		for _, key := range slices.Sorted(maps.Keys(c.Vary)) {
			n := c.Vary[key]
			var values []any
			if n == nil || yaml.NodeToValue(n, &values) != nil {
				return s, at(cmp.Or(n, c.Workload), fmt.Errorf("%s is to vary, but over what? want a list, such as [1ms, 2ms]", key))
			}
			if choice.Vary == nil {
				choice.Vary = make(map[string][]any)
			}
			choice.Vary[key] = values
		}
		if _, err := choice.expand(w); err != nil {
			for _, n := range c.Vary {
				return s, at(n, err)
			}
		}
		s.Workloads = append(s.Workloads, choice)
	}
	for _, n := range spec.Backends {
		var b string
		if n == nil {
			return s, at(n, errors.New("a backend without a name"))
		}
		if err := yaml.NodeToValue(n, &b); err != nil {
			return s, yamlError(name, err)
		}
		if _, err := kinds.Backend(b); err != nil {
			return s, at(n, err)
		}
		s.Backends = append(s.Backends, b)
	}
	if spec.Preset != nil {
		if err := yaml.NodeToValue(spec.Preset, &s.Preset); err != nil {
			return s, yamlError(name, err)
		}
		if _, err := findPreset(s.Preset); err != nil {
			return s, at(spec.Preset, err)
		}
	}
	if spec.Precision != nil {
		if s.Precision, err = ParsePrecision(spec.Precision.GetToken().Value); err != nil {
			return s, at(spec.Precision, err)
		}
	}
	return s, nil
}

var errNoWorkload = errors.New(`want the name of a workload, or "workload: NAME" with its parameters`)

// yamlError puts the place first, as compilers do.
func yamlError(name string, err error) error {
	var y yaml.Error
	if !errors.As(err, &y) || y.GetToken() == nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	p, message := y.GetToken().Position, y.GetMessage()
	var field *yaml.UnknownFieldError
	switch {
	case errors.As(err, &field):
		message = unknown("field", field.Token.Value, fieldNames()).Error()
	case wantOf(err) != "":
		message = fmt.Sprintf("%q; want %s", y.GetToken().Value, wantOf(err))
	}
	return fmt.Errorf("%s:%d:%d: %s", name, p.Line, p.Column, message)
}

// fieldNames returns the fields of a file and of a workload in it.
func fieldNames() []string {
	return []string{"workloads", "backends", "workers", "preset", "rounds", "seed", "timeout", "trial", "observers", "precision", "time_budget", "workload", "label", "params", "vary"}
}

// wantOf describes what should have stood in the place of a value of the wrong
// type, or returns nothing if that is not what err is about.
func wantOf(err error) string {
	var typ *yaml.TypeError
	var overflow *yaml.OverflowError
	switch {
	case errors.As(err, &typ):
		return described(typ.DstType)
	case errors.As(err, &overflow):
		return "a number that " + overflow.DstType.String() + " can hold"
	}
	return ""
}
