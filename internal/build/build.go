// Package build builds programs from revisions of the source, so that they can be
// compared. It runs git, tar and go.
package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/f3f4c0de/harness/internal/experiment/plan"
	"github.com/f3f4c0de/harness/internal/results"
)

// ErrInterrupted is the error of a build whose context ended.
var ErrInterrupted = errors.New("interrupted while building; nothing was measured")

// Find returns the builds that args name, in their order, with the names A, B …
// Each of args is the file of a program, or a revision of the source that git knows
// in the working directory. Find builds the package pkg of a revision in a new folder
// in dir, which the caller removes when the programs are no longer needed. It does
// not change the working tree. If ctx ends, the error is [ErrInterrupted].
func Find(ctx context.Context, args []string, pkg, dir string) (builds []results.Build, err error) {
	for i, arg := range args {
		name := string(rune('A' + i))
		info, statErr := os.Stat(arg)
		var b results.Build
		switch {
		case statErr != nil:
			b, err = buildRevision(ctx, name, arg, pkg, dir)
		case info.IsDir():
			err = fmt.Errorf("%s is a folder; --rerun wants two programs or revisions, since a run does not hold the program that made it", arg)
		default:
			b, err = plan.NewBuild(name, arg)
		}
		if err != nil {
			return nil, err
		}
		builds = append(builds, b)
	}
	return builds, nil
}

// buildRevision builds a package of a revision that git knows in the working
// directory.
func buildRevision(ctx context.Context, name, revision, pkg, dir string) (results.Build, error) {
	wrap := func(err error) error {
		return fmt.Errorf("%s is no file, and as a revision it cannot be built: %w", revision, err)
	}
	commit, err := output(ctx, "", "git", "rev-parse", "--verify", "--end-of-options", revision+"^{commit}")
	if err != nil {
		return results.Build{}, wrap(err)
	}
	prefix, err := output(ctx, "", "git", "rev-parse", "--show-prefix") // of this folder in the repository
	if err != nil {
		return results.Build{}, wrap(err)
	}
	from := results.Source{Revision: revision, Commit: commit, Dir: prefix, Package: pkg}
	path, err := buildSource(ctx, from, filepath.Join(dir, name))
	if err != nil {
		return results.Build{}, wrap(err)
	}
	b, err := plan.NewBuild(name, path)
	b.Source = &from
	return b, err
}

// buildSource builds a commit in a new folder, and returns the path of the program.
// It does not change the working tree. The same commit gives the same bytes
// wherever it is built, if the tools are the same.
func buildSource(ctx context.Context, from results.Source, dir string) (path string, err error) {
	top, err := output(ctx, "", "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return "", err
	}
	tree := filepath.Join(dir, "source")
	if err := os.MkdirAll(tree, 0o777); err != nil {
		return "", err
	}
	path, err = filepath.Abs(filepath.Join(dir, "harness"))
	if err != nil {
		return "", err
	}
	archive := filepath.Join(dir, "source.tar")
	for _, step := range []struct {
		dir  string
		args []string
	}{
		{top, []string{"git", "archive", "--output", archive, from.Commit}},
		{tree, []string{"tar", "-xf", archive}},
		{filepath.Join(tree, from.Dir), []string{"go", "build", "-trimpath", "-buildvcs=false", "-o", path, from.Package}},
	} {
		if _, err := output(ctx, step.dir, step.args...); err != nil {
			return "", err
		}
	}
	return path, nil
}

// output runs a command in dir, and returns its output without surrounding space.
func output(ctx context.Context, dir string, args ...string) (string, error) {
	var stdout, stderr strings.Builder
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	c.Dir, c.Stdout, c.Stderr = dir, &stdout, &stderr
	if err := c.Run(); err != nil {
		if ctx.Err() != nil {
			return "", ErrInterrupted
		}
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}

// Again builds the builds of a run again that were made from revisions, each in a
// folder of its own in dir, and sets their Path. [plan.Resume] checks that the
// programs are the same as before.
func Again(ctx context.Context, run *results.Run, dir string) (err error) {
	for i := range run.Builds {
		b := &run.Builds[i]
		if b.Source == nil {
			continue
		}
		if b.Path, err = buildSource(ctx, *b.Source, filepath.Join(dir, b.Name)); err != nil {
			return fmt.Errorf("build %s of the run is commit %s, which has to be built again, in a clone that has it: %w", b.Name, b.Source.Commit, err)
		}
	}
	return nil
}
