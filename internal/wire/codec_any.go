package wire

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"github.com/f3f4c0de/harness/internal/fault"
)

// Register allows values of type T inside of interfaces to cross a process boundary: in an
// any, an error or another interface. The other process must know T as well, so call Register
// in the initialisation of a package, or before executor.Main. Values that are not in an
// interface need no registration.
//
// Predeclared types, time.Time, time.Duration and the error types of packages os,
// io/fs, strconv and syscall need no registration, and neither do pointers, slices, arrays
// and maps of known types: registering T or *T registers T, *T, []T and map[string]T. If an
// error type is registered, errors.As finds it in the error of a task.
//
// Registering a type twice is harmless. Register panics if another type of the same name was
// registered, which is possible for types that functions declare. It is safe for concurrent
// use.
func Register[T any]() { register(reflect.TypeFor[T]()) }

// registry has the types that were registered, by name, and those that need no registration.
var registry = func() *sync.Map {
	m := new(sync.Map)
	for _, t := range []reflect.Type{
		reflect.TypeFor[time.Month](), reflect.TypeFor[time.Weekday](), reflect.TypeFor[json.RawMessage](), reflect.TypeFor[json.Number](),
		reflect.TypeFor[fs.FileMode](), reflect.TypeFor[fs.PathError](), reflect.TypeFor[os.LinkError](), reflect.TypeFor[os.SyscallError](),
		reflect.TypeFor[syscall.Errno](), reflect.TypeFor[syscall.Signal](), reflect.TypeFor[strconv.NumError](),
		reflect.TypeFor[json.SyntaxError](), reflect.TypeFor[time.ParseError](),
		reflect.TypeFor[fault.TaskError](), reflect.TypeFor[fault.PanicError](), reflect.TypeFor[fault.WorkerLostError](), reflect.TypeFor[fault.InitError](), reflect.TypeFor[fault.TimeoutError](),
	} {
		m.Store(typeName(t), t)
	}
	return m
}()

func register(t reflect.Type) {
	if t.Name() == "" {
		switch t.Kind() {
		case reflect.Map:
			register(t.Key())
			register(t.Elem())
			return
		case reflect.Pointer, reflect.Slice, reflect.Array:
			register(t.Elem())
			return
		}
	}
	if _, ok := basicTags[t]; ok {
		return
	}
	if other, ok := registry.LoadOrStore(typeName(t), t); ok && other != t {
		panic(fmt.Sprintf("executor.Register: two types are named %s; those that functions declare cannot be told apart", typeName(t)))
	}
}

// typeName returns the name of a type with the paths of its packages.
func typeName(t reflect.Type) string {
	if t.PkgPath() != "" {
		return t.PkgPath() + "." + t.Name()
	}
	return t.String()
}

// The types that are known by a number.
var basics = []reflect.Type{
	nil, // a nil interface
	reflect.TypeFor[bool](), reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[int16](), reflect.TypeFor[int32](), reflect.TypeFor[int64](),
	reflect.TypeFor[uint](), reflect.TypeFor[uint8](), reflect.TypeFor[uint16](), reflect.TypeFor[uint32](), reflect.TypeFor[uint64](), reflect.TypeFor[uintptr](),
	reflect.TypeFor[float32](), reflect.TypeFor[float64](), reflect.TypeFor[complex64](), reflect.TypeFor[complex128](), reflect.TypeFor[string](),
	reflect.TypeFor[any](), reflect.TypeFor[error](), reflect.TypeFor[struct{}](),
	reflect.TypeFor[[]byte](), reflect.TypeFor[[]any](), reflect.TypeFor[map[string]any](), reflect.TypeFor[[]string](),
	timeType, locationType, reflect.TypeFor[time.Duration](),
}

var basicTags = func() map[reflect.Type]byte {
	m := make(map[reflect.Type]byte)
	for i, t := range basics[1:] {
		m[t] = byte(i + 1)
	}
	return m
}()

// The tags after those of the basics.
const (
	tagPointer  = 100 + iota // to a type, whose tag follows
	tagSlice                 // of it
	tagArray                 // of it, after the length
	tagMap                   // from one to another
	tagNamed                 // the name follows
	tagSentinel              // the error of a number
	tagRemote                // a RemoteError
	tagBox                   // the value of a number, or the RemoteError, once more
	tagAgain                 // and above: the type of a number, once more
)

// maxTag bounds the number of tags that describe a type.
const maxTag = 32

// A dynamic type is one that a value in an interface may have.
type dynamic struct {
	t      reflect.Type
	form   *form
	tag    []byte // describes it
	traits traits
}

// dynamics holds the known types, by type.
var dynamics sync.Map

