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

// A worker is what a worker process does for a trial beside its tasks.
type worker struct {
	hooks core.WorkerHooks
	exits []func(send) error // in the order in which they are called

	stopProfile func() (profile.Set, error) // nil if it is not profiled
}

type send = func(topic string, payload []byte) error

// WorkerHooks returns the hooks by which a worker process is observed and answers
// requests of its trial. It is called once, when the process starts.
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
		{executionEnv, observeAs[executionOrder](w)},
		{observerEnv, observeAs[observerOrder](w)},
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

// observeAs returns a function that decodes an order and starts observing the worker as the
// order says.
func observeAs[T interface{ observeWorker(w *worker) error }](w *worker) func([]byte) error {
	return func(b []byte) error {
		var order T
		if err := json.Unmarshal(b, &order); err != nil {
			return err
		}
		return order.observeWorker(w)
	}
}

// label makes the worker of a profiled trial label the samples of its tasks.
func (w *worker) label(b []byte) error {
	profile.EarlySettings()
	var labels profile.Labels
	if err := json.Unmarshal(b, &labels); err != nil {
		return err
	}
	w.hooks.Observer = labels.Observer()
	return nil
}

// atExit has stop called when the process exits, before those that were added earlier.
func (w *worker) atExit(stop func() error) {
	w.exits = append([]func(send) error{func(send) error { return stop() }}, w.exits...)
}

// exit sends what the process has used, and its profiles unless they were fetched
// before, and stops everything that observes the process.
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
