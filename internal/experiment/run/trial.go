package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/f3f4c0de/harness/internal/child"
	"github.com/f3f4c0de/harness/internal/experiment/plan"
	"github.com/f3f4c0de/harness/internal/experiment/spec"
	"github.com/f3f4c0de/harness/internal/experiment/trial"
	"github.com/f3f4c0de/harness/internal/machine"
	"github.com/f3f4c0de/harness/internal/results"
)

// step makes one trial and records it. failure is why the trial failed.
func (r *runner) step(ctx context.Context, s plan.Step) (failure, err error) {
	cell, _, _ := r.plan.Cell(s.Cell)
	t := results.Trial{Cell: s.Cell, Kind: s.Kind, Round: s.Round, Replicate: s.Copy, Order: s.Order, Observer: s.Observer, Started: time.Now().UTC()}
	load := watchLoad()
	var reply trial.Reply
	if s.Kind == results.Probe {
		reply, failure = r.probe(ctx)
	} else {
		reply, failure = r.try(ctx, s, cell)
	}
	if ctx.Err() != nil {
		return nil, nil // it was killed, which is no result
	}
	t.Load, t.Measured = load(), reply.Measured
	if failure == nil && s.Kind != results.Probe {
		failure = r.judge(s, cell, &t.Measured)
	}
	if s.Kind == results.Traced {
		if err := r.keepSpans(&reply); failure == nil {
			failure = err // what a failed trial has left is kept, too
		}
	}
	if failure == nil {
		failure = r.keep(&reply, s)
	}
	if failure != nil {
		t.Error = failure.Error()
		r.failed[s.Cell]++
		r.why[s.Cell] = t.Error
	}
	r.made = append(r.made, t)
	return failure, r.opts.Folder.AddTrial(&t)
}

// watchLoad returns a function that tells what the machine has done since, or
// nil if that cannot be known.
func watchLoad() func() *results.Load {
	read := func() (machine.Load, time.Duration, bool) {
		l, err := machine.This.ReadLoad()
		own, err2 := machine.OwnCPU()
		return l, own, err == nil && err2 == nil
	}
	before, ownBefore, ok := read()
	return func() *results.Load {
		after, own, ok2 := read()
		if !ok || !ok2 {
			return nil
		}
		return &results.Load{
			WindowNS: after.At.Sub(before.At).Nanoseconds(),
			BusyNS:   (after.Busy - before.Busy).Nanoseconds(),
			OwnNS:    (own - ownBefore).Nanoseconds(),
			StealNS:  (after.Steal - before.Steal).Nanoseconds(), PressureNS: (after.Pressure - before.Pressure).Nanoseconds(),
			ThrottledNS: (after.Throttled - before.Throttled).Nanoseconds(),
		}
	}
}

func (r *runner) try(ctx context.Context, s plan.Step, cell results.Cell) (trial.Reply, error) {
	_, prog, b := r.plan.Cell(cell.ID)
	if r.digests[cell.Workload] == "" && s.Kind != results.Pilot {
		return trial.Reply{}, errors.New("not tried: the workload's pilot failed, so there is nothing to hold the output against")
	}
	params, err := spec.EncodeParams(prog.Params)
	if err != nil {
		return trial.Reply{}, err
	}
	dir, err := os.MkdirTemp(r.scratch, "trial-*")
	if err != nil {
		return trial.Reply{}, err
	}
	defer os.RemoveAll(dir)
	order := trial.Order{
		RunID: r.plan.Run.ID, Version: r.plan.Run.Version.Harness, Cell: cell,
		Workload: prog.Workload.Name, Params: params, Kind: s.Kind, Observer: s.Observer, Dir: dir, LeastNS: r.plan.Run.TrialNS,
		Evidence: trial.EvidenceOrder{
			Epoch: r.epoch, CellSpan: r.spans[s.Cell], SpansFile: r.spansFile(), Execution: r.executionDir(),
			Profiles: filepath.Join(r.opts.Folder.Dir(), results.ProfilesDir, s.Cell), ProfileNS: time.Duration(r.plan.Run.ProfileNS),
		},
	}
	if err := os.RemoveAll(r.executionDir()); err != nil { // of a trial that failed
		return trial.Reply{}, err
	}
	procs := b.GOMAXPROCS
	if procs == 0 {
		procs = r.plan.Run.Machine.Cores
	}
	program := "" // this one
	for _, b := range r.plan.Run.Builds {
		if b.Name == cell.Build {
			program = b.Path
		}
	}
	return r.runTrial(ctx, program, order, procs, time.Duration(r.plan.Run.TimeoutNS))
}

// judge holds a trial's output against the pilot's.
func (r *runner) judge(s plan.Step, cell results.Cell, m *results.Measured) error {
	if s.Kind == results.Pilot {
		r.piloted(cell.Workload, m)
		return nil
	}
	if want := r.digests[cell.Workload]; m.Digest != want {
		return fmt.Errorf("the output differs from the sequential one: its digest is %s, not %s", m.Digest, want)
	}
	return nil
}

// runTrial makes one trial in a fresh process of a program, this one if it is
// empty, and returns what that found out.
// When ctx ends, the process and all that it has started are killed.
func (r *runner) runTrial(ctx context.Context, program string, order trial.Order, gomaxprocs int, timeout time.Duration) (trial.Reply, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("the trial did not end within %v", timeout))
	defer cancel()
	env := []string{}
	if gomaxprocs > 0 {
		env = append(env, fmt.Sprintf("GOMAXPROCS=%d", gomaxprocs))
	}
	p, err := child.Command{Role: trial.Role, Path: program, Env: env, Group: true}.Start()
	if err != nil {
		return trial.Reply{}, err
	}
	stop := context.AfterFunc(ctx, p.Kill)
	defer stop()
	var reply trial.Reply
	err = json.NewEncoder(p.In).Encode(order)
	if err == nil {
		err = json.NewDecoder(p.Out).Decode(&reply)
	}
	// It may still have workers to end. A kill reaches those as well, and
	// what a trial that failed has left behind.
	exit := p.End(trial.EndTimeout)
	lost := ""
	if order.Kind == results.Traced {
		lost = "; the spans that it had recorded went with it"
	}
	switch {
	case ctx.Err() != nil:
		return reply, fmt.Errorf("%w%s", context.Cause(ctx), lost)
	case err != nil:
		cause := fmt.Errorf("the trial's process ended with %s before it had a result%s", exit.Cause, lost)
		if exit.Stderr != "" {
			cause = fmt.Errorf("%w; its standard error ended with:\n%s", cause, exit.Stderr)
		}
		return reply, cause
	case reply.Error != "":
		return reply, errors.New(reply.Error)
	case exit.Code != 0:
		return reply, fmt.Errorf("the trial's process ended with %s\n%s", exit.Cause, exit.Stderr)
	}
	return reply, nil
}
