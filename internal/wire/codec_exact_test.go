package wire

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/f3f4c0de/harness/internal/fault"
)

type (
	// methods of the type itself
	celsius  float64
	textual  struct{ a, b int }
	gobbed   struct{ m map[string]int }
	Jsonned  struct{ raw string }
	appended struct{ b []byte }
	nothing  struct{}

	// methods of an embedded field, and fields beside it
	event struct {
		time.Time
		Name string
		Cost int
	}
	promoted struct {
		Before int
		textual
		After string
	}
	promotedPointer struct {
		*Jsonned
		After []int
	}
	promotedInterface struct {
		json.Marshaler
		json.Unmarshaler
		N int
	}
	halfOwn struct { // declares one direction only
		gobbed
		N []int
	}
	overriding struct {
		textual
		c int
	}
	generic[T any] struct {
		textual
		V T
	}

	point  struct{ X, Y int }
	line   struct{ From, To *point }
	badge  struct{ Name string }
	shape  interface{ Area() int }
	square struct{ Side int }
	// hides what it holds behind an interface, by value
	nest struct{ A, B any }

	private2 struct {
		n    int
		s    string
		at   time.Time
		addr netip.Addr
		in   struct{ a [2]string }
	}
	privateOwn struct {
		c  celsius
		at [2]celsius
		l  slog.Level
		in struct{ c celsius }
	}
	exportsInside struct{ Lists [][]string }
	embedsPrivate struct {
		exportsInside
		N int
	}
	ring     struct{ Next *ring }
	tree     struct{ Kids []tree }
	selfMap  map[string]selfMap
	selfList []selfList
	ptrName  *point
	aliased  struct {
		A ptrName
		B *point
	}
)

func (c celsius) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%v°C", float64(c)), nil }
func (c *celsius) UnmarshalText(b []byte) error {
	_, err := fmt.Sscanf(string(b), "%g°C", (*float64)(c))
	return err
}
func (x textual) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%d/%d", x.a, x.b), nil }
func (x *textual) UnmarshalText(b []byte) error {
	_, err := fmt.Sscanf(string(b), "%d/%d", &x.a, &x.b)
	return err
}
func (nothing) MarshalText() ([]byte, error)    { return nil, nil }
func (*nothing) UnmarshalText([]byte) error     { return nil }
func (g gobbed) GobEncode() ([]byte, error)     { return json.Marshal(g.m) }
func (g *gobbed) GobDecode(b []byte) error      { return json.Unmarshal(b, &g.m) }
func (j Jsonned) MarshalJSON() ([]byte, error)  { return []byte(" " + j.raw + " "), nil }
func (j *Jsonned) UnmarshalJSON(b []byte) error { j.raw = string(b[1 : len(b)-1]); return nil }
func (a *appended) AppendBinary(b []byte) ([]byte, error) {
	return append(b, a.b...), nil
}
func (a *appended) UnmarshalBinary(b []byte) error {
	a.b = b // which it may not
	return nil
}
func (h halfOwn) GobEncode() ([]byte, error) { return nil, errors.New("never called") }
func (o overriding) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%d,%d,%d", o.a, o.b, o.c), nil
}
func (o *overriding) UnmarshalText(b []byte) error {
	_, err := fmt.Sscanf(string(b), "%d,%d,%d", &o.a, &o.b, &o.c)
	return err
}
func (g generic[T]) MarshalText() ([]byte, error) { return json.Marshal([]any{g.a, g.b, g.V}) }
func (g *generic[T]) UnmarshalText(b []byte) error {
	return json.Unmarshal(b, &[]any{&g.a, &g.b, &g.V})
}
func (s square) Area() int                 { return s.Side * s.Side }
func (e *codedError) Error() string        { return fmt.Sprintf("code %d: %v", e.Code, e.Err) }
func (e *codedError) Unwrap() error        { return e.Err }
func (e *codedError) Is(target error) bool { return target == errCoded }

// RawMessage has the name of what it embeds, whose methods are so short that they
// may stand in the place of those that are promoted.
type RawMessage struct {
	json.RawMessage
	Currency string
}

type codedError struct {
	Code int
	Err  error
}

var errCoded = errors.New("a coded error")

func init() {
	Register[point]()
	Register[*line]()
	Register[square]()
	Register[nest]()
	Register[ring]()
	Register[*codedError]()
	Register[celsius]()
	Register[badge]()
}

func berlin(t testing.TB) *time.Location {
	loc, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip("no time zone database: ", err)
	}
	return loc
}

