// Package run makes a run of a plan: each trial is a fresh process, and what it
// measured becomes a record in the run's folder.
package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/f3f4c0de/harness/internal/experiment/plan"
	"github.com/f3f4c0de/harness/internal/experiment/spec"
	"github.com/f3f4c0de/harness/internal/experiment/trial"
	"github.com/f3f4c0de/harness/internal/ledger"
	"github.com/f3f4c0de/harness/internal/machine"
	"github.com/f3f4c0de/harness/internal/profile"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/stats"
	"github.com/f3f4c0de/harness/internal/trace"
)

// A Progress tells how far a run is. It is reported between trials, never while
// one runs.
type Progress struct {
	Step   plan.Step
	Done   int           // trials
	Total  int           // as far as is known
	Left   time.Duration // about
	Failed string        // why the last step failed; empty if it did not
}

// Options are how a run is made.
type Options struct {
	Folder *results.Folder
	Done   []results.Trial // made before, by a run that is resumed

	// Stop ends the run after the trial under way, when it is closed.
	Stop <-chan struct{}

	// Report is called before the first trial and after each.
	Report func(Progress)
}

// maxFailures of a cell's trials mean that more of them would not help: the
// rest is left out.
const maxFailures = 3

// A runner makes the trials of a plan.
type runner struct {
	plan    *plan.Plan
	opts    Options
	scratch string
	epoch   trace.Epoch
	trace   *trace.Run
	spans   map[string]string // traceparent of each cell
	digests map[string]string // of each workload, from its pilot
	pilots  map[string]time.Duration
	failed  map[string]int    // failures of each cell
	why     map[string]string // the last one

	made     []results.Trial    // with what was made before
	done     map[plan.Step]bool // of those, the ones that were verified
	todo     []plan.Step        // as far as is known
	finished int
	clock    clock
}

// Execute makes the trials of a plan that have not been made yet, and records
// them. It returns when all are made, after the trial during which Stop was
// closed, or at once when ctx ends, which kills the trial under way. Failed
// trials are recorded and counted in the status; the error is for what keeps
// the run from being recorded.
func Execute(ctx context.Context, p *plan.Plan, o Options) (results.Status, error) {
	r := &runner{
		plan: p, opts: o, epoch: trace.NewEpoch(),
		spans: make(map[string]string), digests: make(map[string]string), pilots: make(map[string]time.Duration),
		failed: make(map[string]int), why: make(map[string]string), done: make(map[plan.Step]bool),
		clock: newClock(o.Done),
	}
	var err error
	r.scratch, err = os.MkdirTemp(o.Folder.Dir(), "scratch-*")
	if err != nil {
		return results.Interrupted, fmt.Errorf("making room for trials: %w", err)
	}
	defer os.RemoveAll(r.scratch)
	r.trace, err = trace.NewRun(ctx, trace.Identity{RunID: p.Run.ID, Role: "run", Version: p.Run.Version.Harness})
	if err != nil {
		return results.Interrupted, err
	}
	for _, c := range p.Run.Cells {
		if c.NotApplicable == "" {
			r.spans[c.ID] = r.trace.Cell(c.ID, c.Workload, c.Backend, c.Workers)
		}
	}
	status, err := r.steps(ctx)
	p.Run.Status, p.Run.Ended = status, time.Now().UTC().Truncate(time.Millisecond)
	return status, errors.Join(err, r.exportRun(), o.Folder.WriteRun(&p.Run))
}

// errStopped tells that the run ended before its time.
var errStopped = errors.New("stopped")

