package trace

import (
	"compress/gzip"
	"context"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // as a receiver has it
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// aRun writes the spans of a trial without tasks to a file.
func aRun(t *testing.T) (path string) {
	t.Helper()
	rec := newTestTrial(t, "")
	rec.Begin()
	_, path = export(t, rec)
	return path
}

// send sends a file as the environment says.
func send(t *testing.T, path string) (int, error) {
	t.Helper()
	d, _, err := FromEnv("")
	if err != nil || d.OTLP == nil {
		t.Fatalf("FromEnv() = %+v, %v; want a receiver", d, err)
	}
	return d.OTLP.SendFile(t.Context(), path)
}

// aGRPC is a receiver that answers as answer says.
type aGRPC struct {
	coltracepb.UnimplementedTraceServiceServer
	answer func(ctx context.Context) (*coltracepb.ExportTraceServiceResponse, error)
}

func (a aGRPC) Export(ctx context.Context, _ *coltracepb.ExportTraceServiceRequest) (*coltracepb.ExportTraceServiceResponse, error) {
	return a.answer(ctx)
}

func serveGRPC(t *testing.T, answer func(ctx context.Context) (*coltracepb.ExportTraceServiceResponse, error)) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	coltracepb.RegisterTraceServiceServer(srv, aGRPC{answer: answer})
	var served sync.WaitGroup
	served.Go(func() { _ = srv.Serve(l) }) // ends with Stop
	t.Cleanup(func() { srv.Stop(); served.Wait() })
	return "grpc://" + l.Addr().String()
}

// Headers, compression and certificates are those of the environment.
func TestSendingFollowsEnvironment(t *testing.T) {
	path := aRun(t)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-token=a%20b")
	t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")

	var got http.Header
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		in, err := gzip.NewReader(r.Body)
		if err == nil {
			_, err = io.Copy(io.Discard, in)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	secure := httptest.NewUnstartedServer(handler)
	secure.Config.ErrorLog = nil
	secure.StartTLS()
	defer secure.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", secure.URL)
	if n, err := send(t, path); err == nil || n != 0 || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("sending to one that is not trusted = %d, %v; want an error about its certificate", n, err)
	}
	cert := filepath.Join(t.TempDir(), "cert.pem")
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	if err := os.WriteFile(cert, b, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", cert)
	if n, err := send(t, path); n != 1 || err != nil || got.Get("X-Token") != "a b" || got.Get("Content-Encoding") != "gzip" {
		t.Errorf("sending over HTTPS = %d, %v with the headers %v; want 1 span, compressed, with the token", n, err, got)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", "")

	var token, encoding []string
	url := serveGRPC(t, func(ctx context.Context) (*coltracepb.ExportTraceServiceResponse, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		token, encoding = md.Get("x-token"), md.Get("grpc-accept-encoding")
		return &coltracepb.ExportTraceServiceResponse{}, nil
	})
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
	if n, err := send(t, path); n != 1 || err != nil || len(token) != 1 || token[0] != "a b" {
		t.Errorf("sending over gRPC = %d, %v with the token %v, %v; want 1 span with the token", n, err, token, encoding)
	}
}

// If a receiver does not accept spans, the error says why. A receiver that does not answer is
// waited for only as long as the environment says.
func TestSendingFails(t *testing.T) {
	path := aRun(t)
	partial := &coltracepb.ExportTraceServiceResponse{PartialSuccess: &coltracepb.ExportTracePartialSuccess{RejectedSpans: 1, ErrorMessage: "too old"}}
	hang := make(chan struct{})
	defer close(hang)
	over := func(h http.HandlerFunc) func(t *testing.T) string {
		return func(t *testing.T) string {
			srv := httptest.NewServer(h)
			t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
			return srv.URL
		}
	}
	rpc := func(answer func(context.Context) (*coltracepb.ExportTraceServiceResponse, error)) func(t *testing.T) string {
		return func(t *testing.T) string { return serveGRPC(t, answer) }
	}
	for _, tt := range []struct {
		name  string
		serve func(t *testing.T) string
		want  string
	}{
		{"HTTP 401", over(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "who are you", http.StatusUnauthorized) }), "who are you"},
		{"HTTP 404", over(http.NotFound), "404"},
		{"HTTP 503", over(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "full", http.StatusServiceUnavailable) }), "full"},
		{"HTTP partial success", over(func(w http.ResponseWriter, _ *http.Request) {
			b, _ := proto.Marshal(partial)
			w.Header().Set("Content-Type", "application/x-protobuf")
			w.Write(b)
		}), "too old"},
		{"HTTP hangs", over(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			select {
			case <-hang:
			case <-r.Context().Done():
			}
		}), "eadline exceeded"},
		{"gRPC unauthenticated", rpc(func(context.Context) (*coltracepb.ExportTraceServiceResponse, error) {
			return nil, status.Error(codes.Unauthenticated, "who are you")
		}), "who are you"},
		{"gRPC partial success", rpc(func(context.Context) (*coltracepb.ExportTraceServiceResponse, error) { return partial, nil }), "too old"},
		{"gRPC hangs", rpc(func(ctx context.Context) (*coltracepb.ExportTraceServiceResponse, error) {
			select {
			case <-hang:
			case <-ctx.Done():
			}
			return nil, ctx.Err()
		}), "eadline"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "5000")
			if strings.HasSuffix(tt.name, "hangs") {
				t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "50")
			}
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", tt.serve(t))
			if n, err := send(t, path); n != 0 || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("SendFile = %d, %v; want 0 and an error that says %q", n, err, tt.want)
			}
		})
	}
}