func TestCodecCarriesExactly(t *testing.T) {
	negativeZero := math.Copysign(0, -1)
	shared := &point{1, 2}
	sharedMap := map[string]int{"a": 1}
	sharedList := []any{1}
	circle := &ring{}
	circle.Next = circle
	cyclicMap := map[string]any{}
	cyclicMap["self"] = cyclicMap
	cyclicList := make([]any, 2)
	cyclicList[1] = cyclicList
	self := selfMap{}
	self["x"] = self
	precise, _, err := big.ParseFloat("3.14159265358979323846264338327950288419716939937510582097494459", 10, 200, big.ToZero)
	if err != nil {
		t.Fatal(err)
	}
	u := &url.URL{Scheme: "http", Host: "h", Path: "/a b", RawPath: "/a%20b", User: url.UserPassword("u", "p"), ForceQuery: true, OmitHost: true}
	tests := map[string]func(*testing.T){
		// nil and empty
		"nil []byte":           exact([]byte(nil)),
		"empty []byte":         exact([]byte{}),
		"nil slice":            exact([]string(nil)),
		"empty slice":          exact([]string{}),
		"nil map":              exact(map[string]int(nil)),
		"empty map":            exact(map[string]int{}),
		"nil in a struct":      exact(struct{ A, B []int }{nil, []int{}}),
		"nil pointer":          exact((*point)(nil)),
		"pointers to pointers": exact(func() ***int { n := 7; p := &n; q := &p; return &q }()),

		// sizes of nothing
		"empty keys":        exact(map[struct{}]int{{}: 3}),
		"array keys":        exact(map[[0]int]string{{}: "x"}),
		"empty all over":    exact(map[struct{}]struct{}{{}: {}}),
		"empties":           exact(make([]struct{}, 12345)),
		"very many empties": exact(make([]struct{}, 1<<45)),
		"empties in any":    exact([]any{make([]struct{}, 1<<45), struct{}{}}),
		"pointer to empty":  exact(&struct{}{}),
		"no functions":      exact([0]func(){}),

		// numbers and text
		"-0, NaN, Inf":          exact([]float64{negativeZero, math.NaN(), math.Float64frombits(0x7ff8000000000123), math.Inf(1), math.Inf(-1), 5e-324}),
		"float32 NaN":           exact([]float32{float32(math.NaN()), float32(negativeZero)}),
		"complex":               exact([]complex128{complex(math.NaN(), negativeZero), complex(1, -2)}),
		"NaN keys":              exact(map[float64]int{math.NaN(): 1, math.NaN(): 2, 0: 3}),
		"extremes":              exact([]any{int64(math.MinInt64), uint64(math.MaxUint64), int8(-128), uint8(255), uintptr(math.MaxUint)}),
		"not UTF-8":             exact("caf\xe9\xff\x00"),
		"not UTF-8 in":          exact(map[string][]string{"\xff": {"\x00", "\xed\xa0\x80"}}),
		"bytes of it":           exact([]byte("\xff\x00")),
		"embedded, of its name": exact(RawMessage{json.RawMessage("5"), "EUR"}),
		"named bytes":           exact(json.RawMessage("{ \"a\" : 1 }")),
		"raw":                   exact(struct{ A, B, C json.RawMessage }{nil, json.RawMessage{}, json.RawMessage(" [1,  2]\n")}),
		"invalid raw":           exact([]json.RawMessage{json.RawMessage("{not json")}),
		"number":                exact(json.Number("1e400")),
		"big float":             exact(precise),
		"big float -0":          exact(new(big.Float).SetPrec(77).Neg(new(big.Float))),
		"big float Inf":         exact([]*big.Float{new(big.Float).SetInf(true), nil, {}}),
		"big int":               exact([]*big.Int{new(big.Int).Lsh(big.NewInt(-3), 300), nil, {}}),
		"big rat":               exact(big.NewRat(-1, 3)),
		"IP":                    exact([]net.IP{nil, {}, net.IPv4(1, 2, 3, 4).To4(), net.IPv4(1, 2, 3, 4), {1, 2, 3}}),
		"addresses":             exact([]netip.AddrPort{{}, netip.MustParseAddrPort("[fe80::1%eth0]:80")}),
		"URL":                   exact(u),
		"URL, opaque":           exact(url.URL{Scheme: "mailto", Opaque: "a@b"}),
		"private values":        exact(private2{1, "s", time.Unix(1, 2), netip.MustParseAddr("::1"), struct{ a [2]string }{[2]string{"a"}}}),
		"private own numbers":   exact([]privateOwn{{}, {1.5, [2]celsius{2, negativeZeroCelsius}, slog.LevelWarn + 1, struct{ c celsius }{-3}}}),
		"embedded fields":       exact(embedsPrivate{exportsInside{[][]string{{"a"}, nil}}, 3}),

		// own methods
		"text":               exact(map[celsius][]celsius{1.5: {2.5, negativeZeroCelsius}}),
		"text of a struct":   exact([]textual{{1, 2}}),
		"gob":                exact(gobbed{map[string]int{"a": 1}}),
		"JSON as it is":      exact([]Jsonned{{"{ \"a\" :  1 }"}, {"no JSON at all"}}),
		"binary":             exact([]*appended{{[]byte("abc")}, {[]byte(strings.Repeat("x", 1000))}}),
		"overriding":         exact([]overriding{{textual{1, 2}, 3}}),
		"generic":            exact([]generic[int]{{textual{1, 2}, 3}}),
		"promoted time":      exact(event{time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), "party", 100}),
		"promoted":           exact(promoted{1, textual{2, 3}, "after"}),
		"promoted pointer":   exact(promotedPointer{&Jsonned{"x"}, []int{1}}),
		"promoted nil":       exact(promotedPointer{nil, []int{}}),
		"promoted interface": exact(promotedInterface{N: 4}),
		"half":               exact(halfOwn{gobbed{map[string]int{"a": 1}}, []int{1}}),
		"local promoted":     exact(struct{ textual }{textual{5, 6}}),

		// times
		"zero time":       exact(time.Time{}),
		"UTC":             exact(time.Unix(1e9, 5).UTC()),
		"local":           exact(time.Unix(1e9, 999_999_999)),
		"fixed":           exact(time.Date(2026, 1, 1, 0, 0, 0, 0, time.FixedZone("here", 3723))),
		"fixed, nameless": exact(time.Date(2026, 1, 1, 0, 0, 0, 0, time.FixedZone("", -3600))),
		"fixed, UTC":      exact(time.Date(2026, 1, 1, 0, 0, 0, 0, time.FixedZone("UTC", 0))),
		"fixed, misnamed": exact(time.Date(2026, 1, 1, 0, 0, 0, 0, time.FixedZone("Europe/Berlin", 60))),
		"far future":      exact(time.Date(292277026596, 1, 1, 0, 0, 0, 0, time.UTC)),
		"far past":        exact(time.Date(-1_000_000, 1, 1, 0, 0, 0, 0, time.UTC)),
		"zones":           exact([]*time.Location{nil, time.UTC, time.Local}),
		"duration":        exact([]any{time.Second, time.March, time.Monday, time.Unix(1, 0).UTC()}),

		// interfaces
		"nil any":           exact[any](nil),
		"ints stay ints":    exact([]any{1, int8(1), uint16(1), 1.0, float32(1), "1", true, nil, 1i, complex64(1)}),
		"nested":            exact(map[string]any{"k": []any{1, map[string]any{"x": nil}, []string{"a"}, []byte{}, []byte(nil), []any(nil)}}),
		"composites":        exact([]any{[]int{1}, [2]string{"a"}, map[int][]bool{1: {true}}, new(int), [][]any{{1}}}),
		"registered":        exact([]any{point{1, 2}, &point{3, 4}, []point{{5, 6}}, map[string]*point{"a": {7, 8}}, celsius(3)}),
		"empty, of arrays":  exact([]any{(*[1000]int)(nil), [][1000]string{}, map[string][1 << 20]*int{}, [3]struct{}{}}),
		"typed nil":         exact([]any{(*point)(nil), []point(nil), map[string]*point(nil)}),
		"methods":           exact([]shape{square{2}, &square{3}, nil, (*square)(nil)}),
		"nil error":         exact(struct{ Err error }{}),
		"errors":            exact([]error{&fs.PathError{Op: "open", Path: "x", Err: syscall.ENOENT}, syscall.EINTR, io.EOF, context.Canceled, nil, fault.ErrClosed}),
		"any keys":          exact(map[any]int{1: 1, 1.0: 2, int64(1): 3, "1": 4, nil: 5, true: 6, point{1, 2}: 7, [2]int{1, 2}: 8}),
		"keys with methods": exact(map[shape]string{square{1}: "a", nil: "b"}),
		"keys that are NaN": exact(map[any]int{math.NaN(): 1, point{}: 2}),

		// shared and cyclic
		"shared pointer":    exact([]*point{shared, {1, 2}, shared, nil}),
		"shared in any":     exact([]any{shared, *shared, shared, &line{shared, shared}}),
		"shared fields":     exact(line{shared, shared}),
		"shared, two types": exact(aliased{shared, shared}),
		"shared map":        exact([]map[string]int{sharedMap, sharedMap, nil, {"a": 1}}),
		"shared slice":      exact([][]any{sharedList, {1}, sharedList}),
		"pointer keys":      exact(map[*point]*point{shared: shared}),
		"circle":            exact(circle),
		"circle in any":     exact[any](circle),
		"map in itself":     exact(cyclicMap),
		"list in itself":    exact(cyclicList),
		"map of its type":   exact(self),
		"slice of its type": exact(selfList{nil, {}, {{}}}),
		"tree":              exact(tree{[]tree{{}, {[]tree{{}}}}}),
	}
	for name, f := range tests {
		t.Run(name, f)
	}
}

