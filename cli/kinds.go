package cli

import (
	"fmt"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/executor/backend"
	"github.com/f3f4c0de/harness/internal/backends"
	"github.com/f3f4c0de/harness/internal/experiment/spec"
	"github.com/f3f4c0de/harness/internal/experiment/trial"
	"github.com/f3f4c0de/harness/internal/workloads"
)

// A Kind is something that a program adds to the built-in kinds: a *harness.Workload
// or a *backend.Backend.
type Kind interface {
	// Validate returns an error if something in the declaration is missing or wrong.
	Validate() error
}

// kindsWith returns the built-in kinds and the given ones. Given workloads come
// before the built-in ones, given backends after them.
func kindsWith(more []Kind) (spec.Kinds, error) {
	k := spec.Kinds{Observers: trial.Observers()}
	k.Backends = append(k.Backends, backends.All...)
	for i, kind := range more {
		switch kind := kind.(type) {
		case *harness.Workload:
			k.Workloads = append(k.Workloads, kind)
		case *backend.Backend:
			k.Backends = append(k.Backends, kind)
		default:
			return k, usageError("cli.Main: argument %d is a %T; want a *harness.Workload or a *backend.Backend", i+1, kind)
		}
		if err := kind.Validate(); err != nil {
			return k, usageError("cli.Main: argument %d: %w", i+1, err)
		}
	}
	k.Workloads = append(k.Workloads, workloads.All...)
	if twice := duplicate(k.Workloads, func(w *harness.Workload) string { return w.Name }); twice != "" {
		return k, usageError("two workloads are named %q", twice)
	}
	if twice := duplicate(k.Backends, func(b *backend.Backend) string { return b.Name }); twice != "" {
		return k, usageError("two backends are named %q", twice)
	}
	return k, nil
}

func usageError(format string, args ...any) error {
	return exitError{exitUsage, fmt.Errorf(format, args...)}
}

// duplicate returns a name that two of all have, or "".
func duplicate[T any](all []T, name func(T) string) string {
	names := make(map[string]bool)
	for _, v := range all {
		if names[name(v)] {
			return name(v)
		}
		names[name(v)] = true
	}
	return ""
}
