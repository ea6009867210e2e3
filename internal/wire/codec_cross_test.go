package wire_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/f3f4c0de/harness/executor"
	"github.com/f3f4c0de/harness/internal/child"
	"github.com/f3f4c0de/harness/internal/wire"
)

// crossings are the seeds whose values cross.
const crossings = 300

var echoTask = executor.NewTask("codec.echo", func(_ context.Context, v any) (any, error) { return v, nil })

// TestMain has the test program be its own worker, and know the types of the
// random values there.
func TestMain(m *testing.M) {
	if child.Role() != "" { // the test itself makes them when it needs them
		for seed := range uint64(crossings) {
			wire.RandomValue(seed)
		}
	}
	executor.Main(echoTask)
	os.Exit(m.Run())
}

// A random value of a random type arrives in a worker process, and comes back, as
// it does where memory is shared, or is refused.
func TestRandomValuesCross(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for _, backend := range []string{"goroutines", "processes"} {
		ex, err := executor.Open(ctx, backend, executor.Config{Workers: 2})
		if err != nil {
			t.Fatal(err)
		}
		refused := 0
		for seed := range uint64(crossings) {
			sent := wire.RandomValue(seed)
			came, err := echoTask.Submit(ctx, ex, sent).Wait(ctx)
			switch {
			case err != nil && backend == "processes" && errors.Is(err, executor.ErrEncode):
				refused++
			case err != nil:
				t.Errorf("%s, seed %d: %v", backend, seed, err)
			default:
				if d := wire.Difference(sent, came); d != "" {
					t.Errorf("%s, seed %d: %s", backend, seed, d)
				}
			}
		}
		if refused > crossings/10 {
			t.Errorf("%s refused %d of %d values", backend, refused, crossings)
		}
		if err := ex.Close(); err != nil {
			t.Error(err)
		}
	}
}
