package wire

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"syscall"
	"testing"
	"time"
)

// A random makes types and values of a seed.
type random struct {
	*rand.Rand
	made map[reflect.Type][]reflect.Value // to be shared
	left int                              // how many more parts the value may have
}

func newRandom(seed uint64) *random {
	return &random{rand.New(rand.NewPCG(seed, 1)), make(map[reflect.Type][]reflect.Value), 300}
}

var leaves = []reflect.Type{
	typeOf[bool](), typeOf[int](), typeOf[int8](), typeOf[uint16](), typeOf[int32](), typeOf[uint64](), typeOf[float32](), typeOf[float64](), typeOf[complex128](),
	typeOf[string](), typeOf[[]byte](), typeOf[struct{}](), typeOf[time.Time](), typeOf[time.Duration](), typeOf[*big.Int](), typeOf[*big.Float](), typeOf[netip.Addr](),
	typeOf[json.RawMessage](), typeOf[celsius](), typeOf[textual](), typeOf[point](), typeOf[*line](), typeOf[event](), typeOf[overriding](), typeOf[promoted](),
	typeOf[any](), typeOf[any](), typeOf[error](), typeOf[shape](), typeOf[*ring](), typeOf[tree](), typeOf[nest](), typeOf[*chained](), typeOf[selfMap](),
}

func init() {
	for _, t := range leaves {
		register(t)
	}
}

// aType makes a type that is at most so deep, and registers what has to be.
func (r *random) aType(depth int) reflect.Type {
	if depth == 0 || r.IntN(4) == 0 {
		return leaves[r.IntN(len(leaves))]
	}
	switch r.IntN(6) {
	case 0:
		return reflect.SliceOf(r.aType(depth - 1))
	case 1:
		return reflect.ArrayOf(r.IntN(4), r.aType(depth-1))
	case 2:
		return reflect.PointerTo(r.aType(depth - 1))
	case 3:
		if key := r.aType(depth - 1); key.Comparable() {
			return reflect.MapOf(key, r.aType(depth-1))
		}
		return reflect.MapOf(typeOf[string](), r.aType(depth-1))
	}
	var fields []reflect.StructField
	for i := range r.IntN(6) {
		fields = append(fields, reflect.StructField{Name: fmt.Sprintf("F%d", i), Type: r.aType(depth - 1)})
	}
	t := reflect.StructOf(fields)
	register(t)
	return t
}

func (r *random) some() int { return []int{0, 1, 1, 2, 3, 7}[r.IntN(6)] }

func (r *random) bits() uint64 {
	return []uint64{0, 1, math.MaxUint64, 1 << 63, math.Float64bits(math.NaN()), math.Float64bits(math.Inf(-1)), r.Uint64(), r.Uint64N(100)}[r.IntN(8)]
}

// set makes a value of where v is. Keys have no NaN, and are hashable.
func (r *random) set(v reflect.Value, key bool) {
	if r.left--; r.left < 0 && v.Kind() != reflect.Struct && v.Kind() != reflect.Array {
		return
	}
	switch p := v.Addr().Interface().(type) {
	case *time.Time:
		zones := []*time.Location{time.UTC, time.Local, time.FixedZone("here", r.IntN(7200)), time.FixedZone("", -3600)}
		*p = time.Unix(r.Int64N(1<<40)-1<<39, r.Int64N(1e9)).In(zones[r.IntN(len(zones))])
		return
	case **big.Int:
		*p = new(big.Int).Lsh(big.NewInt(r.Int64()-1<<62), uint(r.IntN(200)))
		return
	case **big.Float:
		*p = new(big.Float).SetPrec(uint(1 + r.IntN(300))).SetInt64(r.Int64())
		return
	case *netip.Addr:
		*p = netip.AddrFrom4([4]byte{byte(r.IntN(256)), 0, 0, 1})
		return
	case *celsius:
		*p = celsius(r.IntN(100)) / 4
		return
	case *textual:
		*p = textual{r.IntN(100), r.IntN(100)}
		return
	case *overriding:
		*p = overriding{textual{r.IntN(9), 1}, r.IntN(100)}
		return
	case *error:
		*p = []error{nil, io.EOF, syscall.EINTR, &codedError{Code: r.IntN(9)}, errCoded}[r.IntN(5)]
		return
	case *shape:
		*p = []shape{nil, square{r.IntN(3)}, &square{3}}[r.IntN(3)]
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(r.bits()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		v.SetUint(r.bits())
	case reflect.Float32, reflect.Float64:
		if f := math.Float64frombits(r.bits()); !key || f == f { // which NaN is not
			v.SetFloat(f)
		}
	case reflect.Complex64, reflect.Complex128:
		if !key {
			v.SetComplex(complex(math.Float64frombits(r.bits()), math.Float64frombits(r.bits())))
		}
	case reflect.String:
		v.SetString(string([]byte{'a', 0xff, 0, byte(r.IntN(256))}[:r.IntN(5)]))
	case reflect.Array:
		for i := range v.Len() {
			r.set(v.Index(i), key)
		}
	case reflect.Struct:
		for _, f := range v.Fields() {
			r.set(reflect.NewAt(f.Type(), f.Addr().UnsafePointer()).Elem(), key)
		}
	case reflect.Interface:
		for {
			t := r.aType(2)
			if t.Kind() == reflect.Interface || key && (!t.Comparable() || !plain(t)) {
				continue
			}
			held := reflect.New(t).Elem()
			r.set(held, key)
			v.Set(held)
			break
		}
	default:
		r.setReference(v)
	}
}

// setReference makes something that may be shared.
func (r *random) setReference(v reflect.Value) {
	t := v.Type()
	made := r.made[t]
	switch n := r.IntN(8); {
	case n == 0:
		return // nil
	case n < 3 && len(made) > 0:
		v.Set(made[r.IntN(len(made))])
		return
	}
	switch t.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(t.Elem()))
		r.made[t] = append(made, v)
		r.set(v.Elem(), false)
	case reflect.Slice:
		n := r.some()
		v.Set(reflect.MakeSlice(t, n, n+r.IntN(2)))
		r.made[t] = append(made, v)
		for i := range n {
			r.set(v.Index(i), false)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(t))
		r.made[t] = append(made, v)
		for range r.some() {
			k, e := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
			r.set(k, true)
			r.set(e, false)
			v.SetMapIndex(k, e)
		}
	}
}

