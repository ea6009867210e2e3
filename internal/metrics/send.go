package metrics

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdoutmetric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/f3f4c0de/harness/internal/trace"
)

// sendTimeout bounds a delivery, unless the environment has a bound.
const sendTimeout = 10 * time.Second

func otlpExporter(ctx context.Context, t *trace.Target) (sdkmetric.Exporter, error) {
	if t.GRPC {
		opts := []otlpmetricgrpc.Option{
			otlpmetricgrpc.WithEndpoint(t.Host),
			otlpmetricgrpc.WithRetry(otlpmetricgrpc.RetryConfig{Enabled: false}),
		}
		if !t.HasTimeout() {
			opts = append(opts, otlpmetricgrpc.WithTimeout(sendTimeout))
		}
		if !t.Secure {
			opts = append(opts, otlpmetricgrpc.WithInsecure())
		}
		return otlpmetricgrpc.New(ctx, opts...)
	}
	opts := []otlpmetrichttp.Option{
		otlpmetrichttp.WithEndpoint(t.Host), otlpmetrichttp.WithURLPath(t.Path),
		otlpmetrichttp.WithRetry(otlpmetrichttp.RetryConfig{Enabled: false}),
	}
	if !t.HasTimeout() {
		opts = append(opts, otlpmetrichttp.WithTimeout(sendTimeout))
	}
	if !t.Secure {
		opts = append(opts, otlpmetrichttp.WithInsecure())
	}
	return otlpmetrichttp.New(ctx, opts...)
}

func consoleExporter(context.Context) (sdkmetric.Exporter, error) {
	return stdoutmetric.New(stdoutmetric.WithWriter(os.Stderr))
}

// A pipeline is an exporter with the reader that collects for it.
type pipeline struct {
	reader   *sdkmetric.ManualReader
	exporter sdkmetric.Exporter
	// pending was collected and is not delivered yet. With cumulative temporality
	// later values replace it; with delta temporality all of it must be delivered.
	pending []*metricdata.ResourceMetrics
}

func newPipeline(e sdkmetric.Exporter, more sdkmetric.Producer) *pipeline {
	return &pipeline{exporter: e, reader: sdkmetric.NewManualReader(
		sdkmetric.WithTemporalitySelector(e.Temporality), sdkmetric.WithAggregationSelector(e.Aggregation), sdkmetric.WithProducer(more))}
}

// push collects the metrics and delivers them. It returns how many series it
// collected, also with an error.
func (p *pipeline) push(ctx context.Context) (series int, err error) {
	if p.exporter.Temporality(sdkmetric.InstrumentKindCounter) == metricdata.CumulativeTemporality {
		p.pending = nil
	}
	rm := &metricdata.ResourceMetrics{}
	if err := p.reader.Collect(ctx, rm); err != nil {
		return 0, fmt.Errorf("collecting metrics: %w", err)
	}
	series = countSeries(rm)
	p.pending = append(p.pending, rm)
	for len(p.pending) > 0 {
		if err := p.exporter.Export(ctx, p.pending[0]); err != nil {
			return series, err
		}
		p.pending = p.pending[1:]
	}
	return series, nil
}

// Push sends the metrics to the OTLP receiver, if there is one. It returns the
// number of series, also with an error.
func (r *Recorder) Push(ctx context.Context) (series int, err error) {
	if r.otlp == nil {
		return 0, nil
	}
	return r.otlp.push(ctx)
}

// Print writes the metrics to standard error, if they are to go there, in the
// form of the Go SDK.
func (r *Recorder) Print(ctx context.Context) error {
	if r.console == nil {
		return nil
	}
	_, err := r.console.push(ctx)
	return err
}

// Refused reports whether an error of Push says that the receiver takes no
// metrics at all, such as Jaeger.
func Refused(err error) bool {
	return err != nil && (status.Code(err) == codes.Unimplemented || strings.Contains(err.Error(), fmt.Sprintf(": %d %s (", http.StatusNotFound, http.StatusText(http.StatusNotFound))))
}

// countSeries counts the data points.
func countSeries(rm *metricdata.ResourceMetrics) (n int) {
	for _, sm := range rm.ScopeMetrics {
		for _, m := range sm.Metrics {
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				n += len(d.DataPoints)
			case metricdata.Sum[float64]:
				n += len(d.DataPoints)
			case metricdata.Gauge[float64]:
				n += len(d.DataPoints)
			case metricdata.Histogram[float64]:
				n += len(d.DataPoints)
			case metricdata.ExponentialHistogram[float64]:
				n += len(d.DataPoints)
			}
		}
	}
	return n
}
