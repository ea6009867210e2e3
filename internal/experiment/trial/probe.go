package trial

import (
	"encoding/json"
	"os"
	"os/signal"
	"runtime"

	"github.com/f3f4c0de/harness/internal/child"
	"github.com/f3f4c0de/harness/internal/machine"
	"github.com/f3f4c0de/harness/internal/results"
)

// serveProbe is the process of a probe.
func serveProbe() {
	signal.Ignore(os.Interrupt) // the runner decides
	_, out := child.Parent()
	m := results.Measured{GOMAXPROCS: runtime.GOMAXPROCS(0), PID: os.Getpid()}
	alone, together := machine.Capacity(m.GOMAXPROCS)
	m.AloneNS, m.TogetherNS = alone.Nanoseconds(), together.Nanoseconds()
	if err := json.NewEncoder(out).Encode(m); err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}