// randomValue makes a value of a random type, both of the seed, and registers
// the types that are in it.
func randomValue(seed uint64) any {
	r := newRandom(seed)
	v := reflect.New(r.aType(4)).Elem()
	r.set(v, false)
	if v.Kind() == reflect.Interface {
		return v.Interface()
	}
	return v.Interface()
}

// FuzzCodec sends random values of random types: as they are, and in an any.
func FuzzCodec(f *testing.F) {
	for seed := range uint64(300) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		v := randomValue(seed)
		came, err := carry(t, v)
		if err == nil {
			if d := difference(v, came); d != "" {
				t.Errorf("in an any, %s", d)
			}
		}
		if v == nil {
			return
		}
		typ := reflect.TypeOf(v)
		sent, got := reflect.New(typ), reflect.New(typ)
		sent.Elem().Set(reflect.ValueOf(v))
		form, traits := formOf(typ), traitsOf(typ)
		b, direct := form.encode(nil, sent.UnsafePointer(), traits, describing{})
		if direct != nil && err == nil {
			t.Fatalf("a %v crosses in an any only: %v", typ, direct)
		}
		if direct != nil {
			return
		}
		rest, err := form.decodeFrom(b, got.UnsafePointer(), traits)
		if err != nil || len(rest) > 0 {
			t.Fatalf("decoding a %v: %v, %d bytes left", typ, err, len(rest))
		}
		if d := difference(sent.Elem().Interface(), got.Elem().Interface()); d != "" {
			t.Errorf("%v: %s", typ, d)
		}
	})
}

// FuzzCodecDecode decodes bytes as values of random types. What can be decoded
// can be encoded and is then the same.
func FuzzCodecDecode(f *testing.F) {
	for seed := range uint64(60) {
		v := randomValue(seed)
		b, err := For[any]().Append(nil, &v)
		if err != nil {
			continue
		}
		f.Add(seed, b)
		if v == nil {
			continue
		}
		typ := reflect.TypeOf(v)
		sent := reflect.New(typ)
		sent.Elem().Set(reflect.ValueOf(v))
		if b, err = formOf(typ).encode(nil, sent.UnsafePointer(), traitsOf(typ), describing{}); err != nil {
			f.Fatal(err)
		}
		f.Add(seed, b)
		for i := range b { // as if they had been damaged on the way
			if i%31 == int(seed%31) {
				damaged := append([]byte(nil), b...)
				damaged[i] ^= byte(1 << (seed % 8))
				f.Add(seed, damaged)
				f.Add(seed, b[:i])
			}
		}
	}
	f.Fuzz(func(t *testing.T, seed uint64, b []byte) {
		for _, typ := range []reflect.Type{typeOf[any](), reflect.TypeOf(randomValue(seed))} {
			if typ == nil {
				continue
			}
			decode := func(b []byte) (v reflect.Value, rest []byte, err error) {
				v = reflect.New(typ)
				rest, err = formOf(typ).decodeFrom(b, v.UnsafePointer(), traitsOf(typ))
				return v.Elem(), rest, err
			}
			v, _, err := decode(b)
			if err != nil {
				continue
			}
			again, err := formOf(typ).encode(nil, v.Addr().UnsafePointer(), traitsOf(typ), describing{})
			if err != nil {
				t.Fatalf("what was decoded as a %v cannot be encoded: %v", typ, err)
			}
			w, rest, err := decode(again)
			if err != nil || len(rest) > 0 {
				t.Fatalf("what was encoded as a %v cannot be decoded: %v, %d bytes left", typ, err, len(rest))
			}
			if d := difference(v.Interface(), w.Interface()); d != "" {
				t.Errorf("%v: %s", typ, d)
			}
		}
	})
}