func dynamicOf(t reflect.Type) (*dynamic, error) {
	if d := knownType(t); d != nil {
		return d, nil
	}
	return nil, fmt.Errorf("a %v in an interface is not known to other processes; if it can be, register it with executor.Register[%v]()", t, t)
}

// knownType returns what other processes know t as, or nil.
func knownType(t reflect.Type) *dynamic {
	if d, ok := dynamics.Load(t); ok {
		return d.(*dynamic)
	}
	tag, ok := appendTag(nil, t, maxTag)
	if !ok {
		return nil
	}
	d := &dynamic{t, formOf(t), tag, traitsOf(t)}
	dynamics.Store(t, d)
	return d
}

func appendTag(b []byte, t reflect.Type, most int) (_ []byte, ok bool) {
	if tag, ok := basicTags[t]; ok {
		return append(b, tag), true
	}
	if most == 0 {
		return b, false
	}
	if other, ok := registry.Load(typeName(t)); ok && other == t {
		b = append(b, tagNamed)
		b = binary.AppendUvarint(b, uint64(len(typeName(t))))
		return append(b, typeName(t)...), true
	}
	if t.Name() != "" {
		return b, false
	}
	switch t.Kind() {
	case reflect.Pointer:
		return appendTag(append(b, tagPointer), t.Elem(), most-1)
	case reflect.Slice:
		return appendTag(append(b, tagSlice), t.Elem(), most-1)
	case reflect.Array:
		return appendTag(binary.AppendUvarint(append(b, tagArray), uint64(t.Len())), t.Elem(), most-1)
	case reflect.Map:
		if b, ok = appendTag(append(b, tagMap), t.Key(), most-1); ok {
			return appendTag(b, t.Elem(), most-1)
		}
	}
	return b, false
}

// takeTag decodes a type.
func takeTag(b []byte, most int) (t reflect.Type, rest []byte, err error) {
	if len(b) == 0 || most == 0 {
		return nil, nil, ErrCut
	}
	tag, b := b[0], b[1:]
	if tag > 0 && int(tag) < len(basics) {
		return basics[tag], b, nil
	}
	n := uint64(0)
	if tag == tagNamed || tag == tagArray {
		var k int
		if n, k = binary.Uvarint(b); k <= 0 || n > 1<<40 || tag == tagNamed && n > uint64(len(b)-k) {
			return nil, nil, ErrCut
		}
		b = b[k:]
	}
	switch tag {
	case tagNamed:
		t, ok := registry.Load(string(b[:n]))
		if !ok {
			return nil, nil, fmt.Errorf("the type %s is not known to this process: it must be registered there, too, with executor.Register", b[:n])
		}
		return t.(reflect.Type), b[n:], nil
	case tagPointer, tagSlice, tagArray, tagMap:
		if t, b, err = takeTag(b, most-1); err != nil {
			return nil, nil, err
		}
	default:
		return nil, nil, ErrCut
	}
	switch tag {
	case tagPointer:
		t = reflect.PointerTo(t)
	case tagSlice:
		t = reflect.SliceOf(t)
	case tagArray:
		t = reflect.ArrayOf(int(n), t)
	case tagMap:
		elem, rest, err := takeTag(b, most-1)
		if err != nil || !t.Comparable() {
			return nil, nil, orCut(err)
		}
		t, b = reflect.MapOf(t, elem), rest
	}
	return t, b, nil
}

// makeInterface makes the form of an interface: the type of its value, and the value.
func (f *form) makeInterface() {
	f.least = 1
	f.append = func(b []byte, p unsafe.Pointer, e *encoder) ([]byte, error) {
		v := reflect.NewAt(f.t, p).Elem()
		if v.IsNil() {
			return append(b, 0), nil
		}
		if len(b) > maxEncoded {
			return b, errSize
		}
		v = v.Elem()
		if e.errs.lossy == nested && f.t == errorType {
			return e.appendRemote(b, newRemoteError(v.Interface().(error), describing{0, e.errs.apart}))
		}
		before := e.mark()
		out, err := e.appendDynamic(b, v, (*[2]unsafe.Pointer)(p)[1])
		if err != nil && e.errs.lossy > 0 && f.t == errorType && !errors.Is(err, errFound) {
			e.rewind(before)
			return e.appendRemote(b, newRemoteError(v.Interface().(error), describing{e.errs.lossy - 1, e.errs.apart}))
		}
		return out, err
	}
	f.decode = func(b []byte, p unsafe.Pointer, d *decoder) ([]byte, error) {
		if len(b) == 0 {
			return nil, ErrCut
		}
		to := reflect.NewAt(f.t, p).Elem()
		if b[0] == 0 {
			to.SetZero()
			return b[1:], nil
		}
		v, b, err := d.takeDynamic(b)
		if err != nil {
			return nil, err
		}
		if !v.Type().AssignableTo(f.t) {
			return nil, fmt.Errorf("a %v is no %v", v.Type(), f.t)
		}
		to.Set(v)
		return b, nil
	}
}

