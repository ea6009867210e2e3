package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"
)

// difference compares what was sent with what arrived, more strictly than
// reflect.DeepEqual: what is shared is shared in both, nil is not empty, -0 is
// not 0, and times have the same zone. It returns where they differ, or "".
func difference(sent, came any) string {
	c := comparison{sent: make(map[thing]thing), came: make(map[thing]thing)}
	return c.differ(reflect.ValueOf(sent), reflect.ValueOf(came), "")
}

type comparison struct {
	sent, came map[thing]thing
}

// A thing is what a pointer, a map or a slice refers to.
type thing struct {
	p unsafe.Pointer
	n int
	t reflect.Type
}

// differs notes that a stands for b, and reports whether one of them stands for
// something else, or whether they have been compared.
func (c *comparison) pair(a, b thing) (known, differ bool) {
	x, ok := c.sent[a]
	y, ok2 := c.came[b]
	if ok || ok2 {
		return true, ok != ok2 || x != b || y != a
	}
	c.sent[a], c.came[b] = b, a
	return false, false
}

func bitsOf(f float64) uint64 { return math.Float64bits(f) }

func (c *comparison) differ(a, b reflect.Value, path string) string {
	diff := func() string { return fmt.Sprintf("%s: %#v became %#v", path, a, b) }
	if a.IsValid() != b.IsValid() {
		return diff()
	}
	if !a.IsValid() {
		return ""
	}
	if a.Type() != b.Type() {
		return fmt.Sprintf("%s: a %v became a %v", path, a.Type(), b.Type())
	}
	for _, v := range []*reflect.Value{&a, &b} { // private fields too
		if !v.CanInterface() && v.CanAddr() {
			*v = reflect.NewAt(v.Type(), v.Addr().UnsafePointer()).Elem()
		}
	}
	if a.CanInterface() {
		switch x := a.Interface().(type) {
		case time.Time:
			y := b.Interface().(time.Time)
			if x.Location() != time.Local { // of which cmp shows the rules
				xn, xo := x.Zone()
				yn, yo := y.Zone()
				if xn != yn || xo != yo || x.IsDST() != y.IsDST() || x.Location().String() != y.Location().String() {
					return diff()
				}
			} else if y.Location() != time.Local {
				return diff()
			}
			if !x.Equal(y) {
				return diff()
			}
			return ""
		case big.Int:
			if y := b.Interface().(big.Int); x.Cmp(&y) != 0 {
				return diff()
			}
			return ""
		case big.Float:
			y := b.Interface().(big.Float)
			if x.Cmp(&y) != 0 || x.Prec() != y.Prec() || x.Mode() != y.Mode() || x.Acc() != y.Acc() || x.Signbit() != y.Signbit() {
				return diff()
			}
			return ""
		}
	}
	switch a.Kind() {
	case reflect.Float32, reflect.Float64:
		if bitsOf(a.Float()) != bitsOf(b.Float()) {
			return diff()
		}
	case reflect.Complex64, reflect.Complex128:
		if x, y := a.Complex(), b.Complex(); bitsOf(real(x)) != bitsOf(real(y)) || bitsOf(imag(x)) != bitsOf(imag(y)) {
			return diff()
		}
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			if a.IsNil() != b.IsNil() {
				return diff()
			}
			return ""
		}
		if a.Type().Elem().Size() > 0 {
			known, differ := c.pair(thing{a.UnsafePointer(), -1, a.Type().Elem()}, thing{b.UnsafePointer(), -1, b.Type().Elem()})
			if differ {
				return path + ": another thing is shared"
			}
			if known {
				return ""
			}
		}
		return c.differ(a.Elem(), b.Elem(), "*"+path)
	case reflect.Interface:
		return c.differ(a.Elem(), b.Elem(), path+".(type)")
	case reflect.Slice:
		if a.IsNil() != b.IsNil() || a.Len() != b.Len() {
			return diff()
		}
		if traitsOf(a.Type().Elem()).linked && a.Len() > 0 {
			known, differ := c.pair(thing{a.UnsafePointer(), a.Len(), a.Type().Elem()}, thing{b.UnsafePointer(), b.Len(), b.Type().Elem()})
			if differ {
				return path + ": another slice is shared"
			}
			if known {
				return ""
			}
		}
		if a.Type().Elem().Size() == 0 {
			return ""
		}
		fallthrough
	case reflect.Array:
		for i := range a.Len() {
			if d := c.differ(a.Index(i), b.Index(i), fmt.Sprintf("%s[%d]", path, i)); d != "" {
				return d
			}
		}
	case reflect.Struct:
		for i := range a.NumField() {
			if d := c.differ(a.Field(i), b.Field(i), path+"."+a.Type().Field(i).Name); d != "" {
				return d
			}
		}
	case reflect.Map:
		return c.differMap(a, b, path)
	default:
		if !a.Equal(b) {
			return diff()
		}
	}
	return ""
}

