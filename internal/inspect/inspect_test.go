package inspect

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/f3f4c0de/harness/internal/profile"
	"github.com/f3f4c0de/harness/internal/results"
)

func openCanned(t *testing.T) *Run {
	t.Helper()
	r, err := Open(canned)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestOpen(t *testing.T) {
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "is not the folder of a run") {
		t.Errorf("Open of an empty folder = %v", err)
	}
	// An older run without profiles and spans can be read, too.
	r, err := Open("../../results/2026-11-21-two-cores")
	if err != nil {
		t.Fatal(err)
	}
	if cells := r.Profiled(); len(cells) != 0 {
		t.Errorf("Profiled() = %v; want none", cells)
	}
	if l, err := r.Ledger("sqrt-processes-w2"); err != nil || l.Tasks == 0 {
		t.Errorf("Ledger = %v, %v", l, err)
	}
}

func TestFiles(t *testing.T) {
	r := openCanned(t)
	if got, want := r.Profiled(), []string{baseline, processes}; !slices.Equal(got, want) {
		t.Errorf("Profiled() = %v; want %v", got, want)
	}
	files, err := r.Files(processes)
	if err != nil {
		t.Fatal(err)
	}
	count := make(map[string]int) // of processes
	var order []string
	for _, f := range files {
		if count[f.Process] == 0 {
			order = append(order, f.Process)
		}
		count[f.Process]++
		if f.Size == 0 || !slices.Contains(Profiles, f.Kind) {
			t.Errorf("there is the file %+v", f)
		}
	}
	n := len(Profiles)
	if diff := cmp.Diff(map[string]int{"": n, "worker-0": n, "worker-1": n}, count); diff != "" || !slices.Equal(order, []string{"", "worker-0", "worker-1"}) {
		t.Errorf("Files() are of %v, in the order %v (-want +got):\n%s", count, order, diff)
	}
	sorted := []string{"worker-10", "trial", "worker-2", ""}
	slices.SortFunc(sorted, byProcess)
	if want := []string{"", "trial", "worker-2", "worker-10"}; !slices.Equal(sorted, want) {
		t.Errorf("processes are sorted as %q; want %q", sorted, want)
	}
}

func TestProfile(t *testing.T) {
	r := openCanned(t)
	for name, want := range map[string]string{"cpu": "2s", "cpu.worker-1": "1s", "traced-cpu": "500ms", "goroutine": "200", "allocs": "1.86 GiB"} {
		if v, err := r.Profile(processes, name); err != nil || v.Amount() != want {
			t.Errorf("Profile(%s) is of %s, %v; want %s", name, amount(v), err, want)
		}
	}
	if v, err := r.EachTask(processes, "cpu"); err != nil || v.Amount() != "200ms" {
		t.Errorf("EachTask is of %s, %v; want a tenth of 2s, for two tasks that ran five times", amount(v), err)
	}
	if got, want := r.Collector(baseline), "In the garbage collector: 20 of 200 CPU samples, 10 % of the processor time"; got != want {
		t.Errorf("Collector() = %q; want %q", got, want)
	}
	spans, err := r.SampledSpans(processes)
	if err != nil || len(spans) != 2 || spans[0].ID != "b000000000000011" || spans[0].Samples != 40 {
		t.Errorf("SampledSpans() = %+v, %v; want two, that of the first task first", spans, err)
	}
	if spans, err := r.SampledSpans("none"); spans != nil || err != nil {
		t.Errorf("SampledSpans(none) = %v, %v; want nothing", spans, err)
	}
}

func amount(v *profile.View) string {
	if v == nil {
		return "nothing"
	}
	return v.Amount()
}

