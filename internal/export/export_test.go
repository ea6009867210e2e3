package export

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/f3f4c0de/harness/internal/report"
	"github.com/f3f4c0de/harness/internal/results"
)

var read = sync.OnceValues(func() (*Run, error) {
	d, err := results.Read("../../results/2026-11-21-two-cores")
	if err != nil {
		return nil, err
	}
	return NewRun(d, report.Build(d)), nil
})

// published is a run that an older version made.
func published(t *testing.T) *Run {
	t.Helper()
	run, err := read()
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func TestFormats(t *testing.T) {
	run := published(t)
	begins := map[string]string{
		"benchfmt": "goos: linux\n", "csv": "run,workload,backend,", "html": "<!doctype html>\n", "json": "{\n", "markdown": "# Run 2026", "openmetrics": "# HELP ",
	}
	var names, files []string
	for _, f := range All {
		if f.Doc == "" || slices.Contains(files, f.File) {
			t.Errorf("%s has the description %q and the file %s; want one, and a file of its own", f.Name, f.Doc, f.File)
		}
		names, files = append(names, f.Name), append(files, f.File)
		var once, again bytes.Buffer
		for _, w := range []*bytes.Buffer{&once, &again} {
			if err := f.Write(t.Context(), w, run); err != nil {
				t.Fatalf("%s: %v", f.Name, err)
			}
		}
		if !bytes.Equal(once.Bytes(), again.Bytes()) {
			t.Errorf("%s: the same records give other bytes the second time", f.Name)
		}
		if begins[f.Name] == "" || !strings.HasPrefix(once.String(), begins[f.Name]) {
			t.Errorf("%s begins with %.40q; want %q", f.Name, once.String(), begins[f.Name])
		}
		if f.Name == "openmetrics" && !strings.HasSuffix(once.String(), "\n# EOF\n") {
			t.Errorf("%s does not end with # EOF, without which Prometheus refuses it", f.Name)
		}
	}
	if !slices.IsSorted(names) {
		t.Errorf("the formats are %q; want them by name", names)
	}
}

// What a folder has is what is exported, and every chart that Markdown shows.
func TestFiles(t *testing.T) {
	run, dir := published(t), t.TempDir()
	if err := Files(t.Context(), dir, run); err != nil {
		t.Fatal(err)
	}
	for _, f := range All {
		var want bytes.Buffer
		if err := f.Write(t.Context(), &want, run); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, f.File)); err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%s is not what %s exports (%v)", f.File, f.Name, err)
		}
	}
	md, err := os.ReadFile(filepath.Join(dir, results.MDFile))
	if err != nil {
		t.Fatal(err)
	}
	charts := run.Document.Charts()
	for _, c := range charts {
		name := results.ChartsDir + "/" + c.Name + ".svg"
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil || !bytes.Contains(md, []byte("]("+name+")")) {
			t.Errorf("%s is not there, or Markdown does not show it (%v)", name, err)
		}
	}
	if len(charts) < 10 {
		t.Errorf("there are %d charts; want a map, intervals, task timelines of seven workloads, the workers' time and the course of the run", len(charts))
	}
}

func TestFilesFails(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, results.ChartsDir), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := Files(t.Context(), dir, published(t)); err == nil || !strings.Contains(err.Error(), "folder for charts") {
		t.Errorf("Files into a folder that cannot have charts = %v; want an error that says so", err)
	}
}
