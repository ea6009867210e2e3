package spec

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schemaTakes reports what the schema says of a file.
func schemaTakes(t *testing.T, text string) error {
	t.Helper()
	read := func(v any) any {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(SchemaFile, read(Schema(kinds))); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile(SchemaFile)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return schema.Validate(read(v))
}

// What the schema says is what ParseFile and Resolve say.
func TestSchema(t *testing.T) {
	tests := []struct {
		name, text string
		ok         bool
	}{
		{"names", "workloads: [alpha, beta]\nbackends: [many]\n", true},
		{"everything", `
workloads:
  - alpha
  - workload: alpha
    label: x_1
    workers: 3
    params: {n: 5, wait: 1m30s, scale: 1, big: 18446744073709551615, name: y, on: true}
  - workload: alpha
    label: y
    vary: {n: [1, 2]}
backends: [sequential, many, apart]
workers: 4
preset: standard
rounds: 20
seed: 18446744073709551615
timeout: 1.5h
trial: 100ms
observers: 0
time_budget: 10m
`, true},
		{"precision", "precision: 2%\n", true},
		{"precision and rounds", "precision: 2%\nrounds: 5\n", false},
		{"a precision without %", "precision: 2\n", false},
		{"an unknown field", "round: 3\n", false},
		{"an unknown workload", "workloads: [alpa]\n", false},
		{"an unknown parameter", "workloads: [{workload: alpha, params: {m: 1}}]\n", false},
		{"a parameter of another type", "workloads: [{workload: alpha, params: {n: x}}]\n", false},
		{"half a thing", "workloads: [{workload: alpha, params: {n: 1.5}}]\n", false},
		{"a duration without a unit", "workloads: [{workload: alpha, params: {wait: 2}}]\n", false},
		{"parameters without a workload", "workloads: [{params: {n: 1}}]\n", false},
		{"parameters of another workload", "workloads: [{workload: beta, params: {n: 1}}]\n", false},
		{"varying over one value", "workloads: [{workload: alpha, vary: {n: [1]}}]\n", false},
		{"varying two things", "workloads: [{workload: alpha, vary: {n: [1, 2], workers: [1, 2]}}]\n", false},
		{"an unknown backend", "backends: [mny]\n", false},
		{"an unknown preset", "preset: slow\n", false},
		{"too many workers", "workers: 5000\n", false},
		{"a label", "workloads: [{workload: alpha, label: Not/good}]\n", false},
		{"soon", "time_budget: soon\n", false},
		{"no rounds", "rounds: 0\n", false},
		{"too many rounds", "rounds: 10001\n", false},
		{"a negative seed", "seed: -1\n", false},
		{"several numbers of workers", "workers: [1, 2]\n", false},
		{"one backend", "backends: many\n", true},
		{"no workload", "workloads: alpha\n", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := schemaTakes(t, tt.text); (err == nil) != tt.ok {
				t.Errorf("the schema says %v", err)
			}
			s, err := ParseFile("f.yaml", []byte(tt.text), kinds)
			if err == nil {
				_, err = s.Resolve(kinds)
			}
			if (err == nil) != tt.ok {
				t.Errorf("ParseFile and Resolve say %v", err)
			}
		})
	}
}

func TestSchemaHasEveryField(t *testing.T) {
	s := Schema(kinds).(object)
	got := slices.Collect(maps.Keys(s["properties"].(object)))
	got = slices.AppendSeq(got, maps.Keys(programSchema(alpha)["properties"].(object)))
	slices.Sort(got)
	want := append((&file{options: Options}).fieldNames(), "workers") // which a workload has, too
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the schema has the fields %v; want %v", got, want)
	}
}
