package trace

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/f3f4c0de/harness/internal/core"
)

// A process is a worker process. A worker may have several, one after the other.
type process struct {
	core.ProcessExit
	number uint64 // among those of the trial
	ended  bool   // ProcessExit is known; false for ever if it did not start
	count  Count  // what it sent, and what its tasks started
}

// key tells processes apart, as far as the records of tasks can.
func (p *process) key() processKey { return processKey{p.Worker, p.PID} }

type processKey struct{ worker, pid int }

// Processes returns what a backend with worker processes is opened with.
func (t *Trial) Processes() *core.ProcessObserver {
	return &core.ProcessObserver{
		Spawning: func(worker int) []string {
			id := t.cfg.Identity
			id.Role = "worker"
			env, err := json.Marshal(workerConfig{Identity: id, Epoch: t.cfg.Epoch, Worker: worker})
			if err != nil {
				t.fail(err)
			}
			t.mu.Lock()
			p := &process{number: uint64(len(t.processes))}
			t.processes = append(t.processes, p)
			t.current[worker] = p
			t.mu.Unlock()
			sc := spanContext(t.traceID, t.spawnIDs.span(p.number))
			return []string{workerEnv + "=" + string(env), "TRACEPARENT=" + traceparent(sc)}
		},
		Message: func(worker int, topic string, payload []byte) {
			if err := t.message(worker, topic, payload); err != nil {
				t.fail(fmt.Errorf("message %q of worker %d: %w", topic, worker, err))
			}
		},
		Exited: func(e core.ProcessExit) {
			t.mu.Lock()
			defer t.mu.Unlock()
			if p := t.current[e.Worker]; p != nil {
				p.ProcessExit, p.ended = e, true
			}
		},
	}
}

// WorkerName names the n-th process of a worker, from 0: "worker-0", and its
// successors "worker-0.2" and so on.
func WorkerName(worker, n int) string {
	if n == 0 {
		return fmt.Sprintf("worker-%d", worker)
	}
	return fmt.Sprintf("worker-%d.%d", worker, n+1)
}

// An Exit is the end of a worker process.
type Exit struct {
	Name string // as [WorkerName] has it
	core.ProcessExit
}

// Exits returns the worker processes that have ended, in the order in which they
// were started.
func (t *Trial) Exits() []Exit {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.exits()
}

func (t *Trial) exits() (exits []Exit) {
	before := make(map[int]int)
	for _, p := range t.processes {
		if p.ended {
			exits = append(exits, Exit{WorkerName(p.Worker, before[p.Worker]), p.ProcessExit})
			before[p.Worker]++
		}
	}
	return exits
}

func (t *Trial) message(worker int, topic string, payload []byte) error {
	switch topic {
	case topicSpans:
		n, line, err := parseSpans(payload)
		if err != nil {
			return err
		}
		if err := t.emit(line, n); err != nil {
			return err
		}
		t.count(worker, 0, n)
	case topicOwn:
		var own int
		if err := json.Unmarshal(payload, &own); err != nil {
			return err
		}
		t.count(worker, own, 0)
	case topicCrossings:
		for len(payload) > 0 {
			n, there, err := parseWorkerCrossing(payload)
			if err != nil {
				return err
			}
			payload = payload[workerCrossingBytes:]
			c := t.crossings.at(n)
			c.decoding, c.decoded, c.encoded = there.decoding, there.decoded, there.encoded
		}
	default:
		return errors.New("unknown topic")
	}
	return nil
}

// count adds to what is known of the worker's present process.
func (t *Trial) count(worker, expected, exported int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.current[worker]; p != nil {
		p.count.Expected += expected
		p.count.Exported += exported
	}
}
