package trace

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/f3f4c0de/harness/internal/results"
)

// A Found is a span that was looked for, and what lies below it.
type Found struct {
	ID, TraceID, Name string
	Cell              string          // that it is of; empty for the run
	Task              uint64          // number of the task that it is of, or 0
	Below             map[string]bool // ids of it and of all its descendants
}

// An id has wholeID digits, of which leastID must be given.
const (
	wholeID = 16
	leastID = 4
)

// Find looks a span of the run in dir up by its id, or by the beginning of it. One
// of a task, or of a task's function, that is given whole is in the run's ledger;
// for any other the spans themselves are read.
func Find(dir, id string) (*Found, error) {
	id = strings.ToLower(id)
	if len(id) < leastID || strings.Trim(id, "0123456789abcdef") != "" {
		return nil, fmt.Errorf("%q is not the id of a span, or its beginning: it has %d hexadecimal digits, %d of them will do; harness ledger and Jaeger show it", id, wholeID, leastID)
	}
	if len(id) == wholeID {
		if found, err := findRecord(dir, id); found != nil || err != nil {
			return found, err
		}
	}
	path := filepath.Join(dir, results.TracesFile)
	switch n, err := countIn(path, []byte(`"spanId":"`+id)); {
	case err != nil:
		return nil, err
	case n == 0:
		return nil, fmt.Errorf("there is no span %s in this run; harness ledger and Jaeger show the ids of spans", id)
	}
	all, err := readTree(path)
	if err != nil {
		return nil, err
	}
	return all.find(id)
}

// findRecord finds the span of a task, or of its function, in the records of
// tasks. It returns nil if they do not have it, or not all that is below it.
func findRecord(dir, id string) (*Found, error) {
	l, tasks, err := results.LedgerOfSpan(dir, id)
	if l == nil || err != nil || l.Tasks >= results.MaxTasks {
		return nil, err
	}
	all := make(spanTree)
	for _, t := range tasks {
		if t.RunSpanID == "" {
			return nil, nil // of an older harness
		}
		trace := t.TraceID
		if trace == "" {
			trace = l.TraceID
		}
		all[t.SpanID] = &span{trace: trace, parent: t.ParentSpanID, name: "task " + t.Task, cell: l.Cell, task: t.Number}
		all[t.RunSpanID] = &span{trace: trace, parent: t.SpanID, name: "run " + t.Task, cell: l.Cell, task: t.Number}
	}
	for _, s := range all {
		if s.parent != "" && all[s.parent] == nil {
			return nil, nil // it is below a span that the program started itself
		}
	}
	return all.find(id)
}

// A spanTree has spans by their ids.
type spanTree map[string]*span

type span struct {
	trace, parent, name, cell string
	task                      uint64
}

// readTree reads a file of spans.
func readTree(path string) (spanTree, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all := make(spanTree)
	for batch, err := range ReadLines(f) {
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for _, rs := range batch.ResourceSpans().All() {
			for _, ss := range rs.ScopeSpans().All() {
				for _, s := range ss.Spans().All() {
					v := &span{trace: s.TraceID().String(), parent: s.ParentSpanID().String(), name: s.Name()}
					if cell, ok := s.Attributes().Get(string(keyCellID)); ok {
						v.cell = cell.Str()
					}
					if task, ok := s.Attributes().Get(string(keyTaskNumber)); ok {
						v.task = uint64(task.Int())
					}
					all[s.SpanID().String()] = v
				}
			}
		}
	}
	return all, nil
}

// find returns the one span whose id begins so.
func (all spanTree) find(id string) (*Found, error) {
	var found *Found
	children := make(map[string][]string)
	for self, s := range all {
		children[s.parent] = append(children[s.parent], self)
		if strings.HasPrefix(self, id) {
			if found != nil {
				return nil, fmt.Errorf("span %s is not the only one: there are %s and %s", id, found.ID, self)
			}
			found = &Found{ID: self, TraceID: s.trace, Name: s.name, Cell: s.cell, Task: s.task, Below: make(map[string]bool)}
		}
	}
	if found == nil {
		return nil, fmt.Errorf("there is no span %s in this run; harness ledger and Jaeger show the ids of spans", id)
	}
	for up := all[found.ID]; up != nil && (found.Cell == "" || found.Task == 0); up = all[up.parent] {
		if found.Cell == "" {
			found.Cell = up.cell
		}
		if found.Task == 0 && up.cell == "" {
			found.Task = up.task
		}
	}
	for todo := []string{found.ID}; len(todo) > 0; {
		self := todo[0]
		todo = append(todo[1:], children[self]...)
		found.Below[self] = true
	}
	return found, nil
}
