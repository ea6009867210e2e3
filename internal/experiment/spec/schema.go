package spec

import (
	"maps"
	"reflect"
	"strings"
	"time"

	"github.com/f3f4c0de/harness"
)

// SchemaFile is the name under which the schema lies beside an experiment.
const SchemaFile = "harness.schema.json"

type object = map[string]any

// Schema returns the JSON schema of an experiment's file with those kinds. It is
// for editors: [ParseFile] checks the same and more, and says what is wrong
// better.
func Schema(kinds Kinds) any {
	fields := object{}
	var apart []any // what cannot be given together
	for _, o := range Options {
		if !o.Key {
			continue
		}
		fields[o.KeyName()] = o.schemaOf(kinds)
		for _, c := range o.Conflicts {
			if with := Lookup(c.With); with.Key && !c.Several {
				apart = append(apart, object{"required": []string{o.KeyName(), with.KeyName()}})
			}
		}
	}
	return object{
		"$schema": "http://json-schema.org/draft-07/schema#", // the one that editors know
		"title":   "An experiment for harness run",
		"type":    "object", "properties": fields, "additionalProperties": false,
		"not": object{"anyOf": apart},
	}
}

// schemaOf is that of the option in a file.
func (o *Option) schemaOf(kinds Kinds) object {
	if o.schema != nil {
		return describe(o.schema(kinds), o.Usage())
	}
	one := o.Kind.schema(o)
	if o.Values != nil && !o.Open {
		one = object{"enum": names(o.Values(kinds))}
	}
	if o.Kind.List != "" {
		one = object{"anyOf": []any{one, object{"type": "array", "minItems": 1, "items": maps.Clone(one)}}}
	}
	if o.Default != "" {
		one["default"] = o.Default
	}
	return describe(one, o.Usage())
}

func describe(schema object, doc string) object {
	schema["description"] = doc
	return schema
}

func textSchema(*Option) object { return object{"type": "string"} }

func switchSchema(*Option) object { return object{"type": "boolean"} }

func shareSchema(*Option) object { return object{"type": "string", "pattern": `^[0-9.]+ *%$`} }

func durationSchema(*Option) object { return object{"type": "string", "pattern": durationPattern} }

func intSchema(o *Option) object {
	s := object{"type": "integer", "minimum": o.Min}
	if o.Max != 0 {
		s["maximum"] = o.Max
	}
	return s
}

// programsSchema is that of the list of workloads.
func programsSchema(kinds Kinds) object {
	choices := []any{object{"enum": names(workloadValues(kinds)), "description": "the workload as it is by default"}}
	for _, w := range kinds.Workloads {
		choices = append(choices, programSchema(w))
	}
	return object{"type": "array", "items": object{"anyOf": choices}}
}

// programSchema is that of a workload with its parameters.
func programSchema(w *harness.Workload) object {
	params, vary := object{}, object{varyWorkers: severalSchema("the number of workers")}
	for name, f := range paramFields(w) {
		params[name] = describe(typeSchema(f.Type), f.Tag.Get("doc"))
		vary[name] = severalSchema(f.Tag.Get("doc"))
	}
	if all, err := Params(w); err == nil {
		for _, p := range all {
			params[p.Name].(object)["default"] = p.Default
		}
	}
	for _, x := range Axes(w) {
		vary[x.Name] = severalSchema(x.Doc + ": " + strings.Join(x.Values, ", "))
	}
	return object{
		"type": "object", "required": []string{"workload"}, "additionalProperties": false,
		"properties": object{
			"workload": object{"const": w.Name, "description": FirstLine(w.Doc)},
			"label":    object{"type": "string", "pattern": labelForm.String(), "description": "tells it from another choice of the same workload"},
			"workers":  describe(workersSchema(Kinds{}), "0 is what suits the workload"),
			"params":   object{"type": "object", "additionalProperties": false, "properties": params},
			"vary":     object{"type": "object", "maxProperties": 1, "additionalProperties": false, "properties": vary},
		},
	}
}

func workersSchema(Kinds) object { return intSchema(&Option{Max: mostWorkers}) }

func severalSchema(doc string) object {
	return object{"type": "array", "minItems": 2, "description": doc}
}

const durationPattern = `^([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+$`

// typeSchema is that of the values that described describes.
func typeSchema(t reflect.Type) object {
	if t == reflect.TypeFor[time.Duration]() {
		return durationSchema(nil)
	}
	switch t.Kind() {
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}
	case reflect.Slice, reflect.Array:
		return object{"type": "array"}
	case reflect.Map, reflect.Struct:
		return object{"type": "object"}
	}
	return object{"type": "integer"}
}
