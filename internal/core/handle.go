package core

import (
	"context"
	"errors"
	"fmt"

	"github.com/f3f4c0de/harness/internal/fault"
)

// ErrShutdown is the error of tasks that Shutdown has cancelled.
var ErrShutdown = fmt.Errorf("%w: the executor was shut down", fault.ErrCancelled)

// A Handle is an executor together with the backend that has opened it. It is the
// underlying type of executor.Executor. All methods are safe for concurrent use.
type Handle struct {
	backend *Backend
	raw     Executor
}

// NewHandle returns a handle of the executor raw, which the backend has opened.
func NewHandle(b *Backend, raw Executor) *Handle { return &Handle{b, raw} }

// Backend returns the backend that has opened the executor.
func (h *Handle) Backend() *Backend { return h.backend }

// Raw returns the executor that the backend has opened, and nil if h is nil.
func (h *Handle) Raw() Executor {
	if h == nil {
		return nil
	}
	return h.raw
}

// Stats returns the executor's figures; all are zero if it is not a [Manager].
func (h *Handle) Stats() Stats {
	if m, ok := h.raw.(Manager); ok {
		return m.Stats()
	}
	return Stats{}
}

// Resize changes the number of workers; see [Manager]. If the executor is not a
// Manager, the error wraps errors.ErrUnsupported.
func (h *Handle) Resize(workers int) error {
	if m, ok := h.raw.(Manager); ok {
		return m.Resize(workers)
	}
	return fmt.Errorf("resizing an executor of backend %s: %w", h.backend.Name, errors.ErrUnsupported)
}

// Warm starts the workers that were not needed yet and blocks until they are
// ready, one fails, or ctx ends; see [Warmer]. It does nothing if the executor is not
// a Warmer.
func (h *Handle) Warm(ctx context.Context) error {
	w, ok := h.raw.(Warmer)
	if !ok {
		return nil
	}
	if err := w.Warm(ctx); err != nil {
		return fmt.Errorf("starting the workers of executor %s: %w", h.backend.Name, err)
	}
	return nil
}

// Shutdown closes the executor with a deadline: it takes no more calls and waits
// for those that were submitted until ctx ends. Then it cancels them with
// ErrShutdown and returns without waiting for those that run.
func (h *Handle) Shutdown(ctx context.Context) error {
	if ex, ok := h.raw.(interface{ Outside(what string) error }); ok {
		if err := ex.Outside("Shutdown"); err != nil {
			return err
		}
	}
	closed := make(chan error, 1)
	go func() { closed <- h.raw.Close() }() // ends with the last task
	select {
	case err := <-closed:
		return err
	case <-ctx.Done():
	}
	s := h.Stats()
	h.raw.Stop(ErrShutdown)
	return fmt.Errorf("shutting down: %w, with %d tasks running and %d waiting", context.Cause(ctx), s.Busy, s.Queued)
}
