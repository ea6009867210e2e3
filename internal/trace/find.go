package trace

import (
	"fmt"
	"os"
	"strings"
)

// A Found is a span that was looked for, and what lies below it.
type Found struct {
	ID, TraceID, Name string
	Cell              string          // that it is of; empty for the run
	Task              uint64          // number of the task that it is of, or 0
	Below             map[string]bool // ids of it and of all its descendants
}

// leastID is how much of an id must be given.
const leastID = 4

// Find looks a span up in a file of spans by its id, or by the beginning of it.
func Find(path, id string) (*Found, error) {
	id = strings.ToLower(id)
	if len(id) < leastID || strings.Trim(id, "0123456789abcdef") != "" {
		return nil, fmt.Errorf("%q is not the id of a span, or its beginning: it has 16 hexadecimal digits, %d of them will do; harness ledger and Jaeger show it", id, leastID)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	type span struct {
		trace, parent, name, cell string
		task                      uint64
	}
	spans := make(map[string]span)
	children := make(map[string][]string)
	for batch, err := range ReadLines(f) {
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for _, rs := range batch.ResourceSpans().All() {
			for _, ss := range rs.ScopeSpans().All() {
				for _, s := range ss.Spans().All() {
					self, parent := s.SpanID().String(), s.ParentSpanID().String()
					v := span{trace: s.TraceID().String(), parent: parent, name: s.Name()}
					if cell, ok := s.Attributes().Get(string(keyCellID)); ok {
						v.cell = cell.Str()
					}
					if task, ok := s.Attributes().Get(string(keyTaskNumber)); ok {
						v.task = uint64(task.Int())
					}
					spans[self] = v
					children[parent] = append(children[parent], self)
				}
			}
		}
	}
	var found *Found
	for self, s := range spans {
		if len(id) <= len(self) && self[:len(id)] == id {
			if found != nil {
				return nil, fmt.Errorf("span %s is not the only one: there are %s and %s", id, found.ID, self)
			}
			found = &Found{ID: self, TraceID: s.trace, Name: s.name, Cell: s.cell, Task: s.task, Below: make(map[string]bool)}
		}
	}
	if found == nil {
		return nil, fmt.Errorf("there is no span %s in this run; harness ledger and Jaeger show the ids of spans", id)
	}
	for up := found.ID; up != "" && (found.Cell == "" || found.Task == 0); up = spans[up].parent {
		if found.Cell == "" {
			found.Cell = spans[up].cell
		}
		if found.Task == 0 && spans[up].cell == "" {
			found.Task = spans[up].task
		}
	}
	for todo := []string{found.ID}; len(todo) > 0; {
		self := todo[0]
		todo = append(todo[1:], children[self]...)
		found.Below[self] = true
	}
	return found, nil
}
