package harness_test

import (
	"context"
	"testing"

	"github.com/f3f4c0de/harness"
)

// site is an executor that runs each call where it is submitted.
type site struct{ *harness.Site }

func (s site) Submit(_ context.Context, c *harness.Call) {
	c.Enter(s.Site)
	c.Run(&harness.Worker{PID: 1})
}
func (site) Close() error { return nil }

// An observer that does not look at the calls' times spares them their stamps,
// and sees the calls all the same.
func TestUntimedObserver(t *testing.T) {
	task := harness.NewTask("untimed", func(context.Context, int) (int, error) { return 1, nil })
	for _, timing := range []bool{false, true} {
		var seen []string
		obs := &harness.Observer{
			Untimed: true,
			Submit:  func(*harness.Call) { seen = append(seen, "submit") },
			Start:   func(ctx context.Context, _ *harness.Call) context.Context { seen = append(seen, "start"); return ctx },
			End:     func(*harness.Call, error) { seen = append(seen, "end") },
		}
		f := task.Submit(t.Context(), site{&harness.Site{Observer: obs, Timing: timing}}, 0)
		if len(seen) != 3 {
			t.Errorf("the observer saw %v; want submit, start and end", seen)
		}
		if stamped := f.Timing() != (harness.Timing{}); stamped != timing {
			t.Errorf("with Timing %v the call has the times %+v", timing, f.Timing())
		}
	}
}

// What an observer answers is in the task's context and in those derived from it;
// what it does not answer is the submitter's.
func TestObserverValue(t *testing.T) {
	type key string
	task := harness.NewTask("value", func(ctx context.Context, _ int) ([]any, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		return []any{ctx.Value(key("ours")), ctx.Value(key("theirs")), ctx.Value(key("nobody's")), harness.WorkerOf(ctx).PID}, nil
	})
	obs := &harness.Observer{Value: func(c *harness.Call, k any) any {
		if k == key("ours") {
			return c.Task()
		}
		return nil
	}}
	ctx := context.WithValue(t.Context(), key("theirs"), 2)
	got, err := task.Submit(ctx, site{&harness.Site{Observer: obs}}, 0).Wait(ctx)
	if err != nil || got[0] != "value" || got[1] != 2 || got[2] != nil || got[3] != 1 {
		t.Errorf("the context holds %v, %v; want value, 2, nil, 1", got, err)
	}
}
