package wire

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"sync"
	"unsafe"
)

// A form is how values of one type are encoded. p points to a value of it. e
// and d are nil if the whole value cannot refer to one thing twice.
type form struct {
	t      reflect.Type
	append func(b []byte, p unsafe.Pointer, e *encoder) ([]byte, error)
	decode func(b []byte, p unsafe.Pointer, d *decoder) ([]byte, error)
	least  int  // no value takes fewer bytes; of arrays not above maxLeast
	fixed  int  // every value is that many bytes of memory; 0 if not
	unit   int  // of strings and slices of memory: the bytes of each element; else 0
	own    *own // its methods, if those make the form

	// Of slices and maps, what they refer to: n elements of the slice at p, or
	// those of the map p.
	contents func(b []byte, p unsafe.Pointer, n int, e *encoder) ([]byte, error)
	fill     func(b []byte, p unsafe.Pointer, n int, d *decoder) ([]byte, error)
}

// maxLeast bounds the least size of an array, of which elements that take no
// memory may have any number. A value of so many bytes is refused.
const maxLeast = 1 << 40

// forms are those worked out so far, by type.
var (
	forms   sync.Map
	forming sync.Mutex
)

// formOf returns the form of a type. It is safe for concurrent use.
func formOf(t reflect.Type) *form {
	if f, ok := forms.Load(t); ok {
		return f.(*form)
	}
	forming.Lock()
	defer forming.Unlock()
	c := compiler{}
	f := c.form(t)
	for t, f := range c { // whole only now
		forms.Store(t, f)
	}
	return f
}

// A compiler makes forms. A type that contains itself finds the one that is
// being made, which is whole when it is used.
type compiler map[reflect.Type]*form

func (c compiler) form(t reflect.Type) *form {
	if f, ok := forms.Load(t); ok {
		return f.(*form)
	}
	if f, ok := c[t]; ok {
		return f
	}
	f := &form{t: t}
	c[t] = f
	c.make(f, t)
	return f
}

func (c compiler) make(f *form, t reflect.Type) {
	if t == timeType {
		f.makeTime()
		return
	}
	if t == locationType {
		f.makeLocation()
		return
	}
	if f.own = ownOf(t); f.own != nil {
		f.makeOwn()
		return
	}
	if why := live(t); why != nil {
		f.refuse("", why)
		return
	}
	if plain(t) {
		f.makeMemory(int(t.Size()))
		return
	}
	switch t.Kind() {
	case reflect.String:
		f.makeString()
	case reflect.Slice:
		if plain(t.Elem()) {
			f.makeMemorySlice()
		} else {
			c.makeSlice(f)
		}
	case reflect.Array:
		c.makeArray(f)
	case reflect.Struct:
		c.makeStruct(f)
	case reflect.Pointer:
		c.makePointer(f)
	case reflect.Map:
		c.makeMap(f)
	case reflect.Interface:
		f.makeInterface()
	default:
		f.refuse("", fmt.Errorf("%v cannot leave the process", t))
	}
}

// refuse makes the form of what has none, because of err at a part of it.
func (f *form) refuse(part string, err error) {
	why := func() error {
		if part == "" {
			return err
		}
		return within(part, err)
	}
	f.append = func(b []byte, _ unsafe.Pointer, _ *encoder) ([]byte, error) { return b, why() }
	f.decode = func([]byte, unsafe.Pointer, *decoder) ([]byte, error) { return nil, why() }
}

// plain reports whether a value of the type is nothing but the bytes it takes
// in memory.
func plain(t reflect.Type) bool {
	if t == timeType || ownOf(t) != nil || live(t) != nil {
		return false
	}
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr,
		reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return true
	case reflect.Array:
		return t.Len() == 0 || plain(t.Elem())
	case reflect.Struct:
		for f := range t.Fields() {
			if !plain(f.Type) {
				return false
			}
		}
		return true
	}
	return false
}

// value reports whether an assignment copies all that a value of the type is,
// so that a struct may keep it in a private field.
func value(t reflect.Type) bool {
	switch {
	case t == timeType || t.PkgPath() == "net/netip" || t.Kind() == reflect.String || plain(t):
		return true
	case live(t) != nil:
		return false
	case t.Kind() <= reflect.Complex128: // a number that has methods of its own
		return true
	}
	switch t.Kind() {
	case reflect.Array:
		return value(t.Elem())
	case reflect.Struct:
		for f := range t.Fields() {
			if !value(f.Type) {
				return false
			}
		}
		return true
	}
	return false
}

func (f *form) makeMemory(n int) {
	f.least, f.fixed = n, n
	f.append = func(b []byte, p unsafe.Pointer, _ *encoder) ([]byte, error) {
		return append(b, unsafe.Slice((*byte)(p), n)...), nil
	}
	f.decode = func(b []byte, p unsafe.Pointer, _ *decoder) ([]byte, error) {
		if len(b) < n {
			return nil, ErrCut
		}
		copy(unsafe.Slice((*byte)(p), n), b)
		return b[n:], nil
	}
}

// appendLength and takeLength carry a length, or 0 for a nil slice and the
// length plus one otherwise.
func appendLength(b []byte, n int, isNil bool) []byte {
	if isNil {
		return append(b, 0)
	}
	return binary.AppendUvarint(b, uint64(n)+1)
}