var negativeZeroCelsius = celsius(math.Copysign(0, -1))

// twoOffsets is a zone of the format of the database, version 1: one change, from
// "A" at 0 to "B" at an hour.
var twoOffsets = append([]byte("TZif\x00"), slices.Concat(make([]byte, 15),
	[]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 4}, // how many of each
	[]byte{0x10, 0, 0, 0}, []byte{1}, // when, to which
	[]byte{0, 0, 0, 0, 0, 0}, []byte{0, 0, 0x0e, 0x10, 0, 2}, []byte("A\x00B\x00"))...)

// oneOffset is a zone of the same format: "A" at an hour, which is summer time if
// dst is 1.
func oneOffset(dst byte) []byte {
	return append([]byte("TZif\x00"), slices.Concat(make([]byte, 15),
		[]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2},
		[]byte{0, 0, 0x0e, 0x10, dst, 0}, []byte("A\x00"))...)
}

func TestCodecZones(t *testing.T) {
	loc := berlin(t)
	summer := time.Date(2026, 3, 28, 12, 0, 0, 0, loc)
	exact(summer)(t)
	exact(map[string]any{"when": summer, "where": loc})(t)
	came, err := carry(t, summer)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := summer.AddDate(0, 0, 1), came.AddDate(0, 0, 1); !a.Equal(b) || a.String() != b.String() {
		t.Errorf("the day after %v is %v there, %v here", summer, b, a)
	}
	twice, err := carry(t, []time.Time{summer, summer})
	if err != nil || twice[0] != twice[1] {
		t.Errorf("two times that are == arrive as %v, %v", twice, err)
	}
	monotonic, err := carry(t, time.Now())
	if err != nil || monotonic != monotonic.Round(0) {
		t.Errorf("a time with a monotonic reading arrives as %v, %v; want it without", monotonic, err)
	}
	// A zone with the name of one of the database and other rules.
	other, err := time.LoadLocationFromTZData("Asia/Tokyo", twoOffsets)
	if err != nil {
		t.Fatal(err)
	}
	refused(struct{ When time.Time }{time.Date(1950, 7, 1, 0, 0, 0, 0, other)}, "When: its time zone \"Asia/Tokyo\"")(t)
	// One with a single offset, which is summer time or not.
	for dst, check := range []func(*testing.T, *time.Location){
		func(t *testing.T, loc *time.Location) { exact(time.Unix(0, 0).In(loc))(t) },
		func(t *testing.T, loc *time.Location) {
			refused(time.Unix(0, 0).In(loc), "its time zone \"A\" is neither one of")(t)
		},
	} {
		loc, err := time.LoadLocationFromTZData("A", oneOffset(byte(dst)))
		if err != nil {
			t.Fatal(err)
		}
		check(t, loc)
	}
}