func (r *runner) steps(ctx context.Context) (results.Status, error) {
	r.takeOver()
	r.todo = slices.DeleteFunc(slices.Clone(r.plan.Steps), func(s plan.Step) bool { return r.done[s] })
	if len(r.todo) > 0 {
		r.report(r.todo[0], nil)
	}
	err := r.all(ctx, r.plan.Pilots())
	round := 0
	for ; err == nil; round++ {
		wanted := r.wanted(round)
		steps := r.plan.Round(round, func(workload string) bool { return wanted[workload] })
		if len(wanted) == 0 || !r.fits(round, steps) {
			break
		}
		added := r.plan.Run.BudgetNS == 0 && round >= r.plan.Run.Rounds // else fits has planned it
		err = r.timed(steps, func() error { return r.more(ctx, added, steps) })
	}
	if run := &r.plan.Run; err == nil && run.BudgetNS > 0 && round < run.Rounds {
		run.Rounds = round
		err = r.opts.Folder.WriteRun(run) // whatever comes of the evidence
	}
	for round := 0; err == nil; round++ {
		wanted := r.wantedCosts(round)
		if len(wanted) == 0 {
			break
		}
		err = r.more(ctx, round >= r.plan.Run.ObserverRounds, r.plan.Costs(round, func(cell string) bool { return wanted[cell] }))
	}
	if err == nil {
		err = r.all(ctx, r.plan.Evidence())
	}
	switch {
	case errors.Is(err, errStopped):
		return results.Interrupted, nil
	case err != nil:
		return results.Interrupted, err
	case len(r.failed) > 0:
		return results.Failed, nil
	}
	return results.Completed, nil
}

// more makes the steps of a round, which may be one that was not planned.
func (r *runner) more(ctx context.Context, added bool, steps []plan.Step) error {
	if added {
		r.todo = append(slices.DeleteFunc(slices.Clone(steps), func(s plan.Step) bool { return r.done[s] }), r.todo...)
	}
	return r.all(ctx, steps)
}

// all makes those of the steps that have not been made.
func (r *runner) all(ctx context.Context, steps []plan.Step) error {
	for _, s := range steps {
		select {
		case <-r.opts.Stop:
			return errStopped
		default:
		}
		if ctx.Err() != nil {
			return errStopped
		}
		if r.done[s] {
			continue
		}
		r.todo = slices.DeleteFunc(r.todo, func(t plan.Step) bool { return t == s })
		if n := r.failed[s.Cell]; n >= maxFailures {
			continue // the report shows what is missing, and why
		}
		failure, err := r.step(ctx, s)
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return errStopped
		}
		r.finished += plan.Trials([]plan.Step{s})
		r.report(s, failure)
	}
	return nil
}

func (r *runner) report(s plan.Step, failure error) {
	left, _ := r.plan.Estimate(r.todo, r.pilots)
	p := Progress{Step: s, Done: r.finished, Total: r.finished + plan.Trials(r.todo), Left: left}
	if failure != nil {
		p.Failed = failure.Error()
	}
	r.opts.Report(p)
}

// takeOver remembers what a run that is resumed has made with success, and what
// its pilots have found out.
func (r *runner) takeOver() {
	for _, t := range r.opts.Done {
		if !t.OK() {
			continue
		}
		r.made = append(r.made, t)
		r.done[plan.Step{Cell: t.Cell, Kind: t.Kind, Round: t.Round, Copy: t.Copy, Order: t.Order, Observer: t.Observer}] = true
		if t.Kind == results.Pilot {
			c, _, _ := r.plan.Cell(t.Cell)
			r.piloted(c.Workload, &t.Measured)
		}
	}
}

