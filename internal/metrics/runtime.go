package metrics

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/f3f4c0de/harness/internal/results"
)

// A runtimeProducer produces the metrics of the Go runtimes of the trials'
// processes, which the processes recorded themselves.
type runtimeProducer struct {
	mu      sync.Mutex
	metrics []metricdata.Metrics
	started time.Time
}

// add adds the points of a trial's processes.
func (p *runtimeProducer) add(points map[string][]results.Point, of []attribute.KeyValue) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.started.IsZero() {
		p.started = time.Now()
	}
	for process, all := range points {
		for _, point := range all {
			attrs := append([]attribute.KeyValue{keyProcess.String(process)}, of...)
			for k, v := range point.Attributes {
				attrs = append(attrs, attribute.String(k, v))
			}
			p.point(point, attribute.NewSet(attrs...))
		}
	}
}

// point adds a point to the metric of its name.
func (p *runtimeProducer) point(point results.Point, set attribute.Set) {
	var m *metricdata.Metrics
	for i := range p.metrics {
		if p.metrics[i].Name == point.Name {
			m = &p.metrics[i]
		}
	}
	if m == nil {
		p.metrics = append(p.metrics, metricdata.Metrics{Name: point.Name, Unit: point.Unit, Description: point.Doc})
		m = &p.metrics[len(p.metrics)-1]
	}
	if point.Bounds == nil {
		d, _ := m.Data.(metricdata.Sum[float64]) // zero at first
		d.Temporality, d.IsMonotonic = metricdata.CumulativeTemporality, point.Counter
		d.DataPoints = append(d.DataPoints, metricdata.DataPoint[float64]{Attributes: set, StartTime: p.started, Value: point.Value})
		m.Data = d
		return
	}
	d, _ := m.Data.(metricdata.Histogram[float64]) // zero at first
	d.Temporality = metricdata.CumulativeTemporality
	count := uint64(0)
	for _, n := range point.Counts {
		count += n
	}
	d.DataPoints = append(d.DataPoints, metricdata.HistogramDataPoint[float64]{
		Attributes: set, StartTime: p.started, Count: count, Sum: point.Value, Bounds: point.Bounds, BucketCounts: point.Counts,
	})
	m.Data = d
}

// Produce implements the SDK's Producer.
func (p *runtimeProducer) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.metrics == nil {
		return nil, nil
	}
	now := time.Now()
	all := make([]metricdata.Metrics, len(p.metrics))
	for i, m := range p.metrics {
		switch d := m.Data.(type) {
		case metricdata.Sum[float64]:
			d.DataPoints = append([]metricdata.DataPoint[float64](nil), d.DataPoints...)
			for k := range d.DataPoints {
				d.DataPoints[k].Time = now
			}
			m.Data = d
		case metricdata.Histogram[float64]:
			d.DataPoints = append([]metricdata.HistogramDataPoint[float64](nil), d.DataPoints...)
			for k := range d.DataPoints {
				d.DataPoints[k].Time = now
			}
			m.Data = d
		}
		all[i] = m
	}
	return []metricdata.ScopeMetrics{{Scope: instrumentation.Scope{Name: scope}, Metrics: all}}, nil
}
