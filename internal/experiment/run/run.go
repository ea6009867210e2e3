// Package run makes a run of a plan: each trial is a fresh process, and what it
// measured becomes a record in the run's folder. What a kind of trial leaves
// beside its record is kept by keep.go.
package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/f3f4c0de/harness/internal/experiment/plan"
	"github.com/f3f4c0de/harness/internal/results"
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
		r.done[plan.Step{Cell: t.Cell, Kind: t.Kind, Round: t.Round, Copy: t.Replicate, Order: t.Order, Observer: t.Observer}] = true
		if t.Kind == results.Pilot {
			c, _, _ := r.plan.Cell(t.Cell)
			r.piloted(c.Workload, &t.Measured)
		}
	}
}

func (r *runner) piloted(workload string, m *results.Measured) {
	r.digests[workload] = m.Digest
	r.pilots[workload] = time.Duration(m.WallNS)
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