type (
	spin     uint32
	locked   struct{ sync.Mutex }
	counter  struct{ Hits atomic.Int64 }
	embedded struct {
		N int
		sync.RWMutex
	}
	noCopy  struct{}
	order   struct{ Lines []orderLine }
	orders  struct{ ByName map[string]*order }
	copyNot struct {
		_ noCopy
		N int
	}
	orderLine struct {
		When chan int
	}
	holder struct {
		Extra any
		Err   error
	}
	strange struct{ P unsafe.Pointer }
	panicky struct{ S string }
	failing struct{ S string }
	secret  struct{ m map[string]int }
	chained struct {
		Next *chained
		Any  any
	}
)

func (*spin) Lock()                            {}
func (*spin) Unlock()                          {}
func (*noCopy) Lock()                          {}
func (*noCopy) Unlock()                        {}
func (panicky) MarshalText() ([]byte, error)   { panic("I will not") }
func (*panicky) UnmarshalText([]byte) error    { panic("neither will I") }
func (failing) MarshalBinary() ([]byte, error) { return nil, errors.New("cannot") }
func (*failing) UnmarshalBinary([]byte) error  { return nil }

func TestCodecRefusesAndNamesTheField(t *testing.T) {
	long := &chained{Any: func() {}}
	for range 100_000 {
		long = &chained{Next: long}
	}
	var deep any
	for range maxDepth + 1 {
		deep = nest{A: deep}
	}
	tests := map[string]func(*testing.T){
		"channel":           refused(make(chan int), "chan int cannot leave the process"),
		"nil channel":       refused((chan int)(nil), "chan int cannot leave the process"),
		"function":          refused(struct{ F func() }{}, "F: func() cannot leave the process"),
		"unsafe pointer":    refused(strange{}, "strange.P: unsafe.Pointer cannot leave the process"),
		"in a slice":        refused(order{[]orderLine{{}}}, "order.Lines[].When: chan int cannot leave the process"),
		"behind much":       refused(&orders{map[string]*order{"a": {[]orderLine{{}}}}}, "orders.ByName[].Lines[].When: chan int"),
		"key":               refused(map[chan int]int{nil: 1}, "[key]: chan int"),
		"mutex":             refused(&locked{}, "locked.Mutex: sync.Mutex lives in its process"),
		"mutex, embedded":   refused([]embedded{{}}, "[].RWMutex: sync.RWMutex lives"),
		"wait group":        refused(struct{ W sync.WaitGroup }{}, "W: sync.WaitGroup lives"),
		"once":              refused(struct{ O sync.Once }{}, "O: sync.Once lives"),
		"pool":              refused(struct{ P sync.Pool }{}, "P: sync.Pool lives"),
		"sync map":          refused(struct{ M sync.Map }{}, "M: sync.Map lives"),
		"cond":              refused(sync.NewCond(&sync.Mutex{}), "sync.Cond lives"),
		"spin lock":         refused(struct{ S spin }{}, "S: wire.spin lives"),
		"regexp, zero":      refused(struct{ R regexp.Regexp }{}, "R: a regexp that was not compiled"),
		"atomic":            refused(&counter{}, "counter.Hits: atomic.Int64 lives"),
		"atomic pointer":    refused(struct{ A atomic.Pointer[int] }{}, "A: atomic.Pointer[int] lives"),
		"atomic value":      refused(struct{ A atomic.Value }{}, "A: atomic.Value lives"),
		"not to be copied":  refused(&copyNot{}, "copyNot._: wire.noCopy lives"),
		"private spin lock": refused(struct{ s spin }{}, "s: wire.spin lives"),
		"private pointer":   refused(secret{m: nil}, "secret.m: wire.secret has the private field m, which points somewhere"),
		"file":              refused(os.Stdout, "private field"),
		"regexp, longest":   refused(func() *regexp.Regexp { r := regexp.MustCompile("a"); r.Longest(); return r }(), "longest match"),
		"unregistered":      refused(holder{Extra: secret{}}, "holder.Extra: a wire.secret in an interface is not known to other processes; if it can be, register it with executor.Register[wire.secret]()"),
		"unregistered, in":  refused(map[string]any{"a": []any{[]*secret{}}}, "[].([]interface {})[]: a []*wire.secret in an interface"),
		"error":             refused(holder{Err: errors.New("mine")}, "holder.Err: a *errors.errorString in an interface"),
		"function in any":   refused([]any{func() {}}, "[]: a func() in an interface"),
		"methods that fail": refused(map[string]failing{"a": {}}, "[]: cannot"),
		"methods panicking": refused([]panicky{{"x"}}, "[]: its own encoding panicked: I will not"),
		"far away":          refused(long, "chained.Next"),
		"far away, short":   refused(long, "chained.Any: a func() in an interface"),
		"deep":              refused(deep, "nested more than"),
	}
	delete(tests, "far away, short") // the path is cut in the middle of the list
	for name, f := range tests {
		t.Run(name, f)
	}
	exact((*context.Context)(nil))(t)
	exact(order{})(t)
}