var errorType = reflect.TypeFor[error]()

// appendDynamic encodes the value of an interface. data is the interface's second word, which
// is the value or points to it, and never changes. Type and data together identify the value.
func (e *encoder) appendDynamic(b []byte, v reflect.Value, data unsafe.Pointer) ([]byte, error) {
	t := v.Type()
	if r, ok := v.Interface().(*RemoteError); ok && r != nil {
		return e.appendRemote(b, r)
	}
	known, err := dynamicOf(t)
	if err != nil {
		if i, ok := sentinelNumber(v); ok {
			return append(b, tagSentinel, i), nil
		}
		return b, err
	}
	box := place{known.form, data, isBox}
	boxed := known.traits.linked && (t.Kind() == reflect.Struct || t.Kind() == reflect.Array)
	if i, ok := e.boxes[box]; ok && boxed {
		return binary.AppendUvarint(append(b, tagBox), uint64(i)), nil
	}
	if e.depth == maxDepth {
		return b, errDepth
	}
	if len(known.tag) == 1 {
		b = append(b, known.tag[0])
	} else if i, ok := e.types[t]; ok {
		b = binary.AppendUvarint(append(b, tagAgain), uint64(i))
	} else {
		if e.types == nil {
			e.types = make(map[reflect.Type]int)
		}
		e.types[t] = len(e.types)
		b = append(b, known.tag...)
	}
	held := reflect.New(t)
	held.Elem().Set(v)
	e.depth++
	b, err = known.form.append(b, held.UnsafePointer(), e)
	e.depth--
	if err != nil {
		return b, within(".("+t.String()+")", err)
	}
	if boxed {
		e.number(box)
	}
	return b, nil
}

// number assigns the next number to a box.
func (e *encoder) number(box place) {
	if e.boxes == nil {
		e.boxes = make(map[place]int)
	}
	e.boxes[box] = len(e.boxes)
}

// appendRemote encodes a RemoteError in an interface.
func (e *encoder) appendRemote(b []byte, r *RemoteError) ([]byte, error) {
	box := place{p: unsafe.Pointer(r), is: isBox}
	if i, ok := e.boxes[box]; ok {
		return binary.AppendUvarint(append(b, tagBox), uint64(i)), nil
	}
	e.number(box)
	return appendRemote(append(b, tagRemote), r)
}

func (d *decoder) takeDynamic(b []byte) (v reflect.Value, rest []byte, err error) {
	switch b[0] {
	case tagSentinel:
		if len(b) < 2 || int(b[1]) >= len(wellKnown) {
			return v, nil, ErrCut
		}
		return reflect.ValueOf(wellKnown[b[1]]), b[2:], nil
	case tagRemote:
		r, b, err := takeRemote(b[1:])
		v = reflect.ValueOf(r)
		d.boxes = append(d.boxes, v)
		return v, b, err
	case tagBox:
		i, k := binary.Uvarint(b[1:])
		if k <= 0 || i >= uint64(len(d.boxes)) {
			return v, nil, ErrCut
		}
		return d.boxes[i], b[1+k:], nil
	}
	if d.depth == maxDepth {
		return v, nil, errDepth
	}
	known, b, err := d.takeType(b)
	if err != nil {
		return v, nil, err
	}
	if known.form.least > len(b) {
		return v, nil, ErrCut
	}
	held := reflect.New(known.t)
	d.depth++
	b, err = known.form.decode(b, held.UnsafePointer(), d)
	d.depth--
	if err != nil {
		return v, nil, within(".("+known.t.String()+")", err)
	}
	v = held.Elem()
	if known.traits.linked && (known.t.Kind() == reflect.Struct || known.t.Kind() == reflect.Array) {
		d.boxes = append(d.boxes, v)
	}
	return v, b, nil
}

func (d *decoder) takeType(b []byte) (_ *dynamic, rest []byte, err error) {
	if b[0] == tagAgain {
		i, k := binary.Uvarint(b[1:])
		if k <= 0 || i >= uint64(len(d.types)) {
			return nil, nil, ErrCut
		}
		return d.types[i], b[1+k:], nil
	}
	t, b, err := takeTag(b, maxTag)
	if err != nil {
		return nil, nil, err
	}
	if t.Kind() == reflect.Interface {
		return nil, nil, ErrCut // an interface holds no interface
	}
	known, err := dynamicOf(t)
	if err != nil {
		return nil, nil, err
	}
	if len(known.tag) > 1 {
		d.types = append(d.types, known)
	}
	return known, b, nil
}