// takeLength fails if there cannot be that many elements in what is left, of
// which each takes at least so many bytes.
func takeLength(b []byte, least int) (n int, isNil bool, rest []byte, err error) {
	v, k := binary.Uvarint(b)
	if k <= 0 {
		return 0, false, nil, ErrCut
	}
	if v == 0 {
		return 0, true, b[k:], nil
	}
	v--
	if v > 1<<62 || least > 0 && v > uint64(len(b)-k)/uint64(least) {
		return 0, false, nil, ErrCut
	}
	return int(v), false, b[k:], nil
}

func (f *form) makeString() {
	f.least, f.unit = 1, 1
	f.append = func(b []byte, p unsafe.Pointer, _ *encoder) ([]byte, error) {
		s := *(*string)(p)
		if len(b)+len(s) > maxEncoded {
			return b, errSize
		}
		return append(appendLength(b, len(s), false), s...), nil
	}
	f.decode = func(b []byte, p unsafe.Pointer, _ *decoder) ([]byte, error) {
		n, isNil, b, err := takeLength(b, 1)
		if err != nil || isNil {
			return nil, ErrCut
		}
		*(*string)(p) = string(b[:n])
		return b[n:], nil
	}
}

// makeMemorySlice is for slices whose elements are nothing but bytes: they cross
// in one piece.
func (f *form) makeMemorySlice() {
	t := f.t
	size, align := int(t.Elem().Size()), t.Elem().Align()
	f.least, f.unit = 1, size
	f.append = func(b []byte, p unsafe.Pointer, e *encoder) ([]byte, error) {
		s := *(*[]byte)(p) // with the length of another type's elements
		if err := e.note(place{f, unsafe.Pointer(unsafe.SliceData(s)), len(s)}, uintptr(size)); err != nil {
			return b, err
		}
		if size > 0 && len(s) > (maxEncoded-len(b))/size {
			return b, errSize
		}
		b = appendLength(b, len(s), s == nil)
		return append(b, unsafe.Slice(unsafe.SliceData(s), len(s)*size)...), nil
	}
	f.decode = func(b []byte, p unsafe.Pointer, _ *decoder) ([]byte, error) {
		n, isNil, b, err := takeLength(b, size)
		if err != nil || isNil {
			*(*[]byte)(p) = nil
			return b, err
		}
		if size == 0 {
			reflect.NewAt(t, p).Elem().Set(reflect.MakeSlice(t, n, n))
			return b, nil
		}
		k := n * size
		// Memory without pointers is the same for every type; only its
		// alignment matters.
		var data *byte
		switch align {
		case 1:
			data = unsafe.SliceData(make([]byte, k))
		case 2:
			data = (*byte)(unsafe.Pointer(unsafe.SliceData(make([]uint16, k/2))))
		case 4:
			data = (*byte)(unsafe.Pointer(unsafe.SliceData(make([]uint32, k/4))))
		default:
			data = (*byte)(unsafe.Pointer(unsafe.SliceData(make([]uint64, k/8))))
		}
		copy(unsafe.Slice(data, k), b)
		*(*[]byte)(p) = unsafe.Slice(data, k)[:n:n]
		return b[k:], nil
	}
}

func (c compiler) makeArray(f *form) {
	elem, size, n := c.form(f.t.Elem()), f.t.Elem().Size(), uintptr(f.t.Len())
	f.least = maxLeast
	if elem.least == 0 || n <= maxLeast/uintptr(elem.least) {
		f.least = elem.least * int(n)
	}
	f.append = func(b []byte, p unsafe.Pointer, e *encoder) (_ []byte, err error) {
		if f.least > maxEncoded-len(b) {
			return b, errSize
		}
		for i := range n {
			if b, err = elem.append(b, unsafe.Add(p, i*size), e); err != nil {
				return b, within("[]", err)
			}
		}
		return b, nil
	}
	f.decode = func(b []byte, p unsafe.Pointer, d *decoder) (_ []byte, err error) {
		for i := range n {
			if b, err = elem.decode(b, unsafe.Add(p, i*size), d); err != nil {
				return nil, within("[]", err)
			}
		}
		return b, nil
	}
}

func (c compiler) makeStruct(f *form) {
	type field struct {
		*form
		name   string
		offset uintptr
	}
	var fields []field
	for sf := range f.t.Fields() {
		name := "." + sf.Name
		// The exported fields of an embedded struct are those of this one.
		if !sf.IsExported() && (!sf.Anonymous || sf.Type.Kind() != reflect.Struct) && !value(sf.Type) {
			why := live(sf.Type)
			if why == nil {
				why = fmt.Errorf("%v has the private field %s, which points somewhere, and no methods of its own to encode it", f.t, sf.Name)
			}
			f.refuse(name, why)
			return
		}
		form := c.form(sf.Type)
		fields = append(fields, field{form, name, sf.Offset})
		f.least += form.least
	}
	f.append = func(b []byte, p unsafe.Pointer, e *encoder) (_ []byte, err error) {
		for i := range fields {
			f := &fields[i]
			if b, err = f.append(b, unsafe.Add(p, f.offset), e); err != nil {
				return b, within(f.name, err)
			}
		}
		return b, nil
	}
	f.decode = func(b []byte, p unsafe.Pointer, d *decoder) (_ []byte, err error) {
		for i := range fields {
			f := &fields[i]
			if b, err = f.decode(b, unsafe.Add(p, f.offset), d); err != nil {
				return nil, within(f.name, err)
			}
		}
		return b, nil
	}
}