// A pointer into a slice or a struct that crosses, too, is refused, whichever
// comes first; slices that overlap are copies.
func TestCodecPointersInside(t *testing.T) {
	type entry struct {
		Key  string
		N    [3]int
		Next *entry
	}
	type table struct {
		First *entry
		All   []entry
		Keys  map[string]*entry
		Last  *int
		Nums  []int
		Any   any
	}
	Register[table]()
	Register[entry]()
	all := []entry{{Key: "a"}, {Key: "b"}}
	nums := []int{1, 2, 3}
	lone := &entry{Key: "c"}
	self := &entry{}
	type (
		point2 struct {
			X int `json:"x"`
			Y int
		}
		number  int
		viewing struct {
			Arr  [4]*int
			Data [8]byte
			View []*int
			Raw  []byte
		}
		rows struct {
			P *[4]int
			S []int
		}
		window struct {
			S []*int
			P *[4]*int
		}
		bytes struct {
			P *[8]byte
			S []byte
		}
	)
	Register[viewing]()
	p, arr, more, ptrs, octets := &point{1, 2}, &[4]int{1, 2, 3, 4}, make([]int, 5), make([]*int, 5), new([8]byte)
	grid := &struct {
		In  *[2][4]int
		Row *[3]int
	}{In: new([2][4]int)}
	grid.Row = (*[3]int)(grid.In[1][1:])
	view := func(set func(*viewing)) *viewing { v := new(viewing); set(v); return v }
	const inside = "it points into something else that crosses"
	for name, f := range map[string]func(*testing.T){
		"first":     refused(table{First: &all[1], All: all}, "table.First: "+inside),
		"last":      refused(table{All: all, Keys: map[string]*entry{"b": &all[1]}}, "table.Keys[]: "+inside),
		"beginning": refused(table{All: all, Keys: map[string]*entry{"a": &all[0]}}, "table.Keys[]: "+inside),
		"number":    refused(table{Last: &nums[2], Nums: nums}, "table.Last: "+inside),
		"field":     refused(table{First: lone, Last: &lone.N[1]}, "table.Last: "+inside),
		"in any":    refused(table{Any: []any{nums, &nums[1]}}, inside),
		"own field": refused(func() *table { v := &table{}; v.Any = &v.Nums; return v }(), inside),
		"other type": refused(struct {
			P *point
			Q *point2
		}{p, (*point2)(p)}, "Q: "+inside),
		"other number": refused(struct {
			P *int
			Q *number
		}{&nums[0], (*number)(&nums[0])}, "Q: "+inside),
		"other number in": refused(struct {
			P *number
			Q *point
		}{(*number)(&p.Y), p}, "P: "+inside),
		"shorter array": refused(struct {
			P *[4]int
			Q *[2]int
		}{arr, (*[2]int)(arr[1:])}, "Q: "+inside),
		"arrays that overlap": refused([]*[3]int{(*[3]int)(arr[1:]), (*[3]int)(arr[:])}, "[]: "+inside),
		"part of a row":       refused(grid, "Row: "+inside),
		"array, slice":        refused(rows{arr, arr[:]}, "rows.S: "+inside),
		"array, part":         refused(rows{arr, arr[3:]}, "rows.S: "+inside),
		"slice, array":        refused(rows{(*[4]int)(more[1:]), more}, "rows.P: "+inside),
		"of pointers":         refused(window{ptrs, (*[4]*int)(ptrs)}, "window.P: "+inside),
		"bytes":               refused(&bytes{octets, octets[2:4]}, "bytes.S: "+inside),
		"view":                refused(view(func(v *viewing) { v.View = v.Arr[:] }), "viewing.View: "+inside),
		"view of bytes":       refused(view(func(v *viewing) { v.Raw = v.Data[1:] }), "viewing.Raw: "+inside),
		"view in any":         refused([]any{view(func(v *viewing) { v.Raw = v.Data[1:] })}, "[].(*wire.viewing).Raw: "+inside),
		"no view":             exact(view(func(v *viewing) { v.View, v.Raw = ptrs, octets[:] })),
		"arrays apart":        exact([]*[2]int{(*[2]int)(arr[:]), (*[2]int)(arr[2:]), (*[2]int)(arr[:])}),
		"array beside":        exact(rows{arr, more}),
		"out of it":           exact(table{First: &all[1], Keys: map[string]*entry{"b": &all[1]}}),
		"elsewhere":           exact(table{First: lone, All: []entry{{Next: lone}, {Next: lone}}, Last: new(int), Nums: nums}),
		"neighbours":          exact([]any{&all[0], &all[1], nums[:1], nums[1:]}),
		"itself":              exact(func() *entry { self.Next = self; return self }()),
		"windows":             exact(table{Any: []any{nums[:2], nums[1:], nums}}),
		"lists of lists":      exact([][]*entry{{lone}, {lone, lone}}),
	} {
		t.Run(name, f)
	}
}

