package ledger

import (
	"context"
	"io"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/f3f4c0de/harness/internal/backends/inproc"
	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/profile"
	"github.com/f3f4c0de/harness/internal/results"
)

var waitTask = core.NewTask("wait", func(_ context.Context, d time.Duration) (int, error) {
	<-time.After(d)
	return 0, nil
})

// An execution trace repeats the state of each goroutine every second, without the reason of a
// wait. The wait must keep its reason.
func TestLongWaitsKeepTheirReason(t *testing.T) {
	path := filepath.Join(t.TempDir(), "1.trace")
	var number atomic.Uint64
	obs := profile.MarkTasks(core.Observer{Submit: func(c *core.Call) { c.Number = number.Add(1) }}, 1)
	ex, err := inproc.Sequential.Open(t.Context(), core.Config{Workers: 1, Observer: obs})
	if err != nil {
		t.Fatal(err)
	}
	stop, err := profile.Execution(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = waitTask.Submit(t.Context(), ex, 2500*time.Millisecond).Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if err := ex.Close(); err != nil {
		t.Fatal(err)
	}
	spent := make(map[results.Part]time.Duration)
	err = read(t, path, func(r io.Reader) error {
		return ReadExecution(r, func(e *ExecutedTask) {
			began := false
			for _, in := range e.Intervals {
				if began = began || in.Part == results.PartRunning; began { // and does not wait for the task any more
					spent[in.Part] += in.To.Sub(in.From)
				}
			}
		}, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	if spent[results.PartOther] != 0 || spent[results.PartChannel] == 0 {
		t.Errorf("a task that waited for a channel spent %v on one, and %v on something else; want all on the channel", spent[results.PartChannel], spent[results.PartOther])
	}
}
