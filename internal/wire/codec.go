// Package wire turns values and errors into bytes and back, to cross a process boundary:
// exactly, or refused with the path of the field. [For] returns the codec of a type;
// arguments, results and the values of queues all go through it. [AppendError] does the
// same for what a task failed with.
package wire

import (
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"unsafe"

	"github.com/f3f4c0de/harness/internal/fault"
)

// A Codec turns values of one type into bytes and back, to cross a process
// boundary. The decoded value equals the encoded one exactly; a value for which that is
// impossible is refused with an error that names the field. Both ends are the same program
// on the same machine, so the bytes need no description of the type, no fixed byte order and
// no version. How a type is encoded is computed once, when its task is declared:
//
//   - its own binary, gob, JSON or text form, if the type itself declares
//     methods for both directions; see codec_own.go
//   - numbers, and arrays and structs of them, as they lie in memory
//   - strings and slices as their length and their elements
//   - structs as their fields, pointers and maps as what they refer to, which is encoded
//     once even if there are several references to it; see codec_refs.go
//   - interfaces as the type of their value and that value; see codec_any.go
//   - times as the instant and the zone; see codec_time.go
//
// Channels, functions, locks and structs with an unexported field that contains a pointer
// cannot be encoded.
//
// No value and no bytes make encoding or decoding panic, run without end or use memory out
// of proportion.
//
// Note: this replaces JSON, which took 40 times as long for a small argument
// and 290 times as long for a megabyte; docs/performance.md has the figures.
type Codec[T any] struct {
	// Append appends the encoding of v to b. If it fails it returns b.
	Append func(b []byte, v *T) ([]byte, error)

	// Decode sets v to the value that b, as a whole, is the encoding of.
	Decode func(b []byte, v *T) error

	Keeps   bool // the decoded value may refer to b
	Foreign bool // Append and Decode may call methods of the program
	Fixed   int  // if above 0, every encoding is the memory of the value, which has that many bytes

	size func(v *T) int // of the encoding of v; nil if that is not known before
}

// For returns the codec for values that are a whole message: the end of the bytes is the end
// of the value.
func For[T any]() Codec[T] {
	switch any((*T)(nil)).(type) {
	case *[]byte:
		return bytesCodec[T]()
	case *string:
		return stringCodec[T]()
	}
	f := formOf(reflect.TypeFor[T]())
	switch {
	case f.own != nil:
		return ownCodec[T](f.own)
	case f.fixed > 0:
		return memoryCodec[T](f.fixed)
	}
	return formCodec[T](f)
}

// bytesCodec is the codec of []byte. A slice needs no length, since it is the whole
// message; a byte before it tells an empty slice from nil.
func bytesCodec[T any]() Codec[T] {
	return Codec[T]{
		Append: func(b []byte, v *T) ([]byte, error) {
			s := *any(v).(*[]byte)
			if s == nil {
				return b, nil
			}
			return append(append(b, 1), s...), nil
		},
		Decode: func(b []byte, v *T) error {
			if len(b) > 0 {
				b = b[1:len(b):len(b)]
			} else {
				b = nil
			}
			*any(v).(*[]byte) = b
			return nil
		},
		size:  func(v *T) int { return 1 + len(*any(v).(*[]byte)) },
		Keeps: true,
	}
}

// stringCodec is the codec of string, which is the whole message.
func stringCodec[T any]() Codec[T] {
	return Codec[T]{
		Append: func(b []byte, v *T) ([]byte, error) { return append(b, *any(v).(*string)...), nil },
		Decode: func(b []byte, v *T) error { *any(v).(*string) = string(b); return nil },
		size:   func(v *T) int { return len(*any(v).(*string)) },
	}
}

// ownCodec is the codec of a type whose own methods encode it.
func ownCodec[T any](own *own) Codec[T] {
	return Codec[T]{
		Append: func(b []byte, v *T) ([]byte, error) {
			out, err := own.append(b, any(v))
			if err != nil {
				return b, err
			}
			return out, nil
		},
		Decode:  func(b []byte, v *T) error { return own.decode(any(v), b) },
		Keeps:   own.foreign, // its methods may keep the bytes, although they must not
		Foreign: own.foreign,
	}
}

// memoryCodec is the codec of a type whose values are n bytes of memory.
func memoryCodec[T any](n int) Codec[T] {
	return Codec[T]{
		Append: func(b []byte, v *T) ([]byte, error) {
			return append(b, unsafe.Slice((*byte)(unsafe.Pointer(v)), n)...), nil
		},
		Decode: func(b []byte, v *T) error {
			if len(b) != n {
				return fmt.Errorf("%d bytes; want %d", len(b), n)
			}
			copy(unsafe.Slice((*byte)(unsafe.Pointer(v)), n), b)
			return nil
		},
		Fixed: n,
	}
}

// formCodec is the codec of any other type: the encoding of a value, and nothing after it.
func formCodec[T any](f *form) Codec[T] {
	e := ForElement[T]()
	return Codec[T]{
		Append: func(b []byte, v *T) ([]byte, error) {
			if e.traits.tracked {
				return f.encode(b, unsafe.Pointer(v), e.traits, describing{})
			}
			out, err := f.append(b, unsafe.Pointer(v), nil)
			if err != nil || len(out) > maxEncoded {
				return b, f.refused(err)
			}
			return out, nil
		},
		Foreign: e.Foreign,
		Decode: func(b []byte, v *T) error {
			rest, err := e.Decode(b, v)
			if err == nil && len(rest) > 0 {
				err = fmt.Errorf("%d bytes left over", len(rest))
			}
			return err
		},
	}
}

