// Package experiment plans and runs experiments: a spec becomes rounds of
// cells, each trial of a cell is a fresh process, and what it measured becomes
// a record in the run's folder.
//
// A trial goes through the same stations whatever its kind (trial.go); what a
// traced or a profiled trial does in addition is in evidence.go. To add a kind
// of evidence, add a results.Kind, a step to [Plan] and its two halves there.
package experiment

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/f3f4c0de/harness"
	"github.com/f3f4c0de/harness/internal/child"
	"github.com/f3f4c0de/harness/internal/core"
)

// Kinds are the workloads and backends that an experiment can use.
type Kinds struct {
	Workloads []*harness.Workload
	Backends  []*core.Backend
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

func (k Kinds) workload(name string) (*harness.Workload, error) {
	return find("workload", k.Workloads, name, func(w *harness.Workload) string { return w.Name })
}

func (k Kinds) backend(name string) (*core.Backend, error) {
	return find("backend", k.Backends, name, func(b *core.Backend) string { return b.Name })
}

// baseline is the backend that the others are compared with.
const baseline = "sequential"

// find looks a name up, and names the nearest ones if it is not there.
func find[T any](what string, all []T, name string, nameOf func(T) string) (T, error) {
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
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(distance(name, a), distance(name, b)) })
	near := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return distance(name, n) > (len(name)+2)/3 })
	if len(near) > 0 {
		return fmt.Errorf("unknown %s %q; did you mean %s?", what, name, strings.Join(near[:min(3, len(near))], " or "))
	}
	slices.Sort(names)
	return fmt.Errorf("unknown %s %q; known are %s", what, name, strings.Join(names, ", "))
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

// Divert makes this process the trial or the server that it was started as,
// and then never returns. In any other process it returns at once. It is
// called first thing in main.
func Divert(ctx context.Context, kinds Kinds) {
	switch child.Role() {
	case trialRole:
		serveTrial(ctx, kinds)
	case serverRole:
		serveServer(ctx, kinds)
	case probeRole:
		serveProbe()
	}
}
