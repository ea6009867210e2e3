package core

import (
	"reflect"
)

// MayEnd reports whether the call, which has not begun, might resolve the deadlock
// because its argument contains a queue that a worker waits on: directly, or in a
// struct, an array, a slice, a map, an interface, or behind a pointer. refuse ends one
// of the waits on that queue with ErrNested. MayEnd does not search functions, nor
// structs with a lock or an atomic value, because other goroutines may use those. It is
// quick for small arguments and looks at no more than 5,000 values of a large one.
func (c *Call) MayEnd(s *WaitSnapshot) (refuse func(), ok bool) {
	m := c.completion()
	if m == completed {
		return nil, false
	}
	// Either whoever settles the call sees argumentRead and waits for mu, or the new
	// phase is seen here: see finish.
	m.argumentRead.Store(true)
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.phase.Load() > running { // a running phase is allowed: a claimed call may not have begun
		return nil, false
	}
	l := &queueSearch{waited: make(map[uintptr]*trackedWait), seen: make(map[uintptr]bool)}
	for store, w := range s.queues {
		l.waited[reflect.ValueOf(store).Pointer()] = w
	}
	if w := l.at(c.body.argument()); w != nil {
		return w.refuse, true
	}
	return nil, false
}

// A queueSearch searches a value for queues.
type queueSearch struct {
	waited map[uintptr]*trackedWait // by the address of their store
	seen   map[uintptr]bool
	n      int // values looked at
}

// maxSearch is how many values a search looks at.
const maxSearch = 5000

func (l *queueSearch) at(v reflect.Value) *trackedWait {
	if l.n++; l.n > maxSearch || !v.IsValid() {
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		p := v.Pointer()
		if w := l.waited[p]; w != nil {
			return w
		}
		if p == 0 || l.seen[p] {
			return nil
		}
		l.seen[p] = true
		return l.at(v.Elem())
	case reflect.Interface:
		return l.at(v.Elem())
	case reflect.Struct:
		if inUse(v.Type()) {
			return nil
		}
		for _, field := range v.Fields() {
			if w := l.at(field); w != nil {
				return w
			}
		}
	case reflect.Array, reflect.Slice:
		if scalar(v.Type().Elem().Kind()) {
			return nil
		}
		for i := 0; i < v.Len() && l.n <= maxSearch; i++ {
			if w := l.at(v.Index(i)); w != nil {
				return w
			}
		}
	case reflect.Map:
		for it := v.MapRange(); l.n <= maxSearch && it.Next(); {
			if w := l.at(it.Key()); w != nil {
				return w
			}
			if w := l.at(it.Value()); w != nil {
				return w
			}
		}
	}
	return nil
}

// inUse reports whether values of the struct type may be in use by other goroutines:
// whether it has a lock or an atomic value.
func inUse(t reflect.Type) bool {
	for field := range t.Fields() {
		switch f := field.Type; f.PkgPath() {
		case "sync", "sync/atomic", "internal/sync":
			return true
		}
	}
	return false
}

func scalar(k reflect.Kind) bool { return k <= reflect.Complex128 || k == reflect.String }
