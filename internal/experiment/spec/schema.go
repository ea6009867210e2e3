package spec

import (
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
	var names, backends []string
	for _, b := range kinds.Backends {
		backends = append(backends, b.Name)
	}
	choices := []any{nil}
	for _, w := range kinds.Workloads {
		names = append(names, w.Name)
		choices = append(choices, choiceSchema(w))
	}
	choices[0] = object{"enum": names, "description": "the workload as it is by default"}
	fields := object{
		"workloads":   object{"type": "array", "description": "all of them if left out", "items": object{"anyOf": choices}},
		"backends":    object{"type": "array", "description": "execution models; sequential is always among them", "items": object{"enum": backends}},
		"workers":     workersSchema(),
		"preset":      object{"enum": Presets(), "description": "how much is measured"},
		"rounds":      object{"type": "integer", "minimum": 1, "maximum": 10_000, "description": "instead of those of the preset"},
		"seed":        object{"type": "integer", "minimum": 0, "description": "of the random order; a new one if left out"},
		"timeout":     durationSchema("longest that a trial may take"),
		"trial":       durationSchema("least measured time of a trial; shorter programs are repeated"),
		"observers":   object{"type": "integer", "minimum": 0, "maximum": 1000, "description": "rounds by which the cost of observing is measured"},
		"precision":   object{"type": "string", "pattern": `^[0-9.]+ *%$`, "description": "instead of rounds: as many as it takes for intervals this narrow, such as 2%"},
		"time_budget": durationSchema("as many rounds as fit, so that the run is done in this time"),
	}
	return object{
		"$schema": "http://json-schema.org/draft-07/schema#", // the one that editors know
		"title":   "An experiment for harness run",
		"type":    "object", "properties": fields, "additionalProperties": false,
		"not": object{"required": []string{"rounds", "precision"}},
	}
}

// choiceSchema is that of a workload with its parameters.
func choiceSchema(w *harness.Workload) object {
	params, vary := object{}, object{varyWorkers: severalSchema("the number of workers")}
	for name, f := range paramFields(w) {
		p := typeSchema(f.Type)
		p["description"] = f.Tag.Get("doc")
		params[name] = p
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
			"workers":  workersSchema(),
			"params":   object{"type": "object", "additionalProperties": false, "properties": params},
			"vary":     object{"type": "object", "maxProperties": 1, "additionalProperties": false, "properties": vary},
		},
	}
}

func workersSchema() object {
	return object{"type": "integer", "minimum": 0, "maximum": mostWorkers, "description": "0 is what suits each workload"}
}

func severalSchema(doc string) object {
	return object{"type": "array", "minItems": 2, "description": doc}
}

func durationSchema(doc string) object {
	return object{"type": "string", "pattern": `^([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+$`, "description": doc + ", such as 5ms"}
}

// typeSchema is that of the values that described describes.
func typeSchema(t reflect.Type) object {
	if t == reflect.TypeFor[time.Duration]() {
		return durationSchema("")
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
