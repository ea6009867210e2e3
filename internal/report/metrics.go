package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/f3f4c0de/harness/internal/results"
)

// RunMetrics writes the run as OpenMetrics, tasks included. Histograms of
// tasks have exemplars: a task in that bucket, by the ids of its span.
func RunMetrics(w io.Writer, d *results.Data, r *Report) error {
	m := metrics{byName: make(map[string]*dto.MetricFamily)}
	m.run(d, r)
	cells := make(map[string]results.Cell)
	for _, c := range d.Run.Cells {
		cells[c.ID] = c
	}
	for _, t := range d.Latest() {
		m.trial(cells[t.Cell], &t)
	}
	for i := range d.Lanes {
		m.tasks(cells[d.Lanes[i].Cell], &d.Lanes[i])
	}
	for i := range d.Ledger {
		m.ledger(cells[d.Ledger[i].Cell], &d.Ledger[i])
	}
	enc := expfmt.NewEncoder(w, expfmt.NewFormat(expfmt.TypeOpenMetrics), expfmt.WithUnit())
	for _, f := range m.families {
		if err := enc.Encode(f); err != nil {
			return fmt.Errorf("encoding metric %s: %w", f.GetName(), err)
		}
	}
	_, err := expfmt.FinalizeOpenMetrics(w)
	return err
}

// metrics collects metric families in the order in which they first appear.
type metrics struct {
	families []*dto.MetricFamily
	byName   map[string]*dto.MetricFamily
}

func (m *metrics) family(name, unit, help string, kind dto.MetricType) *dto.MetricFamily {
	f := m.byName[name]
	if f == nil {
		f = &dto.MetricFamily{Name: &name, Help: &help, Type: &kind}
		if unit != "" {
			f.Unit = &unit
		}
		m.byName[name] = f
		m.families = append(m.families, f)
	}
	return f
}

type label struct{ name, value string }

func (m *metrics) add(f *dto.MetricFamily, value *dto.Metric, labels ...label) {
	for _, l := range labels {
		value.Label = append(value.Label, &dto.LabelPair{Name: &l.name, Value: &l.value})
	}
	f.Metric = append(f.Metric, value)
}

func (m *metrics) gauge(name, help string, v float64, labels ...label) {
	m.add(m.family(name, "", help, dto.MetricType_GAUGE), &dto.Metric{Gauge: &dto.Gauge{Value: &v}}, labels...)
}

func (m *metrics) counter(name, unit, help string, v float64, labels ...label) {
	m.add(m.family(name+"_total", unit, help, dto.MetricType_COUNTER), &dto.Metric{Counter: &dto.Counter{Value: &v}}, labels...)
}

// labels are those by which a cell is found.
func (m *metrics) labels(c results.Cell, more ...label) []label {
	return append([]label{{"cell", c.ID}, {"workload", c.Workload}, {"backend", c.Backend}}, more...)
}

func (m *metrics) run(d *results.Data, r *Report) {
	m.gauge("harness_run_info", "The run; always 1.", 1,
		label{"run", d.Run.ID}, label{"preset", d.Run.Preset}, label{"status", string(d.Run.Status)}, label{"go", d.Run.Version.Go})
	m.gauge("harness_spans_expected", "Spans that there should be.", float64(r.Spans.Expected))
	m.gauge("harness_spans_exported", "Spans that were written.", float64(r.Spans.Exported))
	for _, row := range r.Rows {
		labels := m.labels(row.Cell)
		m.gauge("harness_workers", "Workers of the cell.", float64(row.Workers), labels...)
		if row.Speedup != nil {
			m.gauge("harness_speedup_ratio", "Speed-up over sequential; of sequential itself, its second trial over its first.", row.Speedup.Value, labels...)
		}
		if row.Limit > 0 {
			m.gauge("harness_speedup_limit_ratio", "Speed-up that no schedule can exceed.", row.Limit, labels...)
		}
	}
	findings := make(map[[2]string]float64)
	for _, f := range r.Findings {
		findings[[2]string{f.Cell, f.Rule}]++
	}
	for _, f := range r.Findings {
		key := [2]string{f.Cell, f.Rule}
		if n := findings[key]; n > 0 {
			m.gauge("harness_findings", "What stands out.", n, label{"cell", f.Cell}, label{"rule", f.Rule})
			delete(findings, key)
		}
	}
}

