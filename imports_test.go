package harness_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/f3f4c0de/harness"

// mayImport is who may import whom, below the module's path. A new package or a
// new edge is a line here, so that a reviewer sees it. Imports point down.
var mayImport = map[string][]string{
	"":                                  {"executor", "internal/core"},
	"cli":                               {"", "executor/backend", "internal/backends", "internal/backends/inproc", "internal/backends/ipc", "internal/build", "internal/calibrate", "internal/core", "internal/experiment/plan", "internal/experiment/run", "internal/experiment/spec", "internal/experiment/trial", "internal/export", "internal/inspect", "internal/jaeger", "internal/ledger", "internal/machine", "internal/metrics", "internal/profile", "internal/progress", "internal/report", "internal/results", "internal/trace", "internal/web", "internal/workloads"},
	"cmd/harness":                       {"cli"},
	"dashboards":                        {},
	"examples":                          {},
	"examples/causes":                   {"", "cli", "executor"},
	"examples/hashfiles":                {"executor"},
	"examples/health":                   {"executor", "executor/health"},
	"examples/hellothreads":             {"executor", "executor/pystyle"},
	"examples/mixed":                    {"executor"},
	"examples/pipeline":                 {"executor"},
	"examples/pool":                     {"executor"},
	"examples/prodcons":                 {"", "executor"},
	"examples/scrape":                   {"executor"},
	"executor":                          {"executor/backend", "internal/backends", "internal/backends/inproc", "internal/backends/ipc", "internal/core", "internal/fault", "internal/wire"},
	"executor/backend":                  {"internal/backends/inproc", "internal/core"},
	"executor/health":                   {"executor"},
	"executor/pystyle":                  {"executor", "internal/core"},
	"harnesstest":                       {"", "executor", "executor/backend", "internal/core"},
	"internal/acceptance":               {"internal/machine"},
	"internal/backends":                 {"internal/backends/inproc", "internal/backends/ipc", "internal/core"},
	"internal/backends/admission":       {"internal/core", "internal/fault"},
	"internal/backends/inproc":          {"internal/backends/admission", "internal/core", "internal/fault"},
	"internal/backends/ipc":             {"internal/backends/admission", "internal/child", "internal/core", "internal/fault", "internal/wire"},
	"internal/build":                    {"internal/experiment/plan", "internal/results"},
	"internal/calibrate":                {"internal/child", "internal/core"},
	"internal/child":                    {},
	"internal/core":                     {"internal/fault", "internal/wire"},
	"internal/experiment/plan":          {"internal/core", "internal/experiment/spec", "internal/machine", "internal/results"},
	"internal/experiment/run":           {"internal/child", "internal/experiment/plan", "internal/experiment/spec", "internal/experiment/trial", "internal/ledger", "internal/machine", "internal/profile", "internal/results", "internal/stats", "internal/trace"},
	"internal/experiment/spec":          {"", "internal/core", "internal/results", "internal/stats"},
	"internal/experiment/spec/spectest": {"", "executor", "internal/core"},
	"internal/experiment/trial":         {"", "executor", "internal/child", "internal/core", "internal/experiment/spec", "internal/machine", "internal/profile", "internal/results", "internal/trace"},
	"internal/export":                   {"internal/metrics", "internal/report", "internal/report/document", "internal/results"},
	"internal/fault":                    {},
	"internal/findings":                 {"internal/results", "internal/stats"},
	"internal/inspect":                  {"internal/profile", "internal/results", "internal/trace"},
	"internal/jaeger":                   {"dashboards", "internal/machine"},
	"internal/ledger":                   {"internal/core", "internal/profile", "internal/results"},
	"internal/machine":                  {"internal/stats"},
	"internal/metrics":                  {"internal/report", "internal/results", "internal/stats", "internal/trace"},
	"internal/profile":                  {"internal/core", "internal/results"},
	"internal/progress":                 {"internal/experiment/plan", "internal/experiment/run", "internal/results"},
	"internal/report":                   {"internal/findings", "internal/report/chart", "internal/report/document", "internal/results", "internal/stats"},
	"internal/report/chart":             {},
	"internal/report/document":          {"internal/report/chart"},
	"internal/results":                  {"", "internal/stats"},
	"internal/stats":                    {},
	"internal/trace":                    {"internal/core", "internal/fault", "internal/results"},
	"internal/web":                      {"internal/inspect", "internal/jaeger", "internal/profile", "internal/report", "internal/results", "internal/trace"},
	"internal/wire":                     {"internal/fault"},
	"internal/workloads":                {"", "executor", "internal/core"},
}

