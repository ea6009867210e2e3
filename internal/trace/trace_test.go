package trace

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/f3f4c0de/harness/internal/core"
)

// inline is an executor that runs each call where it is submitted.
type inline struct{ obs *core.Observer }

func (e inline) Submit(_ context.Context, c *core.Call) {
	c.Enter(&core.Site{Observer: e.obs})
	c.Run(&core.Worker{PID: os.Getpid()})
}
func (inline) Close() error { return nil }
func (inline) Stop(error)   {}

// far is an executor whose only worker acts as another process: it records with the hooks of a
// worker process, and its answers go through the same bytes.
type far struct {
	obs   *core.Observer
	hooks core.WorkerHooks
	tasks []core.AnyTask
}

func (e far) Submit(_ context.Context, c *core.Call) {
	c.Enter(&core.Site{Observer: e.obs, Transport: e})
	if !c.Claim() {
		return
	}
	const pid = 1 // not ours
	c.Sent(0, pid)
	in, err := c.AppendInput(nil)
	if err != nil {
		c.Fail(err, 0, 0)
		return
	}
	i := slices.IndexFunc(e.tasks, func(t core.AnyTask) bool { return t.Name() == c.Task() })
	there := e.tasks[i].Incoming(context.Background(), false)
	there.Enter(&core.Site{Observer: e.hooks.Observer})
	if err := there.DecodeInput(in); err != nil {
		c.Fail(err, 0, 0)
		return
	}
	there.Run(&core.Worker{PID: pid, Header: e.obs.Header(nil, c)})
	tm := there.Timing()
	if err := there.Err(); err != nil {
		c.Fail(err, tm.Started, tm.Ended)
		return
	}
	out, err := there.AppendOutput(nil)
	if err != nil {
		c.Fail(err, tm.Started, tm.Ended)
		return
	}
	c.Complete(out, tm.Started, tm.Ended)
}
func (far) Close() error                 { return nil }
func (far) Stop(error)                   {}
func (far) Abort(*core.Call, error) bool { return false }
func (far) Started(*core.Call) bool      { return true }

func (far) Cut(*core.Call) (int, bool) { return 0, false }

var (
	plainTask = core.NewTask("plain", func(context.Context, int) (int, error) { return 1, nil })
	failTask  = core.NewTask("fails", func(context.Context, int) (int, error) { return 0, errors.New("no\nsecond line") })
	// ownTask starts a span of its own through the global provider.
	ownTask = core.NewTask("own", func(ctx context.Context, _ int) (int, error) {
		_, span := otel.Tracer("test").Start(ctx, "inside")
		span.End()
		return 1, nil
	})
	allTasks = []core.AnyTask{plainTask, failTask, ownTask}
)

// aSpan is what the tests look at.
type aSpan struct {
	*tracepb.Span
	service string
}

// readSpans returns the spans of a file by id, and checks that ids are unique.
func readSpans(t *testing.T, path string) map[string]aSpan {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	spans := make(map[string]aSpan)
	for traces, err := range ReadLines(f) {
		if err != nil {
			t.Fatal(err)
		}
		batch, err := message(traces)
		if err != nil {
			t.Fatal(err)
		}
		for _, rs := range batch {
			service := ""
			for _, kv := range rs.Resource.Attributes {
				if kv.Key == "service.name" {
					service = kv.Value.GetStringValue()
				}
			}
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					id := hex.EncodeToString(s.SpanId)
					if _, twice := spans[id]; twice {
						t.Errorf("two spans have the id %s", id)
					}
					spans[id] = aSpan{s, service}
				}
			}
		}
	}
	return spans
}

// names counts spans as "parent > name (service)".
func names(spans map[string]aSpan) map[string]int {
	n := make(map[string]int)
	for _, s := range spans {
		parent, ok := spans[hex.EncodeToString(s.ParentSpanId)]
		name := s.Name
		switch {
		case len(s.ParentSpanId) == 0:
		case ok:
			name = parent.Name + " > " + name
		default:
			name = "? > " + name
		}
		n[fmt.Sprintf("%s (%s)", name, s.service)]++
	}
	return n
}

