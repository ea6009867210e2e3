package trace

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// A Target is an OTLP receiver.
type Target struct {
	URL  string // as the user gave it
	grpc bool
	url  *url.URL
}

// ParseTarget understands http://HOST:PORT (OTLP over HTTP, to /v1/traces
// unless a path is given) and grpc://HOST:PORT; with TLS, https:// and
// grpcs://. An http URL with port 4317, where gRPC is spoken by convention, is
// taken for gRPC unless OTEL_EXPORTER_OTLP_PROTOCOL says otherwise.
func ParseTarget(s string) (Target, error) {
	u, err := url.Parse(s)
	if err == nil && (u.Host == "" || u.User != nil) {
		err = errors.New("it has no host")
	}
	if err != nil {
		return Target{}, fmt.Errorf("%q is not the URL of an OTLP receiver: %w; want http://localhost:4318 or grpc://localhost:4317", s, err)
	}
	t := Target{URL: s, url: u}
	switch u.Scheme {
	case "grpc", "grpcs":
		t.grpc = true
	case "http", "https":
		protocol := firstOf(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL"))
		t.grpc = protocol == "grpc" || protocol == "" && u.Port() == "4317"
	default:
		return Target{}, fmt.Errorf("%q is not the URL of an OTLP receiver: scheme %q; want http, https, grpc or grpcs", s, u.Scheme)
	}
	return t, nil
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// sendTimeout bounds the delivery of one batch, unless OTEL_EXPORTER_OTLP_TIMEOUT
// does.
const sendTimeout = 10 * time.Second

func hasTimeout() bool {
	return os.Getenv("OTEL_EXPORTER_OTLP_TIMEOUT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT") != ""
}

func (t Target) client() otlptrace.Client {
	secure := t.url.Scheme == "https" || t.url.Scheme == "grpcs"
	if t.grpc {
		opts := []otlptracegrpc.Option{
			otlptracegrpc.WithEndpoint(t.url.Host),
			otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{Enabled: false}),
		}
		if !hasTimeout() {
			opts = append(opts, otlptracegrpc.WithTimeout(sendTimeout))
		}
		if !secure {
			opts = append(opts, otlptracegrpc.WithInsecure())
		}
		return otlptracegrpc.NewClient(opts...)
	}
	opts := []otlptracehttp.Option{
		otlptracehttp.WithEndpoint(t.url.Host),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: false}),
	}
	if !hasTimeout() {
		opts = append(opts, otlptracehttp.WithTimeout(sendTimeout))
	}
	switch path := strings.TrimSuffix(t.url.Path, "/"); {
	case path == "":
		opts = append(opts, otlptracehttp.WithURLPath("/v1/traces"))
	case strings.HasSuffix(path, "/v1/traces"):
		opts = append(opts, otlptracehttp.WithURLPath(path))
	default:
		opts = append(opts, otlptracehttp.WithURLPath(path+"/v1/traces"))
	}
	if !secure {
		opts = append(opts, otlptracehttp.WithInsecure())
	}
	return otlptracehttp.NewClient(opts...)
}

// SendFile sends the spans of a file to the receiver and returns how many were
// delivered. It stops at the first batch that is not taken; sending the same
// file again then sends the first ones twice, which receivers keep as
// duplicates.
func (t Target) SendFile(ctx context.Context, path string) (sent int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	client := t.client()
	startCtx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	if err := client.Start(startCtx); err != nil {
		return 0, fmt.Errorf("connecting to %s: %w", t.URL, err)
	}
	defer func() {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTimeout)
		defer cancel()
		err = errors.Join(err, client.Stop(stopCtx))
	}()
	// A batch is decoded while the one before is under way.
	type batch struct {
		spans []*tracepb.ResourceSpans
		err   error
	}
	batches, enough := make(chan batch, 1), make(chan struct{})
	var decoding sync.WaitGroup
	decoding.Go(func() {
		defer close(batches)
		for spans, err := range ReadLines(f) {
			select {
			case batches <- batch{spans, err}:
			case <-enough:
				return
			}
		}
	})
	defer decoding.Wait()
	defer close(enough)
	for b := range batches {
		if b.err != nil {
			return sent, fmt.Errorf("%s: %w", path, b.err)
		}
		if err := client.UploadTraces(ctx, b.spans); err != nil { // within the client's timeout
			return sent, fmt.Errorf("sending spans to %s: %w", t.URL, err)
		}
		for _, rs := range b.spans {
			sent += countSpans(rs)
		}
	}
	return sent, nil
}
