package metrics

import (
	"bytes"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/f3f4c0de/harness/internal/report"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/stats"
	"github.com/f3f4c0de/harness/internal/trace"
)

var update = flag.Bool("update", false, "rewrite docs/telemetry.md and testdata")

const traceID = "0af7651916cd43dd8448eb211c80319c"

// records are those of a short run: two cells, timed trials, one of which failed,
// and a traced one of each.
func records() *results.Data {
	const ms = int64(time.Millisecond)
	run := results.Run{
		Schema: results.Schema, ID: "r1", Status: results.Completed, Preset: "quick", Rounds: 2, Version: results.Version{Harness: "devel", Go: "go1.26"},
		Machine:   results.Machine{Cores: 2},
		Workloads: []results.WorkloadInfo{{Name: "w", Label: "w"}},
		Backends:  []results.BackendInfo{{Name: "sequential"}, {Name: "processes"}},
		Cells: []results.Cell{
			{ID: "w-sequential-w1", Workload: "w", Backend: "sequential", Workers: 1, Baseline: true},
			{ID: "w-processes-w2", Workload: "w", Backend: "processes", Workers: 2},
		},
	}
	d := &results.Data{Run: run}
	for _, c := range run.Cells {
		for round := range 2 {
			wall := 100 * ms / int64(c.Workers)
			d.Trials = append(d.Trials, results.Trial{Cell: c.ID, Kind: results.Timed, Round: round, Measured: results.Measured{
				Workers: c.Workers, WallNS: wall + int64(round)*ms, Usage: results.Usage{UserNS: 90 * ms, SystemNS: 10 * ms, VoluntarySwitches: 5, InvoluntarySwitches: 3, GCCycles: 1},
				Tasks: 2, Digest: "d",
			}})
		}
		timeline := results.Timeline{Cell: c.ID, TraceID: traceID, WallNS: 50 * ms, Workers: c.Workers, Tasks: []results.TaskRecord{
			{Task: "t", SubmittedNS: 0, StartedNS: 2 * ms, EndedNS: 30 * ms, ReceivedNS: 30 * ms, SpanID: "00f067aa0ba902b7"},
			{Task: "t", SubmittedNS: 0, StartedNS: 30 * ms, EndedNS: 45 * ms, ReceivedNS: 45 * ms, SpanID: "00f067aa0ba902b8", Outcome: "failed"},
		}, Runtime: map[string][]results.Point{"trial": {
			{Name: "go.goroutine.count", Unit: "{goroutine}", Doc: "Goroutines.", Value: 7},
			{Name: "go.memory.allocated", Unit: "By", Doc: "Allocated.", Value: 1024, Counter: true},
			{Name: "go.schedule.duration", Unit: "s", Doc: "Runnable.", Value: .01, Bounds: []float64{1e-6, 1}, Counts: []uint64{2, 1, 0}},
		}}}
		ledger := results.Ledger{
			Cell: c.ID, Workers: c.Workers, WallNS: 50 * ms, Tasks: 2, BusyNS: 43 * ms,
			Processes: []results.Process{{Name: "trial", CPUNS: 44 * ms, SystemNS: new(4 * ms), RunQueueNS: ms, Switches: 2, VoluntarySwitches: new(int64(9))}},
		}
		ledger.Parts[results.PartRunning] = 43 * ms
		if c.Workers > 1 {
			for i := range timeline.Tasks {
				t := &timeline.Tasks[i]
				t.EncodingNS, t.SentNS, t.ReceivedNS = ms, ms+ms/2, t.EndedNS+ms
			}
		}
		d.Timelines, d.Ledger = append(d.Timelines, timeline), append(d.Ledger, ledger)
	}
	d.Trials = append(d.Trials, results.Trial{Cell: "w-processes-w2", Kind: results.Timed, Round: 1, Error: "it broke"})
	return d
}

