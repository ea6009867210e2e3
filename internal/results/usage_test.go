package results

import (
	"reflect"
	"testing"
)

// Every field of Usage is in counters or is the peak. The test fails for a field that
// was added and forgotten there.
func TestUsageHasAllCounters(t *testing.T) {
	var one, two Usage
	for i := range reflect.TypeFor[Usage]().NumField() {
		reflect.ValueOf(&one).Elem().Field(i).SetInt(int64(i + 1))
		reflect.ValueOf(&two).Elem().Field(i).SetInt(int64(10 * (i + 1)))
	}
	want := func(what string, got Usage, of func(i int64) int64, peak int64) {
		t.Helper()
		v := reflect.ValueOf(got)
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			w := of(int64(i + 1))
			if name == "MaxRSSBytes" {
				w = peak
			}
			if n := v.Field(i).Int(); n != w {
				t.Errorf("%s has %s %d; want %d", what, name, n, w)
			}
		}
	}
	want("Since", two.Since(one), func(i int64) int64 { return 9 * i }, two.MaxRSSBytes)
	want("Plus", two.Plus(one), func(i int64) int64 { return 11 * i }, one.MaxRSSBytes+two.MaxRSSBytes)
	want("Over", two.Over(10), func(i int64) int64 { return i }, two.MaxRSSBytes)
}
