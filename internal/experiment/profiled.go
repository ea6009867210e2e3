package experiment

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

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/internal/profile"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/trace"
)

// profileEnv tells a worker process that its trial is profiled, and the labels
// to use.
const profileEnv = "HARNESS_PROFILE"

// profileNowEnv tells one that is started while the program runs to begin by
// itself.
const profileNowEnv = "HARNESS_PROFILE_NOW"

// topicProfiles is what a worker process says that ends before it was asked for
// its profiles.
const topicProfiles = "profiles"

func sendProfiles(send func(topic string, payload []byte) error, stop func() (profile.Set, error)) error {
	set, err := stop()
	if err != nil {
		return err
	}
	b, err := json.Marshal(set)
	if err != nil {
		return err
	}
	return send(topicProfiles, b)
}

// profiled repeats the program until there is enough to be sampled, and writes
// the profiles of every process and of all together.
func (t trial) profiled() evidence {
	profile.EarlySettings()
	cell := t.order.Cell
	labels := profile.Labels{Workload: cell.Workload, Backend: cell.Backend}
	labels.TraceID, labels.SpanID = trace.ParseIDs(t.order.Evidence.CellSpan)
	var stop func() (profile.Set, error)
	var started time.Time
	var besides time.Duration // since then, but not in the program
	var before profile.Usage
	repeats := 1
	var begun atomic.Bool
	var ended parts

	ev := unobserved()
	ev.configure = func(cfg *harness.Config) {
		cfg.Observer = labels.Observer()
		cfg.Processes = &harness.ProcessObserver{Spawning: func(int) []string {
			b, err := json.Marshal(labels)
			if err != nil {
				panic(err) // strings
			}
			env := []string{profileEnv + "=" + string(b)}
			if begun.Load() {
				env = append(env, profileNowEnv+"=1")
			}
			return env
		}, Message: func(worker int, topic string, payload []byte) {
			if topic == topicProfiles {
				ended.add(worker, payload)
			}
		}}
	}
	ev.begin = func(ctx context.Context, ex harness.Executor) (err error) {
		begun.Store(true)
		if _, err = control(ctx, ex, requestProfileStart); err != nil {
			return err
		}
		if stop, err = profile.Start(); err != nil {
			return err
		}
		started = time.Now()
		before, err = profile.ReadAll()
		return err
	}
	ev.aside = func(f func() error) error {
		defer func(t time.Time) { besides += time.Since(t) }(time.Now())
		return profile.Exclude(f)
	}
	ev.repeat = func(_ context.Context, again func() error) error {
		for ; ; repeats++ {
			least := t.order.Evidence.ProfileNS
			if time.Since(started)-besides >= least {
				// A busy machine leaves fewer samples: what it has taken is added.
				now, err := profile.ReadAll()
				if err != nil {
					return fmt.Errorf("reading the accounting: %w", err)
				}
				least += min(time.Duration(now.RunQueueNS-before.RunQueueNS), mostAdded*least)
			}
			if time.Since(started)-besides >= least {
				return nil
			}
			if err := again(); err != nil {
				return fmt.Errorf("repeating the program: %w", err)
			}
		}
	}
	ev.collect = func(ctx context.Context, ex harness.Executor) error {
		if stop == nil {
			return nil
		}
		set, err := stop()
		if err != nil {
			return err
		}
		replies, err := control(ctx, ex, requestProfileStop)
		if err != nil {
			return err
		}
		for _, r := range replies {
			ended.add(r.Worker, r.Payload)
		}
		workers, err := ended.all()
		if err != nil {
			return err
		}
		return writeProfiles(t.order.Evidence.Profiles, cell.ID, append([]profile.Part{{Process: trialName, Set: set}}, workers...))
	}
	ev.finish = func(_ context.Context, reply *trialReply, failure error) error {
		m := &reply.Measured
		m.Repeats = repeats
		if failure != nil {
			return nil
		}
		v, err := profile.Read(filepath.Join(t.order.Evidence.Profiles, "cpu.pb.gz"))
		if err != nil {
			return err
		}
		m.CPUSamples, m.GCSamples = v.Samples(), v.GCSamples()
		if v, err = profile.Read(filepath.Join(t.order.Evidence.Profiles, "allocs.pb.gz")); err != nil {
			return err
		}
		if at, all := v.Largest(), v.Total(); at.Value > 0 {
			m.Allocates = &results.Allocations{Bytes: all, Where: at.Where, Share: float64(at.Value) / float64(all), Stack: at.Stack}
		}
		return nil
	}
	return ev
}

// parts are the profiles of the worker processes of a trial.
type parts struct {
	mu   sync.Mutex
	of   map[int]int // how many processes each worker had
	got  []profile.Part
	errs []error
}

// add adds those of the next process of a worker.
func (p *parts) add(worker int, payload []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == nil {
		p.of = make(map[int]int)
	}
	part := profile.Part{Process: trace.WorkerName(worker, p.of[worker])}
	p.of[worker]++
	if err := json.Unmarshal(payload, &part.Set); err != nil {
		p.errs = append(p.errs, fmt.Errorf("profiles of %s: %w", part.Process, err))
		return
	}
	p.got = append(p.got, part)
}

func (p *parts) all() ([]profile.Part, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.got, errors.Join(p.errs...)
}

// mostAdded is how many times as long a profiled trial may take on a busy machine.
const mostAdded = 3

// writeProfiles writes each process's profiles and those of all, merged.
func writeProfiles(dir, cell string, parts []profile.Part) error {
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