// Long lists and trees cross; so do those of which parts are shared so often that
// copies of them would fill the memory of all computers.
func TestCodecDepthAndSharing(t *testing.T) {
	defer debug.SetMaxStack(debug.SetMaxStack(256 << 20)) // a quarter of what there is
	var list *ring
	for range 100_000 {
		list = &ring{list}
	}
	var any1 any
	for range 100_000 {
		any1 = []any{any1}
	}
	nested := map[string]any{}
	for range 100_000 {
		nested = map[string]any{"in": nested}
	}
	boxes := any(nest{})
	for range 200 {
		boxes = nest{boxes, boxes}
	}
	doubling := []any{1}
	for range 200 {
		doubling = []any{doubling, doubling}
	}
	own := selfList{}
	for range 200 {
		own = selfList{own, own}
	}
	var deep any
	for range maxDepth - 10 {
		deep = nest{A: deep}
	}
	count := func(v any) int {
		n := 0
		for s, ok := v.([]any); ok; s, ok = s[0].([]any) {
			n++
		}
		return n
	}
	came, err := carry2(list)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for r := came; r != nil; r = r.Next {
		n++
	}
	if n != 100_000 {
		t.Errorf("a list of 100,000 arrives with %d", n)
	}
	for name, v := range map[string]any{"slices": any1, "maps": nested, "boxes": boxes, "doubling": doubling, "own": own, "deep": deep} {
		got, err := carry2(holder{Extra: v})
		if name == "own" {
			if err == nil {
				t.Error("an unregistered selfList crossed")
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if count(v) != count(got.Extra) {
			t.Errorf("%s: %d levels arrive as %d", name, count(v), count(got.Extra))
		}
	}
	if _, err := carry2(own); err != nil {
		t.Error(err)
	}
}

// carry2 is carry without a comparison.
func carry2[T any](v T) (came T, err error) {
	c := For[T]()
	b, err := c.Append(nil, &v)
	if err == nil {
		err = c.Decode(b, &came)
	}
	return came, err
}

// What is too large is refused before the memory is used.
func TestCodecBoundsSize(t *testing.T) {
	part := strings.Repeat("x", 1<<20)
	many := make([]string, 1<<20)
	for i := range many {
		many[i] = part
	}
	refused(many, errSize.Error())(t) // a TiB, in no time
	refused(make([]nothing, 1<<40), errSize.Error())(t)
	refused(new([1 << 40]nothing), errSize.Error())(t)
	refused(struct {
		A, B [1<<63 - 1]struct{ A, B nothing }
	}{}, "A: "+errSize.Error())(t)

	defer func(n int) { maxEncoded = n }(maxEncoded)
	maxEncoded = 1 << 22
	type item struct{ Name string }
	items := make([]item, 100)
	anys := make(map[int]any)
	for i := range items {
		items[i].Name = part
		anys[i] = part
	}
	for name, f := range map[string]func(*testing.T){
		"strings":  refused(many[:10], errSize.Error()),
		"structs":  refused(items, errSize.Error()),
		"map":      refused(anys, errSize.Error()),
		"numbers":  refused([][]int64{make([]int64, 1<<19)}, errSize.Error()),
		"lists":    refused([][][]int8{{make([]int8, 1<<22)}}, errSize.Error()),
		"pointers": refused(make([]*ring, 1<<22+1), errSize.Error()),
		"own":      refused([]appended{{[]byte(strings.Repeat("x", 1<<22))}}, errSize.Error()),
		"bytes":    refused([][]byte{make([]byte, 1<<22)}, errSize.Error()),
		"memory":   refused(new([1 << 20]int64), errSize.Error()),
	} {
		t.Run(name, f)
	}
}

// A reference names what stays in its process.
type reference struct {
	Reference
	n int
}

func (r *reference) MarshalJSON() ([]byte, error) { return json.Marshal(r.n) }
func (r *reference) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &r.n) }

func TestCodecForeign(t *testing.T) {
	for name, got := range map[string][2]bool{
		"int":       {For[int]().Foreign, false},
		"time":      {For[struct{ T []time.Time }]().Foreign, false},
		"big":       {For[map[string]*big.Int]().Foreign, false},
		"reference": {For[*reference]().Foreign, false},
		"own":       {For[celsius]().Foreign, true},
		"own, deep": {For[[]struct{ M map[string]*textual }]().Foreign, true},
		"own, key":  {For[map[textual]int]().Foreign, true},
		"any":       {For[any]().Foreign, true},
		"error":     {For[struct{ Err error }]().Foreign, true},
		"itself":    {For[*ring]().Foreign, false},
		"elem":      {ForElement[[]celsius]().Foreign, true},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: foreign is %v; want %v", name, got[0], got[1])
		}
	}
}

