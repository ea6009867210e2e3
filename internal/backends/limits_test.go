package backends

import (
	"math"
	"strings"
	"testing"

	"github.com/f3f4c0de/harness/internal/core"
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
		each        need
		want        string // of the error
	}{
		{"goroutines", 0, 1 << 18, goroutineNeed, ""},
		{"too many goroutines", 0, 1<<18 + 1, goroutineNeed, "p cannot have 262145 workers: there is 1 GiB, which leaves room for 262144"},
		{"more than can be counted", 0, math.MaxInt, goroutineNeed, "which leaves room for 262144"},
		{"threads", 0, 900, threadNeed, ""},
		{"too many threads", 0, 901, threadNeed, "there are 1000 threads, which leaves room for 900"},
		{"threads beside others", 100, 1000, threadNeed, ""},
		{"too many threads beside others", 100, 1001, threadNeed, "which leaves room for 1000"},
		{"fewer than there are", 2000, 1500, threadNeed, ""},
		{"processes", 0, 10, processNeed, ""},
		{"too many processes", 0, 11, processNeed, "there are 100 files, which leaves room for 10"},
	}
	for _, tt := range tests {
		err := affordOf(limits, "p", tt.have, tt.asked, tt.each)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: affordOf(%d, %d) = %v; want %q", tt.name, tt.have, tt.asked, err, tt.want)
		}
	}
	if err := affordOf([]limit{{"there are no files", -3, ofFiles}}, "p", 0, 1, processNeed); err == nil {
		t.Error("where more is used than there may be, one worker more is no error")
	}
}

// What nobody can have is refused, at once and with a reason, and nothing else.
func TestLimitsAreRefused(t *testing.T) {
	for _, b := range All {
		if b.MaxWorkers > 0 || b == Processes {
			continue
		}
		refused := func(what string, err error) {
			t.Helper()
			if err == nil || !strings.Contains(err.Error(), "which leaves room for") {
				t.Errorf("%s: %s = %v; want an error that says how many there can be", b.Name, what, err)
			}
		}
		for _, n := range []int{1 << 40, math.MaxInt} {
			_, err := b.Open(t.Context(), core.Config{Workers: n})
			refused("Open", err)
		}
		if b == Threads {
			_, err := b.Open(t.Context(), core.Config{Workers: 12000})
			refused("Open with 12,000 threads", err)
		}
		ex, err := b.Open(t.Context(), core.Config{Workers: 2})
		if err != nil {
			t.Fatal(err)
		}
		m := ex.(core.Manager)
		refused("Resize", m.Resize(1<<40))
		if err := m.Resize(3); err != nil {
			t.Errorf("%s: Resize(3) after that = %v; want nil", b.Name, err)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}
