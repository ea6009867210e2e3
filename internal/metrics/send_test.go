package metrics

import (
	"compress/gzip"
	"context"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	colmetricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/f3f4c0de/harness/internal/report"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/trace"
)

// A receiver receives metrics over gRPC and HTTP.
type receiver struct {
	colmetricspb.UnimplementedMetricsServiceServer
	mu   sync.Mutex
	got  []*colmetricspb.ExportMetricsServiceRequest
	down bool
}

func (r *receiver) Export(_ context.Context, req *colmetricspb.ExportMetricsServiceRequest) (*colmetricspb.ExportMetricsServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, req)
	return &colmetricspb.ExportMetricsServiceResponse{}, nil
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body := io.Reader(req.Body)
	if req.Header.Get("Content-Encoding") == "gzip" {
		var err error
		if body, err = gzip.NewReader(req.Body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	b, err := io.ReadAll(body)
	m := new(colmetricspb.ExportMetricsServiceRequest)
	r.mu.Lock()
	down := r.down
	r.mu.Unlock()
	if err != nil || proto.Unmarshal(b, m) != nil || req.URL.Path != "/base/v1/metrics" || down {
		http.Error(w, "no", http.StatusBadRequest)
		return
	}
	_, _ = r.Export(req.Context(), m) // never fails
}

// values returns the sums of a counter in a request, by cell.
func values(req *colmetricspb.ExportMetricsServiceRequest, name string) map[string]float64 {
	all := make(map[string]float64)
	for _, rm := range req.ResourceMetrics {
		for _, sm := range rm.ScopeMetrics {
			for _, m := range sm.Metrics {
				if m.Name != name {
					continue
				}
				for _, p := range m.GetSum().GetDataPoints() {
					for _, a := range p.Attributes {
						if a.Key == "cell" {
							all[a.Value.GetStringValue()] += float64(p.GetAsInt()) + p.GetAsDouble()
						}
					}
				}
			}
		}
	}
	return all
}

func find(req *colmetricspb.ExportMetricsServiceRequest, name string) *metricspb.Metric {
	for _, rm := range req.ResourceMetrics {
		for _, sm := range rm.ScopeMetrics {
			for _, m := range sm.Metrics {
				if m.Name == name {
					return m
				}
			}
		}
	}
	return nil
}

func target(t *testing.T, url string) *trace.Target {
	t.Helper()
	got, err := trace.ParseTarget(url, trace.Metrics)
	if err != nil {
		t.Fatal(err)
	}
	return &got
}

// Over gRPC and over HTTP everything arrives, with exemplars and resource.
func TestPush(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "")
	overGRPC, overHTTP := &receiver{}, &receiver{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	colmetricspb.RegisterMetricsServiceServer(srv, overGRPC)
	go srv.Serve(l) // ends with Stop
	defer srv.Stop()
	web := httptest.NewServer(overHTTP)
	defer web.Close()
	d := records()
	for url, to := range map[string]*receiver{"grpc://" + l.Addr().String(): overGRPC, web.URL + "/base": overHTTP} {
		r := newRecorder(t, d, trace.Destination{OTLP: target(t, url)})
		r.Update(d, report.Build(d))
		n, err := r.Push(t.Context())
		if err != nil || n < 50 || len(to.got) != 1 {
			t.Fatalf("Push to %s = %d, %v, with %d requests received; want many series in one", url, n, err, len(to.got))
		}
		if got := values(to.got[0], "harness.tasks"); got["w-processes-w2"] != 6 || got["w-sequential-w1"] != 6 {
			t.Errorf("%s received the tasks %v; want 6 of each cell", url, got)
		}
		h := find(to.got[0], "harness.task.run").GetHistogram().GetDataPoints()
		if len(h) != 2 || len(h[0].Exemplars) != 2 || hex.EncodeToString(h[0].Exemplars[0].TraceId) != traceID {
			t.Errorf("%s received the histogram %v; want two cells, with two exemplars of the trace", url, h)
		}
		if find(to.got[0], "go.schedule.duration") == nil || find(to.got[0], "process.cpu.time") == nil {
			t.Errorf("%s received nothing about the processes", url)
		}
		if a := to.got[0].ResourceMetrics[0].Resource.Attributes; !slices.ContainsFunc(a, func(kv *commonpb.KeyValue) bool { return kv.Value.GetStringValue() == "r1" }) {
			t.Errorf("the resource is %v; want the run's id in it", a)
		}
	}
}

// What was not delivered is delivered with the next push, both with delta and with
// cumulative temporality.
func TestPushAgain(t *testing.T) {
	for preference, want := range map[string]float64{"cumulative": 2 + 4, "delta": 4} {
		t.Run(preference, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", preference)
			to := &receiver{}
			web := httptest.NewServer(to)
			defer web.Close()
			d := records()
			r := newRecorder(t, d, trace.Destination{OTLP: target(t, web.URL+"/base")})
			// Two tasks of the first trial, then two of the second, and two that were
			// traced.
			part := &results.Data{Run: d.Run, Trials: d.Trials[:1]}
			r.Update(part, report.Build(part))
			if _, err := r.Push(t.Context()); err != nil {
				t.Fatal(err)
			}
			part = &results.Data{Run: d.Run, Trials: d.Trials[:2]}
			r.Update(part, report.Build(part))
			to.down = true
			if n, err := r.Push(t.Context()); err == nil || n == 0 || Refused(err) {
				t.Fatalf("Push to a receiver that is down = %d, %v; want an error", n, err)
			}
			to.down = false
			part = &results.Data{Run: d.Run, Trials: d.Trials[:2], Timelines: d.Timelines[:1]}
			r.Update(part, report.Build(part))
			if _, err := r.Push(t.Context()); err != nil {
				t.Fatal(err)
			}
			var after float64
			for _, req := range to.got[1:] {
				if preference == "cumulative" {
					after = 0
				}
				after += values(req, "harness.tasks")["w-sequential-w1"]
			}
			if after != want {
				t.Errorf("after the first delivery %v tasks arrived in %d requests; want %v", after, len(to.got)-1, want)
			}
		})
	}
}

// Refused distinguishes a receiver of spans only from one that is down.
func TestRefused(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	go srv.Serve(l) // ends with Stop
	defer srv.Stop()
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "404 Not Found", http.StatusInternalServerError)
	}))
	defer broken.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := gone.Addr().String()
	gone.Close()
	d := records()
	for url, want := range map[string]bool{
		"grpc://" + l.Addr().String(): true, web.URL: true, broken.URL: false, "http://" + nobody: false, "grpc://" + nobody: false,
	} {
		r := newRecorder(t, d, trace.Destination{OTLP: target(t, url)})
		r.Update(d, report.Build(d))
		n, err := r.Push(t.Context())
		if err == nil || n == 0 || Refused(err) != want {
			t.Errorf("Push to %s = %d, %v, refused %v; want an error, refused %v", url, n, err, Refused(err), want)
		}
	}
}
