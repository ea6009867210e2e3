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

// runTrial makes one trial in a fresh process of a program, this one if it is
// empty, and returns what that found out.
// When ctx ends, the process and all that it has started are killed.
func (r *runner) runTrial(ctx context.Context, program string, order trial.Order, gomaxprocs int, timeout time.Duration) (trial.Reply, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("the trial did not end within %v", timeout))
	defer cancel()
	env := []string{}
	if gomaxprocs > 0 {
		env = append(env, fmt.Sprintf("GOMAXPROCS=%d", gomaxprocs))
	}
	p, err := child.Command{Role: trial.Role, Path: program, Env: env, Group: true}.Start()
	if err != nil {
		return trial.Reply{}, err
	}
	stop := context.AfterFunc(ctx, p.Kill)
	defer stop()
	var reply trial.Reply
	err = json.NewEncoder(p.In).Encode(order)
	if err == nil {
		err = json.NewDecoder(p.Out).Decode(&reply)
	}
	// It may still have workers to end. A kill reaches those as well, and
	// what a trial that failed has left behind.
	exit := p.End(trial.EndTimeout)
	lost := ""
	if order.Kind == results.Traced {
		lost = "; the spans that it had recorded went with it"
	}
	switch {
	case ctx.Err() != nil:
		return reply, fmt.Errorf("%w%s", context.Cause(ctx), lost)
	case err != nil:
		cause := fmt.Errorf("the trial's process ended with %s before it had a result%s", exit.Cause, lost)
		if exit.Stderr != "" {
			cause = fmt.Errorf("%w; its standard error ended with:\n%s", cause, exit.Stderr)
		}
		return reply, cause
	case reply.Error != "":
		return reply, errors.New(reply.Error)
	case exit.Code != 0:
		return reply, fmt.Errorf("the trial's process ended with %s\n%s", exit.Cause, exit.Stderr)
	}
	return reply, nil
}
