package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/f3f4c0de/harness/internal/experiment/spec"
)

// The schema accepts what init writes and the experiments of this repository.
func TestExperimentSchema(t *testing.T) {
	kinds, err := kindsWith(nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := experimentSchema(kinds)
	if err != nil {
		t.Fatal(err)
	}
	read := func(b []byte) any {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", read(b)); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	text, err := spec.Settings{}.Example(kinds)
	if err != nil {
		t.Fatal(err)
	}
	ci, err := os.ReadFile("../.ci/experiment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"what init writes": text, ".ci/experiment.yaml": string(ci)} {
		var v any
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(read(b)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
