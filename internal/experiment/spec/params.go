package spec

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/f3f4c0de/harness"
)

// params returns a copy of the program's parameters.
func (p Program) params() any {
	from := p.Params
	if from == nil {
		from = p.Workload.Params
	}
	if from == nil {
		return nil
	}
	c := reflect.New(reflect.TypeOf(from).Elem())
	c.Elem().Set(reflect.ValueOf(from).Elem())
	return c.Interface()
}

// DecodeParams returns a copy of the workload's default parameters with those of
// a record in their places.
func DecodeParams(w *harness.Workload, params map[string]any) (any, error) {
	texts := make(map[string]string)
	for key, v := range params {
		switch v.(type) {
		case string, bool, int64, uint64, float64:
			texts[key] = fmt.Sprint(v)
		default:
			b, err := yaml.Marshal(v)
			if err != nil {
				return nil, fmt.Errorf("parameter %s of %s: %w", key, w.Name, err)
			}
			texts[key] = string(b)
		}
	}
	p, err := Program{Workload: w}.with(texts)
	return p.Params, err
}

// setParam sets one parameter from its text.
func setParam(w *harness.Workload, params any, key, text string) error {
	if params == nil {
		return fmt.Errorf("workload %s has no parameters", w.Name)
	}
	fields := paramFields(w)
	field, ok := fields[key]
	if !ok {
		return unknown("parameter of "+w.Name, key, slices.Collect(maps.Keys(fields)))
	}
	if err := setField(reflect.ValueOf(params).Elem().FieldByIndex(field.Index), text); err != nil {
		return fmt.Errorf("parameter %s of %s is %s; want %s", key, w.Name, text, described(field.Type))
	}
	return nil
}

// setField reads the value of a field. What has no simple form is YAML.
func setField(f reflect.Value, text string) (err error) {
	if f.Type() == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(text)
		f.SetInt(int64(d))
		return err
	}
	if f.Type().PkgPath() != "" { // it may read itself
		return yaml.Unmarshal([]byte(text), f.Addr().Interface())
	}
	switch {
	case f.Kind() == reflect.String:
		f.SetString(text)
	case f.Kind() == reflect.Bool:
		f.SetBool(text == "true")
		if text != "true" && text != "false" {
			err = strconv.ErrSyntax
		}
	case f.CanInt():
		var n int64
		n, err = wholeNumber(text, f.Type().Bits())
		f.SetInt(n)
	case f.CanUint():
		var n uint64
		n, err = strconv.ParseUint(text, 0, f.Type().Bits())
		f.SetUint(n)
	case f.CanFloat():
		var v float64
		v, err = strconv.ParseFloat(text, f.Type().Bits())
		f.SetFloat(v)
	default:
		err = yaml.Unmarshal([]byte(text), f.Addr().Interface())
	}
	return err
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

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