func newTestTrial(t *testing.T, cell string) *Trial {
	t.Helper()
	w, err := NewWriter(filepath.Join(t.TempDir(), "traces.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := TrialConfig{
		Writer: w, Identity: Identity{RunID: "run", Role: "trial", Version: "v"}, Epoch: NewEpoch(), Cell: cell,
		CellID: "w-b-w1", Workload: "w", Backend: "b", Workers: 1, GOMAXPROCS: 2,
	}
	rec, err := NewTrial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// aWorker makes this process record as worker 0 of a trial.
func aWorker(t *testing.T, rec *Trial) (*core.ProcessObserver, core.WorkerHooks) {
	t.Helper()
	watch := rec.Processes()
	for _, env := range watch.Spawning(0) {
		k, v, _ := strings.Cut(env, "=")
		t.Setenv(k, v)
	}
	hooks, err := WorkerHooks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return watch, hooks
}

func export(t *testing.T, rec *Trial) (Counts, string) {
	t.Helper()
	count, err := rec.Export(t.Context(), 1000, 500, nil)
	if err := errors.Join(err, rec.cfg.Writer.Close()); err != nil {
		t.Fatal(err)
	}
	return count, rec.cfg.Writer.file.Name()
}

func check(t *testing.T, got, want map[string]int) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			t.Errorf("%d spans are %s; want %d", got[name], name, want[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			t.Errorf("%d spans are %s; want none", got[name], name)
		}
	}
}

func TestTrialInOneProcess(t *testing.T) {
	t.Setenv("OTEL_SERVICE_NAME", "")
	cell := spanContext(newTraceID(), newSpanID())
	rec := newTestTrial(t, traceparent(cell))
	ex := inline{rec.Observer()}
	ctx := rec.Context(t.Context())
	plainTask.Submit(ctx, ex, 0) // of the warm-up
	rec.Begin()
	for range 3 {
		plainTask.Submit(ctx, ex, 0)
	}
	failTask.Submit(ctx, ex, 0)
	ownTask.Submit(ctx, ex, 0)
	count, path := export(t, rec)
	if count.Err() != nil || count.Total().Expected != 1+5*3+1 {
		t.Errorf("counted %+v; want %d of each", count, 1+5*3+1)
	}
	if n, err := CountFile(path); n != count.Total().Exported || err != nil {
		t.Errorf("the file holds %d spans, %v; want %d", n, err, count.Total().Exported)
	}
	spans := readSpans(t, path)
	const trial, in = "trial w-b-w1", " (harness-trial)"
	check(t, names(spans), map[string]int{
		trial + in:                    1,
		trial + " > task plain" + in:  3,
		"task plain > queue" + in:     3,
		"task plain > run plain" + in: 3,
		trial + " > task fails" + in:  1,
		"task fails > queue" + in:     1,
		"task fails > run fails" + in: 1,
		trial + " > task own" + in:    1,
		"task own > queue" + in:       1,
		"task own > run own" + in:     1,
		"run own > inside" + in:       1,
	})
	for _, s := range spans {
		if hex.EncodeToString(s.TraceId) != rec.TraceID() {
			t.Errorf("span %s is in trace %x; want %s", s.Name, s.TraceId, rec.TraceID())
		}
		if parent, ok := spans[hex.EncodeToString(s.ParentSpanId)]; ok && (s.StartTimeUnixNano < parent.StartTimeUnixNano || s.EndTimeUnixNano > parent.EndTimeUnixNano) {
			t.Errorf("span %s lies outside of its parent %s", s.Name, parent.Name)
		}
		switch {
		case s.Name == "task fails" || s.Name == "run fails":
			if s.Status.GetCode() != tracepb.Status_STATUS_CODE_ERROR || s.Status.GetMessage() != "task fails: no" {
				t.Errorf("span %s has the status %v; want the first line of the error", s.Name, s.Status)
			}
		case s.Name == trial:
			if len(s.Links) != 1 || hex.EncodeToString(s.Links[0].SpanId) != cell.SpanID().String() {
				t.Errorf("the trial links to %v; want its cell", s.Links)
			}
		case s.Status.GetCode() != tracepb.Status_STATUS_CODE_UNSET:
			t.Errorf("span %s has the status %v", s.Name, s.Status)
		}
	}
	checkRecords(t, rec, spans, "plain", "plain", "plain", "fails", "own")
}

// checkRecords checks that the records of these tasks equal their spans, to the nanosecond.
func checkRecords(t *testing.T, rec *Trial, spans map[string]aSpan, tasks ...string) {
	t.Helper()
	records := rec.Tasks(len(tasks) + 1)
	if len(records) != len(tasks) {
		t.Fatalf("there are %d records; want %d", len(records), len(tasks))
	}
	for i, r := range records {
		failed := ""
		if tasks[i] == "fails" {
			failed = "failed task fails: no"
		}
		if got := strings.TrimSpace(r.Outcome + " " + r.Error); r.Task != tasks[i] || got != failed {
			t.Errorf("record %d is of %s, which %q; want %s, which %q", i, r.Task, got, tasks[i], failed)
		}
		task, run := spans[r.SpanID], spans[r.RunSpanID]
		if task.Span == nil || task.Name != "task "+r.Task || run.Span == nil || run.Name != "run "+r.Task {
			t.Errorf("record %+v names spans %v and %v; want those of the task and its function", r, task, run)
			continue
		}
		begin := int64(rec.cfg.Epoch) + int64(rec.began)
		for _, m := range []struct {
			what string
			at   int64
			want uint64
		}{
			{"submitted", r.SubmittedNS, task.StartTimeUnixNano}, {"started", r.StartedNS, run.StartTimeUnixNano},
			{"ended", r.EndedNS, run.EndTimeUnixNano}, {"received", r.ReceivedNS, task.EndTimeUnixNano},
		} {
			if got := begin + m.at; got != int64(m.want) {
				t.Errorf("%s was %s at %d; its spans say %d", r.Task, m.what, got, m.want)
			}
		}
		if r.TraceID != "" || r.ParentSpanID != "" {
			t.Errorf("record %+v has a trace or a parent of its own; want the trial's", r)
		}
	}
}

func TestTrialAcrossProcesses(t *testing.T) {
	rec := newTestTrial(t, "")
	watch, hooks := aWorker(t, rec)
	ex := far{rec.Observer(), hooks, allTasks}
	started := core.Now()
	ctx := rec.Context(t.Context())
	plainTask.Submit(ctx, ex, 0) // of the warm-up
	rec.Begin()
	plainTask.Submit(ctx, ex, 0)
	failTask.Submit(ctx, ex, 0)
	ownTask.Submit(ctx, ex, 0)
	if err := hooks.Exit(func(topic string, payload []byte) error {
		watch.Message(0, topic, payload)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	watch.Exited(core.ProcessExit{Worker: 0, PID: 1, Started: started, Ready: started, Ended: core.Now()})
	count, path := export(t, rec)
	if want := 1 + 2 + 3*5 + 1; count.Err() != nil || count.Total().Expected != want {
		t.Errorf("counted %+v; want %d of each", count, want)
	}
	spans := readSpans(t, path)
	const trial, here, there = "trial w-b-w1", " (harness-trial)", " (harness-worker)"
	want := map[string]int{
		trial + here: 1, trial + " > spawn worker 0" + here: 1, "spawn worker 0 > worker 0" + there: 1, "run own > inside" + there: 1,
	}
	for _, task := range []string{"plain", "fails", "own"} {
		want[trial+" > task "+task+here] = 1
		want["task "+task+" > queue"+here] = 1
		want["task "+task+" > ipc send"+here] = 1
		want["task "+task+" > ipc receive"+here] = 1
		want["task "+task+" > run "+task+there] = 1
	}
	check(t, names(spans), want)
	for _, s := range spans {
		if strings.HasPrefix(s.Name, "run ") {
			if len(s.Links) != 1 || spans[hex.EncodeToString(s.Links[0].SpanId)].Name != "worker 0" {
				t.Errorf("span %s links to %v; want the worker", s.Name, s.Links)
			}
		}
	}
	checkRecords(t, rec, spans, "plain", "fails", "own")
}

// Spans that a worker did not send must be reported as missing.
func TestMissingSpansAreFound(t *testing.T) {
	rec := newTestTrial(t, "")
	watch, hooks := aWorker(t, rec)
	ex := far{rec.Observer(), hooks, allTasks}
	rec.Begin()
	plainTask.Submit(rec.Context(t.Context()), ex, 0)
	watch.Exited(core.ProcessExit{}) // killed before it could send anything
	count, _ := export(t, rec)
	if count.Err() == nil || count.Total().Expected-count.Total().Exported != 2 {
		t.Errorf("counted %+v; want two missing: the worker and its run", count)
	}
}

func TestLargeTrialIsDivided(t *testing.T) {
	rec := newTestTrial(t, "")
	ex := inline{rec.Observer()}
	ctx := rec.Context(t.Context())
	rec.Begin()
	const n = 2*tasksPerTrace + 1
	for range n {
		plainTask.Submit(ctx, ex, 0)
	}
	count, path := export(t, rec)
	if want := 3 + 3*n; count.Err() != nil || count.Total().Expected != want {
		t.Errorf("counted %+v; want %d of each", count, want)
	}
	perTrace := make(map[string]int)
	roots := 0
	for _, s := range readSpans(t, path) {
		perTrace[string(s.TraceId)]++
		if len(s.ParentSpanId) == 0 {
			roots++
		}
	}
	if len(perTrace) != 3 || roots != 3 {
		t.Errorf("%d traces with %d roots; want 3 with one each", len(perTrace), roots)
	}
	for _, n := range perTrace {
		if n > 5000 {
			t.Errorf("a trace has %d spans; want at most 5,000", n)
		}
	}
}

func TestRun(t *testing.T) {
	outer := spanContext(newTraceID(), newSpanID())
	t.Setenv("TRACEPARENT", traceparent(outer))
	r, err := NewRun(t.Context(), Identity{RunID: "r", Role: "run"})
	if err != nil {
		t.Fatal(err)
	}
	cell := parseTraceparent(r.Cell("a-b-w1", "a", "b", 1))
	r.Cell("a-c-w1", "a", "c", 1)
	path := filepath.Join(t.TempDir(), "t.jsonl")
	w, err := NewWriter(path)
	if err != nil {
		t.Fatal(err)
	}
	count, err := r.Export(t.Context(), w, 7, 1<<63, "failed", map[string]string{"a-c-w1": "it broke\nbadly"})
	if err := errors.Join(err, w.Close(), count.Err()); err != nil {
		t.Fatal(err)
	}
	spans := readSpans(t, path)
	check(t, names(spans), map[string]int{"? > run (harness)": 1, "run > cell a-b-w1 (harness)": 1, "run > cell a-c-w1 (harness)": 1})
	if s, ok := spans[cell.SpanID().String()]; !ok || s.Name != "cell a-b-w1" || hex.EncodeToString(s.TraceId) != outer.TraceID().String() {
		t.Errorf("the cell's traceparent leads to %v; want it in the trace of the environment", s)
	}
	for _, s := range spans {
		if s.Name == "cell a-c-w1" && s.Status.GetMessage() != "it broke" {
			t.Errorf("the failed cell has the status %v", s.Status)
		}
	}
}

func TestParseTarget(t *testing.T) {
	tests := []struct {
		url, protocol string
		grpc          bool
		wrong         string
	}{
		{"http://localhost:4318", "", false, ""},
		{"http://localhost:4317", "", true, ""},
		{"http://localhost:4317", "http/protobuf", false, ""},
		{"http://localhost:4318", "grpc", true, ""},
		{"https://collector.example/otlp", "", false, ""},
		{"grpc://localhost:1234", "", true, ""},
		{"grpcs://localhost:1234", "http/protobuf", true, ""},
		{"localhost:4318", "", false, "want http"},
		{"ftp://localhost", "", false, "scheme"},
		{"http://", "", false, "no host"},
		{"://", "", false, "want http"},
	}
	for _, tt := range tests {
		t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", tt.protocol)
		got, err := ParseTarget(tt.url, Traces)
		switch {
		case tt.wrong == "" && (err != nil || got.GRPC != tt.grpc):
			t.Errorf("ParseTarget(%q) with protocol %q = grpc %v, %v; want %v", tt.url, tt.protocol, got.GRPC, err, tt.grpc)
		case tt.wrong != "" && (err == nil || !strings.Contains(err.Error(), tt.wrong)):
			t.Errorf("ParseTarget(%q) = %v; want an error that says %q", tt.url, err, tt.wrong)
		}
	}
}

func TestFromEnv(t *testing.T) {
	names := []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_PROPAGATORS",
	}
	type env = map[string]string
	tests := []struct {
		name    string
		env     env
		otlp    string
		console bool
		wrong   string
	}{
		{"nothing", env{}, "", false, ""},
		{"an endpoint", env{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1"}, "http://localhost:1", false, ""},
		{"one for traces", env{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:2"}, "http://localhost:2", false, ""},
		{"disabled", env{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1", "OTEL_SDK_DISABLED": "TRUE"}, "", false, ""},
		{"not disabled", env{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1", "OTEL_SDK_DISABLED": "false"}, "http://localhost:1", false, ""},
		{"otlp", env{"OTEL_TRACES_EXPORTER": "otlp"}, "http://localhost:4318", false, ""},
		{"none", env{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1"}, "", false, ""},
		{"console", env{"OTEL_TRACES_EXPORTER": "console", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1"}, "", true, ""},
		{"two", env{"OTEL_TRACES_EXPORTER": "otlp, console"}, "http://localhost:4318", true, ""},
		{"unknown exporter", env{"OTEL_TRACES_EXPORTER": "zipkin"}, "", false, "want otlp, console or none"},
		{"none and more", env{"OTEL_TRACES_EXPORTER": "otlp,none"}, "", false, "excludes"},
		{"neither true nor false", env{"OTEL_SDK_DISABLED": "1"}, "", false, "want true or false"},
		{"bad endpoint", env{"OTEL_EXPORTER_OTLP_ENDPOINT": "localhost"}, "", false, "want http"},
		{"unknown propagator", env{"OTEL_PROPAGATORS": "tracecontext,nosuch"}, "", false, "unknown propagator: nosuch; want tracecontext, "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, n := range names {
				t.Setenv(n, tt.env[n])
			}
			d, _, err := FromEnv("")
			if tt.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wrong) {
					t.Errorf("FromEnv() = %v; want an error that says %q", err, tt.wrong)
				}
				return
			}
			otlp := ""
			if d.OTLP != nil {
				otlp = d.OTLP.URL
			}
			if err != nil || otlp != tt.otlp || d.Console != tt.console {
				t.Errorf("FromEnv() = %q, console %v, %v; want %q, %v", otlp, d.Console, err, tt.otlp, tt.console)
			}
		})
	}
}

func TestMetricsFromEnv(t *testing.T) {
	names := []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_SDK_DISABLED", "OTEL_METRICS_EXPORTER", "OTEL_EXPORTER_PROMETHEUS_HOST",
		"OTEL_EXPORTER_PROMETHEUS_PORT", "OTEL_METRIC_EXPORT_INTERVAL", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
	}
	type env = map[string]string
	tests := []struct {
		name     string
		env      env
		endpoint string
		want     string // scheme, host and path; console; address; asked
		wrong    string
	}{
		{"nothing", env{}, "", "", ""},
		{"an endpoint", env{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1"}, "", "http localhost:1/v1/metrics", ""},
		{"one for metrics", env{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://localhost:9090/api/v1/otlp/v1/metrics"}, "",
			"http localhost:9090/api/v1/otlp/v1/metrics asked", ""},
		{"over gRPC", env{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "grpc"}, "", "grpc localhost:1/v1/metrics", ""},
		{"otlp", env{"OTEL_METRICS_EXPORTER": "otlp"}, "", "http localhost:4318/v1/metrics asked", ""},
		{"none", env{"OTEL_METRICS_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1"}, "", "asked", ""},
		{"none, and an endpoint on the command line", env{"OTEL_METRICS_EXPORTER": "none"}, "http://localhost:2", "asked", ""},
		{"two", env{"OTEL_METRICS_EXPORTER": "otlp,console"}, "", "http localhost:4318/v1/metrics console asked", ""},
		{"served", env{"OTEL_METRICS_EXPORTER": "prometheus"}, "", "listen=localhost:9464 asked", ""},
		{"served elsewhere", env{"OTEL_METRICS_EXPORTER": "prometheus", "OTEL_EXPORTER_PROMETHEUS_HOST": "::1", "OTEL_EXPORTER_PROMETHEUS_PORT": "1"}, "", "listen=[::1]:1 asked", ""},
		{"disabled", env{"OTEL_METRICS_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"}, "", "", ""},
		{"on the command line", env{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1"}, "http://localhost:2/otlp/", "http localhost:2/otlp/v1/metrics", ""},
		{"on the command line, for spans", env{}, "http://localhost:2/v1/traces", "", ""},
		{"one for metrics, others on the command line", env{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://localhost:9"}, "http://localhost:2", "http localhost:9/v1/metrics asked", ""},
		{"unknown exporter", env{"OTEL_METRICS_EXPORTER": "statsd"}, "", "", "want otlp, console, prometheus or none"},
		{"no interval", env{"OTEL_METRIC_EXPORT_INTERVAL": "1m"}, "", "", "want milliseconds"},
		{"none and more", env{"OTEL_METRICS_EXPORTER": "otlp,none"}, "", "", "excludes"},
		{"bad endpoint", env{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "localhost"}, "", "", "want http"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, n := range names {
				t.Setenv(n, tt.env[n])
			}
			spans, d, err := FromEnv(tt.endpoint)
			if tt.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wrong) {
					t.Errorf("FromEnv(%q) = %v; want an error that says %q", tt.endpoint, err, tt.wrong)
				}
				return
			}
			if spans.OTLP != nil && !strings.HasSuffix(spans.OTLP.Path, "/v1/traces") {
				t.Errorf("FromEnv(%q) has spans go to %s", tt.endpoint, spans.OTLP.Path)
			}
			var got []string
			if d.OTLP != nil {
				got = append(got, map[bool]string{false: "http ", true: "grpc "}[d.OTLP.GRPC]+d.OTLP.Host+d.OTLP.Path)
			}
			for what, yes := range map[string]bool{"console": d.Console, "listen=" + d.Listen: d.Listen != ""} {
				if yes {
					got = append(got, what)
				}
			}
			if d.Asked {
				got = append(got, "asked")
			}
			if got := strings.Join(got, " "); got != tt.want || err != nil {
				t.Errorf("FromEnv(%q) = %q, %v; want %q", tt.endpoint, got, err, tt.want)
			}
		})
	}
}

func TestOuterSpan(t *testing.T) {
	t.Setenv("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	for propagators, want := range map[string]string{"": "b7ad6b7169203331", "tracecontext": "b7ad6b7169203331", "none": "0000000000000000", "baggage": "0000000000000000", "b3": "0000000000000000", "b3, tracecontext": "b7ad6b7169203331"} {
		t.Setenv("OTEL_PROPAGATORS", propagators)
		parent, err := parentFromEnv()
		if got := parent.SpanID().String(); got != want || err != nil {
			t.Errorf("with OTEL_PROPAGATORS=%q the run's parent is %s, %v; want %s", propagators, got, err, want)
		}
	}
}

// A worker that is replaced has another spawn span.
func TestReplacedWorkersDiffer(t *testing.T) {
	rec := newTestTrial(t, "")
	watch := rec.Processes()
	for range 2 {
		watch.Spawning(0)
		watch.Exited(core.ProcessExit{Worker: 0})
	}
	_, path := export(t, rec) // readSpans fails if two spans have one id
	if n := len(readSpans(t, path)); n != 3 {
		t.Errorf("there are %d spans; want the trial and two of a worker's processes", n)
	}
}

// receiver is a real OTLP receiver that keeps what it gets.
type receiver struct {
	coltracepb.UnimplementedTraceServiceServer
	mu    sync.Mutex
	spans []*tracepb.ResourceSpans
}

func (r *receiver) Export(_ context.Context, req *coltracepb.ExportTraceServiceRequest) (*coltracepb.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spans = append(r.spans, req.ResourceSpans...)
	return &coltracepb.ExportTraceServiceResponse{}, nil
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	var msg coltracepb.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &msg)
	}
	if err != nil || req.URL.Path != "/prefix/v1/traces" {
		http.Error(w, fmt.Sprint(req.URL.Path, err), http.StatusBadRequest)
		return
	}
	r.Export(req.Context(), &msg)
}

func TestSendFile(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "")
	rec := newTestTrial(t, "")
	ex := inline{rec.Observer()}
	rec.Begin()
	for range 900 {
		ownTask.Submit(rec.Context(t.Context()), ex, 0)
	}
	count, path := export(t, rec)

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	overGRPC, overHTTP := &receiver{}, &receiver{}
	srv := grpc.NewServer()
	coltracepb.RegisterTraceServiceServer(srv, overGRPC)
	go srv.Serve(l) // ends with Stop
	defer srv.Stop()
	web := httptest.NewServer(overHTTP)
	defer web.Close()

	for _, tt := range []struct {
		url string
		r   *receiver
	}{{"grpc://" + l.Addr().String(), overGRPC}, {web.URL + "/prefix", overHTTP}} {
		target, err := ParseTarget(tt.url, Traces)
		if err != nil {
			t.Fatal(err)
		}
		n, err := target.SendFile(t.Context(), path)
		if n != count.Total().Exported || err != nil {
			t.Errorf("SendFile to %s = %d, %v; want %d, nil", tt.url, n, err, count.Total().Exported)
		}
		got := 0
		for _, rs := range tt.r.spans {
			got += countSpans(rs)
		}
		if got != count.Total().Exported {
			t.Errorf("%s received %d spans; want %d", tt.url, got, count.Total().Exported)
		}
	}
}

func TestSendFileFails(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "")
	rec := newTestTrial(t, "")
	rec.Begin()
	_, path := export(t, rec)
	refuse := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "full", http.StatusServiceUnavailable) }))
	defer refuse.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	l.Close()
	for _, url := range []string{refuse.URL, "http://" + nobody, "grpc://" + nobody} {
		target, err := ParseTarget(url, Traces)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := target.SendFile(t.Context(), path); n != 0 || err == nil || !strings.Contains(err.Error(), url) {
			t.Errorf("SendFile to %s = %d, %v; want 0 and an error that names it", url, n, err)
		}
	}
}

func TestReadLinesRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"not JSON":  "{\"resourceSpans\":[]}\nhello\n",
		"bad id":    `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"xyz"}]}]}]}`,
		"not spans": `{"resourceSpans":7}`,
	} {
		var last error
		for _, err := range ReadLines(strings.NewReader(in)) {
			last = err
		}
		if last == nil || !strings.Contains(last.Error(), "line ") {
			t.Errorf("%s: error is %v; want one that names the line", name, last)
		}
	}
}

func FuzzReadLines(f *testing.F) {
	f.Add([]byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","name":"x\"spanId\":\"zz"}]}]}]}`))
	f.Add([]byte("\n\n{}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for traces, err := range ReadLines(strings.NewReader(string(b))) {
			if err != nil {
				return
			}
			spans, err := message(traces)
			n := 0
			for _, rs := range spans {
				n += countSpans(rs)
			}
			if err == nil && n != traces.SpanCount() {
				t.Errorf("a line of %d spans is sent as %d", traces.SpanCount(), n)
			}
		}
	})
}
