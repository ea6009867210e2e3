// Package spec is what is wanted of an experiment: [Settings] from a file, the
// environment and flags, as [Options] describes them, and the [Spec] that they
// are resolved to.
//
// To add an option, add an entry to Options and its field to Settings, and use it
// where the spec is resolved or the plan is made.
package spec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/results"
)

// Kinds are the workloads and backends that an experiment can use.
type Kinds struct {
	Workloads []*harness.Workload
	Backends  []*core.Backend
	Observers []results.ObserverInfo // whose cost can be measured
}

// Tasks returns all tasks of all workloads, each once: what a worker process
// must know.
func (k Kinds) Tasks() []core.AnyTask {
	var tasks []core.AnyTask
	seen := make(map[string]bool)
	for _, w := range k.Workloads {
		for _, t := range w.Tasks {
			if !seen[t.Name()] {
				seen[t.Name()] = true
				tasks = append(tasks, core.TaskOf(t))
			}
		}
	}
	return tasks
}

// Workload returns the workload of that name.
func (k Kinds) Workload(name string) (*harness.Workload, error) {
	return Find("workload", k.Workloads, name, func(w *harness.Workload) string { return w.Name })
}

// Backend returns the backend of that name.
func (k Kinds) Backend(name string) (*core.Backend, error) {
	return Find("backend", k.Backends, name, func(b *core.Backend) string { return b.Name })
}

// baseline is the backend that the others are compared with.
const baseline = "sequential"

// Find looks a name up, and names the nearest ones if it is not there.
func Find[T any](what string, all []T, name string, nameOf func(T) string) (T, error) {
	var names []string
	for _, v := range all {
		if nameOf(v) == name {
			return v, nil
		}
		names = append(names, nameOf(v))
	}
	var none T
	return none, unknown(what, name, names)
}

// unknown is the error for a name that is not among names.
func unknown(what, name string, names []string) error {
	if near := nearest(name, names); len(near) > 0 {
		return fmt.Errorf("unknown %s %q; did you mean %s?", what, name, strings.Join(near, " or "))
	}
	return fmt.Errorf("unknown %s %q; known are %s", what, name, strings.Join(slices.Sorted(slices.Values(names)), ", "))
}

// nearest returns up to three names that a user may have meant, the nearest first.
func nearest(name string, names []string) []string {
	near := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return distance(name, n) > (len(name)+2)/3 })
	slices.SortStableFunc(near, func(a, b string) int { return cmp.Compare(distance(name, a), distance(name, b)) })
	return near[:min(3, len(near))]
}

// distance is how many letters must be inserted, deleted or replaced to turn a
// into b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		previous := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := previous
			if a[i] != b[j] {
				d = 1 + min(previous, row[j], row[j+1])
			}
			previous, row[j+1] = row[j+1], d
		}
	}
	return row[len(b)]
}

// FirstLine returns the first line of a text.
func FirstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}
