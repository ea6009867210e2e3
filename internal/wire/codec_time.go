package wire

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"reflect"
	"sync"
	"time"
	"unsafe"
)

var (
	timeType     = reflect.TypeFor[time.Time]()
	locationType = reflect.TypeFor[*time.Location]()
)

// A time crosses as its moment, to the nanosecond, and its zone. The reading of
// the monotonic clock stays behind, as everywhere where a time is kept.
//
// A zone is UTC, the local one, one as time.FixedZone makes it, or one of the
// time zone database by its name. The last two are compared by their rules with what
// the name stands for, on both sides, so that a time never arrives in a zone
// with other rules. Any other zone is refused.
func (f *form) makeTime() {
	f.least = 13
	f.append = func(b []byte, p unsafe.Pointer, e *encoder) ([]byte, error) {
		if e != nil && e.target != nil {
			return b, nil // it refers to nothing
		}
		t := (*time.Time)(p)
		b = binary.LittleEndian.AppendUint64(b, uint64(t.Unix()))
		b = binary.LittleEndian.AppendUint32(b, uint32(t.Nanosecond()))
		return appendZone(b, t.Location())
	}
	f.decode = func(b []byte, p unsafe.Pointer, _ *decoder) ([]byte, error) {
		if len(b) < 13 {
			return nil, ErrCut
		}
		sec, nsec := int64(binary.LittleEndian.Uint64(b)), binary.LittleEndian.Uint32(b[8:])
		loc, b, err := takeZone(b[12:])
		if err != nil || nsec >= 1e9 || loc == nil {
			return nil, orCut(err)
		}
		*(*time.Time)(p) = time.Unix(sec, int64(nsec)).In(loc)
		return b, nil
	}
}

// makeLocation is for pointers to a zone.
func (f *form) makeLocation() {
	f.least = 1
	f.append = func(b []byte, p unsafe.Pointer, e *encoder) ([]byte, error) {
		loc := *(**time.Location)(p)
		switch {
		case e != nil && e.target != nil:
			return b, nil
		case loc == nil:
			return append(b, noZone), nil
		}
		return appendZone(b, loc)
	}
	f.decode = func(b []byte, p unsafe.Pointer, _ *decoder) ([]byte, error) {
		loc, b, err := takeZone(b)
		if err != nil {
			return nil, err
		}
		*(**time.Location)(p) = loc
		return b, nil
	}
}

// orCut returns err, or if there is none that the bytes are wrong.
func orCut(err error) error {
	if err != nil {
		return err
	}
	return ErrCut
}

const (
	noZone byte = iota
	zoneUTC
	zoneLocal
	zoneFixed
	zoneNamed
)

func appendZone(b []byte, loc *time.Location) ([]byte, error) {
	if loc == time.UTC {
		return append(b, zoneUTC), nil
	}
	z := zoneOf(loc)
	switch {
	case loc == time.Local:
		return binary.LittleEndian.AppendUint64(append(b, zoneLocal), z.rules), nil
	case z.fixed:
		b = binary.AppendVarint(append(b, zoneFixed), int64(z.offset))
		b = binary.AppendUvarint(b, uint64(len(z.name)))
		return append(b, z.name...), nil
	}
	named, ok := loaded.load(z.name)
	if !ok {
		if l, err := time.LoadLocation(z.name); err == nil && l.String() == z.name && zoneOf(l).rules == z.rules {
			named, ok = loaded.store(z.name, loc), true // so that it comes back as the very same
		}
	}
	if !ok || zoneOf(named.(*time.Location)).rules != z.rules {
		return b, fmt.Errorf("its time zone %q is neither one of the time zone database nor as time.FixedZone makes it", z.name)
	}
	b = binary.LittleEndian.AppendUint64(append(b, zoneNamed), z.rules)
	b = binary.AppendUvarint(b, uint64(len(z.name)))
	return append(b, z.name...), nil
}

