package harness

import (
	"encoding"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"sync"
	"unsafe"
)

// A codec turns values of one type into bytes and back, to cross a process
// boundary. Both ends are the same program on the same machine, so the bytes
// need no description of the type, no fixed byte order and no version. How a
// type is encoded is worked out once, when its task is declared:
//
//   - its own binary, JSON or text form, if it has methods for both directions
//   - numbers, and arrays and structs of them, as they lie in memory
//   - strings and slices as their length and their elements
//   - structs, pointers and maps as what they hold
//   - an any as JSON, since the other end cannot know what it was
//
// Channels, functions and other interfaces have no form outside of the process.
// Neither has a struct with a private field that points somewhere, unless it
// brings methods: nobody but its package can know what a copy would mean.
//
// Note: this replaces JSON, which took 40 times as long for a small argument
// and 290 times as long for a megabyte; docs/performance.md has the figures.
type codec[T any] struct {
	append func(b []byte, v *T) ([]byte, error)
	decode func(b []byte, v *T) error
	size   func(v *T) int // of its encoding; nil if that is only known afterwards
	keeps  bool           // decode keeps b

	foreign bool // methods of the program's own take part
	fixed   int  // every encoding has so many bytes; 0 if they differ
}

func codecFor[T any]() codec[T] {
	// What is all bytes needs no length: it is the whole message.
	switch any((*T)(nil)).(type) {
	case *[]byte:
		return codec[T]{
			append: func(b []byte, v *T) ([]byte, error) { return append(b, *any(v).(*[]byte)...), nil },
			decode: func(b []byte, v *T) error { *any(v).(*[]byte) = b; return nil },
			size:   func(v *T) int { return len(*any(v).(*[]byte)) },
			keeps:  true,
		}
	case *string:
		return codec[T]{
			append: func(b []byte, v *T) ([]byte, error) { return append(b, *any(v).(*string)...), nil },
			decode: func(b []byte, v *T) error { *any(v).(*string) = string(b); return nil },
			size:   func(v *T) int { return len(*any(v).(*string)) },
		}
	}
	if _, ok := any((*T)(nil)).(encoding.BinaryAppender); ok {
		if _, ok := any((*T)(nil)).(encoding.BinaryUnmarshaler); ok {
			return codec[T]{
				append: func(b []byte, v *T) ([]byte, error) {
					err := guarded(func() (err error) {
						b, err = any(v).(encoding.BinaryAppender).AppendBinary(b)
						return err
					})
					return b, err
				},
				decode: func(b []byte, v *T) error {
					return guarded(func() error { return any(v).(encoding.BinaryUnmarshaler).UnmarshalBinary(b) })
				},
			}
		}
	}
	f := formOf(reflect.TypeFor[T]())
	fixed := 0
	if t := reflect.TypeFor[T](); ownForm(t) == nil && plain(t) {
		fixed = int(t.Size())
	}
	return codec[T]{
		fixed:  fixed,
		append: func(b []byte, v *T) ([]byte, error) { return f.append(b, unsafe.Pointer(v), 0) },
		decode: func(b []byte, v *T) error {
			rest, err := f.decode(b, unsafe.Pointer(v))
			if err == nil && len(rest) > 0 {
				err = fmt.Errorf("%d bytes left over", len(rest))
			}
			return err
		},
	}
}

// guarded calls a type's own methods and makes an error of a panic there: the
// goroutine that calls them carries everybody's calls.
func guarded(own func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("its own encoding panicked: %v\n%s", v, debug.Stack())
		}
	}()
	return own()
}

// sizeOf returns the size of v's encoding if it is known, or else 0.
func (c codec[T]) sizeOf(v *T) int {
	if c.size == nil {
		return 0
	}
	return c.size(v)
}

// A form is how values of one type are encoded. p points to a value of it.
type form struct {
	append func(b []byte, p unsafe.Pointer, depth int) ([]byte, error)
	decode func(b []byte, p unsafe.Pointer) ([]byte, error)
	least  int // no value takes fewer bytes
}

// maxDepth bounds pointers to pointers: beyond, they go in a circle.
const maxDepth = 1000

var (
	errCut   = errors.New("the encoding is cut short")
	errDepth = fmt.Errorf("it is nested more than %d deep", maxDepth)
)

// forms are those worked out so far, by type.
var forms sync.Map

