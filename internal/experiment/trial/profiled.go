package trial

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/profile"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/trace"
)

// profiled is the instrumentation of a profiled trial: it repeats the program until the
// profiles have enough samples, and writes the profiles of each process and of all merged.
type profiled struct {
	order  Order
	labels profile.Labels

	begun    atomic.Bool
	stop     func() (profile.Set, error) // nil before the measured part
	started  time.Time
	excluded time.Duration // of the time since started: what was not the program
	before   profile.Usage
	repeats  int
	workers  workerProfiles
}

func (t *trial) profiled() instrumentation {
	profile.EarlySettings()
	e := &profiled{order: t.order, labels: profile.Labels{Workload: t.order.Cell.Workload, Backend: t.order.Cell.Backend}, repeats: 1}
	e.labels.TraceID, e.labels.SpanID = trace.ParseIDs(t.order.Evidence.CellSpan)
	return e
}

func (e *profiled) configure(cfg *core.Config) {
	cfg.Observer = e.labels.Observer()
	cfg.Processes = &core.ProcessObserver{Spawning: e.workerEnv, Message: func(worker int, topic string, payload []byte) {
		if topic == topicProfiles {
			e.workers.add(worker, payload)
		}
	}}
}

// workerEnv returns the variables that make a worker process profile itself.
func (e *profiled) workerEnv(int) []string {
	b, err := json.Marshal(e.labels)
	if err != nil {
		panic(err) // it has only strings, which can be encoded
	}
	env := []string{profileEnv + "=" + string(b)}
	if e.begun.Load() {
		env = append(env, profileNowEnv+"=1")
	}
	return env
}

func (e *profiled) observe(ctx context.Context, p *program) error {
	if err := p.warm(ctx); err != nil {
		return err
	}
	err := p.measure(ctx, func() error { return e.begin(ctx, p.ex) })
	if err == nil {
		err = e.exclude(func() error { return check(p.session, p.measured) })
	}
	if err == nil {
		err = e.repeat(ctx, p)
	}
	return errors.Join(err, e.collect(ctx, p.ex))
}

func (e *profiled) begin(ctx context.Context, ex core.Executor) (err error) {
	e.begun.Store(true)
	if _, err = control(ctx, ex, requestProfileStart); err != nil {
		return err
	}
	if e.stop, err = profile.Start(); err != nil {
		e.stop = nil
		return err
	}
	e.started = time.Now()
	e.before, err = profile.ReadAll()
	return err
}

// exclude calls f, whose time and samples are not the program's.
func (e *profiled) exclude(f func() error) error {
	defer func(t time.Time) { e.excluded += time.Since(t) }(time.Now())
	return profile.Exclude(f)
}

// repeat runs the program again until it has run for as long as the trial is to be
// profiled.
func (e *profiled) repeat(ctx context.Context, p *program) error {
	for ; ; e.repeats++ {
		least := e.order.Evidence.ProfileNS
		if time.Since(e.started)-e.excluded >= least {
			// On a busy machine there are fewer samples, so the time is extended by
			// what threads waited for a processor.
			now, err := profile.ReadAll()
			if err != nil {
				return fmt.Errorf("reading the accounting: %w", err)
			}
			least += min(time.Duration(now.RunQueueNS-e.before.RunQueueNS), maxExtension*least)
		}
		if time.Since(e.started)-e.excluded >= least {
			return nil
		}
		if err := p.again(ctx, e.exclude); err != nil {
			return fmt.Errorf("repeating the program: %w", err)
		}
	}
}

// collect stops profiling and writes the profiles of all processes.
func (e *profiled) collect(ctx context.Context, ex core.Executor) error {
	if e.stop == nil {
		return nil
	}
	set, err := e.stop()
	if err != nil {
		return err
	}
	replies, err := control(ctx, ex, requestProfileStop)
	if err != nil {
		return err
	}
	for _, r := range replies {
		e.workers.add(r.Worker, r.Payload)
	}
	workers, err := e.workers.all()
	if err != nil {
		return err
	}
	return writeProfiles(e.order.Evidence.Profiles, e.order.Cell.ID, append([]profile.ProcessProfiles{{Process: trialName, Set: set}}, workers...))
}

// finish adds figures of the merged profiles to the reply.
func (e *profiled) finish(_ context.Context, reply *Reply, failure error) error {
	m := &reply.Measured
	m.Repeats = e.repeats
	if failure != nil {
		return nil
	}
	v, err := profile.Read(filepath.Join(e.order.Evidence.Profiles, "cpu.pb.gz"))
	if err != nil {
		return err
	}
	m.CPUSamples, m.GCSamples = v.Samples(), v.GCSamples()
	if v, err = profile.Read(filepath.Join(e.order.Evidence.Profiles, "allocs.pb.gz")); err != nil {
		return err
	}
	if at, all := v.Largest(), v.Total(); at.Value > 0 {
		m.Allocates = &results.Allocations{Bytes: all, Where: at.Where, Share: float64(at.Value) / float64(all), Stack: at.Stack}
	}
	return nil
}

// workerProfiles collects the profiles of the worker processes of a trial.
type workerProfiles struct {
	mu        sync.Mutex
	processes map[int]int // how many processes each worker has had
	collected []profile.ProcessProfiles
	errs      []error
}

// add adds the profiles of the next process of a worker.
func (p *workerProfiles) add(worker int, payload []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.processes == nil {
		p.processes = make(map[int]int)
	}
	part := profile.ProcessProfiles{Process: trace.WorkerName(worker, p.processes[worker])}
	p.processes[worker]++
	if err := json.Unmarshal(payload, &part.Set); err != nil {
		p.errs = append(p.errs, fmt.Errorf("profiles of %s: %w", part.Process, err))
		return
	}
	p.collected = append(p.collected, part)
}

func (p *workerProfiles) all() ([]profile.ProcessProfiles, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.collected, errors.Join(p.errs...)
}

// maxExtension bounds the extension on a busy machine, in multiples of the trial's nominal time.
const maxExtension = 3

// writeProfiles writes the profiles of each process, and all of them merged.
func writeProfiles(dir, cell string, parts []profile.ProcessProfiles) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("making the folder for profiles: %w", err)
	}
	for _, kind := range profile.Kinds {
		merged, err := profile.Merge(kind, cell, parts)
		if err != nil {
			return err
		}
		if err := results.WriteFile(filepath.Join(dir, kind+".pb.gz"), merged); err != nil {
			return err
		}
		for _, p := range parts {
			if err := results.WriteFile(filepath.Join(dir, kind+"."+p.Process+".pb.gz"), p.Set[kind]); err != nil {
				return err
			}
		}
	}
	return nil
}
