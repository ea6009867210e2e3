package experiment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"time"

	"github.com/f3f4c0de/harness/internal/child"
	"github.com/f3f4c0de/harness/internal/machine"
	"github.com/f3f4c0de/harness/internal/results"
)

// probeRole is the process that measures how much runs at once. It is a process
// of its own for the same reasons as a trial is.
const probeRole = "probe"

// probeTimeout bounds a probe, which takes some 50 ms where nothing disturbs it.
const probeTimeout = 30 * time.Second

func (r *runner) probe(ctx context.Context) (trialReply, error) {
	reply, err := Capacity(ctx, r.plan.Run.Machine.Cores)
	return trialReply{Measured: reply}, err
}

// Capacity measures in a process of its own how much work that many processors
// do at once: AloneNS and TogetherNS of the result.
func Capacity(ctx context.Context, processors int) (results.Measured, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, probeTimeout, fmt.Errorf("the probe did not end within %v", probeTimeout))
	defer cancel()
	var m results.Measured
	p, err := child.Command{Role: probeRole, Env: []string{fmt.Sprintf("GOMAXPROCS=%d", processors)}, Group: true}.Start()
	if err != nil {
		return m, err
	}
	stop := context.AfterFunc(ctx, p.Kill)
	defer stop()
	err = json.NewDecoder(p.Out).Decode(&m)
	exit := p.End(endTimeout)
	switch {
	case ctx.Err() != nil:
		return m, context.Cause(ctx)
	case err != nil:
		return m, errors.New("the probe's process ended with " + exit.Cause)
	}
	return m, nil
}

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
