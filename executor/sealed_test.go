package executor_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/f3f4c0de/harness/executor"
)

// What programs hold has the methods that this package declares, and none of the
// machinery behind it: what completes a call, changes a worker or answers a queue is not
// to be reached.
func TestSealed(t *testing.T) {
	for typ, want := range map[reflect.Type]string{
		reflect.TypeFor[*executor.Task[int, int]]():  "Idempotent Name Submit Timeout With",
		reflect.TypeFor[*executor.Future[int]]():     "Cancel Done Err OnDone State Timing Wait",
		reflect.TypeFor[*executor.Queue[int]]():      "All Close Get MarshalJSON Put UnmarshalJSON",
		reflect.TypeFor[*executor.Executor]():        "Backend Close Resize Shutdown Stats Stop Traits Warm",
		reflect.TypeFor[executor.TaskInfo]():         "Cancelled Context Name Timing",
		reflect.TypeFor[executor.WorkerInfo]():       "",
		reflect.TypeFor[*executor.Config]():          "",
		reflect.TypeFor[*executor.Observer]():        "",
		reflect.TypeFor[executor.Result[int, int]](): "",
	} {
		var got []string
		for m := range typ.Methods() {
			got = append(got, m.Name)
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("%v has the methods %v; want %s", typ, got, want)
		}
		s := typ
		if s.Kind() == reflect.Pointer {
			s = s.Elem()
		}
		for f := range s.Fields() {
			if f.IsExported() && strings.Contains(f.Type.String(), "core.") {
				t.Errorf("%v shows the field %s of type %v", typ, f.Name, f.Type)
			}
		}
	}
}
