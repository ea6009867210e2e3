package trial

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/profile"
	"github.com/f3f4c0de/harness/internal/trace"
)

// A worker is the part that a worker process takes in a trial.
type worker struct {
	hooks core.WorkerHooks
	exits []func(send) error // in the order in which they are called

	stopProfile func() (profile.Set, error) // nil if it is not profiled
}

type send = func(topic string, payload []byte) error

// WorkerHooks returns the hooks with which a worker process takes part in a
// trial. It is called once, when the process starts.
func WorkerHooks(ctx context.Context) (core.WorkerHooks, error) {
	hooks, err := trace.WorkerHooks(ctx)
	if err != nil {
		return hooks, err
	}
	w := &worker{hooks: hooks}
	if hooks.Exit != nil {
		w.exits = append(w.exits, hooks.Exit)
	}
	for _, part := range []struct {
		env  string
		join func(order []byte) error
	}{
		{profileEnv, w.label},
		{executionEnv, joinAs[executionOrder](w)},
		{observerEnv, joinAs[observerOrder](w)},
		{profileNowEnv, func([]byte) error { return w.startProfile() }},
	} {
		if order := os.Getenv(part.env); order != "" {
			if err := part.join([]byte(order)); err != nil {
				return hooks, fmt.Errorf("%s: %w", part.env, err)
			}
		}
	}
	w.hooks.Exit, w.hooks.Control = w.exit, w.control
	return w.hooks, nil
}

// joinAs has a worker observed by what an order says.
func joinAs[T interface{ observeWorker(w *worker) error }](w *worker) func([]byte) error {
	return func(b []byte) error {
		var order T
		if err := json.Unmarshal(b, &order); err != nil {
			return err
		}
		return order.observeWorker(w)
	}
}

// label labels the samples of the tasks of a profiled trial.
func (w *worker) label(b []byte) error {
	profile.EarlySettings()
	var labels profile.Labels
	if err := json.Unmarshal(b, &labels); err != nil {
		return err
	}
	w.hooks.Observer = labels.Observer()
	return nil
}

// atExit stops something when the process ends, before what was begun earlier.
func (w *worker) atExit(stop func() error) {
	w.exits = append([]func(send) error{func(send) error { return stop() }}, w.exits...)
}

// exit says what the process has used, and its profiles if nobody has asked for
// them, and ends what observes it.
func (w *worker) exit(send send) error {
	err := sendUsage(send)
	if w.stopProfile != nil {
		err = errors.Join(err, w.sendProfiles(send))
	}
	for _, f := range w.exits {
		err = errors.Join(err, f(send))
	}
	return err
}

func sendUsage(send send) error {
	u, err := profile.ReadAll()
	if err != nil {
		return fmt.Errorf("reading the accounting: %w", err)
	}
	return sendJSON(send, topicUsage, u)
}

func (w *worker) sendProfiles(send send) error {
	set, err := w.stopProfile()
	if err != nil {
		return err
	}
	return sendJSON(send, topicProfiles, set)
}

func sendJSON(send send, topic string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return send(topic, b)
}

// control answers a request of the trial.
func (w *worker) control(request string, _ []byte) (_ []byte, err error) {
	var answer any
	switch request {
	case requestUsage:
		answer, err = profile.ReadUsage()
	case requestAll:
		answer, err = profile.ReadAll()
	case requestRuntime:
		answer, err = trace.Runtime()
	case requestProfileStart:
		return nil, w.startProfile()
	case requestProfileStop:
		answer, err = w.endProfile()
	default:
		err = fmt.Errorf("unknown request %q", request)
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(answer)
}

func (w *worker) startProfile() (err error) {
	w.stopProfile, err = profile.Start()
	return err
}

func (w *worker) endProfile() (profile.Set, error) {
	if w.stopProfile == nil {
		return nil, errors.New("no profile was started")
	}
	set, err := w.stopProfile()
	w.stopProfile = nil
	return set, err
}
