package wire

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
	inside  bool // a pointer in a value may point into something else that is in it
	tracked bool // a value may refer to one thing twice, or to something and a part of it
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
	if k.linked {
		p := parts{seen: make(map[reflect.Type]bool), inPointee: make(map[reflect.Type]bool), inSlice: make(map[reflect.Type]bool)}
		p.add(t, false)
		k.inside = p.inside()
		k.tracked = k.inside || p.twice
	}
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

func traitsLinked(t reflect.Type) bool { return linked(t, make(map[reflect.Type]bool)) }

// parts are the types that what is behind values of a type consists of. The
// elements of a slice or an array, which a pointer to an array may point to, stand
// there as an array of length 0.
type parts struct {
	seen      map[reflect.Type]bool // the types behind; true if of several values
	inPointee map[reflect.Type]bool // the parts of what pointers point to
	inSlice   map[reflect.Type]bool // the parts of what slices refer to
	unknown   bool                  // there is an interface
	twice     bool                  // a value may refer to one thing twice
}

// inside reports whether a pointer may point into something else, also one that
// was converted, or a slice may be of an array in what a pointer points to.
func (p *parts) inside() bool {
	for t, several := range p.seen {
		switch {
		case t.Kind() == reflect.Slice && p.inPointee[reflect.ArrayOf(0, t.Elem())]:
			return true
		case t.Kind() == reflect.Pointer && t.Elem().Size() > 0:
			// Of two pointers of one type, only those to arrays overlap in part.
			if several && t.Elem().Kind() == reflect.Array && t.Elem().Len() > 1 || p.meets(t) {
				return true
			}
		}
	}
	return p.unknown
}

// meets reports whether a pointer of type t may point to what something of
// another type refers to.
func (p *parts) meets(t reflect.Type) bool {
	to := part(t.Elem())
	for other := range p.seen {
		if other.Kind() == reflect.Pointer && other != t && alike(to, part(other.Elem())) {
			return true
		}
	}
	for _, in := range []map[reflect.Type]bool{p.inPointee, p.inSlice} {
		for other := range in {
			if alike(to, other) {
				return true
			}
		}
	}
	return false
}

// part returns what stands for a type among parts.
func part(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Array {
		return reflect.ArrayOf(0, t.Elem())
	}
	return t
}

// alike reports whether a pointer to one type may be converted to a pointer to the
// other. It takes all interfaces for alike.
//
// Note: reflect's ConvertibleTo does not end if two types that functions declare
// have the same name and refer to themselves.
func alike(a, b reflect.Type) bool {
	if a == b {
		return true
	}
	if a.Kind() != b.Kind() || a.Size() != b.Size() {
		return false
	}
	same := func(a, b reflect.Type) bool {
		return a == b || a.Name() == "" && b.Name() == "" && alike(a, b)
	}
	switch a.Kind() {
	case reflect.Array, reflect.Pointer, reflect.Slice:
		return same(a.Elem(), b.Elem())
	case reflect.Map:
		return same(a.Key(), b.Key()) && same(a.Elem(), b.Elem())
	case reflect.Struct:
		if a.NumField() != b.NumField() {
			return false
		}
		for i := range a.NumField() {
			if f, g := a.Field(i), b.Field(i); f.Name != g.Name || !same(f.Type, g.Type) {
				return false
			}
		}
	}
	return true
}

// add adds what is behind values of a type, of which there may be several.
func (p *parts) add(t reflect.Type, several bool) {
	if leaf(t) {
		return
	}
	switch t.Kind() { // one of another name may hold the same
	case reflect.Pointer:
		t = reflect.PointerTo(t.Elem())
	case reflect.Map:
		t = reflect.MapOf(t.Key(), t.Elem())
	case reflect.Slice:
		t = reflect.SliceOf(t.Elem())
	}
	before, again := p.seen[t]
	if before {
		return
	}
	several = several || again
	p.seen[t] = several
	switch t.Kind() {
	case reflect.Slice:
		p.twice = p.twice || several && traitsLinked(t.Elem())
		of := reflect.ArrayOf(0, t.Elem())
		p.inSlice[of] = true
		addParts(p.inSlice, of)
		p.add(t.Elem(), true)
	case reflect.Pointer:
		p.twice = p.twice || several
		addParts(p.inPointee, t.Elem())
		p.add(t.Elem(), several)
	case reflect.Map:
		p.twice = p.twice || several
		p.add(t.Key(), true)
		p.add(t.Elem(), true)
	case reflect.Array:
		p.add(t.Elem(), several || t.Len() > 1)
	case reflect.Struct:
		for f := range t.Fields() {
			p.add(f.Type, several)
		}
	case reflect.Interface:
		p.unknown = true
	}
}

// addParts adds the types of what a value consists of.
func addParts(to map[reflect.Type]bool, t reflect.Type) {
	add := func(t reflect.Type) {
		if !to[part(t)] {
			to[part(t)] = true
			addParts(to, t)
		}
	}
	switch own := ownOf(t); {
	case t == timeType || own != nil && !own.foreign: // nobody has a pointer into it
	case t.Kind() == reflect.Array:
		add(t.Elem())
	case t.Kind() == reflect.Struct:
		for f := range t.Fields() {
			add(f.Type)
		}
	}
}

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
