package cli

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/cobra"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/experiment/spec"
)

var update = flag.Bool("update", false, "write the golden files anew")

// An option means the same as a flag, as a variable and in a file, and every list of
// options has it.
func TestOptions(t *testing.T) {
	a := &app{kinds: must(kindsWith(nil))}
	run := newRunCommand(a)
	help := helpOf(t, run)
	schema := spec.Schema(a.kinds).(map[string]any)["properties"].(map[string]any)
	file, err := spec.Settings{}.Example(a.kinds)
	if err != nil {
		t.Fatal(err)
	}
	page := optionsPage()
	for i, o := range spec.Options {
		t.Run(o.Name, func(t *testing.T) {
			if o.Doc == "" || strings.HasSuffix(o.Doc, ".") || slices.IndexFunc(spec.Options, func(x *spec.Option) bool { return x.Name == o.Name }) != i {
				t.Errorf("option %d has no line that says what it is, or the name of another", i)
			}
			checkFlag(t, o, run, help)
			checkSources(t, o, a.kinds)
			checkResume(t, o, a.kinds)
			entry, isKey := schema[o.KeyName()].(map[string]any)
			if isKey != o.Key || isKey && entry["description"] != o.Usage() {
				t.Errorf("the schema says %v of key %s", entry, o.KeyName())
			}
			inFile := strings.Contains("\n"+strings.ReplaceAll(file, "\n# ", "\n"), "\n"+o.KeyName()+":")
			if inFile != o.Key {
				t.Errorf("harness init writes %s: %v; want %v", o.KeyName(), inFile, o.Key)
			}
			if o.Key && o.Name != "workloads" && !strings.Contains(file, o.Usage()) {
				t.Errorf("harness init does not say %q", o.Usage())
			}
			if !strings.Contains(page, "| `--"+o.Name+"`") {
				t.Errorf("the page has no row of --%s", o.Name)
			}
			for _, other := range slices.Concat(o.ReplacedBy, o.VariableIgnoredWith) {
				spec.Lookup(other) // panics if there is none
			}
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func helpOf(t *testing.T, cmd *cobra.Command) string {
	t.Helper()
	var b bytes.Buffer
	cmd.SetOut(&b)
	if err := cmd.Help(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// checkFlag checks that run has the flag, and that its help describes it.
func checkFlag(t *testing.T, o *spec.Option, cmd *cobra.Command, help string) {
	t.Helper()
	f := cmd.Flags().Lookup(o.Name)
	if f == nil || f.Usage != o.Usage() || f.Shorthand != o.Short {
		t.Fatalf("the flag is %+v; want one with the usage %q", f, o.Usage())
	}
	if !strings.Contains(help, "--"+o.Name) || !strings.Contains(help, o.Usage()) {
		t.Errorf("help does not say --%s and %q", o.Name, o.Usage())
	}
}

// checkSources checks that the option's example is read from each source that the
// option allows, means the same from all of them, and is refused from others.
func checkSources(t *testing.T, o *spec.Option, kinds spec.Kinds) {
	t.Helper()
	example := o.Example
	if example == "" {
		example = "true"
	}
	flags := make(spec.Given)
	flags.Add(o, example)
	want, err := spec.Read(spec.Sources{Flags: flags}, kinds)
	if err != nil || same(want, spec.Settings{}) {
		t.Fatalf("--%s %s gives %+v, %v", o.Name, example, want, err)
	}
	variable := func(name string) string {
		if name == o.VariableName() {
			return example
		}
		return ""
	}
	if got, err := spec.Read(spec.Sources{Getenv: variable}, kinds); err != nil || same(got, want) != o.Variable {
		t.Errorf("%s=%s gives %+v, %v", o.VariableName(), example, got, err)
	}
	value := example
	if o.Kind.Name == spec.Names.Name {
		value = "[" + example + "]"
	}
	got, err := spec.ParseFile("f", fmt.Appendf(nil, "%s: %s\n", o.KeyName(), value), kinds)
	if o.Key && (err != nil || !same(got, want)) {
		t.Errorf("%s: %s gives %+v, %v; want %+v", o.KeyName(), value, got, err, want)
	}
	if !o.Key && (err == nil || !strings.Contains(err.Error(), "unknown field")) {
		t.Errorf("%s is no key, and the error is %v", o.KeyName(), err)
	}
}

func same(a, b spec.Settings) bool {
	return cmp.Equal(a, b, cmpopts.IgnoreUnexported(spec.Settings{}),
		cmp.Comparer(func(a, b *harness.Workload) bool { return a == b }), cmp.Comparer(func(a, b *core.Backend) bool { return a == b }))
}

// checkResume checks that a resumed run refuses options that its records have.
func checkResume(t *testing.T, o *spec.Option, kinds spec.Kinds) {
	t.Helper()
	if o.Name == "resume" {
		return
	}
	flags := spec.Given{"resume": {"dir"}, o.Name: {o.Example}}
	if o.Example == "" {
		flags[o.Name] = []string{"true"}
	}
	_, err := spec.Read(spec.Sources{Flags: flags}, kinds)
	if refused := err != nil && strings.HasSuffix(err.Error(), "cannot be combined with --"+o.Name); refused != o.New {
		t.Errorf("with --resume it gives the error %v", err)
	}
	broken := func(name string) string {
		if name == o.VariableName() {
			return "\x00"
		}
		return ""
	}
	if _, err := spec.Read(spec.Sources{Flags: spec.Given{"resume": {"dir"}}, Getenv: broken}, kinds); err != nil && o.New {
		t.Errorf("with --resume its variable is read: %v", err)
	}
}

// Every documented default is a possible value, and is the value without the option.
func TestOptionDefaults(t *testing.T) {
	kinds := must(kindsWith(nil))
	filled, err := spec.Settings{}.Resolve(kinds)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range spec.Options {
		if o.Default == "" {
			continue
		}
		given, err := spec.Read(spec.Sources{Flags: spec.Given{o.Name: {o.Default}, "seed": {fmt.Sprint(*filled.Seed)}}}, kinds)
		if err != nil {
			t.Errorf("--%s %s: %v", o.Name, o.Default, err)
			continue
		}
		again, err := given.Resolve(kinds)
		if err != nil || !same(again.Settings, filled.Settings) {
			t.Errorf("with --%s %s, its default, the settings are %+v, %v; without %+v", o.Name, o.Default, again.Settings, err, filled.Settings)
		}
	}
}

func TestOptionsPage(t *testing.T) {
	const path = "../docs/options.md"
	want := optionsPage()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Errorf("%s is not what the table says; run go test -update and read the diff (-want +got):\n%s", path, d)
	}
}

// optionsPage is the page of documentation about options.
func optionsPage() string {
	var b strings.Builder
	b.WriteString(`# The options of a run

` + "`go test ./cli -run OptionsPage -update`" + ` writes this page from the table in ` + "`internal/experiment/spec/options.go`" + `.

A flag has precedence over a variable of the environment, which has it over a key in the file. In a file, lists are YAML lists; the
` + "`workloads`" + ` there can have parameters, which ` + "`harness init`" + ` writes out.

| flag | variable | key | value | if it is not given | what it says |
| --- | --- | --- | --- | --- | --- |
`)
	for _, o := range spec.Options {
		flag := "`--" + o.Name + "`"
		if o.Short != "" {
			flag += " `-" + o.Short + "`"
		}
		variable, key, value, otherwise := "–", "–", o.Wanted(), "–"
		if o.Variable {
			variable = "`" + o.VariableName() + "`"
		}
		if o.Key {
			key = "`" + o.KeyName() + "`"
		}
		if o.Default != "" {
			otherwise = "`" + o.Default + "`"
		} else if o.Otherwise != "" {
			otherwise = o.Otherwise
		}
		if o.Unit != "" && !strings.Contains(value, o.Unit) {
			value = o.Unit + ": " + value
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", flag, variable, key, value, otherwise, o.Doc)
	}
	b.WriteString("\n## What does not go together\n\n")
	var begun []string
	for _, o := range spec.Options {
		for _, c := range o.Conflicts {
			fmt.Fprintf(&b, "- `--%s` and `--%s`: %s.\n", o.Name, c.With, c.Why)
		}
		if len(o.ReplacedBy) > 0 {
			fmt.Fprintf(&b, "- `--%s` from a place of lower precedence does not count where %s is given.\n", o.Name, flagList(o.ReplacedBy, "or"))
		}
		if len(o.VariableIgnoredWith) > 0 {
			fmt.Fprintf(&b, "- `%s` does not count where %s is given.\n", o.VariableName(), flagList(o.VariableIgnoredWith, "or"))
		}
		if o.New {
			begun = append(begun, o.Name)
		}
	}
	fmt.Fprintf(&b, "- `--resume` goes on with a run as it was planned: it refuses a file, %s.\n", flagList(begun, "and"))
	return b.String()
}

func flagList(names []string, and string) string {
	var s strings.Builder
	for i, n := range names {
		switch {
		case i > 0 && i == len(names)-1:
			s.WriteString(" " + and + " ")
		case i > 0:
			s.WriteString(", ")
		}
		s.WriteString("`--" + n + "`")
	}
	return s.String()
}