// wanted returns the workloads that need that round: all in the rounds that were
// planned, afterwards those that other programs disturbed or whose figures are
// not yet precise. It looks at nothing but the rounds before, and at no result
// except for the width of its interval: that something came out faster neither
// ends a run nor prolongs it.
func (r *runner) wanted(round int) map[string]bool {
	run := &r.plan.Run
	wanted := make(map[string]bool)
	kept := make(map[string][]*results.Block)
	dropped := make(map[string]int)
	for _, b := range results.Blocks(run, r.made) {
		switch {
		case b.Round >= round:
		case run.Drops(b):
			dropped[b.Workload]++
		default:
			kept[b.Workload] = append(kept[b.Workload], b)
		}
	}
	for _, w := range run.Workloads {
		clean := round - dropped[w.Label]
		switch {
		case len(r.plan.Applicable(w.Label)) == 0:
		case clean < run.Rounds:
			most := max(run.Rounds, run.MaxRounds)
			hopeless := run.MaxRounds > 0 && clean+most-round < stats.MinRounds
			wanted[w.Label] = round < most && !hopeless
		case run.Precision > 0:
			wanted[w.Label] = round < run.MaxRounds && !r.precise(kept[w.Label])
		}
	}
	maps.DeleteFunc(wanted, func(_ string, yes bool) bool { return !yes })
	return wanted
}

// wantedCosts returns the cells that need that round of those by which the cost
// of observing is measured: all in the rounds that were planned, afterwards
// those that other programs disturbed, until as many have been made again.
func (r *runner) wantedCosts(round int) map[string]bool {
	run := &r.plan.Run
	most := run.ObserverRounds
	if most >= stats.MinRounds {
		most *= 2
	}
	if round >= most {
		return nil
	}
	wanted := make(map[string]bool)
	blocks := results.Costs(run, r.made)
	for _, c := range r.plan.Applicable(run.Workloads[0].Label) {
		dropped := 0
		for _, b := range blocks[c.ID] {
			if b.Round < round && run.DropsCost(b) {
				dropped++
			}
		}
		if round-dropped < run.ObserverRounds {
			wanted[c.ID] = true
		}
	}
	return wanted
}

// precise reports whether the interval of every speed-up in the blocks of a
// workload is as narrow as it is to be.
func (r *runner) precise(blocks []*results.Block) bool {
	if len(blocks) == 0 {
		return false
	}
	for _, c := range r.plan.Applicable(blocks[0].Workload) {
		var num, den []float64
		for _, b := range blocks {
			if x, y, ok := b.Pair(c, results.Wall); ok && !c.Baseline {
				num, den = append(num, x), append(den, y)
			}
		}
		if len(num) == 0 {
			continue // the baseline, or a cell that fails
		}
		e := stats.Ratio(num, den, 1-stats.Level)
		if half := math.Sqrt(e.High/e.Low) - 1; !(half <= r.plan.Run.Precision) {
			return false
		}
	}
	return true
}

func (r *runner) piloted(workload string, m *results.Measured) {
	r.digests[workload] = m.Digest
	r.pilots[workload] = time.Duration(m.WallNS)
}

// step makes one trial and records it. failure is why the trial failed.
func (r *runner) step(ctx context.Context, s plan.Step) (failure, err error) {
	cell, _, _ := r.plan.Cell(s.Cell)
	t := results.Trial{Cell: s.Cell, Kind: s.Kind, Round: s.Round, Copy: s.Copy, Order: s.Order, Observer: s.Observer, Started: time.Now().UTC()}
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
	if err := r.opts.Folder.AddLanes(reply.Lanes); err != nil {
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
	l, tasks := ledger.Build(reply.Lanes, reply.Measured.StartNS, dir)
	return r.opts.Folder.AddLedger(l, tasks)
}

// keepTracedCPU moves the CPU profiles of a traced trial to the others, merged.
func (r *runner) keepTracedCPU(reply *trial.Reply, s plan.Step, from string) error {
	dir := filepath.Join(r.opts.Folder.Dir(), results.ProfilesDir, s.Cell)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	var parts []profile.Part
	for _, p := range reply.Lanes.Processes {
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

// exportRun writes the trace that the trials' traces link to.
func (r *runner) exportRun() (err error) {
	ctx := context.Background() // also when the run was interrupted
	w, err := trace.NewWriter(filepath.Join(r.opts.Folder.Dir(), results.TracesFile))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	run := &r.plan.Run
	count, err := r.trace.Export(ctx, w, run.Rounds, run.Seed, string(run.Status), r.why)
	return errors.Join(err, count.Err())
}
