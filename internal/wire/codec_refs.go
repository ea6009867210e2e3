package wire

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"slices"
	"sync"
	"unsafe"
)

// References are pointers, maps, and slices whose elements may contain references. If the
// type of a value allows two references to the same object, its codec tracks objects: each
// object is encoded once, after the value itself, in the order in which the encoder found
// them. So a long list needs no deep recursion, a cycle is encoded like a list, and an
// object that was shared is shared again after decoding.
//
// A reference is encoded as a number: 0 for nil, 2n+1 for a new object with n elements, 2i+2
// for the i-th object that was found.
//
// Two slices are the same object if they begin at the same element and have the same length.
// Other slices that overlap arrive as copies, and so does each slice whose elements contain
// no references. Three things are refused, because they would arrive as references to a
// copy: a pointer into another object, a slice of what a pointer points to, and two pointers
// of different types to one object.

// A place identifies something that a reference leads to.
type place struct {
	f  *form // the form of what a pointer points to, or of the slice, the map or the box
	p  unsafe.Pointer
	is int // the length of a slice, or one of the constants below
}

const (
	isMap     = -1
	isPointee = -2
	isBox     = -3 // what an interface holds
)

// An object is a place whose contents are encoded after the reference to it.
type object struct {
	place
	n    int // elements
	from int // in encoding: the object with the first reference to it, or root
	owed int // in decoding: the least number of bytes that its contents take
}

const root = -1

func (o *object) append(b []byte, e *encoder) ([]byte, error) {
	if o.is == isPointee {
		return o.f.append(b, o.p, e)
	}
	return o.f.contents(b, o.p, o.n, e)
}

func (o *object) decode(b []byte, d *decoder) ([]byte, error) {
	if o.is == isPointee {
		return o.f.decode(b, o.p, d)
	}
	return o.f.fill(b, o.p, o.n, d)
}

// An encoder is the state of an encoding that tracks objects.
type encoder struct {
	objects []object
	index   []int32              // a hash table with open addressing, by place: the number of an object plus one
	at      int                  // the object that is being encoded, or root
	boxes   map[place]int        // the numbers of boxes
	types   map[reflect.Type]int // the numbers of the types in interfaces
	depth   int                  // of interfaces in interfaces
	errs    describing           // if lossy is above 0, an error that has no form is encoded as a RemoteError; if it is nested, every error is
	inside  bool                 // record the slices that pointers may point into
	slices  []object             // those slices that are no objects
	regions []region             // memory of pointsInside, to be reused
	target  *place               // if not nil, stop with errFound at a reference to it
}

// errFound ends the search for a reference.
var errFound = errors.New("found")

var encoders = sync.Pool{New: func() any { return new(encoder) }}

// maxSpare bounds the objects of an encoder or decoder that is kept for reuse.
const maxSpare = 1 << 14

func (f *form) encodeTracked(b []byte, p unsafe.Pointer, of traits, errs describing) (_ []byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicked(v)
		}
	}()
	e := encoders.Get().(*encoder)
	e.at, e.errs, e.inside = root, errs, of.inside
	b, err = f.append(b, p, e)
	for err == nil && e.at+1 < len(e.objects) {
		e.at++
		o := e.objects[e.at]
		b, err = o.append(b, e)
	}
	if err == nil && e.inside {
		e.at, err = e.pointsInside()
	}
	if err != nil {
		return b, e.locate(f, p, err)
	}
	if len(e.objects) <= maxSpare && len(e.boxes) <= maxSpare && len(e.slices) <= maxSpare {
		if len(e.index) > 64 && len(e.index) > 32*len(e.objects) {
			e.index = nil // it is much larger than needed, and would take long to clear
		}
		clear(e.objects)
		clear(e.index)
		clear(e.boxes)
		clear(e.types)
		clear(e.slices)
		*e = encoder{objects: e.objects[:0], index: e.index, boxes: e.boxes, types: e.types, slices: e.slices[:0], regions: e.regions[:0]}
		encoders.Put(e)
	}
	return b, nil
}

