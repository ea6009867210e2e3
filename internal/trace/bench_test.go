package trace

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/f3f4c0de/harness"
)

// A prepared runs a call as the executor inline does, with a site and a worker that
// are there already.
type prepared struct {
	site   harness.Site
	worker harness.Worker
}

func (p *prepared) Submit(_ context.Context, c *harness.Call) {
	c.Enter(&p.site)
	c.Run(&p.worker)
}
func (*prepared) Close() error { return nil }

// BenchmarkTask is a task that does nothing, recorded and not: the difference is
// what recording costs the submitter and the worker together.
func BenchmarkTask(b *testing.B) {
	for _, recorded := range []bool{false, true} {
		name := "unobserved"
		if recorded {
			name = "recorded"
		}
		b.Run(name, func(b *testing.B) {
			ctx := b.Context()
			ex := &prepared{worker: harness.Worker{PID: 1}}
			if recorded {
				rec := newBenchTrial(b, nil)
				rec.Begin()
				ctx = rec.Context(ctx)
				ex.site.Observer = rec.Observer()
			}
			b.ReportAllocs()
			for b.Loop() {
				plainTask.Submit(ctx, ex, 0)
			}
		})
	}
}

func newBenchTrial(tb testing.TB, w *Writer) *Trial {
	tb.Helper()
	rec, err := NewTrial(tb.Context(), TrialConfig{
		Identity: Identity{RunID: "run", Role: "trial"}, Epoch: NewEpoch(), CellID: "w-b-w1", Workload: "w", Backend: "b", Workers: 1, Writer: w,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return rec
}

// BenchmarkExport writes the spans of recorded tasks to a file: three a task.
func BenchmarkExport(b *testing.B) {
	const tasks = 100_000
	w, err := NewWriter(filepath.Join(b.TempDir(), "traces.jsonl"))
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	rec := newBenchTrial(b, w)
	rec.Begin()
	ex := &prepared{site: harness.Site{Observer: rec.Observer()}}
	for range tasks {
		plainTask.Submit(rec.Context(b.Context()), ex, 0)
	}
	for b.Loop() {
		if err := w.file.Truncate(0); err != nil {
			b.Fatal(err)
		}
		if _, err := rec.Export(b.Context(), 1, 1, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(3*tasks*b.N)/b.Elapsed().Seconds(), "spans/s")
}