// trialBounds and taskBounds are the buckets, in seconds.
var (
	trialBounds = bounds(1e-3, 60)
	taskBounds  = bounds(1e-6, 10)
)

// bounds are 1, 2 and 5 times the powers of ten from low to high.
func bounds(low, high float64) (all []float64) {
	for p := low; ; p *= 10 {
		for _, k := range []float64{1, 2, 5} {
			v, err := strconv.ParseFloat(strconv.FormatFloat(k*p, 'g', 3, 64), 64)
			if err != nil || v > high {
				return all
			}
			all = append(all, v)
		}
	}
}

// A histogram is one that is being filled.
type histogram struct {
	bounds    []float64
	counts    []uint64
	exemplars []*dto.Exemplar
	sum       float64
}

func newHistogram(bounds []float64) *histogram {
	return &histogram{bounds: bounds, counts: make([]uint64, len(bounds)+1), exemplars: make([]*dto.Exemplar, len(bounds)+1)}
}

// observe counts a value; the last one of a bucket is its exemplar.
func (h *histogram) observe(ns int64, exemplar ...label) {
	v := float64(ns) / 1e9
	i, _ := slices.BinarySearch(h.bounds, v)
	h.counts[i]++
	h.sum += v
	if len(exemplar) > 0 {
		e := &dto.Exemplar{Value: &v}
		for _, l := range exemplar {
			e.Label = append(e.Label, &dto.LabelPair{Name: &l.name, Value: &l.value})
		}
		h.exemplars[i] = e
	}
}

func (h *histogram) metric() *dto.Metric {
	out := &dto.Histogram{SampleSum: &h.sum}
	total := uint64(0)
	for i, b := range h.bounds {
		total += h.counts[i]
		out.Bucket = append(out.Bucket, &dto.Bucket{UpperBound: &b, CumulativeCount: new(total), Exemplar: h.exemplars[i]})
	}
	out.SampleCount = new(total + h.counts[len(h.bounds)])
	return &dto.Metric{Histogram: out}
}

func (m *metrics) histogram(name, help string, h *histogram, labels ...label) {
	m.add(m.family(name, "seconds", help, dto.MetricType_HISTOGRAM), h.metric(), labels...)
}

// trial adds one trial to its cell's figures.
func (m *metrics) trial(c results.Cell, t *results.Trial) {
	outcome := "done"
	if !t.OK() {
		outcome = "failed"
	}
	m.bump("harness_trials", "Trials by kind and outcome.", 1, m.labels(c, label{"kind", string(t.Kind)}, label{"outcome", outcome})...)
	if t.Kind != results.Timed || !t.OK() {
		return
	}
	m.bump("harness_tasks", "Tasks of the timed trials.", float64(t.Tasks), m.labels(c, label{"outcome", "done"})...)
	m.bump("harness_cpu_seconds", "Processor time of the timed trials, by mode.", float64(t.UserNS)/1e9, m.labels(c, label{"mode", "user"})...)
	m.bump("harness_cpu_seconds", "Processor time of the timed trials, by mode.", float64(t.SystemNS)/1e9, m.labels(c, label{"mode", "system"})...)
	m.bump("harness_context_switches", "Context switches in the timed trials, by type.", float64(t.VoluntarySwitches), m.labels(c, label{"type", "voluntary"})...)
	m.bump("harness_context_switches", "Context switches in the timed trials, by type.", float64(t.InvoluntarySwitches), m.labels(c, label{"type", "involuntary"})...)
	m.bump("harness_gc_cycles", "Garbage collections in the timed trials.", float64(t.GCCycles), m.labels(c)...)
	m.sample("harness_trial_wall_seconds", "Measured part of the timed trials.", t.WallNS, m.labels(c)...)
}

