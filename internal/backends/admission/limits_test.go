package admission

import (
	"math"
	"strings"
	"testing"
)

func TestAfford(t *testing.T) {
	limits := []limit{
		{"there are 1000 threads", 900, ofThreads},
		{"there is 1 GiB", 1 << 30, ofMemory},
		{"there are 100 files", 60, ofFiles},
	}
	tests := []struct {
		name        string
		have, asked int
		each        Need
		want        string // of the error
	}{
		{"goroutines", 0, 1 << 18, Goroutine, ""},
		{"too many goroutines", 0, 1<<18 + 1, Goroutine, "p cannot have 262145 workers: there is 1 GiB, which leaves room for 262144"},
		{"more than can be counted", 0, math.MaxInt, Goroutine, "which leaves room for 262144"},
		{"threads", 0, 900, Thread, ""},
		{"too many threads", 0, 901, Thread, "there are 1000 threads, which leaves room for 900"},
		{"threads beside others", 100, 1000, Thread, ""},
		{"too many threads beside others", 100, 1001, Thread, "which leaves room for 1000"},
		{"fewer than there are", 2000, 1500, Thread, ""},
		{"processes", 0, 10, Process, ""},
		{"too many processes", 0, 11, Process, "there are 100 files, which leaves room for 10"},
	}
	for _, tt := range tests {
		err := affordOf(limits, "p", tt.have, tt.asked, tt.each)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: affordOf(%d, %d) = %v; want %q", tt.name, tt.have, tt.asked, err, tt.want)
		}
	}
	if err := affordOf([]limit{{"there are no files", -3, ofFiles}}, "p", 0, 1, Process); err == nil {
		t.Error("where more is used than there may be, one worker more is no error")
	}
}
