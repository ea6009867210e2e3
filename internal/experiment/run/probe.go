package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/f3f4c0de/harness/internal/child"
	"github.com/f3f4c0de/harness/internal/experiment/trial"
	"github.com/f3f4c0de/harness/internal/results"
)

// probeTimeout bounds a probe, which takes some 50 ms where nothing disturbs it.
const probeTimeout = 30 * time.Second

func (r *runner) probe(ctx context.Context) (trial.Reply, error) {
	reply, err := Capacity(ctx, r.plan.Run.Machine.Cores)
	return trial.Reply{Measured: reply}, err
}

// Capacity measures in a process of its own how much work that many processors
// do at once: AloneNS and TogetherNS of the result.
func Capacity(ctx context.Context, processors int) (results.Measured, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, probeTimeout, fmt.Errorf("the probe did not end within %v", probeTimeout))
	defer cancel()
	var m results.Measured
	p, err := child.Command{Role: trial.ProbeRole, Env: []string{fmt.Sprintf("GOMAXPROCS=%d", processors)}, Group: true}.Start()
	if err != nil {
		return m, err
	}
	stop := context.AfterFunc(ctx, p.Kill)
	defer stop()
	err = json.NewDecoder(p.Out).Decode(&m)
	exit := p.End(trial.EndTimeout)
	switch {
	case ctx.Err() != nil:
		return m, context.Cause(ctx)
	case err != nil:
		return m, errors.New("the probe's process ended with " + exit.Cause)
	}
	return m, nil
}