func TestSpan(t *testing.T) {
	r := openCanned(t)
	tests := []struct {
		id, name string
		samples  int64
		more     string
	}{
		{"a000000000000011", "task sum", 40, "harness ledger " + canned + " --cell " + baseline + " --task 1"},
		{"B000000000000012", "task sum", 10, "harness ledger " + canned + " --cell " + processes + " --task 2"},
		{"b000000000000001", "trial " + processes, 50, "harness ledger " + canned + " --cell " + processes},
	}
	for _, tt := range tests {
		v, found, err := r.Span(tt.id)
		if err != nil || found.Name != tt.name || v.Samples() != tt.samples {
			t.Errorf("Span(%s) = %d samples of %+v, %v; want %d of %s", tt.id, v.Samples(), found, err, tt.samples, tt.name)
			continue
		}
		if got := r.MoreAbout(found); got != tt.more {
			t.Errorf("MoreAbout(%s) = %q; want %q", tt.id, got, tt.more)
		}
	}
	_, found, err := r.Span("a000000000000012")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := r.TooFew(found, 10), "task sum (span a000000000000012) has 10 CPU samples; fewer than 30 say nothing. See: harness ledger"; !strings.HasPrefix(got, want) {
		t.Errorf("TooFew() = %q; want %q", got, want)
	}
}

func TestLedger(t *testing.T) {
	r := openCanned(t)
	if l, err := r.Ledger(processes); err != nil || l.Workers != 2 {
		t.Errorf("Ledger = %+v, %v", l, err)
	}
	if task, err := r.Task(processes, 2); err != nil || task.SpanID != "b000000000000012" {
		t.Errorf("Task = %+v, %v", task, err)
	}
	if got, want := r.TraceID(baseline), "0000000000000000000000000000c0de"; got != want {
		t.Errorf("TraceID = %q; want %q", got, want)
	}
	if got := r.TraceID("none"); got != "" {
		t.Errorf("TraceID(none) = %q; want none", got)
	}
}

// Errors distinguish what the run does not have from what cannot be read.
func TestErrors(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(canned)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{filepath.Join(results.ProfilesDir, baseline, "cpu"+extension), filepath.Join(results.LedgerDir, baseline+".ndjson")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("broken\n"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	// A file of spans may name any cell.
	up := `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"d000000000000001","name":"up",
"attributes":[{"key":"bench.cell.id","value":{"stringValue":"../../elsewhere"}}]}]}]}]}`
	f, err := os.OpenFile(filepath.Join(dir, results.TracesFile), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(strings.ReplaceAll(up, "\n", "") + "\n")
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	second := func(_ any, err error) error { return err }
	span := func(id string) error {
		_, _, err := r.Span(id)
		return err
	}
	tests := []struct {
		name   string
		err    error
		want   string
		broken bool
	}{
		{"no cell", second(r.Profile("none", "cpu")), `there are no profiles of cell "none"; there are those of ` + baseline + ", " + processes, false},
		{"a cell elsewhere", second(r.Files("../" + baseline)), `there are no profiles of cell "../`, false},
		{"no profile", second(r.Profile(processes, "cpu.worker-9")), processes + ` has no profile "cpu.worker-9"; it has `, false},
		{"a profile elsewhere", second(r.Profile(processes, "../"+baseline+"/heap")), ` has no profile "../`, false},
		{"no kind", second(r.EachTask(processes, "traced-cpu")), `there are no profiles of kind "traced-cpu"; want one of cpu, `, false},
		{"no trial", second(r.EachTask("none", "cpu")), `there are no profiles of cell "none"`, false},
		{"no span", span("e000000000000001"), "there is no span e000000000000001", false},
		{"a span of no cell", span("c000000000000001"), "is of no cell, so it has no profile", false},
		{"a span of a cell elsewhere", span("d000000000000001"), `there are no profiles of cell "../../elsewhere"`, false},
		{"no ledger", second(r.Ledger("none")), `the run has no ledger of "none"; it has those of ` + baseline + ", " + processes, false},
		{"no ledger of a task", second(r.Task("../"+processes, 1)), `the run has no ledger of "../`, false},
		{"no task", second(r.Task(processes, 3)), processes + " has no task 3; they are numbered from 1 to 2", false},
		{"a broken profile", second(r.Profile(baseline, "cpu")), "cpu.pb.gz", true},
		{"a broken ledger", second(r.Task(baseline, 1)), "line 1", true},
	}
	for _, tt := range tests {
		var unread *ReadError
		if tt.err == nil || !strings.Contains(tt.err.Error(), tt.want) || errors.As(tt.err, &unread) != tt.broken {
			t.Errorf("%s: %v (a failure to read: %v); want %q (%v)", tt.name, tt.err, unread != nil, tt.want, tt.broken)
		}
	}
}
