package build

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/f3f4c0de/harness/internal/results"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(text), 0o666)); err != nil {
		t.Fatal(err)
	}
}

// repository makes one with two revisions of a program, "one" and HEAD, and
// works in its folder cmd.
func repository(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("there is no git")
	}
	dir := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		args = append([]string{"git", "-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"}, args...)
		if _, err := output(t.Context(), "", args...); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(dir, "cmd", "program", "main.go")
	write(t, filepath.Join(dir, "go.mod"), "module example.org/program\n\ngo 1.26\n")
	write(t, program, "package main\n\nfunc main() { println(1) }\n")
	git("init", "-q")
	git("add", ".")
	git("commit", "-q", "-m", "one")
	git("tag", "one")
	write(t, program, "package main\n\nfunc main() { println(2) }\n")
	git("commit", "-q", "-a", "-m", "two")
	t.Chdir(filepath.Join(dir, "cmd"))
}

func TestFind(t *testing.T) {
	repository(t)
	builds, err := Find(t.Context(), []string{"one", "HEAD"}, "./program", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if len(builds) != 2 || builds[0].Name != "A" || builds[1].Name != "B" || builds[0].Executable == builds[1].Executable {
		t.Fatalf("Find = %v; want two builds, A and B", builds)
	}
	for i, b := range builds {
		out, err := exec.Command(b.Path).CombinedOutput()
		if want := string(rune('1' + i)); err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("%s prints %q, %v; want %s", b, out, err, want)
		}
		if b.Source == nil || b.Source.Dir != "cmd/" || b.Source.Package != "./program" || len(b.Source.Commit) < 40 {
			t.Errorf("%s has the source %+v; want ./program of a commit, in cmd/", b, b.Source)
		}
	}

	// A file is used as it is, and the same commit gives the same program.
	again, err := Find(t.Context(), []string{builds[0].Path, "one"}, "./program", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if again[0].Executable != builds[0].Executable || again[0].Source != nil || again[1].Executable != builds[0].Executable {
		t.Errorf("Find = %v; want the file, and a build with the same bytes", again)
	}

	run := results.Run{Builds: []results.Build{{Name: "A", Path: "gone", Source: builds[0].Source}, {Name: "B", Path: "kept"}}}
	if err := Again(t.Context(), &run, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(run.Builds[0].Path); err != nil || run.Builds[1].Path != "kept" {
		t.Errorf("Again gives the builds %v, %v; want the first to be built and the second to be left alone", run.Builds, err)
	}
}

func TestFindFails(t *testing.T) {
	repository(t)
	for _, tt := range []struct{ arg, pkg, want string }{
		{".", "./program", ". is a folder; --rerun wants two programs or revisions"},
		{"nosuch", "./program", "nosuch is no file, and as a revision it cannot be built: git rev-parse"},
		{"--output=x", "./program", "--output=x is no file, and as a revision it cannot be built: git rev-parse"},
		{"HEAD", "./nosuch", "HEAD is no file, and as a revision it cannot be built: go build"},
	} {
		if _, err := Find(t.Context(), []string{tt.arg}, tt.pkg, t.TempDir()); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("Find(%q, %q) = %v; want %q", tt.arg, tt.pkg, err, tt.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Find(ctx, []string{"HEAD"}, "./program", t.TempDir()); !errors.Is(err, ErrInterrupted) {
		t.Errorf("Find = %v; want %v", err, ErrInterrupted)
	}
	run := results.Run{Builds: []results.Build{{Name: "A", Source: &results.Source{Commit: strings.Repeat("0", 40), Package: "."}}}}
	if err := Again(t.Context(), &run, t.TempDir()); err == nil || !strings.Contains(err.Error(), "which has to be built again, in a clone that has it") {
		t.Errorf("Again = %v; want that the commit is not here", err)
	}
}