func TestCodecTracksOnlyWhatCanBeShared(t *testing.T) {
	for name, got := range map[string][2]bool{
		"plain":       {ForElement[point]().traits.tracked, false},
		"strings":     {ForElement[[][]string]().traits.tracked, false},
		"one pointer": {ForElement[*point]().traits.tracked, false},
		"one map":     {ForElement[struct{ M map[string][]string }]().traits.tracked, false},
		"unlike pointers": {ForElement[struct {
			A *int
			B *string
		}]().traits.tracked, false},
		"pointer and slice": {ForElement[struct {
			A *point
			B []string
			C []byte
		}]().traits.tracked, false},
		"structs of one shape": {ForElement[struct {
			A *struct{ V *int }
			B *struct{ V *string }
		}]().traits.tracked, false},
		"array":  {ForElement[*[9]int]().traits.tracked, false},
		"arrays": {ForElement[[]*[9]int]().traits.inside, true},
		"array, slice": {ForElement[*struct {
			A [9]int
			B []int
		}]().traits.inside, true},
		"array, other slice": {ForElement[*struct {
			A [9]int
			B []string
			T time.Time
			D []uint64
		}]().traits.tracked, false},
		"tree": {ForElement[*benchTree]().traits.inside, false},
		"two types": {ForElement[struct {
			A *int
			B *spin
			C *uint32
		}]().traits.inside, true},
		"pointers":        {ForElement[struct{ A, B *int }]().traits.tracked, true},
		"in a list":       {ForElement[[]*int]().traits.tracked, true},
		"two names":       {ForElement[aliased]().traits.tracked, true},
		"itself":          {ForElement[*ring]().traits.tracked, true},
		"slice of itself": {ForElement[selfList]().traits.tracked, true},
		"any":             {ForElement[any]().traits.tracked, true},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: tracked is %v; want %v", name, got[0], got[1])
		}
	}
}

func TestElemCodecFixed(t *testing.T) {
	if n := ForElement[point]().fixed; n != int(unsafe.Sizeof(point{})) {
		t.Errorf("a point takes %d bytes; want %d", n, unsafe.Sizeof(point{}))
	}
	for name, n := range map[string]int{"string": ForElement[string]().fixed, "text": ForElement[celsius]().fixed, "nothing": ForElement[struct{}]().fixed, "time": ForElement[time.Time]().fixed} {
		if n != 0 {
			t.Errorf("%s takes %d bytes; want it not to be fixed", name, n)
		}
	}
}

func TestFingerprint(t *testing.T) {
	type (
		base struct {
			A int
			B string
			C []*point
		}
		added struct {
			A int
			B string
			C []*point
			D int
		}
		renamed struct {
			A int
			X string
			C []*point
		}
		moved struct {
			B string
			A int
			C []*point
		}
		retyped struct {
			A uint
			B string
			C []*point
		}
		deeper struct {
			A int
			B string
			C []*badge
		}
		textuals struct {
			A int
			B celsius
			C []*point
		}
	)
	seen := make(map[uint64]string)
	for name, n := range map[string]uint64{
		"base": fingerprintOf(typeOf[base]()), "added": fingerprintOf(typeOf[added]()), "renamed": fingerprintOf(typeOf[renamed]()),
		"moved": fingerprintOf(typeOf[moved]()), "retyped": fingerprintOf(typeOf[retyped]()), "deeper": fingerprintOf(typeOf[deeper]()),
		"textual": fingerprintOf(typeOf[textuals]()), "int": fingerprintOf(typeOf[int]()), "ring": fingerprintOf(typeOf[ring]()), "*ring": fingerprintOf(typeOf[*ring]()),
	} {
		if other, ok := seen[n]; ok {
			t.Errorf("%s and %s have the same fingerprint", name, other)
		}
		seen[n] = name
	}
	// The same in every process: of a program that is built of these sources.
	var d description
	d.add(typeOf[struct {
		A int
		N *ring
	}]())
	const want = "struct { A int; N *wire.ring }:struct{A@0 int:int;N@8 *wire.ring:ptr of github.com/f3f4c0de/harness/internal/wire.ring:struct{Next@0 #2;};}"
	if d.text.String() != want {
		t.Errorf("described as\n%s; want\n%s", d.text.String(), want)
	}
	if For[base]().Fingerprint() != fingerprintOf(typeOf[base]()) {
		t.Error("a codec has another fingerprint than its type")
	}
}

func TestRegisterConflict(t *testing.T) {
	type twin struct{ A int }
	Register[twin]()
	Register[*twin]() // again
	defer func() {
		if v := recover(); v == nil || !strings.Contains(fmt.Sprint(v), "two types are named github.com/f3f4c0de/harness/internal/wire.twin") {
			t.Errorf("registering another type of the same name: %v; want a panic that says so", v)
		}
	}()
	registerTwin()
}

func registerTwin() {
	type twin struct{ B string }
	Register[twin]()
}

// Two keys that become one are not a smaller map.
func TestCodecKeysBecomeOne(t *testing.T) {
	refusedThere := func(v any, b []byte, f func([]byte) error) {
		t.Helper()
		if err := f(b); !errors.Is(err, errKeys) {
			t.Errorf("%T with two equal keys: %v; want %v", v, err, errKeys)
		}
	}
	m := map[textual]int{{1, 2}: 1, {3, 4}: 2}
	c := For[map[textual]int]()
	b, err := c.Append(nil, &m)
	if err != nil {
		t.Fatal(err)
	}
	b = []byte(strings.ReplaceAll(string(b), "1/2", "3/4"))
	var got map[textual]int
	refusedThere(m, b, func(b []byte) error { return c.Decode(b, &got) })
}

