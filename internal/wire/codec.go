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
// boundary. It carries a value exactly or refuses it with an error that names
// the field. Both ends are the same program on the same machine, so the bytes
// need no description of the type, no fixed byte order and no version. How a
// type is encoded is worked out once, when its task is declared:
//
//   - its own binary, gob, JSON or text form, if the type itself declares
//     methods for both directions; see codec_own.go
//   - numbers, and arrays and structs of them, as they lie in memory
//   - strings and slices as their length and their elements
//   - structs as their fields, pointers and maps as what they refer to; what is
//     referred to twice is carried once; see codec_refs.go
//   - interfaces as the type of what they hold, and that; see codec_any.go
//   - times as the moment and the zone; see codec_time.go
//
// Channels, functions, locks and structs with a private field that points
// somewhere have no form outside of the process.
//
// Both directions are guarded: no value and no bytes make them panic, run
// without end or take memory out of proportion.
//
// Note: this replaces JSON, which took 40 times as long for a small argument
// and 290 times as long for a megabyte; docs/performance.md has the figures.
type Codec[T any] struct {
	// Append encodes v onto b. When it fails it returns what was there before.
	Append func(b []byte, v *T) ([]byte, error)

	// Decode sets v to what b, all of it, is the encoding of.
	Decode func(b []byte, v *T) error

	Keeps   bool // Decode keeps b
	Foreign bool // Append and Decode may call methods of the program
	Fixed   int  // every encoding has so many bytes, and is the value's memory; 0 if they differ

	size func(v *T) int // of its encoding; nil if that is only known afterwards
}

// For returns the codec of a type that is a message by itself: the end of the bytes
// is the end of the value.
func For[T any]() Codec[T] {
	// What is all bytes needs no length: it is the whole message.
	switch any((*T)(nil)).(type) {
	case *[]byte:
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
	case *string:
		return Codec[T]{
			Append: func(b []byte, v *T) ([]byte, error) { return append(b, *any(v).(*string)...), nil },
			Decode: func(b []byte, v *T) error { *any(v).(*string) = string(b); return nil },
			size:   func(v *T) int { return len(*any(v).(*string)) },
		}
	}
	t := reflect.TypeFor[T]()
	f := formOf(t)
	if f.own != nil {
		return Codec[T]{
			Append: func(b []byte, v *T) ([]byte, error) {
				out, err := f.own.append(b, any(v))
				if err != nil {
					return b, err
				}
				return out, nil
			},
			Decode:  func(b []byte, v *T) error { return f.own.decode(any(v), b) },
			Keeps:   f.own.foreign, // they may, against the rules
			Foreign: f.own.foreign,
		}
	}
	if n := f.fixed; n > 0 {
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

// Size returns the size of v's encoding if it is known, or else 0.
func (c Codec[T]) Size(v *T) int {
	if c.size == nil {
		return 0
	}
	return c.size(v)
}

// Fingerprint describes the form that values of the type have on the wire. It
// is the same in two processes of one program, and another when a field is
// added, renamed, moved or given another type.
func (Codec[T]) Fingerprint() uint64 { return fingerprintOf(reflect.TypeFor[T]()) }

// An Element is a codec for one value among others: its bytes end by themselves. What
// two values share is not shared when they arrive.
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

// Append encodes v onto b. If it fails it returns b.
func (c Element[T]) Append(b []byte, v *T) ([]byte, error) {
	if c.fixed > 0 {
		return append(b, unsafe.Slice((*byte)(unsafe.Pointer(v)), c.fixed)...), nil
	}
	return c.form.encode(b, unsafe.Pointer(v), c.traits, describing{})
}

// Decode decodes one value from the beginning of b, of which it keeps nothing,
// and returns what comes after it.
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

// maxEncoded bounds what a value is encoded to, and what comes before it in the
// same buffer. The exact bound on a message is the backend's. Tests change it.
var maxEncoded = 1<<30 + 1<<20

// maxDepth bounds interfaces in interfaces, each with a value in it that is not
// behind a pointer. It takes less than 256 MB of stack, of which there is 1 GB.
const maxDepth = 100_000

var (
	// ErrCut is what decoding fails with if the bytes end too early.
	ErrCut   = errors.New("the encoding is cut short or not one")
	errSize  = errors.New("it takes more than 1 GiB")
	errDepth = fmt.Errorf("it is nested more than %d deep", maxDepth)
	errKeys  = errors.New("two keys of a map have become one")
)

// encode encodes the value at p, whose type has these traits, onto b. If it fails
// it returns b. For errs see [encoder].
func (f *form) encode(b []byte, p unsafe.Pointer, of traits, errs describing) (out []byte, err error) {
	if of.tracked {
		out, err = f.encodeTracked(b, p, of, errs)
	} else {
		out, err = f.append(b, p, nil) // which calls no methods but guarded ones
	}
	if err != nil || len(out) > maxEncoded {
		return b, f.refused(err)
	}
	return out, nil
}

// refused completes the error of a value of the type; with none it is too large.
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

// guarded calls a type's own methods and makes an error of a panic there: the
// goroutine that calls them may carry everybody's calls.
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
	path   string // from the value: ".Lines[].When"
	rooted bool   // it begins with the type of the whole
	err    error
}

func (e *pathError) Error() string { return e.path + ": " + fault.Text(e.err) }
func (e *pathError) Unwrap() error { return e.err }

// maxPath bounds the bytes of a path.
const maxPath = 300

// within notes that err is about a part of what was encoded.
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

// rooted begins the path of err with the type of the whole.
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
