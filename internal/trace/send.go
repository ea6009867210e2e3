package trace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A Signal is a kind of telemetry, as the variables and paths of OTLP name it.
type Signal string

// The signals that a run has.
const (
	Traces  Signal = "traces"
	Metrics Signal = "metrics"
)

// env returns the value of an OTEL_EXPORTER_OTLP_ variable, that of the signal
// before that of all.
func (s Signal) env(name string) string {
	const prefix = "OTEL_EXPORTER_OTLP_"
	return firstOf(os.Getenv(prefix+strings.ToUpper(string(s))+"_"+name), os.Getenv(prefix+name))
}

// A Target is an OTLP receiver of one signal.
type Target struct {
	URL    string // as the user gave it
	Host   string // with the port
	Path   string // over HTTP
	GRPC   bool
	Secure bool
	signal Signal
}

// ParseTarget understands http://HOST:PORT (OTLP over HTTP, to /v1/ and the
// signal, below the path if one is given) and grpc://HOST:PORT; with TLS,
// https:// and grpcs://. An http URL with port 4317, where gRPC is spoken by
// convention, is taken for gRPC unless OTEL_EXPORTER_OTLP_PROTOCOL says
// otherwise.
func ParseTarget(s string, signal Signal) (Target, error) {
	u, err := url.Parse(s)
	if err == nil && (u.Host == "" || u.User != nil) {
		err = errors.New("it has no host")
	}
	if err != nil {
		return Target{}, fmt.Errorf("%q is not the URL of an OTLP receiver: %w; want http://localhost:4318 or grpc://localhost:4317", s, err)
	}
	t := Target{URL: s, Host: u.Host, signal: signal, Secure: u.Scheme == "https" || u.Scheme == "grpcs"}
	switch u.Scheme {
	case "grpc", "grpcs":
		t.GRPC = true
	case "http", "https":
		protocol := signal.env("PROTOCOL")
		t.GRPC = protocol == "grpc" || protocol == "" && u.Port() == "4317"
	default:
		return Target{}, fmt.Errorf("%q is not the URL of an OTLP receiver: scheme %q; want http, https, grpc or grpcs", s, u.Scheme)
	}
	t.Path = strings.TrimSuffix(u.Path, "/")
	if own := "/v1/" + string(signal); !strings.HasSuffix(t.Path, own) {
		t.Path += own
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

// HasTimeout reports whether the environment says how long a delivery may take.
func (t Target) HasTimeout() bool { return t.signal.env("TIMEOUT") != "" }

func (t Target) client() otlptrace.Client {
	if t.GRPC {
		opts := []otlptracegrpc.Option{
			otlptracegrpc.WithEndpoint(t.Host),
			otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{Enabled: false}),
		}
		if !t.HasTimeout() {
			opts = append(opts, otlptracegrpc.WithTimeout(sendTimeout))
		}
		if !t.Secure {
			opts = append(opts, otlptracegrpc.WithInsecure())
		}
		return otlptracegrpc.NewClient(opts...)
	}
	opts := []otlptracehttp.Option{
		otlptracehttp.WithEndpoint(t.Host), otlptracehttp.WithURLPath(t.Path),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: false}),
	}
	if !t.HasTimeout() {
		opts = append(opts, otlptracehttp.WithTimeout(sendTimeout))
	}
	if !t.Secure {
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
	batches, enough := make(chan batch, 1), make(chan struct{})
	var decoding sync.WaitGroup
	decoding.Go(func() {
		defer close(batches)
		for b := range decoded(f) {
			select {
			case batches <- b:
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
		if err := client.UploadTraces(ctx, b.message); err != nil { // within the client's timeout
			return sent, fmt.Errorf("sending spans to %s: %w", t.URL, err)
		}
		sent += b.spans
	}
	return sent, nil
}

// A batch is what is sent at a time: a line.
type batch struct {
	message []*tracepb.ResourceSpans
	spans   int
	err     error
}

// decoded yields the batches of a file of spans; one with an error is the last.
func decoded(r io.Reader) iter.Seq[batch] {
	return func(yield func(batch) bool) {
		for traces, err := range ReadLines(r) {
			b := batch{err: err}
			if err == nil {
				b.spans = traces.SpanCount()
				b.message, b.err = message(traces)
			}
			if !yield(b) || b.err != nil {
				return
			}
		}
	}
}

// message returns spans as the official exporter wants them.
func message(traces ptrace.Traces) ([]*tracepb.ResourceSpans, error) {
	b, err := new(ptrace.ProtoMarshaler).MarshalTraces(traces)
	if err != nil {
		return nil, err
	}
	var data tracepb.TracesData
	err = proto.Unmarshal(b, &data)
	return data.ResourceSpans, err
}