func formOf(t reflect.Type) *form {
	if f, ok := forms.Load(t); ok {
		return f.(*form)
	}
	// A type that contains itself finds this one, which is filled in below.
	var ready sync.WaitGroup
	ready.Add(1)
	f := &form{
		append: func(b []byte, p unsafe.Pointer, depth int) ([]byte, error) {
			ready.Wait()
			f, _ := forms.Load(t)
			return f.(*form).append(b, p, depth)
		},
		decode: func(b []byte, p unsafe.Pointer) ([]byte, error) {
			ready.Wait()
			f, _ := forms.Load(t)
			return f.(*form).decode(b, p)
		},
	}
	if g, ok := forms.LoadOrStore(t, f); ok {
		return g.(*form)
	}
	made := newForm(t)
	forms.Store(t, made)
	ready.Done()
	return made
}

func newForm(t reflect.Type) *form {
	if f := ownForm(t); f != nil {
		return f
	}
	if plain(t) {
		return memoryForm(t)
	}
	switch t.Kind() {
	case reflect.String:
		return stringForm()
	case reflect.Slice:
		return sliceForm(t)
	case reflect.Array:
		return arrayForm(t)
	case reflect.Struct:
		return structForm(t)
	case reflect.Pointer:
		return pointerForm(t)
	case reflect.Map:
		return mapForm(t)
	case reflect.Interface:
		if t.NumMethod() == 0 {
			return jsonForm(t)
		}
	}
	return noForm(fmt.Errorf("%v cannot leave the process", t))
}

func noForm(err error) *form {
	return &form{
		append: func(b []byte, _ unsafe.Pointer, _ int) ([]byte, error) { return b, err },
		decode: func(b []byte, _ unsafe.Pointer) ([]byte, error) { return b, err },
	}
}

// plain reports whether a value of the type is nothing but the bytes it takes
// in memory.
func plain(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64,
		reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return true
	case reflect.Array:
		return t.Len() == 0 || plain(t.Elem()) && ownForm(t.Elem()) == nil
	case reflect.Struct:
		for f := range t.Fields() {
			if !plain(f.Type) || ownForm(f.Type) != nil {
				return false
			}
		}
		return true
	}
	return false
}

func memoryForm(t reflect.Type) *form {
	n := int(t.Size())
	return &form{
		least: n,
		append: func(b []byte, p unsafe.Pointer, _ int) ([]byte, error) {
			return append(b, unsafe.Slice((*byte)(p), n)...), nil
		},
		decode: func(b []byte, p unsafe.Pointer) ([]byte, error) {
			if len(b) < n {
				return nil, errCut
			}
			copy(unsafe.Slice((*byte)(p), n), b)
			return b[n:], nil
		},
	}
}

// appendLength and takeLength carry a length, or 0 for a nil slice or map and
// the length plus one otherwise.
func appendLength(b []byte, n int, isNil bool) []byte {
	if isNil {
		return append(b, 0)
	}
	return binary.AppendUvarint(b, uint64(n)+1)
}

// takeLength fails if there cannot be that many elements in what is left.
func takeLength(b []byte, least int) (n int, isNil bool, rest []byte, err error) {
	v, k := binary.Uvarint(b)
	if k <= 0 {
		return 0, false, nil, errCut
	}
	if v == 0 {
		return 0, true, b[k:], nil
	}
	v--
	if least > 0 && v > uint64(len(b)-k)/uint64(least) || v > 1<<40 {
		return 0, false, nil, errCut
	}
	return int(v), false, b[k:], nil
}

func stringForm() *form {
	return &form{
		least: 1,
		append: func(b []byte, p unsafe.Pointer, _ int) ([]byte, error) {
			s := *(*string)(p)
			return append(appendLength(b, len(s), false), s...), nil
		},
		decode: func(b []byte, p unsafe.Pointer) ([]byte, error) {
			n, _, b, err := takeLength(b, 1)
			if err != nil {
				return nil, err
			}
			*(*string)(p) = string(b[:n])
			return b[n:], nil
		},
	}
}

