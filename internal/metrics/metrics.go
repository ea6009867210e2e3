// Package metrics turns the records of a run into OpenTelemetry metrics: as
// OpenMetrics text in the run's folder, and over OTLP for collectors.
//
// It measures nothing: values come from records that exist already. So metrics can
// be made at any time, also of a run that ended long ago, and be sent again if a
// collector missed them.
//
// To add a metric, add it to the list of instruments.
package metrics

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"go.opentelemetry.io/otel/attribute"
	promexporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/sdk/resource"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/f3f4c0de/harness/internal/report"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/stats"
	"github.com/f3f4c0de/harness/internal/trace"
)

// scope is the instrumentation scope of every metric of this package.
const scope = "github.com/f3f4c0de/harness/internal/metrics"

// A Recorder holds the metrics of one run. It is not safe for concurrent use.
// The caller must call Close.
type Recorder struct {
	provider *sdkmetric.MeterProvider
	registry *prometheus.Registry
	otlp     *pipeline // nil if metrics are not sent
	console  *pipeline // nil if metrics are not printed
	runtime  runtimeProducer

	recorders map[*instrument]func(context.Context, float64, attribute.Set) // of counters and histograms

	mu     sync.Mutex // guards gauges: the SDK's callbacks read them
	gauges map[*instrument][]gaugeValue

	trials, timelines int             // how many of these records were recorded already
	ledgers           map[string]bool // cells whose ledger was recorded already
}

// A gaugeValue is a value of a gauge, with its attributes.
type gaugeValue struct {
	value float64
	set   attribute.Set
}

// New returns a Recorder without any values. to says where Push and Print send
// them.
func New(ctx context.Context, run *results.Run, to trace.Destination) (*Recorder, error) {
	r := &Recorder{
		registry: prometheus.NewRegistry(), ledgers: make(map[string]bool),
		recorders: make(map[*instrument]func(context.Context, float64, attribute.Set)), gauges: make(map[*instrument][]gaugeValue),
	}
	res, err := resource.New(ctx,
		resource.WithSchemaURL(semconv.SchemaURL),
		resource.WithTelemetrySDK(),
		resource.WithAttributes(semconv.ServiceName("harness"), semconv.ServiceVersion(run.Version.Harness), semconv.ServiceInstanceID(run.ID)),
		resource.WithFromEnv(),
	)
	if res == nil {
		return nil, fmt.Errorf("describing the run for its metrics: %w", err)
	}
	text, err := promexporter.New(promexporter.WithRegisterer(r.registry), promexporter.WithoutScopeInfo(), promexporter.WithoutTargetInfo(), promexporter.WithProducer(&r.runtime))
	if err != nil {
		return nil, err
	}
	opts := []sdkmetric.Option{
		sdkmetric.WithResource(res), sdkmetric.WithReader(text), sdkmetric.WithView(keepLastExemplar),
		sdkmetric.WithCardinalityLimit(0), // the number of cells has no limit
	}
	for _, o := range []struct {
		wanted bool
		to     **pipeline
		open   func(context.Context) (sdkmetric.Exporter, error)
	}{
		{to.OTLP != nil, &r.otlp, func(ctx context.Context) (sdkmetric.Exporter, error) { return otlpExporter(ctx, to.OTLP) }},
		{to.Console, &r.console, consoleExporter},
	} {
		if o.wanted {
			exporter, err := o.open(ctx)
			if err != nil {
				return nil, errors.Join(err, r.Close())
			}
			*o.to = newPipeline(exporter, &r.runtime)
			opts = append(opts, sdkmetric.WithReader((*o.to).reader))
		}
	}
	r.provider = sdkmetric.NewMeterProvider(opts...)
	meter := r.provider.Meter(scope)
	for _, i := range instruments {
		if err := r.instrument(meter, i); err != nil {
			return nil, errors.Join(fmt.Errorf("metric %s: %w", i.name, err), r.Close())
		}
	}
	return r, nil
}

