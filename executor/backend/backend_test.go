package backend_test

import (
	"testing"
	"time"

	"github.com/f3f4c0de/harness/executor/backend"
	"github.com/f3f4c0de/harness/harnesstest"
)

func TestMain(m *testing.M) { harnesstest.Main(m) }

// A pool with settings of one's own keeps every promise.
func TestPool(t *testing.T) {
	for _, p := range []backend.Pool{
		{Name: "plain"},
		{Name: "one-thread", MaxWorkers: 1, OSThreads: true},
		{Name: "slow-gil", Lock: true, Switch: 20 * time.Millisecond},
	} {
		t.Run(p.Name, func(t *testing.T) {
			harnesstest.TestBackend(t, &backend.Backend{
				Name: p.Name, Doc: "a pool", Shared: true, Serial: p.Lock, MaxWorkers: p.MaxWorkers, Open: p.Open,
			})
		})
	}
}