// refer encodes a reference to something that has n elements. If inline is true the caller
// must encode the contents directly after it.
func refer(b []byte, at place, n int, e *encoder) (_ []byte, inline bool, err error) {
	if len(b) > maxEncoded {
		return b, false, errSize
	}
	if e == nil {
		return binary.AppendUvarint(b, uint64(n)<<1|1), true, nil
	}
	if e.target != nil && *e.target == at {
		return b, false, errFound
	}
	slot := e.slot(at)
	if i := e.index[slot]; i > 0 {
		return binary.AppendUvarint(b, uint64(i-1)<<1+2), false, nil
	}
	if len(e.objects) == math.MaxInt32 {
		return b, false, errSize
	}
	e.objects = append(e.objects, object{place: at, n: n, from: e.at})
	e.index[slot] = int32(len(e.objects))
	return binary.AppendUvarint(b, uint64(n)<<1|1), false, nil
}

// slot returns the position in the index of the object at a place, or the position where it
// is to be added. It hashes addresses, since the garbage collector does not move objects.
func (e *encoder) slot(at place) int {
	if 2*len(e.objects) >= len(e.index) {
		e.index = make([]int32, max(64, 4*len(e.objects)))
		e.reindex()
	}
	mask := len(e.index) - 1
	h := uint64(uintptr(at.p)) * 0x9e3779b97f4a7c15
	for i := int(h>>32) & mask; ; i = (i + 1) & mask {
		if n := e.index[i]; n == 0 || e.objects[n-1].place == at {
			return i
		}
	}
}

func (e *encoder) reindex() {
	clear(e.index)
	for i := range e.objects {
		e.index[e.slot(e.objects[i].place)] = int32(i + 1)
	}
}

// note records a slice that is no object. Its elements take that many bytes each.
func (e *encoder) note(at place, size uintptr) error {
	switch {
	case e == nil:
	case e.target != nil && *e.target == at:
		return errFound
	case e.inside && at.is > 0 && size > 0:
		e.slices = append(e.slices, object{place: at, from: e.at})
	}
	return nil
}

var errInside = errors.New("it points into something else that crosses, and would arrive as a pointer to a copy")

// A region is the memory of an object.
type region struct {
	from, to uintptr
	object   int
	pointee  bool // it is what a pointer points to, not the elements of a slice
}

// pointsInside looks for two objects that share memory, unless both are slices. It fails
// with the object that begins later, or that was found later.
func (e *encoder) pointsInside() (at int, err error) {
	all, pointers := e.regions[:0], false
	for i, objects := range [][]object{e.objects, e.slices} {
		for k, o := range objects {
			from := uintptr(o.p)
			switch {
			case o.is == isPointee:
				all = append(all, region{from, from + o.f.t.Size(), k, true})
				pointers = true
			case o.is > 0:
				all = append(all, region{from, from + uintptr(o.is)*o.f.t.Elem().Size(), i*len(e.objects) + k, false})
			}
		}
	}
	if e.regions = all; !pointers || len(all) == 1 {
		return root, nil
	}
	slices.SortFunc(all, func(a, b region) int {
		switch {
		case a.from != b.from:
			return cmp.Compare(a.from, b.from)
		case a.to != b.to:
			return cmp.Compare(b.to, a.to)
		}
		return cmp.Compare(a.object, b.object)
	})
	var end, pointeeEnd uintptr // of the regions seen so far
	for _, r := range all {
		if r.from < pointeeEnd || r.pointee && r.from < end {
			e.objects = append(e.objects, e.slices...) // so that locate finds it
			return r.object, errInside
		}
		end = max(end, r.to)
		if r.pointee {
			pointeeEnd = max(pointeeEnd, r.to)
		}
	}
	return root, nil
}

// mark returns the counts of everything that is numbered, for rewind.
func (e *encoder) mark() [4]int {
	return [4]int{len(e.objects), len(e.boxes), len(e.types), len(e.slices)}
}

// rewind forgets what was numbered since the mark, because its bytes were dropped.
func (e *encoder) rewind(to [4]int) {
	e.objects, e.slices = e.objects[:to[0]], e.slices[:to[3]]
	e.reindex()
	for at, number := range e.boxes {
		if number >= to[1] {
			delete(e.boxes, at)
		}
	}
	for t, number := range e.types {
		if number >= to[2] {
			delete(e.types, t)
		}
	}
}

