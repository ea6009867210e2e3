// Package run executes a plan: it makes each trial in a fresh process and writes what the
// trial measured to the run's folder, as a record. keep.go stores what a kind of trial
// produces beside its record.
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

// A Progress says how far a run has come. It is reported between trials, never during one.
type Progress struct {
	Step   plan.Step
	Done   int           // trials
	Total  int           // as far as is known
	Left   time.Duration // about
	Failed string        // why the last step failed; empty if it did not
}

// Options are the options of [Execute].
type Options struct {
	Folder *results.Folder
	Done   []results.Trial // of a resumed run: the trials that were made before

	// Closing Stop ends the run after the trial under way.
	Stop <-chan struct{}

	// Report is called before the first trial and after each.
	Report func(Progress)
}

// maxFailures is how many trials of a cell may fail. Then its other trials are left out.
const maxFailures = 3

// A runner executes a plan.
type runner struct {
	plan     *plan.Plan
	opts     Options
	scratch  string
	epoch    trace.Epoch
	trace    *trace.Run
	spans    map[string]string // traceparent of each cell
	digests  map[string]string // of each workload, from its pilot
	pilots   map[string]time.Duration
	failed   map[string]int    // failures of each cell
	failures map[string]string // the last failure of each cell

	made     []results.Trial    // including those of a resumed run
	done     map[plan.Step]bool // the steps whose trials a resumed run has made with success
	todo     []plan.Step        // the steps left, as far as is known
	finished int
	clock    clock
}

// Execute makes the trials of a plan that have not been made yet, and records them. It
// returns when all are made, or after the trial during which Stop was closed. When ctx ends
// it kills the trial under way and returns at once. A failed trial is recorded and makes
// the status [results.Failed]; an error means that the run could not be recorded.
func Execute(ctx context.Context, p *plan.Plan, o Options) (results.Status, error) {
	r := &runner{
		plan: p, opts: o, epoch: trace.NewEpoch(),
		spans: make(map[string]string), digests: make(map[string]string), pilots: make(map[string]time.Duration),
		failed: make(map[string]int), failures: make(map[string]string), done: make(map[plan.Step]bool),
		clock: newClock(o.Done),
	}
	var err error
	r.scratch, err = os.MkdirTemp(o.Folder.Dir(), "scratch-*")
	if err != nil {
		return results.Interrupted, fmt.Errorf("making the folder for the files of trials: %w", err)
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
	status, err := r.makeAll(ctx)
	p.Run.Status, p.Run.Ended = status, time.Now().UTC().Truncate(time.Millisecond)
	return status, errors.Join(err, r.exportRun(), o.Folder.WriteRun(&p.Run))
}

// errStopped means that the run was stopped before all steps were made.
var errStopped = errors.New("stopped")

func (r *runner) makeAll(ctx context.Context) (results.Status, error) {
	r.resume()
	r.todo = slices.DeleteFunc(slices.Clone(r.plan.Steps), func(s plan.Step) bool { return r.done[s] })
	if len(r.todo) > 0 {
		r.report(r.todo[0], nil)
	}
	err := r.makeSteps(ctx, r.plan.Pilots())
	round := 0
	for ; err == nil; round++ {
		wanted := r.wanted(round)
		steps := r.plan.Round(round, func(workload string) bool { return wanted[workload] })
		if len(wanted) == 0 || !r.fits(round, steps) {
			break
		}
		added := r.plan.Run.BudgetNS == 0 && round >= r.plan.Run.Rounds // with a time budget, fits has added the steps to todo
		err = r.timeRound(steps, func() error { return r.makeRound(ctx, added, steps) })
	}
	if run := &r.plan.Run; err == nil && run.BudgetNS > 0 && round < run.Rounds {
		run.Rounds = round
		err = r.opts.Folder.WriteRun(run) // now, in case the evidence trials fail
	}
	for round := 0; err == nil; round++ {
		wanted := r.wantedObserverRound(round)
		if len(wanted) == 0 {
			break
		}
		err = r.makeRound(ctx, round >= r.plan.Run.ObserverRounds, r.plan.ObserverRound(round, func(cell string) bool { return wanted[cell] }))
	}
	if err == nil {
		err = r.makeSteps(ctx, r.plan.Evidence())
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

// makeRound makes the steps of a round. added tells that the plan does not have the round.
func (r *runner) makeRound(ctx context.Context, added bool, steps []plan.Step) error {
	if added {
		r.todo = append(slices.DeleteFunc(slices.Clone(steps), func(s plan.Step) bool { return r.done[s] }), r.todo...)
	}
	return r.makeSteps(ctx, steps)
}

// makeSteps makes those of the steps that have not been made yet.
func (r *runner) makeSteps(ctx context.Context, steps []plan.Step) error {
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
			continue // the report shows which trials are missing, and why
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

// resume notes the trials that a resumed run has made with success, and the results of its
// pilots.
func (r *runner) resume() {
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

// exportRun writes the trace of the run, to which the traces of trials link.
func (r *runner) exportRun() (err error) {
	ctx := context.Background() // not that of the run, which may have been interrupted
	w, err := trace.NewWriter(filepath.Join(r.opts.Folder.Dir(), results.TracesFile))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	run := &r.plan.Run
	count, err := r.trace.Export(ctx, w, run.Rounds, run.Seed, string(run.Status), r.failures)
	return errors.Join(err, count.Err())
}
