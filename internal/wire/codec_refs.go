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

// Pointers, maps and slices of what may hold such refer to something. Where a
// value may refer to one thing twice, by its type, its codec tracks: what is
// referred to is carried once, in the order in which it was come across, after
// the value itself. So nothing nests, however long a list is, a circle is no
// different from a list, and what was one thing is one thing again.
//
// A reference is a number: 0 for nil, 2n+1 for something new that has n elements,
// 2i+2 for the i-th thing that was come across.
//
// Slices are one thing if they begin at the same element and have the same
// length. Otherwise those that overlap arrive as copies, and so does each slice
// of elements that refer to nothing. A pointer into something else that crosses is
// refused, and so is a slice of what a pointer points to: they would arrive as
// references to a copy. So are two pointers of different types to one thing.

// A place is something that is referred to.
type place struct {
	f  *form // of what a pointer points to, or of the slice, the map or the box
	p  unsafe.Pointer
	is int // the length of a slice, or one of these
}

const (
	isMap     = -1
	isPointee = -2
	isBox     = -3 // what an interface holds
)

// An object is a place whose contents come after what refers to it.
type object struct {
	place
	n    int // elements
	from int // encoding: the object that referred to it first, or root
	owed int // decoding: the bytes that its contents take at least
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

// An encoder is the state of an encoding that tracks.
type encoder struct {
	objects []object
	index   []int32              // of objects by their place: their numbers plus one, in a table of open addressing
	at      int                  // the object that is encoded, or root
	boxes   map[place]int        // the numbers of boxes
	types   map[reflect.Type]int // the numbers of the types in interfaces
	depth   int                  // of interfaces in interfaces
	errs    describing           // if lossy is above 0, an error that has no form crosses as a RemoteError; if nested, every error
	inside  bool                 // note the slices that pointers may point into
	slices  []object             // those that are none of the objects
	regions []region             // of pointsInside
	target  *place               // if not nil, stop with errFound where it is referred to
}

// errFound ends the search for how something is referred to.
var errFound = errors.New("found")

var encoders = sync.Pool{New: func() any { return new(encoder) }}

// maxSpare bounds the objects of an encoder or decoder that is kept.
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
			e.index = nil // to clear it for a few would take longer
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

// refer encodes a reference to something that has n elements. inline has the
// caller encode its contents.
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

// slot returns where in the index the object at a place is, or where it goes.
// The collector does not move what a value refers to.
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

// note notes a slice that is no object, whose elements take so many bytes.
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
	pointee  bool // a pointer points to it, and no slice
}

// pointsInside looks for two things that share memory, and returns the object that
// begins later, or that was come across later. Two slices may share.
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
	var end, pointeeEnd uintptr // of those seen so far
	for _, r := range all {
		if r.from < pointeeEnd || r.pointee && r.from < end {
			e.objects = append(e.objects, e.slices...) // for locate
			return r.object, errInside
		}
		end = max(end, r.to)
		if r.pointee {
			pointeeEnd = max(pointeeEnd, r.to)
		}
	}
	return root, nil
}

// mark returns how far the numbering has come, for rewind.
func (e *encoder) mark() [4]int {
	return [4]int{len(e.objects), len(e.boxes), len(e.types), len(e.slices)}
}

// rewind forgets what was numbered since the mark: its bytes are not sent.
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

// maxWay bounds the references that the path of an error goes through.
const maxWay = 20

// locate completes the path of an error with how what is encoded is referred to,
// from the value at p on.
func (e *encoder) locate(f *form, p unsafe.Pointer, err error) error {
	at := e.at
	for range maxWay {
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
		var way *pathError
		if errors.As(found, &way) && way.err == errFound { //nolint:errorlint // it is that one
			err = within(way.path, err)
		}
	}
	if at == root {
		return rooted(f.t, err)
	}
	return rooted(e.objects[at].f.t, err) // so far away that the type has to do
}

// A decoder is the state of a decoding that tracks.
type decoder struct {
	objects []object
	boxes   []reflect.Value
	types   []*dynamic
	depth   int // of interfaces in interfaces
	owed    int // the bytes that the contents still to be decoded take at least
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

// takeReference decodes a reference to something new that has n elements, of
// which each takes at least so many bytes, or to an object, or to nil.
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

// expect notes that an object's contents will come, if there can be as many
// bytes as they take at least.
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
		if e == nil || empty { // which empty ones are one thing is not defined
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

// makeSlice is for slices whose elements are more than memory.
func (c compiler) makeSlice(f *form) {
	t := f.t
	elem, size := c.form(t.Elem()), t.Elem().Size()
	f.least = 1
	f.contents = func(b []byte, p unsafe.Pointer, n int, e *encoder) (_ []byte, err error) {
		if elem.least > 0 && n > (maxEncoded-len(b))/elem.least {
			return b, errSize
		}
		if n > 64 && elem.unit > 0 {
			// Make room at once, or find that there cannot be enough.
			total := n
			for i := range uintptr(n) {
				total += elem.unit * len(*(*[]byte)(unsafe.Add(p, i*size))) // also of a string
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
	tracks := traitsOf(t.Elem()).linked
	// A slice of another name with the same elements may be the same slice.
	same := f
	if plain := reflect.SliceOf(t.Elem()); tracks && plain != t {
		same = c.form(plain)
	}
	f.append = func(b []byte, p unsafe.Pointer, e *encoder) (_ []byte, err error) {
		// The length and the data of any slice are where those of a slice of
		// bytes are.
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

func (c compiler) makeMap(f *form) {
	t := f.t
	key, elem := c.form(t.Key()), c.form(t.Elem())
	f.least = 1
	// p is the map itself, which is a pointer.
	of := func(p unsafe.Pointer) reflect.Value { return reflect.NewAt(t, unsafe.Pointer(&p)).Elem() }
	f.contents = func(b []byte, p unsafe.Pointer, n int, e *encoder) (_ []byte, err error) {
		k, v := reflect.New(t.Key()), reflect.New(t.Elem())
		for i := of(p).MapRange(); i.Next(); n-- {
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
		m, k, v := of(p), reflect.New(t.Key()), reflect.New(t.Elem())
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
	// A map of another name with the same elements may be the same map.
	same := f
	if plain := reflect.MapOf(t.Key(), t.Elem()); plain != t {
		same = c.form(plain)
	}
	f.append = func(b []byte, p unsafe.Pointer, e *encoder) ([]byte, error) {
		m := *(*unsafe.Pointer)(p)
		if m == nil {
			return append(b, 0), nil
		}
		n := of(m).Len()
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
		case old != nil || least == 0 && n > 1: // there is but one key that takes no bytes
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
