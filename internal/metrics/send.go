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

// sendTimeout bounds a delivery, unless the environment does.
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

// An outlet is an exporter and the reader that collects for it.
type outlet struct {
	reader   *sdkmetric.ManualReader
	exporter sdkmetric.Exporter
	// pending is what was collected and not delivered. Cumulative values are
	// replaced by later ones; of those since the last collection, none may be
	// missing.
	pending []*metricdata.ResourceMetrics
}

func newOutlet(e sdkmetric.Exporter, more sdkmetric.Producer) *outlet {
	return &outlet{exporter: e, reader: sdkmetric.NewManualReader(
		sdkmetric.WithTemporalitySelector(e.Temporality), sdkmetric.WithAggregationSelector(e.Aggregation), sdkmetric.WithProducer(more))}
}

// push collects and delivers, and returns how many series were to be delivered.
func (o *outlet) push(ctx context.Context) (series int, err error) {
	if o.exporter.Temporality(sdkmetric.InstrumentKindCounter) == metricdata.CumulativeTemporality {
		o.pending = nil
	}
	rm := &metricdata.ResourceMetrics{}
	if err := o.reader.Collect(ctx, rm); err != nil {
		return 0, fmt.Errorf("collecting metrics: %w", err)
	}
	series = countSeries(rm)
	o.pending = append(o.pending, rm)
	for len(o.pending) > 0 {
		if err := o.exporter.Export(ctx, o.pending[0]); err != nil {
			return series, err
		}
		o.pending = o.pending[1:]
	}
	return series, nil
}

// Push sends the metrics to the OTLP receiver, if there is one, and returns how
// many series there are, delivered or not.
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
// metrics at all, as a Jaeger does.
func Refused(err error) bool {
	return err != nil && (status.Code(err) == codes.Unimplemented || strings.Contains(err.Error(), fmt.Sprintf(": %d %s (", http.StatusNotFound, http.StatusText(http.StatusNotFound))))
}

// countSeries counts what there is a value of.
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
