package harness_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// additions are what CONTRIBUTING.md shows how to add: for each a diff, the module and
// the package of the program that is then built, and a command whose output shows it.
var additions = []struct {
	name        string // of the file in testdata/contributing
	module, pkg string
	args        []string
	want        string // in the output
}{
	{"backend", "examples/ownworkload", ".", []string{"list", "backends"}, "gil-50ms"},
	{"workload", ".", "./cmd/harness", []string{"list", "workloads"}, "count  "},
	{"section", ".", "./cmd/harness", []string{"export", "results/2026-11-21-two-cores", "--format", "markdown"}, "What memory they take"},
	{"chart", ".", "./cmd/harness", []string{"export", "results/2026-11-21-two-cores", "--format", "html"}, "as a multiple of the baseline"},
	{"finding", ".", "./cmd/harness", []string{"list", "workloads"}, ""},
	{"option", ".", "./cmd/harness", []string{"init", "-"}, "profile"},
	{"command", ".", "./cmd/harness", []string{"trials", "results/2026-11-21-two-cores"}, "sqrt"},
}

// What CONTRIBUTING.md shows how to add is short, applies to the code as it is, builds, and does
// what it is for.
func TestContributing(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the command once for each addition")
	}
	for _, a := range additions {
		t.Run(a.name, func(t *testing.T) {
			diff, err := os.ReadFile(filepath.Join("testdata", "contributing", a.name+".diff"))
			if err != nil {
				t.Fatal(err)
			}
			if n := bytes.Count(diff, []byte("\n")); n >= 40 {
				t.Errorf("the diff has %d lines; want fewer than 40", n)
			}
			bin := filepath.Join(t.TempDir(), "harness")
			overlay := apply(t, diff)
			build := exec.CommandContext(t.Context(), "go", "build", "-C", a.module, "-overlay", overlay, "-o", bin, a.pkg)
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", build.Args, err, out)
			}
			cmd := exec.CommandContext(t.Context(), bin, a.args...)
			if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), a.want) {
				t.Errorf("%v ended with %v and printed\n%swant %q in it", cmd.Args, err, out, a.want)
			}
		})
	}
}

// CONTRIBUTING.md shows the diffs as they are, each behind a comment with its name. With
// -update they are put there.
func TestContributingShowsTheDiffs(t *testing.T) {
	const name = "CONTRIBUTING.md"
	page, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	want := page
	for _, a := range additions {
		diff, err := os.ReadFile(filepath.Join("testdata", "contributing", a.name+".diff"))
		if err != nil {
			t.Fatal(err)
		}
		place := regexp.MustCompile("(?s)(<!-- " + a.name + " -->\n+```diff\n).*?(```\n)")
		if !place.Match(want) {
			t.Errorf("%s has no block for the diff %s", name, a.name)
		}
		want = place.ReplaceAllFunc(want, func(block []byte) []byte {
			parts := place.FindSubmatch(block)
			return slices.Concat(parts[1], diff, parts[2])
		})
	}
	switch {
	case bytes.Equal(page, want):
	case *update:
		if err := os.WriteFile(name, want, 0o666); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s does not show the diffs of testdata/contributing as they are: go test . -run ShowsTheDiffs -update", name)
	}
}

// apply applies the diff to copies of the files that it changes, and returns the name of
// the file that has the go command see these in the place of the tree's.
func apply(t *testing.T, diff []byte) (overlay string) {
	t.Helper()
	dir := t.TempDir()
	var o struct{ Replace map[string]string }
	o.Replace = make(map[string]string)
	for _, m := range regexp.MustCompile(`(?m)^\+\+\+ b/(.*)$`).FindAllSubmatch(diff, -1) {
		name := string(m[1])
		from, err := filepath.Abs(name)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, name)
		o.Replace[from] = to
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			t.Fatal(err)
		}
		old, err := os.ReadFile(name)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, old, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "git", "apply", "-")
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(diff)
	cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git apply: %v\n%s", err, out)
	}
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	overlay = filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return overlay
}
