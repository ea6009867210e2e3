package wire

import (
	"bytes"
	"encoding"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"unsafe"
)

// own is the form that a type's own methods give its values. v points to one.
type own struct {
	by      string // which methods
	marshal func(b []byte, v any) ([]byte, error)
	restore func(v any, b []byte) error
	foreign bool // the methods are the program's
}

// append encodes what v points to onto b. If it fails it returns b.
func (o *own) append(b []byte, v any) ([]byte, error) {
	// The methods get the room behind b only, and may return what they like.
	var tail []byte
	err := guarded(func() (err error) {
		tail, err = o.marshal(b[len(b):], v)
		return err
	})
	n := len(b) + len(tail)
	switch {
	case err != nil:
		return b, err
	case n > maxEncoded:
		return b, errSize
	case b == nil:
		return tail[:n:n], nil // which is only to be read: it may be the value's
	case n > len(b) && n <= cap(b) && &tail[0] == &b[:n][len(b)]:
		return b[:n], nil
	}
	return append(b, tail...), nil
}

func (o *own) decode(v any, b []byte) error {
	return guarded(func() error { return o.restore(v, b) })
}

// makeOwn makes the form of what the type's methods encode, with its length.
func (f *form) makeOwn() {
	f.least = 1
	f.append = func(b []byte, p unsafe.Pointer, e *encoder) ([]byte, error) {
		if e != nil && e.target != nil {
			return b, nil // it refers to nothing
		}
		at := len(b)
		b, err := f.own.append(append(b, 0), reflect.NewAt(f.t, p).Interface())
		if err != nil {
			return b, err
		}
		n := len(b) - at - 1
		if n+1 < 0x80 {
			b[at] = byte(n + 1)
			return b, nil
		}
		var length [binary.MaxVarintLen64]byte
		k := binary.PutUvarint(length[:], uint64(n)+1)
		b = append(b, length[:k-1]...) // room
		copy(b[at+k:], b[at+1:at+1+n])
		copy(b[at:], length[:k])
		return b, nil
	}
	f.decode = func(b []byte, p unsafe.Pointer, _ *decoder) ([]byte, error) {
		n, isNil, b, err := takeLength(b, 1)
		if err != nil || isNil {
			return nil, ErrCut
		}
		data := b[:n:n]
		if f.own.foreign {
			data = bytes.Clone(data) // it may keep them against the rules
			if data == nil {
				data = []byte{}
			}
		}
		return b[n:], f.own.decode(reflect.NewAt(f.t, p).Interface(), data)
	}
}

type (
	gobEncoder interface{ GobEncode() ([]byte, error) }
	gobDecoder interface{ GobDecode([]byte) error }
)

// methods are the ways in which a type may encode itself, best first.
var methods = []struct {
	by, marshal, restore string
	encodes, decodes     reflect.Type
	own                  own
}{
	{
		"binary methods", "AppendBinary", "UnmarshalBinary",
		reflect.TypeFor[encoding.BinaryAppender](), reflect.TypeFor[encoding.BinaryUnmarshaler](),
		own{
			marshal: func(b []byte, v any) ([]byte, error) { return v.(encoding.BinaryAppender).AppendBinary(b) },
			restore: func(v any, b []byte) error { return v.(encoding.BinaryUnmarshaler).UnmarshalBinary(b) },
		},
	},
	{
		"binary methods", "MarshalBinary", "UnmarshalBinary",
		reflect.TypeFor[encoding.BinaryMarshaler](), reflect.TypeFor[encoding.BinaryUnmarshaler](),
		own{
			marshal: func(_ []byte, v any) ([]byte, error) { return v.(encoding.BinaryMarshaler).MarshalBinary() },
			restore: func(v any, b []byte) error { return v.(encoding.BinaryUnmarshaler).UnmarshalBinary(b) },
		},
	},
	{
		"gob methods", "GobEncode", "GobDecode",
		reflect.TypeFor[gobEncoder](), reflect.TypeFor[gobDecoder](),
		own{
			marshal: func(_ []byte, v any) ([]byte, error) { return v.(gobEncoder).GobEncode() },
			restore: func(v any, b []byte) error { return v.(gobDecoder).GobDecode(b) },
		},
	},
	{
		"JSON methods", "MarshalJSON", "UnmarshalJSON",
		reflect.TypeFor[json.Marshaler](), reflect.TypeFor[json.Unmarshaler](),
		own{
			marshal: func(_ []byte, v any) ([]byte, error) { return v.(json.Marshaler).MarshalJSON() },
			restore: func(v any, b []byte) error { return v.(json.Unmarshaler).UnmarshalJSON(b) },
		},
	},
	{
		"text methods", "MarshalText", "UnmarshalText",
		reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](),
		own{
			marshal: func(_ []byte, v any) ([]byte, error) { return v.(encoding.TextMarshaler).MarshalText() },
			restore: func(v any, b []byte) error { return v.(encoding.TextUnmarshaler).UnmarshalText(b) },
		},
	},
}