// instrument makes the SDK's instrument for one of ours.
func (r *Recorder) instrument(m metric.Meter, i *instrument) (err error) {
	unit, doc := metric.WithUnit(i.unit), metric.WithDescription(i.doc)
	switch {
	case i.kind == histogram:
		var h metric.Float64Histogram
		h, err = m.Float64Histogram(i.name, unit, doc, metric.WithExplicitBucketBoundaries(i.bounds...))
		r.recorders[i] = func(ctx context.Context, v float64, set attribute.Set) {
			h.Record(ctx, v, metric.WithAttributeSet(set))
		}
	case i.kind == counter && strings.HasPrefix(i.unit, "{"):
		var c metric.Int64Counter
		c, err = m.Int64Counter(i.name, unit, doc)
		r.recorders[i] = func(ctx context.Context, v float64, set attribute.Set) {
			c.Add(ctx, int64(v), metric.WithAttributeSet(set))
		}
	case i.kind == counter:
		var c metric.Float64Counter
		c, err = m.Float64Counter(i.name, unit, doc)
		r.recorders[i] = func(ctx context.Context, v float64, set attribute.Set) { c.Add(ctx, v, metric.WithAttributeSet(set)) }
	default:
		_, err = m.Float64ObservableGauge(i.name, unit, doc, metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			for _, s := range r.gauges[i] {
				o.Observe(s.value, metric.WithAttributeSet(s.set))
			}
			return nil
		}))
	}
	return err
}

// record adds a value to a counter or a histogram.
func (r *Recorder) record(ctx context.Context, i *instrument, v float64, of []attribute.KeyValue, more ...attribute.KeyValue) {
	r.recorders[i](ctx, v, attribute.NewSet(slices.Concat(of, more)...))
}

// setGauge adds a value to the present values of a gauge.
func (r *Recorder) setGauge(i *instrument, v float64, of []attribute.KeyValue, more ...attribute.KeyValue) {
	r.gauges[i] = append(r.gauges[i], gaugeValue{v, attribute.NewSet(slices.Concat(of, more)...)})
}

// Update records the records that were made since the last call, and sets the
// gauges to the figures of the report on all of them.
func (r *Recorder) Update(d *results.Data, rep *report.Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ctx := context.Background()
	cells := make(map[string][]attribute.KeyValue)
	for _, c := range d.Run.Cells {
		cells[c.ID] = []attribute.KeyValue{keyCell.String(c.ID), keyWorkload.String(c.Workload), keyBackend.String(c.Backend)}
	}
	clear(r.gauges)
	r.figures(d, rep, cells)
	for _, t := range d.Trials[r.trials:] {
		if of := cells[t.Cell]; of != nil {
			r.trial(ctx, &t, of)
		}
	}
	for i, l := range d.Timelines[r.timelines:] {
		again := slices.ContainsFunc(d.Timelines[r.timelines+i+1:], func(later results.Timeline) bool { return later.Cell == l.Cell })
		if of := cells[l.Cell]; of != nil && !again {
			r.tasks(ctx, &l, of)
			r.runtime.add(l.Runtime, of)
		}
	}
	for _, l := range d.Ledger {
		if of := cells[l.Cell]; of != nil && !r.ledgers[l.Cell] {
			r.ledgers[l.Cell] = true
			r.ledger(ctx, &l, of)
		}
	}
	r.trials, r.timelines = len(d.Trials), len(d.Timelines)
}

// figures sets the gauges whose values depend on all records together.
func (r *Recorder) figures(d *results.Data, rep *report.Report, cells map[string][]attribute.KeyValue) {
	r.setGauge(runInfo, 1, nil, keyRun.String(d.Run.ID), keyPreset.String(d.Run.Preset), keyStatus.String(string(d.Run.Status)), keyGo.String(d.Run.Version.Go))
	r.setGauge(spansExpected, float64(rep.Spans.Expected), nil)
	r.setGauge(spansExported, float64(rep.Spans.Exported), nil)
	if c := rep.Trust.Capacity; c != nil {
		r.setGauge(capacity, c.Median, nil)
	}
	for _, row := range rep.Rows {
		r.row(&row, cells[row.ID])
	}
	found := make(map[[2]string]float64)
	for _, f := range rep.Findings {
		found[[2]string{f.Cell, f.Rule}]++
	}
	for key, n := range found {
		r.setGauge(findings, n, nil, keyCell.String(key[0]), keyRule.String(key[1]))
	}
	for _, l := range d.Ledger {
		r.setGauge(workersBusy, float64(l.BusyNS)/float64(max(1, l.WallNS*int64(l.Workers))), cells[l.Cell])
	}
}

