package core

import (
	"context"
	"errors"
	"fmt"

	"github.com/f3f4c0de/harness/internal/fault"
)

// ErrShutdown is what tasks are cancelled with that a shutdown did not wait for.
var ErrShutdown = fmt.Errorf("%w: the executor was shut down", fault.ErrCancelled)

// A Handle is an executor together with the backend that has opened it. Package
// executor shows it to programs as executor.Executor. All methods are safe for
// concurrent use.
type Handle struct {
	backend *Backend
	raw     Executor
}

// NewHandle returns a handle of what the backend has opened.
func NewHandle(b *Backend, raw Executor) *Handle { return &Handle{b, raw} }

// Backend returns the backend that has opened the executor.
func (h *Handle) Backend() *Backend { return h.backend }

// Raw returns what the backend has opened, and nil if h is nil.
func (h *Handle) Raw() Executor {
	if h == nil {
		return nil
	}
	return h.raw
}

// Stats tells what the workers are at; all is zero if the backend does not tell.
func (h *Handle) Stats() Stats {
	if m, ok := h.raw.(Manager); ok {
		return m.Stats()
	}
	return Stats{}
}

// Resize changes the number of workers; see [Manager]. The error of a backend that
// cannot do it wraps errors.ErrUnsupported.
func (h *Handle) Resize(workers int) error {
	if m, ok := h.raw.(Manager); ok {
		return m.Resize(workers)
	}
	return fmt.Errorf("resizing an executor of backend %s: %w", h.backend.Name, errors.ErrUnsupported)
}

// Warm starts the workers that were not needed yet and blocks until they are
// ready, one fails, or ctx ends; see [Warmer]. It does nothing if the backend
// starts no workers beforehand.
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