// lossy are types of the standard library whose methods lose something that
// their structure has. They go by that.
var lossyMethods = map[string]bool{
	"encoding/json.RawMessage": true, // nil becomes null
	"net.IP":                   true, // 4 bytes become 16
	"net/url.URL":              true, // RawPath and OmitHost
}

// familiar are the packages of the standard library whose methods encode without
// waiting, panicking or ending the goroutine.
var familiar = map[string]bool{
	"crypto/x509": true, "encoding/json": true, "log/slog": true, "math/big": true, "math/rand": true, "math/rand/v2": true,
	"net": true, "net/netip": true, "net/url": true, "regexp": true, "time": true,
}

// A Reference is embedded by types whose JSON methods name what stays in its process,
// such as a queue: they neither wait nor panic nor end the goroutine.
type Reference struct{}

func (*Reference) reference() {}

func isReference(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[interface{ reference() }]())
}

var owns sync.Map // *own by type

// ownOf returns the form that the type's own methods give it, or nil.
func ownOf(t reflect.Type) *own {
	if o, ok := owns.Load(t); ok {
		return o.(*own)
	}
	o := newOwn(t)
	owns.Store(t, o)
	return o
}

func newOwn(t reflect.Type) *own {
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface || t == timeType || lossyMethods[t.PkgPath()+"."+t.Name()] {
		return nil
	}
	p := reflect.PointerTo(t)
	for _, m := range methods {
		if p.Implements(m.encodes) && p.Implements(m.decodes) && declares(t, m.marshal) && declares(t, m.restore) {
			o := m.own
			o.by, o.foreign = m.by, !familiar[t.PkgPath()] && !isReference(t)
			if t.PkgPath() == "regexp" {
				o.marshal = regexpMarshal(o.marshal)
			}
			return &o
		}
	}
	return nil
}

// regexpMarshal refuses what a regexp's text does not say.
func regexpMarshal(marshal func([]byte, any) ([]byte, error)) func([]byte, any) ([]byte, error) {
	return func(b []byte, v any) ([]byte, error) {
		if reflect.ValueOf(v).Elem().IsZero() {
			return nil, errors.New("a regexp that was not compiled has no text")
		}
		if longest := reflect.ValueOf(v).Elem().FieldByName("longest"); !longest.IsValid() || longest.Bool() {
			return nil, errors.New("a regexp that prefers the longest match does not say so in its text")
		}
		return marshal(b, v)
	}
}

// declares reports whether a type that has a method, by value or by pointer,
// declares it itself. A method of an embedded field knows nothing of the other
// fields. Where that cannot be found out, it is taken for the embedded one's:
// then the fields go by themselves, which loses nothing.
func declares(t reflect.Type, method string) bool {
	if t.Kind() != reflect.Struct {
		return true
	}
	embedded := false
	for f := range t.Fields() {
		if f.Anonymous {
			_, ok := methodOf(f.Type, method)
			if !ok && f.Type.Kind() != reflect.Pointer && f.Type.Kind() != reflect.Interface {
				_, ok = methodOf(reflect.PointerTo(f.Type), method)
			}
			embedded = embedded || ok
		}
	}
	return !embedded || written(t, method) || written(reflect.PointerTo(t), method)
}