// row sets the gauges of one cell, as far as it has figures.
func (r *Recorder) row(row *report.Row, of []attribute.KeyValue) {
	r.setGauge(workers, float64(row.Workers), of)
	if e := row.Speedup; e != nil {
		r.setGauge(speedup, e.Value, of)
		if e.Low != nil {
			r.setGauge(speedupLow, *e.Low, of)
		}
		if e.High != nil {
			r.setGauge(speedupHigh, *e.High, of)
		}
	}
	if row.Limit > 0 {
		r.setGauge(speedupLimit, row.Limit, of)
	}
	if row.CPUCost != nil {
		r.setGauge(cpuCost, row.CPUCost.Value, of)
	}
	if row.NotApplicable == "" {
		r.setGauge(rounds, float64(row.Rounds), of)
	}
	if row.Rounds > 0 {
		r.setGauge(wallMedian, row.Wall.Median/1e9, of)
		r.setGauge(cpuMedian, row.CPU.Median/1e9, of)
		r.setGauge(startMedian, row.Start.Median/1e9, of)
		r.setGauge(memoryMedian, row.MaxRSS, of)
	}
	if row.Verdict == nil {
		return
	}
	for _, word := range stats.Words {
		is := 0.
		if row.Verdict.Word == word {
			is = 1
		}
		r.setGauge(verdict, is, of, keyVerdict.String(string(word)))
	}
}

const (
	done   = "done"
	failed = "failed"
)

// trial records one trial.
func (r *Recorder) trial(ctx context.Context, t *results.Trial, of []attribute.KeyValue) {
	outcome := done
	if !t.OK() {
		outcome = failed
	}
	r.record(ctx, trials, 1, of, keyKind.String(string(t.Kind)), keyOutcome.String(outcome))
	if t.Kind != results.Timed || !t.OK() {
		return
	}
	r.record(ctx, tasks, float64(t.Tasks), of, keyKind.String(string(t.Kind)), keyOutcome.String(done))
	r.record(ctx, cpu, seconds(t.UserNS), of, semconv.CPUModeUser)
	r.record(ctx, cpu, seconds(t.SystemNS), of, semconv.CPUModeSystem)
	r.record(ctx, switches, float64(t.VoluntarySwitches), of, semconv.ProcessContextSwitchTypeVoluntary)
	r.record(ctx, switches, float64(t.InvoluntarySwitches), of, semconv.ProcessContextSwitchTypeInvoluntary)
	r.record(ctx, collections, float64(t.GCCycles), of)
	r.record(ctx, trialWall, seconds(t.WallNS), of)
}

// tasks records the tasks of a traced trial, each with its span for an exemplar.
func (r *Recorder) tasks(ctx context.Context, l *results.Timeline, of []attribute.KeyValue) {
	for _, t := range l.Tasks {
		ctx := inSpan(ctx, l.TraceID, t.SpanID)
		r.record(ctx, tasks, 1, of, keyKind.String(string(results.Traced)), keyOutcome.String(cmp.Or(t.Outcome, done)))
		r.record(ctx, taskDuration, seconds(max(t.ReceivedNS, t.EndedNS)-t.SubmittedNS), of)
		r.record(ctx, taskRun, seconds(t.EndedNS-t.StartedNS), of)
		if t.SentNS == 0 {
			r.record(ctx, taskQueue, seconds(t.StartedNS-t.SubmittedNS), of)
			continue
		}
		r.record(ctx, taskQueue, seconds(cmp.Or(t.EncodingNS, t.SentNS)-t.SubmittedNS), of)
		r.record(ctx, taskIPC, seconds(t.ReceivedNS-t.SentNS-(t.EndedNS-t.StartedNS)), of)
	}
}

// ledger records what the tasks and the processes of a traced trial used.
func (r *Recorder) ledger(ctx context.Context, l *results.Ledger, of []attribute.KeyValue) {
	for i, ns := range l.Parts {
		if ns != 0 {
			r.record(ctx, ledgerTime, seconds(ns), of, keyPart.String(results.PartInfo[i].Name))
		}
	}
	for _, p := range l.Processes {
		process := keyProcess.String(p.Name)
		if p.SystemNS == nil || p.VoluntarySwitches == nil { // older records do not say
			r.record(ctx, processCPU, seconds(p.CPUNS), of, process)
		} else {
			r.record(ctx, processCPU, seconds(p.CPUNS-*p.SystemNS), of, process, semconv.CPUModeUser)
			r.record(ctx, processCPU, seconds(*p.SystemNS), of, process, semconv.CPUModeSystem)
			r.record(ctx, processSwitches, float64(*p.VoluntarySwitches), of, process, semconv.ProcessContextSwitchTypeVoluntary)
		}
		r.record(ctx, processSwitches, float64(p.Switches), of, process, semconv.ProcessContextSwitchTypeInvoluntary)
		r.record(ctx, processRunQueue, seconds(p.RunQueueNS), of, process)
	}
}

