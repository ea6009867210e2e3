package calibrate

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestText(t *testing.T) {
	results := []Result{
		{Subject: "python3", Absent: "there is no python3"},
		{
			Subject: "gil", Scaling: []Scaling{{1, 1, 1, 1}, {2, 0.98, 0.9, 1.02}, {4, 0.5, 0.4, 0.6}},
			Latency: []Latency{{P50NS: 51_000, P95NS: 99_000}, {Hogs: 1, P50NS: 5_060_000, P95NS: 9_960_000}, {Hogs: 2, P50NS: 10_100_000, P95NS: 20_400_000}},
		},
	}
	want := `Speed-up of a computation over one thread (range over the rounds)
           1 thread  2 threads  4 threads
  python3  there is no python3
  gil      1.00× (1.00–1.00)  0.98× (0.90–1.02)  0.50× (0.40–0.60)

A ping beside threads that compute: p50, p95
           none  1 thread  2 threads
  python3  there is no python3
  gil      0.05 ms, 0.10 ms  5.1 ms, 10.0 ms  10 ms, 20 ms

`
	want += fmt.Sprintf("%s, %d cores; medians of 3 rounds, each of 100 pings 2ms apart; seed 7\n", runtime.Version(), runtime.NumCPU())
	var b strings.Builder
	if err := Text(&b, results, Options{Rounds: 3, Pings: 100, Pause: 2 * time.Millisecond, Seed: 7}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("Text (-want +got):\n%s", diff)
	}
	results[0].Version = "Python 3.11.2"
	b.Reset()
	if err := Text(&b, results, Options{}); err != nil || !strings.Contains(b.String(), "\nPython 3.11.2, "+runtime.Version()) {
		t.Errorf("Text = %v, %q; want the version of Python", err, b.String())
	}
}