// maxSteps bounds the references in the path of an error.
const maxSteps = 20

// locate completes the path of an error about the object that is being encoded with the
// references that lead to it from the value at p.
func (e *encoder) locate(f *form, p unsafe.Pointer, err error) error {
	at := e.at
	for range maxSteps {
		if at == root {
			return rooted(f.t, err)
		}
		finder := &encoder{at: root, target: &e.objects[at].place, errs: e.errs}
		var found error
		if at = e.objects[at].from; at == root {
			_, found = f.append(nil, p, finder)
		} else {
			_, found = e.objects[at].append(nil, finder)
		}
		var step *pathError
		if errors.As(found, &step) && step.err == errFound { //nolint:errorlint // errFound is never wrapped
			err = within(step.path, err)
		}
	}
	if at == root {
		return rooted(f.t, err)
	}
	return rooted(e.objects[at].f.t, err) // the path is too long, so it begins with the type of the object
}

// A decoder is the state of a decoding that tracks objects.
type decoder struct {
	objects []object
	boxes   []reflect.Value
	types   []*dynamic
	depth   int // of interfaces in interfaces
	owed    int // the least number of bytes that the contents still to be decoded take
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

func (f *form) decodeTracked(b []byte, p unsafe.Pointer) (_ []byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicked(v)
		}
	}()
	d := decoders.Get().(*decoder)
	if b, err = f.decode(b, p, d); err != nil {
		return nil, rooted(f.t, err)
	}
	for i := 0; i < len(d.objects); i++ {
		o := d.objects[i]
		d.owed -= o.owed
		if b, err = o.decode(b, d); err != nil {
			return nil, rooted(o.f.t, err)
		}
	}
	if len(d.objects) <= maxSpare && len(d.boxes) <= maxSpare {
		clear(d.objects)
		clear(d.boxes)
		clear(d.types)
		*d = decoder{objects: d.objects[:0], boxes: d.boxes[:0], types: d.types[:0]}
		decoders.Put(d)
	}
	return b, nil
}

// takeReference decodes a reference: to a new object that has n elements, to the object old,
// or nil. An element takes at least the given number of bytes.
func takeReference(b []byte, least int, f *form, is int, d *decoder) (n int, old *object, isNil bool, rest []byte, err error) {
	v, k := binary.Uvarint(b)
	if k <= 0 {
		return 0, nil, false, nil, ErrCut
	}
	b = b[k:]
	switch {
	case v == 0:
		return 0, nil, true, b, nil
	case v&1 == 0:
		i := (v - 2) >> 1
		if d == nil || i >= uint64(len(d.objects)) {
			return 0, nil, false, nil, ErrCut
		}
		old = &d.objects[i]
		if old.f != f || (old.is < 0) != (is < 0) {
			return 0, nil, false, nil, ErrCut
		}
		return old.n, old, false, b, nil
	}
	v >>= 1
	if least > 0 && v > uint64(len(b)/least) || v > 1<<62 {
		return 0, nil, false, nil, ErrCut
	}
	return int(v), nil, false, b, nil
}

// expect adds an object whose contents are still to be decoded. It fails if b is shorter
// than what all such contents take at least.
func (d *decoder) expect(b []byte, at place, n, owed int) error {
	if d.owed += owed; d.owed > len(b) {
		return ErrCut
	}
	d.objects = append(d.objects, object{place: at, n: n, owed: owed})
	return nil
}