func TestCodecDecodesHostileBytes(t *testing.T) {
	defer debug.SetMaxStack(debug.SetMaxStack(256 << 20))
	big := binaryUvarint(1 << 61)
	var (
		anys    any
		lists   [][]any
		rings   []*ring
		keys    map[any]int
		strs    []string
		nests   nest
		refs    *reference
		arrays  *[1 << 16]*int
		larges  []*[1 << 12]*int
		empties map[struct{}]struct{}
	)
	tests := []struct {
		name   string
		bytes  []byte
		decode func([]byte) error
	}{
		{"nothing", nil, decodes(&anys)},
		{"unknown tag", []byte{99}, decodes(&anys)},
		{"number of no type", []byte{tagAgain, 200}, decodes(&anys)},
		{"number of no box", []byte{tagBox, 3}, decodes(&anys)},
		{"no such error", []byte{tagSentinel, 250}, decodes(&anys)},
		{"unregistered name", append([]byte{tagNamed, 3}, "abc"...), decodes(&anys)},
		{"long name", append([]byte{tagNamed}, big...), decodes(&anys)},
		{"pointers without end", []byte(strings.Repeat(string([]byte{tagPointer}), 1000)), decodes(&anys)},
		{"huge array", append([]byte{tagArray, 100}, strings.Repeat(string([]byte{tagArray, 100}), 20)...), decodes(&anys)},
		{"key that has no hash", append([]byte{3}, 22 /* []any */, 1, 14, 0, 0, 0, 0, 0, 0, 0, 0), decodes(&keys)},
		{"map type of slices", []byte{tagMap, tagSlice, 2, 2, 1}, decodes(&anys)},
		{"many lists", append(big, 1, 1), decodes(&lists)},
		{"many rings", []byte{0xff, 0xff, 0xff, 0xff, 0x01}, decodes(&rings)},
		{"back to nothing", []byte{3, 200}, decodes(&rings)},
		{"many strings", append(big, 1), decodes(&strs)},
		{"many empty keys", []byte{0xff, 0xff, 0xff, 0xff, 0x7f}, decodes(&empties)},
		{"two empty keys", []byte{5}, decodes(&empties)},
		{"large array", []byte{1, 1}, decodes(&arrays)},
		{"many large arrays", append(binaryUvarint(1000<<1|1), strings.Repeat("\x01", 1<<13)...), decodes(&larges)},
		{"no reference", []byte("x"), decodes(&refs)},
		{"left over", []byte{0, 0, 0}, decodes(&nests)},
		{"nested without end", append(append([]byte{tagNamed, byte(len(nestName))}, nestName...), strings.Repeat(string([]byte{tagAgain, 0}), 3_000_000)...), decodes(&anys)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var before, after memory
			before.read()
			err := tt.decode(tt.bytes)
			after.read()
			if err == nil {
				t.Fatalf("%x was decoded", tt.bytes)
			}
			if used := after.allocated - before.allocated; used > 1<<20+200*uint64(len(tt.bytes)) {
				t.Errorf("%d bytes took %d bytes of memory: %.100v", len(tt.bytes), used, err)
			}
		})
	}
}

const nestName = "github.com/f3f4c0de/harness/internal/wire.nest"

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

func binaryUvarint(n uint64) []byte { return binary.AppendUvarint(nil, n) }

func decodes[T any](v *T) func([]byte) error {
	return func(b []byte) error { return For[T]().Decode(b, v) }
}

type memory struct{ allocated uint64 }

func (m *memory) read() {
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	m.allocated = s.TotalAlloc
}

// A RemoteError that is there twice is one there, beside errors that become such.
func TestCodecRemoteErrorTwice(t *testing.T) {
	r, mine := NewRemoteError(io.EOF), errors.New("mine")
	shared := nest{}
	v := []error{r, mine, &codedError{1, r}, mine, r, &codedError{2, NewRemoteError(io.EOF)}}
	b, err := formOf(typeOf[[]any]()).encode(nil, unsafe.Pointer(&[]any{nest{v[0], &shared}, &shared, v[4], nest{r, r}}), traitsOf(typeOf[[]any]()), describing{})
	if err != nil {
		t.Fatal(err)
	}
	var anys []any
	if err := For[[]any]().Decode(b, &anys); err != nil {
		t.Fatal(err)
	}
	if last := anys[3].(nest); anys[2] != last.A || last.A != last.B || anys[0].(nest).A != anys[2] || anys[0].(nest).B != anys[1] {
		t.Errorf("one RemoteError arrives as %v", anys)
	}
	b, err = formOf(typeOf[[]error]()).encode(nil, unsafe.Pointer(&v), traitsOf(typeOf[[]error]()), describing{lossy: 1})
	if err != nil {
		t.Fatal(err)
	}
	var came []error
	if err := For[[]error]().Decode(b, &came); err != nil {
		t.Fatal(err)
	}
	if came[0] != came[4] || came[2].(*codedError).Err != came[0] || came[5].(*codedError).Err == came[0] || came[1].Error() != "mine" || came[3].Error() != "mine" { //nolint:errorlint // these very ones
		t.Errorf("%v arrives as %v", v, came)
	}
}