func sliceForm(t reflect.Type) *form {
	if plain(t.Elem()) && ownForm(t.Elem()) == nil {
		return memorySliceForm(t)
	}
	elem, size := formOf(t.Elem()), t.Elem().Size()
	return &form{
		least: 1,
		append: func(b []byte, p unsafe.Pointer, depth int) (_ []byte, err error) {
			// The length and the data of any slice are where those of a
			// slice of bytes are.
			s := *(*[]byte)(p)
			b = appendLength(b, len(s), s == nil)
			if depth == maxDepth {
				return b, errDepth
			}
			data := unsafe.Pointer(unsafe.SliceData(s))
			for i := range uintptr(len(s)) {
				if b, err = elem.append(b, unsafe.Add(data, i*size), depth+1); err != nil {
					return b, err
				}
			}
			return b, nil
		},
		decode: func(b []byte, p unsafe.Pointer) ([]byte, error) {
			n, isNil, b, err := takeLength(b, max(1, elem.least)) // it may not be known yet
			if err != nil || isNil {
				*(*[]byte)(p) = nil
				return b, err
			}
			v := reflect.MakeSlice(t, n, n)
			reflect.NewAt(t, p).Elem().Set(v)
			data := v.UnsafePointer()
			for i := range uintptr(n) {
				if b, err = elem.decode(b, unsafe.Add(data, i*size)); err != nil {
					return nil, err
				}
			}
			return b, nil
		},
	}
}