func (c compiler) makePointer(f *form) {
	t := f.t.Elem()
	elem, empty := c.form(t), t.Size() == 0
	f.least = 1
	f.append = func(b []byte, p unsafe.Pointer, e *encoder) ([]byte, error) {
		to := *(*unsafe.Pointer)(p)
		if to == nil {
			return append(b, 0), nil
		}
		if e == nil || empty { // pointers to empty values may be equal or not
			return elem.append(append(b, 1), to, e)
		}
		b, inline, err := refer(b, place{elem, to, isPointee}, 0, e)
		if !inline || err != nil {
			return b, err
		}
		return elem.append(b, to, e)
	}
	f.decode = func(b []byte, p unsafe.Pointer, d *decoder) ([]byte, error) {
		n, old, isNil, b, err := takeReference(b, 0, elem, isPointee, d)
		switch {
		case err != nil:
			return nil, err
		case isNil:
			*(*unsafe.Pointer)(p) = nil
			return b, nil
		case old != nil && old.is == isPointee:
			*(*unsafe.Pointer)(p) = old.p
			return b, nil
		case old != nil || n != 0 || len(b) < elem.least:
			return nil, ErrCut
		}
		to := reflect.New(t).UnsafePointer()
		*(*unsafe.Pointer)(p) = to
		if d == nil || empty {
			return elem.decode(b, to, d)
		}
		return b, d.expect(b, place{elem, to, isPointee}, 0, elem.least)
	}
}

// makeSliceContents makes contents and fill of a slice's form.
func (f *form) makeSliceContents(elem *form, size uintptr) {
	f.contents = func(b []byte, p unsafe.Pointer, n int, e *encoder) (_ []byte, err error) {
		if elem.least > 0 && n > (maxEncoded-len(b))/elem.least {
			return b, errSize
		}
		if n > 64 && elem.unit > 0 {
			// Allocate the memory at once, or find that it is too much.
			total := n
			for i := range uintptr(n) {
				total += elem.unit * len(*(*[]byte)(unsafe.Add(p, i*size))) // the length of a string is at the same place
				if total > maxEncoded-len(b) {
					return b, errSize
				}
			}
			b = slices.Grow(b, total)
		}
		for i := range uintptr(n) {
			if b, err = elem.append(b, unsafe.Add(p, i*size), e); err != nil {
				return b, within("[]", err)
			}
			if len(b) > maxEncoded {
				return b, errSize
			}
		}
		return b, nil
	}
	f.fill = func(b []byte, p unsafe.Pointer, n int, d *decoder) (_ []byte, err error) {
		for i := range uintptr(n) {
			if b, err = elem.decode(b, unsafe.Add(p, i*size), d); err != nil {
				return nil, within("[]", err)
			}
		}
		return b, nil
	}
}

// makeSlice makes the form of a slice whose elements are not plain memory.
func (c compiler) makeSlice(f *form) {
	t := f.t
	elem, size := c.form(t.Elem()), t.Elem().Size()
	f.least = 1
	f.makeSliceContents(elem, size)
	tracks := traitsOf(t.Elem()).linked
	// Slices of different named types with the same elements may be the same object.
	same := f
	if plain := reflect.SliceOf(t.Elem()); tracks && plain != t {
		same = c.form(plain)
	}
	f.append = func(b []byte, p unsafe.Pointer, e *encoder) (_ []byte, err error) {
		// Every slice has its length and its data where a slice of bytes has them.
		s := *(*[]byte)(p)
		if s == nil {
			return append(b, 0), nil
		}
		data, inline := unsafe.Pointer(unsafe.SliceData(s)), true
		if tracks && len(s) > 0 {
			b, inline, err = refer(b, place{same, data, len(s)}, len(s), e)
		} else {
			b = binary.AppendUvarint(b, uint64(len(s))<<1|1)
			err = e.note(place{f, data, len(s)}, size)
		}
		if !inline || err != nil {
			return b, err
		}
		return f.contents(b, data, len(s), e)
	}
	f.decode = func(b []byte, p unsafe.Pointer, d *decoder) ([]byte, error) {
		least := max(1, elem.least)
		n, old, isNil, b, err := takeReference(b, least, same, 0, d)
		switch {
		case err != nil:
			return nil, err
		case isNil:
			*(*[]byte)(p) = nil
			return b, nil
		case old != nil && old.is >= 0:
			*(*[]byte)(p) = unsafe.Slice((*byte)(old.p), n)[:n:n]
			return b, nil
		case old != nil:
			return nil, ErrCut
		}
		data := reflect.MakeSlice(t, n, n).UnsafePointer()
		*(*[]byte)(p) = unsafe.Slice((*byte)(data), n)[:n:n]
		if d == nil || !tracks {
			return f.fill(b, data, n, d)
		}
		if n == 0 {
			return b, nil
		}
		return b, d.expect(b, place{same, data, n}, n, n*least)
	}
}