// differMap pairs keys that print alike. Pointers in keys do not, so they are
// not looked at.
func (c *comparison) differMap(a, b reflect.Value, path string) string {
	if a.IsNil() != b.IsNil() || a.Len() != b.Len() {
		return fmt.Sprintf("%s: a map of %d became one of %d (nil: %v, %v)", path, a.Len(), b.Len(), a.IsNil(), b.IsNil())
	}
	if a.IsNil() {
		return ""
	}
	known, differ := c.pair(thing{a.UnsafePointer(), -2, nil}, thing{b.UnsafePointer(), -2, nil})
	if differ {
		return path + ": another map is shared"
	}
	if known || strings.Contains(fmt.Sprintf("%#v", a.MapKeys()), "(0x") {
		return ""
	}
	entries := func(m reflect.Value) map[string]reflect.Value {
		all := make(map[string]reflect.Value)
		for i := m.MapRange(); i.Next(); {
			name := fmt.Sprintf("%#v", i.Key())
			for all[name].IsValid() { // NaN
				name += "'"
			}
			all[name] = i.Value()
		}
		return all
	}
	came := entries(b)
	for name, v := range entries(a) {
		w, ok := came[name]
		if !ok {
			return fmt.Sprintf("%s: the key %s is missing", path, name)
		}
		if strings.Contains(name, "NaN") {
			continue // which of them is which cannot be said
		}
		if d := c.differ(v, w, path+"["+name+"]"); d != "" {
			return d
		}
	}
	return ""
}

// carry sends a value there as a whole and as one of several, and returns what
// arrives. Both must agree.
func carry[T any](t *testing.T, v T) (came T, err error) {
	t.Helper()
	c, e := For[T](), ForElement[T]()
	before := []byte("before")
	b, err := c.Append(before, &v)
	eb, eerr := e.Append(before, &v)
	if (err == nil) != (eerr == nil) {
		t.Errorf("encoding %T as a whole: %v; as one of several: %v", v, err, eerr)
	}
	if err != nil {
		if string(b) != "before" || string(eb) != "before" {
			t.Errorf("encoding %T failed and left %q and %q", v, b, eb)
		}
		return came, err
	}
	if err := c.Decode(bytes.Clone(b[len(before):]), &came); err != nil {
		t.Fatalf("decoding a %T: %v", v, err)
	}
	eb = append(eb[len(before):], "after"...)
	var again T
	rest, err := e.Decode(eb, &again)
	if string(rest) != "after" || err != nil {
		t.Fatalf("decoding a %T before others: %q is left, %v", v, rest, err)
	}
	clear(eb) // of which it must not keep anything
	if d := difference(v, again); d != "" {
		t.Errorf("as one of several, %s", d)
	}
	return came, nil
}

// exact checks that a value arrives as it was.
func exact[T any](v T) func(t *testing.T) {
	return func(t *testing.T) {
		t.Helper()
		came, err := carry(t, v)
		if err != nil {
			t.Fatalf("%T: %v", v, err)
		}
		if d := difference(v, came); d != "" {
			t.Error(d)
		}
	}
}

// refused checks that a value is refused with an error that says so.
func refused[T any](v T, want string) func(t *testing.T) {
	return func(t *testing.T) {
		t.Helper()
		came, err := carry(t, v)
		if err == nil {
			t.Fatalf("%T arrived as %#v; want it refused", v, came)
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%T is refused with %q; want an error that says %q", v, err, want)
		}
	}
}

var _ json.Marshaler = json.RawMessage(nil)