func seconds(ns int64) float64 { return float64(ns) / 1e9 }

// inSpan returns a context of a span that has ended, for an exemplar.
func inSpan(ctx context.Context, traceID, spanID string) context.Context {
	var c oteltrace.SpanContextConfig
	t, err := hex.DecodeString(traceID)
	s, err2 := hex.DecodeString(spanID)
	if err != nil || err2 != nil || len(t) != len(c.TraceID) || len(s) != len(c.SpanID) {
		return ctx
	}
	c.TraceID, c.SpanID, c.TraceFlags = oteltrace.TraceID(t), oteltrace.SpanID(s), oteltrace.FlagsSampled
	return oteltrace.ContextWithSpanContext(ctx, oteltrace.NewSpanContext(c))
}

// Text writes the metrics of a run as OpenMetrics, with the figures of the report
// on it.
//
// (OpenMetrics 1.0, https://prometheus.io/docs/specs/om/open_metrics_spec/)
func Text(ctx context.Context, w io.Writer, d *results.Data, rep *report.Report) (err error) {
	r, err := New(ctx, &d.Run, trace.Destination{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	r.Update(d, rep)
	return r.WriteText(w)
}

// WriteText writes the metrics as OpenMetrics. Exemplars have no time stamp, so
// that the same records give the same bytes.
func (r *Recorder) WriteText(w io.Writer) error {
	families, err := r.registry.Gather()
	if err != nil {
		return fmt.Errorf("collecting metrics: %w", err)
	}
	enc := expfmt.NewEncoder(w, expfmt.NewFormat(expfmt.TypeOpenMetrics))
	for _, f := range families {
		for _, m := range f.Metric {
			for _, b := range m.GetHistogram().GetBucket() {
				untimed(b.Exemplar)
			}
			if m.Counter != nil {
				m.Counter.Exemplar = nil // an exemplar of a count says nothing
			}
		}
		for _, unit := range []string{"seconds", "bytes", "ratio"} {
			if strings.HasSuffix(strings.TrimSuffix(f.GetName(), "_total"), "_"+unit) {
				f.Unit = &unit
			}
		}
		if err := enc.Encode(f); err != nil {
			return fmt.Errorf("encoding metric %s: %w", f.GetName(), err)
		}
	}
	_, err = expfmt.FinalizeOpenMetrics(w)
	return err
}

// untimed removes the time stamp of an exemplar, and sorts its labels.
func untimed(e *dto.Exemplar) {
	if e != nil {
		e.Timestamp = nil
		slices.SortFunc(e.Label, func(a, b *dto.LabelPair) int { return cmp.Compare(b.GetName(), a.GetName()) }) // the trace first
	}
}

// Close shuts the exporters down. It sends nothing, and waits for a delivery under
// way as long as one may take.
func (r *Recorder) Close() error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), sendTimeout, fmt.Errorf("not ended within %v", sendTimeout))
	defer cancel()
	var errs []error
	for _, o := range []*pipeline{r.otlp, r.console} {
		if o != nil {
			errs = append(errs, o.exporter.Shutdown(ctx))
		}
	}
	return errors.Join(errs...)
}

// keepLastExemplar is a view by which each bucket of a histogram keeps its last
// exemplar. By default the SDK keeps one at random.
func keepLastExemplar(i sdkmetric.Instrument) (sdkmetric.Stream, bool) {
	s := sdkmetric.Stream{
		Name: i.Name, Description: i.Description, Unit: i.Unit,
		ExemplarReservoirProviderSelector: func(agg sdkmetric.Aggregation) exemplar.ReservoirProvider {
			a, ok := agg.(sdkmetric.AggregationExplicitBucketHistogram)
			if !ok {
				return sdkmetric.DefaultExemplarReservoirProviderSelector(agg)
			}
			return func(attribute.Set) exemplar.Reservoir { return &lastExemplars{bounds: a.Boundaries} }
		},
	}
	return s, i.Kind == sdkmetric.InstrumentKindHistogram
}