// mapAt returns a map of type t. p is the map itself, which is a pointer.
func mapAt(t reflect.Type, p unsafe.Pointer) reflect.Value {
	return reflect.NewAt(t, unsafe.Pointer(&p)).Elem()
}

// makeMapContents makes contents and fill of a map's form.
func (f *form) makeMapContents(key, elem *form) {
	t := f.t
	f.contents = func(b []byte, p unsafe.Pointer, n int, e *encoder) (_ []byte, err error) {
		k, v := reflect.New(t.Key()), reflect.New(t.Elem())
		for i := mapAt(t, p).MapRange(); i.Next(); n-- {
			k.Elem().SetIterKey(i)
			v.Elem().SetIterValue(i)
			if b, err = key.append(b, k.UnsafePointer(), e); err != nil {
				return b, within("[key]", err)
			}
			if b, err = elem.append(b, v.UnsafePointer(), e); err != nil {
				return b, within("[]", err)
			}
			if len(b) > maxEncoded {
				return b, errSize
			}
		}
		if n != 0 {
			return b, errors.New("the map changed while it was encoded")
		}
		return b, nil
	}
	dynamicKey := t.Key().Kind() == reflect.Interface || t.Key().Kind() == reflect.Struct || t.Key().Kind() == reflect.Array
	f.fill = func(b []byte, p unsafe.Pointer, n int, d *decoder) (_ []byte, err error) {
		m, k, v := mapAt(t, p), reflect.New(t.Key()), reflect.New(t.Elem())
		for range n {
			k.Elem().SetZero()
			v.Elem().SetZero()
			if b, err = key.decode(b, k.UnsafePointer(), d); err != nil {
				return nil, within("[key]", err)
			}
			if b, err = elem.decode(b, v.UnsafePointer(), d); err != nil {
				return nil, within("[]", err)
			}
			if dynamicKey && !k.Elem().Comparable() {
				return nil, within("[key]", errors.New("it cannot be the key of a map"))
			}
			m.SetMapIndex(k.Elem(), v.Elem())
		}
		if m.Len() != n {
			return nil, errKeys
		}
		return b, nil
	}
}

func (c compiler) makeMap(f *form) {
	t := f.t
	key, elem := c.form(t.Key()), c.form(t.Elem())
	f.least = 1
	f.makeMapContents(key, elem)
	// Maps of different named types with the same elements may be the same object.
	same := f
	if plain := reflect.MapOf(t.Key(), t.Elem()); plain != t {
		same = c.form(plain)
	}
	f.append = func(b []byte, p unsafe.Pointer, e *encoder) ([]byte, error) {
		m := *(*unsafe.Pointer)(p)
		if m == nil {
			return append(b, 0), nil
		}
		n := mapAt(t, m).Len()
		b, inline, err := refer(b, place{same, m, isMap}, n, e)
		if !inline || err != nil {
			return b, err
		}
		return f.contents(b, m, n, e)
	}
	f.decode = func(b []byte, p unsafe.Pointer, d *decoder) ([]byte, error) {
		least := key.least + elem.least
		n, old, isNil, b, err := takeReference(b, least, same, isMap, d)
		switch {
		case err != nil:
			return nil, err
		case isNil:
			*(*unsafe.Pointer)(p) = nil
			return b, nil
		case old != nil && old.is == isMap:
			*(*unsafe.Pointer)(p) = old.p
			return b, nil
		case old != nil || least == 0 && n > 1: // only one key can take no bytes
			return nil, ErrCut
		}
		m := reflect.MakeMapWithSize(t, n).UnsafePointer()
		*(*unsafe.Pointer)(p) = m
		if d == nil {
			return f.fill(b, m, n, nil)
		}
		return b, d.expect(b, place{same, m, isMap}, n, n*least)
	}
}