// memorySliceForm is for slices whose elements are nothing but bytes: they
// cross in one piece.
func memorySliceForm(t reflect.Type) *form {
	size, align := int(t.Elem().Size()), t.Elem().Align()
	return &form{
		least: 1,
		append: func(b []byte, p unsafe.Pointer, _ int) ([]byte, error) {
			s := *(*[]byte)(p) // with the length of another type's elements
			b = appendLength(b, len(s), s == nil)
			return append(b, unsafe.Slice(unsafe.SliceData(s), len(s)*size)...), nil
		},
		decode: func(b []byte, p unsafe.Pointer) ([]byte, error) {
			n, isNil, b, err := takeLength(b, size)
			if err != nil || isNil {
				*(*[]byte)(p) = nil
				return b, err
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
			if size == 0 {
				reflect.NewAt(t, p).Elem().Set(reflect.MakeSlice(t, n, n))
				return b, nil
			}
			*(*[]byte)(p) = unsafe.Slice(data, k)[:n:n]
			return b[k:], nil
		},
	}
}

func arrayForm(t reflect.Type) *form {
	elem, size, n := formOf(t.Elem()), t.Elem().Size(), uintptr(t.Len())
	return &form{
		least: elem.least * int(n),
		append: func(b []byte, p unsafe.Pointer, depth int) (_ []byte, err error) {
			for i := range n {
				if b, err = elem.append(b, unsafe.Add(p, i*size), depth); err != nil {
					return b, err
				}
			}
			return b, nil
		},
		decode: func(b []byte, p unsafe.Pointer) (_ []byte, err error) {
			for i := range n {
				if b, err = elem.decode(b, unsafe.Add(p, i*size)); err != nil {
					return nil, err
				}
			}
			return b, nil
		},
	}
}

func structForm(t reflect.Type) *form {
	type field struct {
		*form
		offset uintptr
	}
	var fields []field
	least := 0
	for f := range t.Fields() {
		if !f.IsExported() && !plain(f.Type) {
			return noForm(fmt.Errorf("%v has the private field %s and no methods to encode it", t, f.Name))
		}
		form := formOf(f.Type)
		fields = append(fields, field{form, f.Offset})
		least += form.least
	}
	return &form{
		least: least,
		append: func(b []byte, p unsafe.Pointer, depth int) (_ []byte, err error) {
			for _, f := range fields {
				if b, err = f.append(b, unsafe.Add(p, f.offset), depth); err != nil {
					return b, err
				}
			}
			return b, nil
		},
		decode: func(b []byte, p unsafe.Pointer) (_ []byte, err error) {
			for _, f := range fields {
				if b, err = f.decode(b, unsafe.Add(p, f.offset)); err != nil {
					return nil, err
				}
			}
			return b, nil
		},
	}
}

func pointerForm(t reflect.Type) *form {
	elem := formOf(t.Elem())
	return &form{
		least: 1,
		append: func(b []byte, p unsafe.Pointer, depth int) ([]byte, error) {
			to := *(*unsafe.Pointer)(p)
			if to == nil {
				return append(b, 0), nil
			}
			if depth == maxDepth {
				return b, errDepth
			}
			return elem.append(append(b, 1), to, depth+1)
		},
		decode: func(b []byte, p unsafe.Pointer) ([]byte, error) {
			if len(b) == 0 {
				return nil, errCut
			}
			if b[0] == 0 {
				*(*unsafe.Pointer)(p) = nil
				return b[1:], nil
			}
			v := reflect.New(t.Elem())
			reflect.NewAt(t, p).Elem().Set(v.Convert(t))
			return elem.decode(b[1:], v.UnsafePointer())
		},
	}
}

func mapForm(t reflect.Type) *form {
	key, elem := formOf(t.Key()), formOf(t.Elem())
	return &form{
		least: 1,
		append: func(b []byte, p unsafe.Pointer, depth int) (_ []byte, err error) {
			if depth == maxDepth {
				return b, errDepth
			}
			m := reflect.NewAt(t, p).Elem()
			b = appendLength(b, m.Len(), m.IsNil())
			k, v := reflect.New(t.Key()), reflect.New(t.Elem())
			for i := m.MapRange(); i.Next(); {
				k.Elem().SetIterKey(i)
				v.Elem().SetIterValue(i)
				if b, err = key.append(b, k.UnsafePointer(), depth+1); err != nil {
					return b, err
				}
				if b, err = elem.append(b, v.UnsafePointer(), depth+1); err != nil {
					return b, err
				}
			}
			return b, nil
		},
		decode: func(b []byte, p unsafe.Pointer) ([]byte, error) {
			n, isNil, b, err := takeLength(b, max(1, key.least+elem.least))
			if err != nil || isNil {
				reflect.NewAt(t, p).Elem().SetZero()
				return b, err
			}
			m := reflect.MakeMap(t)
			reflect.NewAt(t, p).Elem().Set(m)
			for range n {
				k, v := reflect.New(t.Key()), reflect.New(t.Elem())
				if b, err = key.decode(b, k.UnsafePointer()); err != nil {
					return nil, err
				}
				if b, err = elem.decode(b, v.UnsafePointer()); err != nil {
					return nil, err
				}
				m.SetMapIndex(k.Elem(), v.Elem())
			}
			return b, nil
		},
	}
}

// jsonForm is for values that only JSON can carry, or that ask for it.
func jsonForm(t reflect.Type) *form {
	return bytesForm(t,
		json.Marshal,
		func(v any, b []byte) error { return json.Unmarshal(b, v) })
}

// ownForm is the form that the type's own methods give it, or nil.
func ownForm(t reflect.Type) *form {
	p := reflect.PointerTo(t)
	is := func(m, u reflect.Type) bool { return t.Kind() != reflect.Pointer && p.Implements(m) && p.Implements(u) }
	switch {
	case is(reflect.TypeFor[encoding.BinaryMarshaler](), reflect.TypeFor[encoding.BinaryUnmarshaler]()):
		return bytesForm(t,
			func(v any) ([]byte, error) { return v.(encoding.BinaryMarshaler).MarshalBinary() },
			func(v any, b []byte) error { return v.(encoding.BinaryUnmarshaler).UnmarshalBinary(b) })
	case is(reflect.TypeFor[json.Marshaler](), reflect.TypeFor[json.Unmarshaler]()):
		return jsonForm(t)
	case is(reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler]()):
		return bytesForm(t,
			func(v any) ([]byte, error) { return v.(encoding.TextMarshaler).MarshalText() },
			func(v any, b []byte) error { return v.(encoding.TextUnmarshaler).UnmarshalText(b) })
	}
	return nil
}

// bytesForm carries what marshal makes of a pointer to the value, with its
// length.
func bytesForm(t reflect.Type, marshal func(v any) ([]byte, error), unmarshal func(v any, b []byte) error) *form {
	return &form{
		least: 1,
		append: func(b []byte, p unsafe.Pointer, _ int) ([]byte, error) {
			var own []byte
			err := guarded(func() (err error) {
				own, err = marshal(reflect.NewAt(t, p).Interface())
				return err
			})
			if err != nil {
				return b, err
			}
			return append(appendLength(b, len(own), false), own...), nil
		},
		decode: func(b []byte, p unsafe.Pointer) ([]byte, error) {
			n, _, b, err := takeLength(b, 1)
			if err != nil {
				return nil, err
			}
			return b[n:], guarded(func() error { return unmarshal(reflect.NewAt(t, p).Interface(), b[:n]) })
		},
	}
}
