package report

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/invopop/jsonschema"
	check "github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/f3f4c0de/harness/internal/results"
)

// reflected returns the schema made from the types of a report and their comments.
func reflected(t *testing.T) []byte {
	t.Helper()
	r := &jsonschema.Reflector{
		Anonymous:                 true,
		AllowAdditionalProperties: true, // a later harness may add some
		Mapper: func(t reflect.Type) *jsonschema.Schema {
			if t == reflect.TypeFor[results.Parts]() { // it encodes itself
				return &jsonschema.Schema{Type: "object", AdditionalProperties: &jsonschema.Schema{Type: "integer"}, Description: "nanoseconds by part"}
			}
			return nil
		},
	}
	for dir, pkg := range map[string]string{".": "report", "../results": "results", "../stats": "stats", "../findings": "findings"} {
		if err := r.AddGoComments("github.com/f3f4c0de/harness/internal/"+pkg, dir); err != nil {
			t.Fatal(err)
		}
	}
	s := r.Reflect(&Report{})
	s.Title = "results.json of harness"
	allowNull(s, reflect.TypeFor[Report](), make(map[reflect.Type]bool))
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(b, '\n')
}

// allowNull allows null for the fields that can be null: pointers without omitempty.
func allowNull(s *jsonschema.Schema, typ reflect.Type, seen map[reflect.Type]bool) {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct || seen[typ] {
		return
	}
	seen[typ] = true
	for f := range typ.Fields() {
		allowNull(s, f.Type, seen)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		def := s.Definitions[typ.Name()]
		if f.Type.Kind() != reflect.Pointer || strings.Contains(options, "omit") || def == nil {
			continue
		}
		if p, ok := def.Properties.Get(name); ok {
			doc := p.Description
			p.Description = ""
			def.Properties.Set(name, &jsonschema.Schema{AnyOf: []*jsonschema.Schema{p, {Type: "null"}}, Description: doc})
		}
	}
}

// The embedded schema is the one made from the types and their comments.
func TestSchemaIsThatOfTheCode(t *testing.T) {
	got := reflected(t)
	if *update {
		if err := os.WriteFile("results.schema.json", got, 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(string(Schema), string(got)); d != "" {
		t.Errorf("results.schema.json differs; if that is meant, run go test -update and read the diff (-want +got):\n%s", d)
	}
}

func TestSchemaFitsReports(t *testing.T) {
	schema := compiled(t)
	running := testData()
	running.Run.Status, running.Run.Ended = results.Running, time.Time{}
	disturbed := judgedData()
	disturbed.Run.BudgetNS, disturbed.Run.AskedRounds, disturbed.Run.Rounds = 1, 20, 3
	for name, d := range map[string]*results.Data{
		"short": testData(), "judged": judgedData(), "running": running, "few": disturbed, "shares": alongShares(),
		"scaling": scalingData(func(float64) float64 { return 0.1 }, func(*results.Ledger, int64) {}),
	} {
		var b bytes.Buffer
		if err := JSON(&b, Build(d)); err != nil {
			t.Fatal(err)
		}
		fits(t, schema, name, b.Bytes())
	}
	published, err := filepath.Glob("../../results/*/results.json")
	if err != nil || len(published) == 0 {
		t.Fatalf("there are no published runs: %v", err)
	}
	for _, path := range published {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		fits(t, schema, path, b)
	}
	for name, text := range map[string]string{
		"nothing":        `{}`,
		"another type":   `{"run": "x", "spans": {}, "judged": true, "trust": {}, "rows": []}`,
		"not a document": `[]`,
	} {
		v, err := check.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if schema.Validate(v) == nil {
			t.Errorf("the schema takes %s: %s", name, text)
		}
	}
}

func compiled(t *testing.T) *check.Schema {
	t.Helper()
	doc, err := check.UnmarshalJSON(bytes.NewReader(Schema))
	if err != nil {
		t.Fatal(err)
	}
	c := check.NewCompiler()
	if err := c.AddResource("results.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("results.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func fits(t *testing.T, schema *check.Schema, name string, b []byte) {
	t.Helper()
	v, err := check.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(v); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}
