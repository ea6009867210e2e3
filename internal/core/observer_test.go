package core_test

import (
	"context"
	"testing"

	"github.com/f3f4c0de/harness/internal/core"
)

// site is an executor that runs each call where it is submitted.
type site struct{ *core.Site }

func (s site) Submit(_ context.Context, c *core.Call) {
	c.Enter(s.Site)
	c.Run(&core.Worker{PID: 1})
}
func (site) Close() error { return nil }
func (site) Stop(error)   {}

// With an untimed observer calls are not stamped, and the observer still sees them.
func TestUntimedObserver(t *testing.T) {
	task := core.NewTask("untimed", func(context.Context, int) (int, error) { return 1, nil })
	for _, timing := range []bool{false, true} {
		var seen []string
		obs := &core.Observer{
			Untimed: true,
			Submit:  func(*core.Call) { seen = append(seen, "submit") },
			Start:   func(ctx context.Context, _ *core.Call) context.Context { seen = append(seen, "start"); return ctx },
			End:     func(*core.Call, error) { seen = append(seen, "end") },
		}
		f := task.Submit(t.Context(), site{&core.Site{Observer: obs, Timing: timing}}, 0)
		if len(seen) != 3 {
			t.Errorf("the observer saw %v; want submit, start and end", seen)
		}
		if stamped := f.Timing() != (core.Timing{}); stamped != timing {
			t.Errorf("with Timing %v the call has the times %+v", timing, f.Timing())
		}
	}
}

// A value that Observer.Value returns is in the task's context and in contexts derived
// from it; for other keys the submitter's context is asked.
func TestObserverValue(t *testing.T) {
	type key string
	task := core.NewTask("value", func(ctx context.Context, _ int) ([]any, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		return []any{ctx.Value(key("ours")), ctx.Value(key("theirs")), ctx.Value(key("nobody's")), core.WorkerOf(ctx).PID}, nil
	})
	obs := &core.Observer{Value: func(c *core.Call, k any) any {
		if k == key("ours") {
			return c.Task()
		}
		return nil
	}}
	ctx := context.WithValue(t.Context(), key("theirs"), 2)
	got, err := task.Submit(ctx, site{&core.Site{Observer: obs}}, 0).Wait(ctx)
	if err != nil || got[0] != "value" || got[1] != 2 || got[2] != nil || got[3] != 1 {
		t.Errorf("the context holds %v, %v; want value, 2, nil, 1", got, err)
	}
}
