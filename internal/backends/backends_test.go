package backends_test

import (
	"math"
	"strings"
	"testing"

	"github.com/f3f4c0de/harness/harnesstest"
	"github.com/f3f4c0de/harness/internal/backends"
	"github.com/f3f4c0de/harness/internal/backends/inproc"
	"github.com/f3f4c0de/harness/internal/backends/ipc"
	"github.com/f3f4c0de/harness/internal/core"
)

func TestMain(m *testing.M) { harnesstest.Main(m) }

func TestBackends(t *testing.T) {
	for _, b := range backends.All {
		t.Run(b.Name, func(t *testing.T) { harnesstest.TestBackend(t, b) })
	}
}

// What nobody can have is refused, at once and with a reason, and nothing else.
func TestLimitsAreRefused(t *testing.T) {
	for _, b := range backends.All {
		if b.MaxWorkers > 0 || b == ipc.Processes {
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
		if b == inproc.Threads {
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
