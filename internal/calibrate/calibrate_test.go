package calibrate

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/core"
)

func TestMain(m *testing.M) {
	EntryPoint(context.Background(), executor.Backends())
	os.Exit(m.Run())
}

func backend(t *testing.T, name string) *core.Backend {
	t.Helper()
	for _, b := range executor.Backends() {
		if b.Name == name {
			return b
		}
	}
	t.Fatalf("there is no backend %s", name)
	return nil
}

// Every subject on this machine answers, and every figure is plausible.
func TestRun(t *testing.T) {
	rounds := 0
	results, err := Run(t.Context(), Subjects(backend(t, "gil"), backend(t, "goroutines")), Options{
		Rounds: 2, Pings: 3, Pause: time.Millisecond, Work: 2 * time.Millisecond, Seed: 1,
		Progress: func(int, int) { rounds++ },
	})
	if err != nil {
		t.Fatal(err)
	}
	if rounds != 2 || len(results) != 3 {
		t.Fatalf("%d rounds told, %d results; want 2 and 3", rounds, len(results))
	}
	for _, r := range results {
		if r.Absent != "" {
			t.Logf("%s: %s", r.Subject, r.Absent)
			continue
		}
		if len(r.Scaling) != 3 || len(r.Latency) != 3 {
			t.Fatalf("%s: %+v; want three figures of each kind", r.Subject, r)
		}
		for i, s := range r.Scaling {
			if s.Threads != threadCounts[i] || s.Low <= 0 || s.Speedup < s.Low || s.Speedup > s.High {
				t.Errorf("%s: scaling is %+v; want %d threads and a median within its range", r.Subject, s, threadCounts[i])
			}
		}
		if one := r.Scaling[0]; one.Speedup != 1 {
			t.Errorf("%s: one thread is %v times as fast as itself", r.Subject, one.Speedup)
		}
		for i, l := range r.Latency {
			if l.Hogs != hogCounts[i] || l.P50NS <= 0 || l.P95NS < l.P50NS || l.LowNS > l.P50NS || l.HiNS < l.P50NS {
				t.Errorf("%s: latency is %+v; want %d hogs and quantiles in order", r.Subject, l, hogCounts[i])
			}
		}
	}
}

func TestRunFails(t *testing.T) {
	stranger := &core.Backend{Name: "stranger", Shared: true}
	_, err := Run(t.Context(), []Subject{{"stranger", stranger}}, Options{Rounds: 1, Pings: 1})
	if err == nil || !strings.Contains(err.Error(), `backend "stranger" cannot be calibrated`) {
		t.Errorf("Run with a backend that its processes do not know = %v; want an error that names it", err)
	}
}

func TestQuantile(t *testing.T) {
	sorted := []float64{1, 2, 4, 8}
	for q, want := range map[float64]float64{0: 1, .5: 3, .75: 5, 1: 8} { // R 4.2: quantile(c(1, 2, 4, 8), q)
		if got := quantile(sorted, q); got != want {
			t.Errorf("quantile(%v, %v) = %v; want %v", sorted, q, got, want)
		}
	}
}
