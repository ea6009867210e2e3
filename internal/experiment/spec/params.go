package spec

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/f3f4c0de/harness"
)

// DecodeParams returns a copy of the workload's default parameters with the
// given ones in their places.
func DecodeParams(w *harness.Workload, params map[string]any) (any, error) {
	if w.Params == nil {
		if len(params) > 0 {
			return nil, fmt.Errorf("workload %s has no parameters", w.Name)
		}
		return nil, nil
	}
	fields := paramFields(w)
	p := reflect.New(reflect.TypeOf(w.Params).Elem())
	p.Elem().Set(reflect.ValueOf(w.Params).Elem())
	for _, key := range slices.Sorted(maps.Keys(params)) {
		field, ok := fields[key]
		if !ok {
			return nil, unknown("parameter of "+w.Name, key, slices.Collect(maps.Keys(fields)))
		}
		v := params[key]
		b, err := yaml.Marshal(v)
		if err == nil && !fits(v, field.Type) {
			err = errors.New("another type")
		}
		if err == nil {
			err = yaml.Unmarshal(b, p.Elem().FieldByIndex(field.Index).Addr().Interface())
		}
		if err != nil {
			return nil, fmt.Errorf("parameter %s of %s is %v; want %s", key, w.Name, v, described(field.Type))
		}
	}
	return p.Interface(), validate(w, p.Interface())
}

// validate asks the parameters whether they are right.
func validate(w *harness.Workload, params any) error {
	if c, ok := params.(interface{ Validate() error }); ok {
		if err := c.Validate(); err != nil {
			return fmt.Errorf("parameters of %s: %w", w.Name, err)
		}
	}
	return nil
}

// fits refuses what the YAML decoder would round to a whole number.
func fits(v any, t reflect.Type) bool {
	f, isFloat := v.(float64)
	return !isFloat || f == math.Trunc(f) || t.Kind() == reflect.Float64 || t.Kind() == reflect.Float32
}

// described says what values a type has, in the words of a user.
func described(t reflect.Type) string {
	if t == reflect.TypeFor[time.Duration]() {
		return "a duration such as 5ms"
	}
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "names with values"
	}
	return "a whole number"
}

// paramFields returns the fields of the workload's parameters by name.
func paramFields(w *harness.Workload) map[string]reflect.StructField {
	fields := make(map[string]reflect.StructField)
	if w.Params != nil {
		for f := range reflect.TypeOf(w.Params).Elem().Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			fields[name] = f
		}
	}
	return fields
}

// EncodeParams is the inverse of DecodeParams: all parameters by name.
func EncodeParams(params any) (map[string]any, error) {
	if params == nil {
		return nil, nil
	}
	b, err := yaml.Marshal(params)
	if err != nil {
		return nil, err
	}
	m := make(map[string]any)
	return m, yaml.Unmarshal(b, &m)
}

// A Param describes a parameter of a workload.
type Param struct {
	Name    string `json:"name"`
	Default any    `json:"default"`
	Doc     string `json:"doc"`
}

// Params lists the parameters of a workload in the order of their declaration.
func Params(w *harness.Workload) ([]Param, error) {
	defaults, err := EncodeParams(w.Params)
	if err != nil || defaults == nil {
		return nil, err
	}
	var all []Param
	for f := range reflect.TypeOf(w.Params).Elem().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		all = append(all, Param{name, defaults[name], f.Tag.Get("doc")})
	}
	return all, nil
}