// Size returns the size of v's encoding, or 0 if it is not known before.
func (c Codec[T]) Size(v *T) int {
	if c.size == nil {
		return 0
	}
	return c.size(v)
}

// Fingerprint identifies the encoding of the type. It is the same in two processes of one
// program, and differs if a field is added, renamed, moved or given another type.
func (Codec[T]) Fingerprint() uint64 { return fingerprintOf(reflect.TypeFor[T]()) }

// An Element is a codec for values that follow each other: the encoding itself tells where a
// value ends. An object that two such values share is copied.
type Element[T any] struct {
	Foreign bool // Append and Decode may call methods of the program

	form   *form
	fixed  int    // if above 0, every value is that many bytes of memory
	traits traits // of T
}

// ForElement returns the codec of a type for values that follow each other.
func ForElement[T any]() Element[T] {
	t := reflect.TypeFor[T]()
	f := formOf(t)
	traits := traitsOf(t)
	return Element[T]{form: f, fixed: f.fixed, Foreign: traits.foreign, traits: traits}
}

// Append appends the encoding of v to b. If it fails it returns b.
func (c Element[T]) Append(b []byte, v *T) ([]byte, error) {
	if c.fixed > 0 {
		return append(b, unsafe.Slice((*byte)(unsafe.Pointer(v)), c.fixed)...), nil
	}
	return c.form.encode(b, unsafe.Pointer(v), c.traits, describing{})
}

// Decode decodes the value at the beginning of b and returns the bytes after it. The value
// does not refer to b.
func (c Element[T]) Decode(b []byte, v *T) (rest []byte, err error) {
	if c.fixed > 0 {
		if len(b) < c.fixed {
			return nil, ErrCut
		}
		copy(unsafe.Slice((*byte)(unsafe.Pointer(v)), c.fixed), b)
		return b[c.fixed:], nil
	}
	return c.form.decodeFrom(b, unsafe.Pointer(v), c.traits)
}

// maxEncoded bounds the size of the buffer to which a value is encoded. The backend has the
// exact bound of a message. Tests change it.
var maxEncoded = 1<<30 + 1<<20

// maxDepth bounds how deep interfaces are nested in interfaces without a pointer in between.
// This depth takes less than 256 MB of stack, of which there is 1 GB.
const maxDepth = 100_000

var (
	// ErrCut is the error of decoding if the bytes end too early, or are no encoding.
	ErrCut   = errors.New("the encoding is cut short or not one")
	errSize  = errors.New("it takes more than 1 GiB")
	errDepth = fmt.Errorf("it is nested more than %d deep", maxDepth)
	errKeys  = errors.New("two keys of a map have become one")
)

// encode appends the encoding of the value at p to b. If it fails it returns b. of are the
// traits of the value's type; for errs see [encoder].
func (f *form) encode(b []byte, p unsafe.Pointer, of traits, errs describing) (out []byte, err error) {
	if of.tracked {
		out, err = f.encodeTracked(b, p, of, errs)
	} else {
		out, err = f.append(b, p, nil) // methods that it calls are guarded
	}
	if err != nil || len(out) > maxEncoded {
		return b, f.refused(err)
	}
	return out, nil
}

// refused completes the error of encoding a value. A nil err means that it is too large.
func (f *form) refused(err error) error {
	if err == nil {
		return errSize
	}
	return rooted(f.t, err)
}

// decodeFrom decodes the value at the beginning of b into p.
func (f *form) decodeFrom(b []byte, p unsafe.Pointer, of traits) (rest []byte, err error) {
	if of.tracked {
		return f.decodeTracked(b, p)
	}
	if rest, err = f.decode(b, p, nil); err != nil {
		return nil, rooted(f.t, err)
	}
	return rest, nil
}

// guarded calls own, which calls a type's own methods, and returns a panic as an error: the
// goroutine that encodes may do so for all calls of an executor.
func guarded(own func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicked(v)
		}
	}()
	return own()
}

func panicked(v any) error {
	return fmt.Errorf("its own encoding panicked: %v\n%s", v, debug.Stack())
}

// A pathError says in which part of a value something is wrong.
type pathError struct {
	path   string // from the value on, such as ".Lines[].When"
	rooted bool   // path begins with the type of the whole value
	err    error
}

func (e *pathError) Error() string { return e.path + ": " + fault.Text(e.err) }
func (e *pathError) Unwrap() error { return e.err }

// maxPath bounds the bytes of a path.
const maxPath = 300

// within adds a step to the path of err.
func within(step string, err error) error {
	p, ok := err.(*pathError) //nolint:errorlint // one of our own that has not been wrapped
	if !ok {
		return &pathError{path: step, err: err}
	}
	if len(p.path) < maxPath {
		p.path = step + p.path
		if len(p.path) >= maxPath {
			p.path = "…" + p.path
		}
	}
	return p
}

// rooted puts the type of the whole value before the path of err.
func rooted(t reflect.Type, err error) error {
	for t.Kind() == reflect.Pointer && t.Name() == "" {
		t = t.Elem()
	}
	p, ok := err.(*pathError) //nolint:errorlint // as above
	if !ok || p.rooted {
		return err
	}
	p.rooted = true
	switch {
	case t.Name() != "":
		p.path = t.Name() + p.path
	case p.path[0] == '.':
		p.path = p.path[1:]
	}
	return p
}