func takeZone(b []byte) (_ *time.Location, rest []byte, err error) {
	if len(b) == 0 {
		return nil, nil, ErrCut
	}
	kind, b := b[0], b[1:]
	var rules uint64
	var offset int64
	switch kind {
	case noZone:
		return nil, b, nil
	case zoneUTC:
		return time.UTC, b, nil
	case zoneLocal, zoneNamed:
		if len(b) < 8 {
			return nil, nil, ErrCut
		}
		rules, b = binary.LittleEndian.Uint64(b), b[8:]
	case zoneFixed:
		var n int
		if offset, n = binary.Varint(b); n <= 0 || offset != int64(int32(offset)) {
			return nil, nil, ErrCut
		}
		b = b[n:]
	default:
		return nil, nil, ErrCut
	}
	loc := time.Local
	if kind != zoneLocal {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > uint64(len(b)-k) {
			return nil, nil, ErrCut
		}
		name := string(b[k : k+int(n)])
		b = b[k+int(n):]
		if kind == zoneFixed {
			return fixedZone(name, int(offset)), b, nil
		}
		if loc, err = loadZone(name); err != nil {
			return nil, nil, fmt.Errorf("its time zone %q is not known to this process: %w", name, err)
		}
	}
	if zoneOf(loc).rules != rules {
		return nil, nil, fmt.Errorf("its time zone %v has other rules in this process", loc)
	}
	return loc, b, nil
}

// A zone is what is known of a location.
type zone struct {
	name   string // of the location
	rules  uint64 // a digest of all its offsets
	fixed  bool   // it is as time.FixedZone makes it: it has one offset, under its own name, and no summer time
	offset int    // then, in seconds
}

// maxZones bounds how many locations are remembered: a program may make any
// number of them.
const maxZones = 1000

// maxChanges bounds the changes of a zone's offset that are looked at; the most
// that there are is some 250.
const maxChanges = 10_000

// A boundedMap forgets everything when it has many entries.
type boundedMap struct {
	mu sync.RWMutex
	m  map[any]any
}

func (m *boundedMap) load(key any) (any, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	v, ok := m.m[key]
	return v, ok
}

// store keeps v for the key and returns it, or what somebody else has kept.
func (m *boundedMap) store(key, v any) any {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old, ok := m.m[key]; ok {
		return old
	}
	if m.m == nil || len(m.m) >= maxZones {
		m.m = make(map[any]any)
	}
	m.m[key] = v
	return v
}

var (
	zones  boundedMap // zone by *time.Location
	loaded boundedMap // *time.Location by its name
	fixed  boundedMap // *time.Location by its name and offset
)

func zoneOf(loc *time.Location) zone {
	if z, ok := zones.load(loc); ok {
		return z.(zone)
	}
	z := zone{name: loc.String()}
	h := fnv.New64a()
	note := func(at time.Time) {
		name, offset := at.Zone()
		fmt.Fprintf(h, "%d %s %d %v;", at.Unix(), name, offset, at.IsDST())
	}
	// First the changes that are listed, one by one, then the rule for those to
	// come, week by week.
	const first, listed, last, week = -1 << 36, 1 << 31, 5 << 29, 7 * 24 * 3600 // years -208, 2038 and 2055
	at := time.Unix(first, 0).In(loc)
	name, offset := at.Zone()
	if start, end := at.ZoneBounds(); start.IsZero() && end.IsZero() && name == z.name && !at.IsDST() {
		z.fixed, z.offset = true, offset
	}
	for n := 0; at.Unix() < listed && n < maxChanges; n++ {
		note(at)
		_, end := at.ZoneBounds()
		if !end.After(at) { // there is no more
			break
		}
		at = end
	}
	for sec := int64(listed); sec < last; sec += week {
		note(time.Unix(sec, 0).In(loc))
	}
	z.rules = h.Sum64()
	return zones.store(loc, z).(zone)
}

func loadZone(name string) (*time.Location, error) {
	if loc, ok := loaded.load(name); ok {
		return loc.(*time.Location), nil
	}
	loc, err := time.LoadLocation(name)
	if err != nil || loc.String() != name {
		return nil, orCut(err)
	}
	return loaded.store(name, loc).(*time.Location), nil
}

// fixedZone returns the same zone for the same name and offset, as long as there
// are not many: whoever compares times with == compares zones by their address.
func fixedZone(name string, offset int) *time.Location {
	type key struct {
		name   string
		offset int
	}
	k := key{name, offset}
	if loc, ok := fixed.load(k); ok {
		return loc.(*time.Location)
	}
	return fixed.store(k, time.FixedZone(name, offset)).(*time.Location)
}
