package core

import (
	"context"
	"strings"
	"testing"
)

// A nil context panics in the caller, with the name of the function, and not in the
// worker.
func TestSubmitWithoutContext(t *testing.T) {
	task := NewTask("task", func(_ context.Context, n int) (int, error) { return n, nil })
	var none context.Context
	submits := map[string]func(){
		"Submit":      func() { task.Submit(none, nil, 1) },
		"SubmitBatch": func() { task.SubmitBatch(none, nil, []int{1}) },
	}
	for name, submit := range submits {
		func() {
			defer func() {
				if v := recover(); v == nil {
					t.Errorf("%s without a context did not panic", name)
				}
			}()
			submit()
		}()
	}
}

// NewTask refuses a name that a report cannot show.
func TestNames(t *testing.T) {
	for _, tt := range []struct{ name, want string }{
		{"naïve task / № 7", ""},
		{"task" + BatchSuffix, ""},
		{strings.Repeat("n", maxName), ""},
		{"", "needs a name"},
		{strings.Repeat("n", maxName+1), "1025 bytes"},
		{"a\nb", `"a\nb", which has a control character`},
		{"a\x00", "control character"},
		{"a\x7f", "control character"},
		{"a\xff", "UTF-8"},
	} {
		func() {
			defer func() {
				if v, _ := recover().(string); (v == "") != (tt.want == "") || !strings.Contains(v, tt.want) {
					t.Errorf("NewTask(%.20q) panicked with %q; want %q", tt.name, v, tt.want)
				}
			}()
			NewTask(tt.name, func(context.Context, int) (int, error) { return 0, nil })
		}()
	}
}

func half(_ context.Context, n int) (int, error) { return n / 2, nil }

func TestIdentity(t *testing.T) {
	times := func(k int) func(context.Context, int) (int, error) {
		return func(_ context.Context, n int) (int, error) { return k * n, nil }
	}
	task := NewTask("half", half)
	for _, tt := range []struct {
		name  string
		other AnyTask
		want  bool
	}{
		{"the task", task, true},
		{"its copy", task.Idempotent(), true},
		{"declared once more", NewTask("half", half), true},
		{"another name", NewTask("halves", half), false},
		{"another function", NewTask("half", times(2)), false},
		{"other types", NewTask("half", func(_ context.Context, s string) (string, error) { return s, nil }), false},
		{"no task", (*Task[int, int])(nil), false},
	} {
		if got := task.Identity().Is(tt.other.Identity()); got != tt.want {
			t.Errorf("%s: Is() = %v; want %v", tt.name, got, tt.want)
		}
	}
	if NewTask("times", times(2)).Identity().Is(NewTask("times", times(3)).Identity()) {
		t.Error("two closures of one function with different variables are the same task; want that they are not")
	}
}

func TestStateString(t *testing.T) {
	for s, want := range map[State]string{Pending: "pending", Cancelled: "cancelled", 4: "State(4)", 9: "State(9)"} {
		if got := s.String(); got != want {
			t.Errorf("State(%d).String() = %q; want %q", uint8(s), got, want)
		}
	}
}
