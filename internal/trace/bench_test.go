package trace

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"

	"github.com/f3f4c0de/harness/internal/core"
)

// A prepared runs a call as the executor inline does, with a site and a worker that
// are there already.
type prepared struct {
	site   core.Site
	worker core.Worker
}

func (p *prepared) Submit(_ context.Context, c *core.Call) {
	c.Enter(&p.site)
	c.Run(&p.worker)
}
func (*prepared) Close() error { return nil }
func (*prepared) Stop(error)   {}

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
			ex := &prepared{worker: core.Worker{PID: 1}}
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
	ex := &prepared{site: core.Site{Observer: rec.Observer()}}
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

// counter is a real OTLP receiver that counts.
type counter struct {
	coltracepb.UnimplementedTraceServiceServer
	spans atomic.Int64
}

func (c *counter) Export(_ context.Context, req *coltracepb.ExportTraceServiceRequest) (*coltracepb.ExportTraceServiceResponse, error) {
	for _, rs := range req.ResourceSpans {
		c.spans.Add(int64(countSpans(rs)))
	}
	return &coltracepb.ExportTraceServiceResponse{}, nil
}

func countSpans(rs *tracepb.ResourceSpans) (n int) {
	for _, ss := range rs.ScopeSpans {
		n += len(ss.Spans)
	}
	return n
}

// BenchmarkSend sends a file of spans to an OTLP receiver over gRPC, in the same
// process: the receiver's decoding is part of it.
func BenchmarkSend(b *testing.B) {
	const tasks = 30_000
	path := filepath.Join(b.TempDir(), "traces.jsonl")
	w, err := NewWriter(path)
	if err != nil {
		b.Fatal(err)
	}
	rec := newBenchTrial(b, w)
	rec.Begin()
	ex := &prepared{site: core.Site{Observer: rec.Observer()}}
	for range tasks {
		plainTask.Submit(rec.Context(b.Context()), ex, 0)
	}
	counts, err := rec.Export(b.Context(), 1, 1, nil)
	if err := errors.Join(err, w.Close()); err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	received := &counter{}
	srv := grpc.NewServer()
	coltracepb.RegisterTraceServiceServer(srv, received)
	go srv.Serve(l) // ends with Stop
	defer srv.Stop()
	target, err := ParseTarget("grpc://"+l.Addr().String(), Traces)
	if err != nil {
		b.Fatal(err)
	}
	sent := 0
	for b.Loop() {
		n, err := target.SendFile(b.Context(), path)
		if err != nil || n != counts.Total().Exported {
			b.Fatalf("SendFile() = %d, %v; want %d", n, err, counts.Total().Exported)
		}
		sent += n
	}
	if n := received.spans.Load(); n != int64(sent) {
		b.Errorf("%d spans were received of %d", n, sent)
	}
	b.ReportMetric(float64(sent)/b.Elapsed().Seconds(), "spans/s")
}
