package trace

import (
	"bytes"
	"context"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel"

	"github.com/f3f4c0de/harness/internal/core"
	"github.com/f3f4c0de/harness/internal/results"
)

// Where the eleventh of a trial's tasks submits another.
const (
	nowhere   = "nowhere"
	inTask    = "in a task"
	inOwnSpan = "in a span of the program"
)

// foundRun is the folder of a run with the spans and the ledger of one trial, which
// has so many tasks that there are two traces.
func foundRun(t testing.TB, nested string) (dir string, records []results.TaskRecord) {
	t.Helper()
	t.Helper()
	dir = t.TempDir()
	w, err := NewWriter(filepath.Join(dir, results.TracesFile))
	if err != nil {
		t.Fatal(err)
	}
	rec := newBenchTrial(t, w)
	rec.Begin()
	ex := inline{rec.Observer()}
	outer := core.NewTask("outer", func(ctx context.Context, _ int) (int, error) {
		if nested == inOwnSpan {
			own, span := otel.Tracer("test").Start(ctx, "inside")
			defer span.End()
			ctx = own
		}
		return plainTask.Submit(ctx, ex, 0).Wait(ctx)
	})
	for i := range 1100 {
		if i == 10 && nested != nowhere {
			outer.Submit(rec.Context(t.Context()), ex, 0)
		}
		plainTask.Submit(rec.Context(t.Context()), ex, 0)
	}
	if _, err := rec.Export(t.Context(), 1, 1, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := results.Create(filepath.Join(dir, "new"), &results.Run{Schema: results.Schema})
	if err != nil {
		t.Fatal(err)
	}
	records = rec.Tasks(results.MaxTasks)
	tasks := make([]results.LedgerTask, len(records))
	for i, r := range records {
		tasks[i].TaskRecord = r
	}
	if err := f.AddLedger(&results.Ledger{Cell: "w-b-w1", TraceID: rec.TraceID()}, tasks); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{results.LedgerFile, results.LedgerDir} {
		if err := os.Rename(filepath.Join(dir, "new", name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir, records
}

// The ledger and the spans say the same of a span. Where the ledger has not all
// that is below it, the spans are read.
func TestFind(t *testing.T) {
	for _, nested := range []string{nowhere, inTask, inOwnSpan} {
		t.Run(nested, func(t *testing.T) {
			apart := nested == inOwnSpan
			dir, records := foundRun(t, nested)
			tree, err := readTree(filepath.Join(dir, results.TracesFile))
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range []results.TaskRecord{records[0], records[10], records[11], records[1050]} {
				for id, descendants := range map[string]int{r.SpanID: 3, r.RunSpanID: 1} {
					if r.Task == "outer" {
						descendants += 3
						if apart {
							descendants++
						}
					}
					want, err := tree.find(id)
					if err != nil || len(want.Below) != descendants || want.Task != r.Number || want.Cell != "w-b-w1" {
						t.Errorf("the spans have %s as %+v, %v; want task %d with %d spans", id, want, err, r.Number, descendants)
					}
					found, err := findRecord(dir, id)
					switch {
					case err != nil || (found == nil) != apart:
						t.Errorf("the ledger has %s as %+v, %v; want it to know all but spans of the program", id, found, err)
					case !apart:
						// A queue has no samples, and no place in the ledger.
						maps.DeleteFunc(want.Below, func(id string, _ bool) bool { return tree[id].name == "queue" })
						if d := cmp.Diff(want, found); d != "" {
							t.Errorf("of %s the ledger says otherwise (-spans +ledger):\n%s", id, d)
						}
					}
					if got, err := Find(dir, strings.ToUpper(id)); err != nil || got.ID != id || got.Task != r.Number {
						t.Errorf("Find(%s) = %+v, %v", id, got, err)
					}
				}
			}
		})
	}
}

func TestFindRefuses(t *testing.T) {
	dir, records := foundRun(t, nowhere)
	for id, says := range map[string]string{
		"abc": "4 of them will do", "xyzxyz": "hexadecimal", "0123456789abcdef0": "there is no span", "0000000000000000": "there is no span",
	} {
		if found, err := Find(dir, id); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("Find(%q) = %+v, %v; want an error that says %q", id, found, err, says)
		}
	}
	if found, err := Find(dir, records[3].SpanID[:12]); err != nil || found.ID != records[3].SpanID {
		t.Errorf("by its beginning Find gives %+v, %v; want task 4", found, err)
	}
	first := strings.Repeat("0", leastID-1)
	taken := make(map[string]bool)
	for _, r := range records {
		if taken[r.SpanID[:leastID]] {
			first = r.SpanID[:leastID]
		}
		taken[r.SpanID[:leastID]] = true
	}
	if len(first) == leastID {
		if found, err := Find(dir, first); err == nil || !strings.Contains(err.Error(), "not the only one") {
			t.Errorf("Find(%q) = %+v, %v; want that several begin so", first, found, err)
		}
	}
	// A run of an older harness has no ids of functions in its ledger.
	path := filepath.Join(dir, results.LedgerDir, "w-b-w1.ndjson")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.ReplaceAll(b, []byte("run_span_id"), []byte("unknown")), 0o666); err != nil {
		t.Fatal(err)
	}
	if found, err := Find(dir, records[3].SpanID); err != nil || !found.Below[records[3].RunSpanID] {
		t.Errorf("in an older run Find gives %+v, %v; want the task with its function", found, err)
	}
}

// BenchmarkFind looks up a task of a run by its whole id, which the ledger has, and
// by a part of it, for which the spans are read.
func BenchmarkFind(b *testing.B) {
	dir, records := foundRun(b, nowhere)
	for name, id := range map[string]string{"whole": records[500].SpanID, "part": records[500].SpanID[:15]} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := Find(dir, id); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
