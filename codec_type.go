package harness

import (
	"fmt"
	"hash/fnv"
	"reflect"
	"strings"
	"sync"
)

// traits are what a type says about all of its values.
type traits struct {
	linked  bool // a value may refer to something that another one refers to, too
	tracked bool // a value may refer to one thing twice
	foreign bool // its encoding may call methods of the program
}

var knownTraits sync.Map // by type

func traitsOf(t reflect.Type) traits {
	if k, ok := knownTraits.Load(t); ok {
		return k.(traits)
	}
	k := traits{
		linked:  linked(t, make(map[reflect.Type]bool)),
		foreign: foreign(t, make(map[reflect.Type]bool)),
	}
	k.tracked = k.linked && tracked(t, make(map[reflect.Type]bool))
	knownTraits.Store(t, k)
	return k
}

// leaf reports whether the form of a type does not depend on others.
func leaf(t reflect.Type) bool {
	return t == timeType || t == locationType || ownOf(t) != nil || live(t) != nil || plain(t)
}

// linked reports whether a value of the type holds pointers, maps or interfaces,
// or slices of its own type. known has the answers for other types, and true for
// those that are being asked about.
func linked(t reflect.Type, known map[reflect.Type]bool) (is bool) {
	if is, ok := known[t]; ok {
		return is
	}
	if leaf(t) {
		return false
	}
	known[t] = true
	defer func() { known[t] = is }()
	switch t.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Interface:
		return true
	case reflect.Slice, reflect.Array:
		return linked(t.Elem(), known)
	case reflect.Struct:
		for f := range t.Fields() {
			if linked(f.Type, known) {
				return true
			}
		}
	}
	return false
}

// tracked reports whether a value of the type may refer to one thing twice. seen
// has the types that were come across.
func tracked(t reflect.Type, seen map[reflect.Type]bool) bool {
	if !traitsLinked(t) {
		return false
	}
	if seen[t] {
		return true
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Pointer:
		// A pointer type of another name may hold the same pointer.
		if p := reflect.PointerTo(t.Elem()); p != t {
			return tracked(p, seen)
		}
		return tracked(t.Elem(), seen)
	case reflect.Map:
		if m := reflect.MapOf(t.Key(), t.Elem()); m != t {
			return tracked(m, seen)
		}
		return traitsLinked(t.Key()) || traitsLinked(t.Elem())
	case reflect.Array:
		return t.Len() > 1 || tracked(t.Elem(), seen)
	case reflect.Struct:
		for f := range t.Fields() {
			if tracked(f.Type, seen) {
				return true
			}
		}
		return false
	}
	return true // an interface, or a slice of what refers to something
}

func traitsLinked(t reflect.Type) bool { return linked(t, make(map[reflect.Type]bool)) }

// foreign reports whether methods of the program may be called. seen has the
// types that were asked about.
func foreign(t reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[t] {
		return false
	}
	seen[t] = true
	if o := ownOf(t); o != nil {
		return o.foreign
	}
	if leaf(t) {
		return false
	}
	switch t.Kind() {
	case reflect.Interface:
		return true
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return foreign(t.Elem(), seen)
	case reflect.Map:
		return foreign(t.Key(), seen) || foreign(t.Elem(), seen)
	case reflect.Struct:
		for f := range t.Fields() {
			if foreign(f.Type, seen) {
				return true
			}
		}
	}
	return false
}

var fingerprints sync.Map // by type

// fingerprintOf returns a number for the form of a type: see [codec.fingerprint].
func fingerprintOf(t reflect.Type) uint64 {
	if n, ok := fingerprints.Load(t); ok {
		return n.(uint64)
	}
	var d description
	d.add(t)
	h := fnv.New64a()
	h.Write([]byte(d.text.String()))
	n := h.Sum64()
	fingerprints.Store(t, n)
	return n
}

// A description is what makes the form of a type, in words.
type description struct {
	text strings.Builder
	seen map[reflect.Type]int
}

func (d *description) add(t reflect.Type) {
	if i, ok := d.seen[t]; ok {
		fmt.Fprintf(&d.text, "#%d", i)
		return
	}
	if d.seen == nil {
		d.seen = make(map[reflect.Type]int)
	}
	d.seen[t] = len(d.seen)
	fmt.Fprintf(&d.text, "%s:%v", typeName(t), t.Kind())
	if t == timeType || t == locationType {
		return
	}
	if o := ownOf(t); o != nil {
		d.text.WriteString(" by " + o.by)
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		d.text.WriteString(" of ")
		d.add(t.Elem())
	case reflect.Array:
		fmt.Fprintf(&d.text, " of %d ", t.Len())
		d.add(t.Elem())
	case reflect.Map:
		d.text.WriteString(" from ")
		d.add(t.Key())
		d.text.WriteString(" to ")
		d.add(t.Elem())
	case reflect.Struct:
		d.text.WriteByte('{')
		for f := range t.Fields() {
			fmt.Fprintf(&d.text, "%s@%d ", f.Name, f.Offset)
			d.add(f.Type)
			d.text.WriteByte(';')
		}
		d.text.WriteByte('}')
	}
}
