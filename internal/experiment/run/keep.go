package run

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/f3f4c0de/harness/internal/experiment/plan"
	"github.com/f3f4c0de/harness/internal/experiment/trial"
	"github.com/f3f4c0de/harness/internal/ledger"
	"github.com/f3f4c0de/harness/internal/profile"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/trace"
)

// spansFile is where a traced trial writes its spans.
func (r *runner) spansFile() string { return filepath.Join(r.scratch, results.TracesFile) }

// keepSpans moves the spans that a traced trial has written into the run's
// folder.
func (r *runner) keepSpans(reply *trial.Reply) error {
	defer os.Remove(r.spansFile())
	n, err := trace.CountFile(r.spansFile())
	if err != nil {
		return err
	}
	if n != reply.Measured.SpansExported {
		return fmt.Errorf("the trial exported %d spans, and its file holds %d", reply.Measured.SpansExported, n)
	}
	if err := appendFile(filepath.Join(r.opts.Folder.Dir(), results.TracesFile), r.spansFile()); err != nil {
		return fmt.Errorf("keeping the spans: %w", err)
	}
	return nil
}

// keep moves the rest of what a traced trial has found into the run's folder.
func (r *runner) keep(reply *trial.Reply, s plan.Step) error {
	if s.Kind != results.Traced {
		return nil
	}
	if err := r.opts.Folder.AddTimeline(reply.Timeline); err != nil {
		return err
	}
	return r.keepExecution(reply, s)
}

// keepExecution moves the execution traces of a traced trial into the run's
// folder, and makes its ledger from them.
func (r *runner) keepExecution(reply *trial.Reply, s plan.Step) error {
	dir := filepath.Join(r.opts.Folder.Dir(), results.ExecDir, s.Cell)
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(filepath.Dir(dir), 0o777)); err != nil {
		return err
	}
	if err := os.Rename(r.executionDir(), dir); err != nil {
		return fmt.Errorf("keeping the execution traces: %w", err)
	}
	if err := r.keepTracedCPU(reply, s, dir); err != nil {
		return err
	}
	l, tasks := ledger.Build(reply.Timeline, reply.Measured.StartNS, dir)
	return r.opts.Folder.AddLedger(l, tasks)
}

// keepTracedCPU moves the CPU profiles of a traced trial to the others, merged.
func (r *runner) keepTracedCPU(reply *trial.Reply, s plan.Step, from string) error {
	dir := filepath.Join(r.opts.Folder.Dir(), results.ProfilesDir, s.Cell)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	var parts []profile.Part
	for _, p := range reply.Timeline.Processes {
		path := filepath.Join(from, trial.CPUFile(p.PID))
		b, err := os.ReadFile(path)
		if err != nil || len(b) == 0 {
			continue // it did not end in good order, which the spans tell
		}
		parts = append(parts, profile.Part{Process: p.Name, Set: profile.Set{"cpu": b}})
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	merged, err := profile.Merge("cpu", s.Cell, parts)
	if err != nil {
		return err
	}
	return results.WriteFile(filepath.Join(dir, results.TracedCPUFile), merged)
}

// executionDir is where a traced trial writes its execution traces.
func (r *runner) executionDir() string { return filepath.Join(r.scratch, results.ExecDir) }

func appendFile(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
