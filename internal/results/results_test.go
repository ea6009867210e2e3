package results

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func testRun() *Run {
	return &Run{
		Schema: Schema, ID: "r", Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Status: Running, Seed: math.MaxUint64,
		Workloads: []WorkloadInfo{{Name: "w", Label: "w", Params: Params{"n": int64(1) << 60, "u": uint64(math.MaxUint64), "f": 0.5, "d": "5ms", "b": true}}},
	}
}

func trial(cell string, round int) *Trial {
	return &Trial{Cell: cell, Kind: Timed, Round: round, Started: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Measured: Measured{WallNS: 5, Digest: "d"}}
}

func TestFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "run")
	f, err := Create(dir, testRun())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := f.AddTrial(trial("c", i)); err != nil {
			t.Fatal(err)
		}
	}
	timeline := &Timeline{Cell: "c", Tasks: []TaskRecord{{Task: "t", EndedNS: 3}}}
	if err := f.AddTimeline(timeline); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Resume(dir); err == nil || !strings.Contains(err.Error(), "another harness") {
		t.Errorf("Resume of a folder in use = %v; want that another harness writes to it", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Errorf("Close twice = %v", err)
	}
	want := &Data{Run: *testRun(), Trials: []Trial{*trial("c", 0), *trial("c", 1), *trial("c", 2)}, Timelines: []Timeline{*timeline}}
	got, err := Read(dir)
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("read back with error %v (-want +got):\n%s", err, d)
	}
	if _, err := Create(dir, testRun()); err == nil || !strings.Contains(err.Error(), "--resume") {
		t.Errorf("Create in a folder with a run = %v; want an error that names --resume", err)
	}
}

// A crash while a line is written loses only that line.
func TestResumeAfterACrash(t *testing.T) {
	dir := t.TempDir()
	f, err := Create(dir, testRun())
	if err != nil {
		t.Fatal(err)
	}
	if err := f.AddTrial(trial("c", 0)); err != nil {
		t.Fatal(err)
	}
	f.Close()
	path := filepath.Join(dir, TrialsFile)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(whole, whole[:len(whole)/2]...), 0o666); err != nil {
		t.Fatal(err)
	}
	if d, err := Read(dir); err != nil || len(d.Trials) != 1 {
		t.Errorf("Read of a half-written line = %v; want it left out", err)
	}
	f, d, err := Resume(dir)
	if err != nil || len(d.Trials) != 1 {
		t.Fatalf("Resume = %+v, %v; want one trial", d, err)
	}
	defer f.Close()
	if err := f.AddTrial(trial("c", 1)); err != nil {
		t.Fatal(err)
	}
	if d, err := Read(dir); err != nil || len(d.Trials) != 2 || d.Trials[1].Round != 1 {
		t.Errorf("after Resume and another trial Read = %v; want both", err)
	}
}

func TestReadRefuses(t *testing.T) {
	tests := []struct {
		name, run, trials, want string
	}{
		{"no run", "", "", "not the folder of a run"},
		{"broken run", "{", "", RunFile},
		{"newer schema", `{"schema": 99}`, "", "schema 99"},
		{"broken trial", `{"schema": 1}`, "{}\nx\n", "line 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, content := range map[string]string{RunFile: tt.run, TrialsFile: tt.trials} {
				if content != "" {
					if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o666); err != nil {
						t.Fatal(err)
					}
				}
			}
			if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Read() = %v; want an error that says %q", err, tt.want)
			}
		})
	}
}

func TestLatest(t *testing.T) {
	failed := trial("c", 1)
	failed.Error = "it broke"
	replicate := trial("c", 1)
	replicate.Replicate = true
	d := Data{Trials: []Trial{*trial("c", 0), *failed, *replicate, *trial("d", 1), *trial("c", 1)}}
	got := d.Latest()
	want := []Trial{*trial("c", 0), *replicate, *trial("d", 1), *trial("c", 1)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Latest() differs (-want +got):\n%s", diff)
	}
}

func TestWriteFileReplacesWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, content := range []string{"a longer content", "short"} {
		if err := WriteFile(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); string(got) != content || err != nil {
			t.Errorf("the file holds %q, %v; want %q", got, err, content)
		}
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); len(entries) != 1 || err != nil {
		t.Errorf("%d files are left, %v; want one", len(entries), err)
	}
	if err := WriteFile(filepath.Join(path, "below", "a", "file"), nil); err == nil {
		t.Error("writing below a file gave no error")
	}
}

func FuzzParams(f *testing.F) {
	f.Add([]byte(`{"n": 18446744073709551615, "f": 1e300, "s": "x"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p, q Params
		if json.Unmarshal(b, &p) != nil {
			return
		}
		again, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(again, &q); err != nil || !cmp.Equal(p, q) {
			t.Errorf("%s became %v, then %v, %v", b, p, q, err)
		}
	})
}