// written reports whether a type's method was written for it: the compiler makes
// those that call a method of an embedded field, or call by value what was
// called by pointer, of a file that it calls <autogenerated>.
func written(t reflect.Type, method string) bool {
	m, ok := methodOf(t, method)
	if !ok {
		return false
	}
	pc := m.Func.Pointer()
	f := runtime.FuncForPC(pc)
	if f == nil {
		return false
	}
	name := receiver(t) + "." + method
	if t.Kind() == reflect.Pointer {
		name = t.Elem().PkgPath() + name
	} else {
		name = t.PkgPath() + name
	}
	// What is called there may stand in its place, at its beginning too.
	for entry, end := f.Entry(), pc+1<<12; pc < end; pc++ {
		f := runtime.FuncForPC(pc)
		if f == nil || f.Entry() != entry {
			return false
		}
		if file, _ := f.FileLine(pc); function(f) == name && strings.HasSuffix(file, ".go") {
			return true
		}
	}
	return false
}

// function returns the name of a function with the path of its package as it is
// written elsewhere: dots in the last part of it are escaped.
func function(f *runtime.Func) string {
	if name, err := url.PathUnescape(f.Name()); err == nil {
		return name
	}
	return f.Name()
}

// receiver returns how a type is written in the names of its methods.
func receiver(t reflect.Type) string {
	pointer := t.Kind() == reflect.Pointer
	if pointer {
		t = t.Elem()
	}
	name, _, generic := strings.Cut(t.Name(), "[")
	if generic {
		name += "[...]"
	}
	if pointer {
		return ".(*" + name + ")"
	}
	return "." + name
}

// methodOf returns a method. Its name is a constant in each call, so that the
// linker need not keep all methods of all types.
func methodOf(t reflect.Type, name string) (reflect.Method, bool) {
	switch name {
	case "AppendBinary":
		return t.MethodByName("AppendBinary")
	case "MarshalBinary":
		return t.MethodByName("MarshalBinary")
	case "UnmarshalBinary":
		return t.MethodByName("UnmarshalBinary")
	case "GobEncode":
		return t.MethodByName("GobEncode")
	case "GobDecode":
		return t.MethodByName("GobDecode")
	case "MarshalJSON":
		return t.MethodByName("MarshalJSON")
	case "UnmarshalJSON":
		return t.MethodByName("UnmarshalJSON")
	case "MarshalText":
		return t.MethodByName("MarshalText")
	case "UnmarshalText":
		return t.MethodByName("UnmarshalText")
	case "Lock":
		return t.MethodByName("Lock")
	}
	panic("executor: no method " + name)
}

// live returns why a value of the type cannot be copied, if it is something that
// lives in this process, such as a lock.
func live(t reflect.Type) error {
	locker, p := reflect.TypeFor[sync.Locker](), reflect.PointerTo(t)
	switch t.Kind() {
	case reflect.Struct:
	case reflect.Pointer, reflect.Interface:
		return nil
	default: // a number by which goroutines spin, say
		if t.Implements(locker) || !p.Implements(locker) {
			return nil
		}
		return fmt.Errorf("%v lives in its process and cannot leave it", t)
	}
	switch t.PkgPath() {
	case "sync", "sync/atomic", "hash/maphash", "unique", "weak", "runtime":
	default:
		// If it is a field that is embedded, that says so.
		if t.Implements(locker) || !p.Implements(locker) || !declares(t, "Lock") {
			return nil
		}
	}
	return fmt.Errorf("%v lives in its process and cannot leave it", t)
}