// alone is who alone may import a foreign package, by the longest prefix of its
// path.
var alone = map[string][]string{
	"go.opentelemetry.io/otel":           {"internal/trace", "internal/metrics", "executor/health", "examples/health"},
	"go.opentelemetry.io/otel/sdk":       {"internal/trace", "internal/metrics", "examples/health"},
	"go.opentelemetry.io/otel/exporters": {"internal/trace", "internal/metrics", "examples/health"},
	"go.opentelemetry.io/contrib":        {"internal/trace", "examples/health"},
	"go.opentelemetry.io/proto":          {"internal/trace"},
	"go.opentelemetry.io/collector":      {"internal/trace"}, // OTLP JSON
	"github.com/prometheus/procfs":       {"internal/machine", "internal/profile"},
	"runtime/pprof":                      {"internal/profile"},
	"github.com/google/pprof":            {"internal/profile"},
	"github.com/spf13/":                  {"cli"},
	"github.com/goccy/go-yaml":           {"internal/experiment/spec"},
	"github.com/prometheus/":             {"internal/metrics", "examples/health"},
	"golang.org/x/exp/trace":             {"internal/ledger"},
	"golang.org/x/perf":                  {"internal/report"},
	"golang.org/x/net":                   {"internal/workloads"},
	"golang.org/x/sys":                   {"internal/workloads"},
	"golang.org/x/term":                  {"internal/progress"},
	"google.golang.org/":                 {"internal/trace", "internal/metrics"},
	"google.golang.org/protobuf":         {"internal/trace", "internal/metrics"},
	"github.com/rogpeppe/go-internal":    {},
	"github.com/google/go-cmp":           {},
	"github.com/invopop/jsonschema":      {},
	"github.com/santhosh-tekuri/":        {},
	"github.com/f3f4c0de/harness/tools":  {},
}

type goPackage struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func list(t *testing.T, args ...string) []goPackage {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list", "-json=ImportPath,Imports,Deps"}, args...)...).Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// below returns the path below the module's, and whether it is of the module.
func below(path string) (string, bool) {
	if path == module {
		return "", true
	}
	return strings.CutPrefix(path, module+"/")
}

func TestImports(t *testing.T) {
	for _, p := range list(t, "./...") {
		name, _ := below(p.ImportPath)
		allowed, ok := mayImport[name]
		if !ok {
			t.Errorf("package %q is not in the table", name)
			continue
		}
		for _, path := range p.Imports {
			if imported, ours := below(path); ours {
				if !slices.Contains(allowed, imported) {
					t.Errorf("%q imports %q; it may import %q", name, imported, allowed)
				}
				continue
			}
			standard := !strings.Contains(strings.Split(path, "/")[0], ".")
			if name == "" && !standard {
				t.Errorf("the root package imports %s; it may import the standard library only", path)
			}
			longest := ""
			for prefix := range alone {
				if strings.HasPrefix(path, prefix) && len(prefix) > len(longest) {
					longest = prefix
				}
			}
			switch who := alone[longest]; {
			case standard:
			case longest == "":
				t.Errorf("%q imports %s, which is not in the table", name, path)
			case !slices.Contains(who, name):
				t.Errorf("%q imports %s; only %q may", name, path, who)
			}
		}
	}
}

// Whoever watches an executor chooses the SDK.
func TestHealthLinksNoSDK(t *testing.T) {
	for _, p := range list(t, "./executor/health") {
		for _, dep := range p.Deps {
			if strings.HasPrefix(dep, "go.opentelemetry.io/otel/sdk") || strings.HasPrefix(dep, "go.opentelemetry.io/otel/exporters") {
				t.Errorf("%s links %s; want the API of OpenTelemetry only", p.ImportPath, dep)
			}
		}
	}
}

// A program that only runs tasks must stay small: no OpenTelemetry and no
// cobra.
func TestExecutorLinksLittle(t *testing.T) {
	for _, p := range list(t, "./executor", "./examples/pool", "./examples/hellothreads") {
		for _, dep := range p.Deps {
			if _, ours := below(dep); !ours && strings.Contains(strings.Split(dep, "/")[0], ".") {
				t.Errorf("%s links %s; want the standard library only", p.ImportPath, dep)
			}
		}
	}
}
