package wire

import (
	"context"
	"math"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type node struct {
	Name string
	Next *node
	Kids []node
}

type everything struct {
	B     bool
	I     int
	I8    int8
	U     uint16
	F     float64
	C     complex64
	S     string
	Raw   []byte
	Nums  []uint32
	Lists [][]int64
	Array [3]string
	Pair  struct{ A, B float32 }
	Ptr   *int
	Nil   *int
	Map   map[string][]int
	Any   any
	T     time.Time
	D     time.Duration
	Addr  netip.Addr
	Big   *big.Int
	List  *node
	Names map[int8]string
	Zero  []struct{}
}

func roundTrip[T any](t *testing.T, v T) T {
	t.Helper()
	c := For[T]()
	b, err := c.Append([]byte("before"), &v)
	if err != nil {
		t.Fatalf("encoding %+v: %v", v, err)
	}
	var got T
	if err := c.Decode(b[len("before"):], &got); err != nil {
		t.Fatalf("decoding %+v from %x: %v", v, b, err)
	}
	// Whatever is missing at the end must be missed.
	for n := len("before"); n < len(b) && n < 300; n++ {
		var cut T
		if err := c.Decode(b[len("before"):n], &cut); err == nil {
			switch any(v).(type) {
			case []byte, string: // any part of these is whole
			default:
				t.Errorf("decoding %d of %d bytes of %T gave no error", n-len("before"), len(b)-len("before"), v)
			}
		}
	}
	return got
}

func TestCodec(t *testing.T) {
	seven := 7
	check := func(name string, f func(t *testing.T)) { t.Run(name, f) }
	check("everything", func(t *testing.T) {
		v := everything{
			B: true, I: -5, I8: -128, U: 65535, F: math.Inf(-1), C: 1 + 2i, S: "süß", Raw: []byte{0, 255}, Nums: []uint32{1, 2, math.MaxUint32},
			Lists: [][]int64{{1}, nil, {}, {-1, 2}}, Array: [3]string{"a", "", "c"}, Ptr: &seven, Map: map[string][]int{"x": {1}, "": nil},
			Any: map[string]any{"k": []any{1.5, "s", nil}}, T: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), D: time.Minute,
			Addr: netip.MustParseAddr("127.0.0.1"), Big: big.NewInt(-1 << 60),
			List:  &node{Name: "a", Next: &node{Name: "b"}, Kids: []node{{Name: "k", Kids: []node{{}}}}},
			Names: map[int8]string{-1: "minus"}, Zero: make([]struct{}, 5),
		}
		v.Pair.A = 1.25
		got := roundTrip(t, v)
		if d := cmp.Diff(v, got, cmp.Comparer(func(a, b *big.Int) bool { return a == b || a.Cmp(b) == 0 }), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
			t.Errorf("came back different (-want +got):\n%s", d)
		}
	})
	check("zero", func(t *testing.T) {
		if d := cmp.Diff(everything{}, roundTrip(t, everything{}), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
			t.Errorf("came back different (-want +got):\n%s", d)
		}
	})
	check("bytes", func(t *testing.T) {
		if got := roundTrip(t, []byte("abc")); string(got) != "abc" {
			t.Errorf("came back as %q", got)
		}
	})
	check("string", func(t *testing.T) {
		if got := roundTrip(t, "abc"); got != "abc" {
			t.Errorf("came back as %q", got)
		}
	})
	check("NaN", func(t *testing.T) {
		if got := roundTrip(t, math.NaN()); !math.IsNaN(got) {
			t.Errorf("came back as %v", got)
		}
	})
	check("nil and empty", func(t *testing.T) {
		if got := roundTrip(t, [][]string{nil, {}}); got[0] != nil || got[1] == nil {
			t.Errorf("came back as %#v", got)
		}
	})
	check("nothing", func(t *testing.T) { roundTrip(t, struct{}{}) })
	check("pointer", func(t *testing.T) {
		if got := roundTrip(t, &seven); *got != 7 {
			t.Errorf("came back as %v", *got)
		}
	})
}

type private struct{ m map[string]int }

var _ = private{m: nil}

func TestCodecRefuses(t *testing.T) {
	refuse := func(name string, err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v; want one that says %q", name, err, want)
		}
	}
	appendErr := func(err error) error { return err }
	_, err := For[chan int]().Append(nil, new(chan int))
	refuse("channel", appendErr(err), "chan int cannot leave the process")
	_, err = For[struct{ F func() }]().Append(nil, &struct{ F func() }{})
	refuse("function", err, "func() cannot leave the process")
	_, err = For[private]().Append(nil, &private{})
	refuse("private field", err, "private field m")
	_, err = For[*context.Context]().Append(nil, new(*context.Context))
	if err != nil {
		t.Errorf("a nil pointer to what cannot be encoded: %v; want nil", err)
	}
	var v []uint64
	refuse("left over", For[[]uint64]().Decode([]byte{1, 2}, &v), "left over")
	refuse("a length that cannot be", For[[]uint64]().Decode([]byte{0xff, 0xff, 0xff, 0xff, 0x0f}, &v), "cut short")
}