// bump adds to a counter that may be there already.
func (m *metrics) bump(name, help string, v float64, labels ...label) {
	unit := ""
	if name == "harness_cpu_seconds" {
		unit = "seconds"
	}
	f := m.family(name+"_total", unit, help, dto.MetricType_COUNTER)
	if have := find(f, labels); have != nil {
		*have.Counter.Value += v
		return
	}
	m.counter(name, unit, help, v, labels...)
}

// sample adds to a histogram of trials that may be there already.
func (m *metrics) sample(name, help string, ns int64, labels ...label) {
	f := m.family(name, "seconds", help, dto.MetricType_HISTOGRAM)
	have := find(f, labels)
	if have == nil {
		m.histogram(name, help, newHistogram(trialBounds), labels...)
		have = f.Metric[len(f.Metric)-1]
	}
	v := float64(ns) / 1e9
	h := have.Histogram
	*h.SampleSum += v
	*h.SampleCount++
	for _, b := range h.Bucket {
		if v <= b.GetUpperBound() {
			*b.CumulativeCount++
		}
	}
}

func find(f *dto.MetricFamily, labels []label) *dto.Metric {
	i := slices.IndexFunc(f.Metric, func(m *dto.Metric) bool {
		return slices.EqualFunc(m.Label, labels, func(p *dto.LabelPair, l label) bool { return p.GetName() == l.name && p.GetValue() == l.value })
	})
	if i < 0 {
		return nil
	}
	return f.Metric[i]
}

// tasks adds the tasks of a traced trial.
func (m *metrics) tasks(c results.Cell, l *results.Lanes) {
	all, queue, run, ipc := newHistogram(taskBounds), newHistogram(taskBounds), newHistogram(taskBounds), newHistogram(taskBounds)
	crossed := false
	for _, t := range l.Tasks {
		span := []label{{"trace_id", l.TraceID}, {"span_id", t.SpanID}}
		all.observe(max(t.ReceivedNS, t.EndedNS)-t.SubmittedNS, span...)
		run.observe(t.EndedNS-t.StartedNS, span...)
		if t.SentNS == 0 {
			queue.observe(t.StartedNS-t.SubmittedNS, span...)
			continue
		}
		crossed = true
		queue.observe(cmp.Or(t.EncodingNS, t.SentNS)-t.SubmittedNS, span...)
		ipc.observe(t.ReceivedNS-t.SentNS-(t.EndedNS-t.StartedNS), span...)
	}
	m.histogram("harness_task_duration_seconds", "Tasks of the traced trial, from submission until the result was back.", all, m.labels(c)...)
	m.histogram("harness_task_queue_seconds", "Until a worker was given the task.", queue, m.labels(c)...)
	m.histogram("harness_task_run_seconds", "Inside of the task's function.", run, m.labels(c)...)
	if crossed {
		m.histogram("harness_task_ipc_seconds", "Between processes, there and back.", ipc, m.labels(c)...)
	}
}

func (m *metrics) ledger(c results.Cell, l *results.Ledger) {
	for i, ns := range l.Parts {
		if ns != 0 {
			m.counter("harness_ledger_seconds", "seconds", "What the tasks of the traced trial spent their time on, by part.", float64(ns)/1e9, m.labels(c, label{"part", results.PartInfo[i].Name})...)
		}
	}
	m.gauge("harness_workers_busy_ratio", "Share of the workers' time inside of tasks, in the traced trial.", float64(l.BusyNS)/float64(max(1, l.WallNS*int64(l.Workers))), m.labels(c)...)
	for _, p := range l.Processes {
		labels := m.labels(c, label{"process", p.Name})
		m.counter("harness_process_cpu_seconds", "seconds", "Processor time of each process of the traced trial.", float64(p.CPUNS)/1e9, labels...)
		m.counter("harness_process_run_queue_seconds", "seconds", "Waiting for a processor of the machine, by process.", float64(p.RunQueueNS)/1e9, labels...)
	}
}
