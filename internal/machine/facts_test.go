package machine

import (
	"context"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// Measure sets all fields but those of the caller, also in a context that has ended,
// in which it does not wait.
func TestMeasure(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f := Measure(ctx)
	if f.NumCPU != runtime.NumCPU() || f.GOMAXPROCS != runtime.GOMAXPROCS(0) || f.Build == nil || f.OpenFiles == 0 || f.FreeBytes <= 0 || f.TempBytes <= 0 {
		t.Errorf("Measure() = %+v; want the facts of this machine", f)
	}
	if len(f.Sleeps) != 3 || f.Receivers != nil || f.Capacity != 0 {
		t.Errorf("Measure() = %+v; want three sleeps, and nothing that the caller is to add", f)
	}
	for d, took := range f.Sleeps {
		if took < 0 || took > time.Minute {
			t.Errorf("a sleep of %v took %v", d, took)
		}
	}
	if n := freeBytes(filepath.Join(t.TempDir(), "none")); n != -1 {
		t.Errorf("freeBytes of no folder = %d; want -1", n)
	}
}