func newRecorder(t *testing.T, d *results.Data, to trace.Destination) *Recorder {
	t.Helper()
	r, err := New(t.Context(), &d.Run, to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func text(t *testing.T, r *Recorder) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The text equals the golden file, the same records give the same bytes, and records
// that come one by one give the same text as all at once.
func TestText(t *testing.T) {
	d := records()
	r := newRecorder(t, d, trace.Destination{})
	r.Update(d, report.Build(d))
	got := text(t, r)
	if again := text(t, r); again != got {
		t.Errorf("written once more it is different:\n%s", cmp.Diff(got, again))
	}

	little := newRecorder(t, d, trace.Destination{})
	for n := range d.Trials {
		part := &results.Data{Run: d.Run, Trials: d.Trials[:n+1], Timelines: d.Timelines[:min(n, len(d.Timelines))], Ledger: d.Ledger[:min(n/2, len(d.Ledger))]}
		part.Run.Status = results.Running
		little.Update(part, report.Build(part))
		if !strings.Contains(text(t, little), `status="running"`) {
			t.Error("a run that goes on does not say so")
		}
	}
	little.Update(d, report.Build(d))
	if diff := cmp.Diff(got, text(t, little)); diff != "" {
		t.Errorf("record by record it is different (-at once +one by one):\n%s", diff)
	}

	const path = "testdata/metrics.txt"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if diff := cmp.Diff(string(want), got); diff != "" || err != nil {
		t.Errorf("%v; go test ./internal/metrics -update, if it is to be so (-want +got):\n%s", err, diff)
	}
}

// Figures that older records do not have, such as voluntary switches, are missing
// rather than zero.
func TestOlderRecords(t *testing.T) {
	d := records()
	for i := range d.Ledger {
		p := &d.Ledger[i].Processes[0]
		p.SystemNS, p.VoluntarySwitches = nil, nil
	}
	r := newRecorder(t, d, trace.Destination{})
	r.Update(d, report.Build(d))
	got := text(t, r)
	if want := `process_cpu_time_seconds_total{backend="processes",cell="w-processes-w2",process="trial",workload="w"} 0.044`; !strings.Contains(got, want) {
		t.Errorf("the metrics do not have %s", want)
	}
	if what := `process_context_switches_total{backend="processes",cell="w-processes-w2",process="trial",process_context_switch_type="voluntary"`; strings.Contains(got, what) {
		t.Errorf("the metrics have %s", what)
	}
}

// The values that Prometheus would read are those of the records.
func TestTextIsReadAsOpenMetrics(t *testing.T) {
	d := records()
	r := newRecorder(t, d, trace.Destination{})
	r.Update(d, report.Build(d))
	plain := strings.TrimSuffix(text(t, r), "# EOF\n")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	// The parser knows only the older format, which has neither units nor exemplars.
	var lines []string
	for line := range strings.Lines(plain) {
		if line, _, _ = strings.Cut(line, " # {"); !strings.HasPrefix(line, "# UNIT") {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	families, err := parser.TextToMetricFamilies(strings.NewReader(strings.Join(lines, "\n") + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	h := families["harness_task_queue_seconds"].GetMetric()
	if len(h) != 2 || h[0].GetHistogram().GetSampleCount() != 2 {
		t.Fatalf("harness_task_queue_seconds = %v; want two cells with two tasks each", h)
	}
	for _, m := range h {
		for _, l := range m.Label {
			want := map[string]float64{"w-sequential-w1": .032, "w-processes-w2": .002}[l.GetValue()]
			if got := m.GetHistogram().GetSampleSum(); l.GetName() == "cell" && (got < want-1e-9 || got > want+1e-9) {
				t.Errorf("tasks of %s waited for %v s; want %v", l.GetValue(), got, want)
			}
		}
	}
}

// Every instrument gets values from a run that has all kinds of records, with the
// attributes of its description and no others.
func TestInstruments(t *testing.T) {
	d := records()
	rep := report.Build(d)
	interval := rep.Rows[1].Speedup.Value // which so few rounds do not have
	rep.Rows[1].Speedup.Low, rep.Rows[1].Speedup.High = &interval, &interval
	rep.Rows[1].Verdict, rep.Trust.Capacity = &stats.Verdict{Word: stats.Faster}, &report.Spread{Median: 2}
	r := newRecorder(t, d, trace.Destination{})
	reader := sdkmetric.NewManualReader()
	r.provider = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader), sdkmetric.WithView(keepLastExemplar))
	for _, i := range instruments {
		if err := r.instrument(r.provider.Meter(scope), i); err != nil {
			t.Fatal(err)
		}
	}
	r.Update(d, rep)
	r.setGauge(findings, 1, nil, keyCell.String("c"), keyRule.String("r")) // such records would have to be long
	var rm metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &rm); err != nil {
		t.Fatal(err)
	}
	got := make(map[string][]string)
	bounds := make(map[string][]float64)
	for _, sm := range rm.ScopeMetrics {
		for _, m := range sm.Metrics {
			got[m.Name] = []string{}
			for _, set := range sets(m) {
				for _, kv := range set.ToSlice() {
					if !slices.Contains(got[m.Name], string(kv.Key)) {
						got[m.Name] = append(got[m.Name], string(kv.Key))
					}
				}
			}
			if h, ok := m.Data.(metricdata.Histogram[float64]); ok {
				bounds[m.Name] = h.DataPoints[0].Bounds
			}
		}
	}
	for _, i := range instruments {
		want := []string{}
		for _, k := range i.keys {
			want = append(want, string(k))
			if !slices.ContainsFunc(keyDocs, func(d struct {
				key attribute.Key
				doc string
			}) bool {
				return d.key == k
			}) {
				t.Errorf("attribute %s of %s is not described", k, i.name)
			}
		}
		slices.Sort(want)
		slices.Sort(got[i.name])
		if diff := cmp.Diff(want, got[i.name]); diff != "" {
			t.Errorf("attributes of %s (-described +made):\n%s", i.name, diff)
		}
		if diff := cmp.Diff(i.bounds, bounds[i.name]); diff != "" {
			t.Errorf("buckets of %s (-described +made):\n%s", i.name, diff)
		}
	}
}

func sets(m metricdata.Metrics) (all []attribute.Set) {
	switch d := m.Data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range d.DataPoints {
			all = append(all, p.Attributes)
		}
	case metricdata.Sum[float64]:
		for _, p := range d.DataPoints {
			all = append(all, p.Attributes)
		}
	case metricdata.Gauge[float64]:
		for _, p := range d.DataPoints {
			all = append(all, p.Attributes)
		}
	case metricdata.Histogram[float64]:
		for _, p := range d.DataPoints {
			all = append(all, p.Attributes)
		}
	}
	return all
}

func TestDocument(t *testing.T) {
	const path = "../../docs/telemetry.md"
	section, err := Document()
	if err != nil {
		t.Fatal(err)
	}
	want := trace.Document(section)
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(path); string(b) != want || err != nil {
		t.Errorf("%s is not what the code says (%v); go test ./internal/metrics -update makes it", path, err)
	}
}
