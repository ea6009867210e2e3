package harness_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/f3f4c0de/harness/internal/results"
)

// serverPath returns where a server is that the scripts talk to, or that there
// is none. If HARNESS_SERVERS names it, that is an error.
func serverPath(name string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(cache, "harness", name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	if required := os.Getenv("HARNESS_SERVERS"); slices.Contains(strings.Split(required, ","), name) {
		return "", fmt.Errorf("there is no %s, and HARNESS_SERVERS=%s: bash tools/build %s builds it", name, required, name)
	}
	return "", nil
}

// takesOTLP reports whether there is a Prometheus that does: Debian's does not.
func takesOTLP() (bool, error) {
	path, err := serverPath("prometheus")
	if path == "" {
		return false, err
	}
	out, err := exec.Command(path, "--version").CombinedOutput()
	return bytes.Contains(out, []byte("version 3.")), err
}

// ports puts unused ports into variables. Only Jaeger needs it: it does not tell
// which it took if it may choose. They are below those that systems give to
// whoever names none, and none is given twice, so that nobody gets one before it
// is used.
func ports(ts *testscript.TestScript, _ bool, names []string) {
	for _, name := range names {
		until(ts, "an unused port", func() bool {
			port := strconv.Itoa(10_000 + rand.IntN(20_000))
			if _, given := portsGiven.LoadOrStore(port, true); given {
				return false
			}
			l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:"+port)
			if err != nil {
				return false
			}
			l.Close()
			ts.Setenv(name, port)
			return true
		})
	}
}

var portsGiven sync.Map

// fetch returns what a URL answers with.
func fetch(url string) ([]byte, error) {
	r, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, r.Status, b)
	}
	return b, err
}

func get(url string, v any) error {
	b, err := fetch(url)
	if err != nil || v == nil {
		return err
	}
	return json.Unmarshal(b, v)
}

// otlpTraces is OTLP JSON, as it is in traces.jsonl and as /api/v3 answers.
type otlpTraces struct {
	ResourceSpans []struct {
		Resource   struct{ Attributes []otlpAttribute }
		ScopeSpans []struct {
			Spans []struct {
				TraceID, SpanID, ParentSpanID, Name string
				Links                               []struct{ TraceID, SpanID string }
				Attributes                          []otlpAttribute
			}
		}
	}
}

type otlpAttribute struct {
	Key   string
	Value struct {
		StringValue string
		ArrayValue  struct {
			Values []struct{ StringValue string }
		}
	}
}

// A seenSpan is what of a span must get to Jaeger unchanged.
type seenSpan struct {
	Name, Parent, Process string
	Links                 []string // trace/span
	Attributes            []string // their keys
}

// byTrace adds spans to those of each trace, by their ids.
func (t *otlpTraces) byTrace(all map[string]map[string]seenSpan) {
	for _, rs := range t.ResourceSpans {
		var process strings.Builder
		for _, a := range rs.Resource.Attributes {
			if a.Key == "service.name" || a.Key == "service.instance.id" {
				process.WriteString(" " + a.Value.StringValue)
			}
		}
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				seen := seenSpan{Name: s.Name, Parent: s.ParentSpanID, Process: process.String()}
				for _, l := range s.Links {
					seen.Links = append(seen.Links, l.TraceID+"/"+l.SpanID)
				}
				for _, a := range s.Attributes {
					seen.Attributes = append(seen.Attributes, a.Key)
					if a.Key == "@jaeger@warnings" { // and what they are
						seen.Attributes = append(seen.Attributes, fmt.Sprint(a.Value.ArrayValue.Values))
					}
				}
				slices.Sort(seen.Attributes)
				if all[s.TraceID] == nil {
					all[s.TraceID] = make(map[string]seenSpan)
				}
				all[s.TraceID][s.SpanID] = seen
			}
		}
	}
}

// injaeger holds what Jaeger has against the run: one trace for every trial and
// one for the run, with no span missing or changed, no warning, every parent
// there, all processes, and links that lead somewhere.
func inJaeger(ts *testscript.TestScript, _ bool, args []string) {
	data, err := results.Read(ts.MkAbs(args[1]))
	ts.Check(err)
	sent := make(map[string]map[string]seenSpan)
	file, err := os.ReadFile(filepath.Join(ts.MkAbs(args[1]), results.TracesFile))
	ts.Check(err)
	var ids []string // of traces, in the order in which they are complete
	for line := range bytes.Lines(file) {
		var t otlpTraces
		ts.Check(json.Unmarshal(line, &t))
		of := make(map[string]map[string]seenSpan)
		t.byTrace(of)
		t.byTrace(sent)
		for id := range of {
			ids = append(slices.DeleteFunc(ids, func(other string) bool { return other == id }), id)
		}
	}
	got := make(map[string]map[string]seenSpan)
	// The last first, which comes in one piece: whoever asks for a trace before all
	// of it is there has Jaeger put warnings on what is, for good.
	for _, id := range slices.Backward(ids) {
		until(ts, "the trace "+id, func() bool {
			var answer struct{ Result otlpTraces }
			if get(args[0]+"/api/v3/traces/"+id, &answer) != nil {
				return false
			}
			answer.Result.byTrace(got)
			return len(got[id]) >= len(sent[id])
		})
	}
	if diff := cmp.Diff(sent, got); diff != "" {
		ts.Fatalf("/api/v3 has other traces than %s (-sent +got):\n%s", results.TracesFile, diff)
	}
	traced := 0
	for _, t := range data.Latest() {
		if t.TraceID == "" {
			continue
		}
		traced++
		ts.Check(checkTrace(t, got, data))
		ts.Check(checkWarnings(args[0], t.TraceID, t.SpansExpected))
	}
	if traced == 0 || len(got) != traced+1 {
		ts.Fatalf("there are %d traces of %d traced trials; want one of each, and one of the run", len(got), traced)
	}
}

// checkTrace checks the trace of a trial in itself.
func checkTrace(t results.Trial, traces map[string]map[string]seenSpan, data *results.Data) error {
	spans := traces[t.TraceID]
	var errs []error
	wrong := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf(t.Cell+": "+format, args...))
	}
	if len(spans) != t.SpansExpected {
		wrong("Jaeger has %d spans; want %d", len(spans), t.SpansExpected)
	}
	processes := make(map[string]bool)
	tasks, runs := 0, 0
	for _, s := range spans {
		processes[s.Process] = true
		parent, ok := spans[s.Parent]
		if root := s.Name == "trial "+t.Cell; !ok && !root || root && s.Parent != "" {
			wrong("span %s has the parent %q, which is not there, or should not be", s.Name, s.Parent)
		}
		var links []string
		for _, l := range s.Links {
			traceID, spanID, _ := strings.Cut(l, "/")
			links = append(links, traces[traceID][spanID].Name)
		}
		wantParent, wantLink := "", ""
		kind, name, _ := strings.Cut(s.Name, " ")
		away := strings.Contains(s.Process, "harness-worker")
		switch kind {
		case "trial":
			wantLink = "cell " + t.Cell
		case "worker":
			wantParent = "spawn worker " + name
		case "task":
			wantParent = "trial " + t.Cell
			tasks++
		case "run":
			wantParent = "task " + name
			runs++
			if away {
				wantLink = "worker "
			}
		}
		if !strings.HasPrefix(parent.Name, wantParent) {
			wrong("span %s is below %q; want %q", s.Name, parent.Name, wantParent)
		}
		if (wantLink == "") != (len(links) == 0) || len(links) > 1 || len(links) == 1 && !strings.HasPrefix(links[0], wantLink) {
			wrong("span %s has links to %q; want %q", s.Name, links, wantLink)
		}
		if crossed := strings.Contains(t.Cell, "-processes-"); (kind == "run" && away != crossed) || (kind == "task" && away) {
			wrong("span %s is of the process%s", s.Name, s.Process)
		}
	}
	if tasks < t.Tasks || runs != tasks {
		wrong("there are %d tasks and %d of their runs; want at least %d of each", tasks, runs, t.Tasks)
	}
	for _, l := range data.Ledger {
		if l.Cell == t.Cell && len(processes) != len(l.Processes) {
			wrong("Jaeger has the processes %q; want %d", processes, len(l.Processes))
		}
	}
	return errors.Join(errs...)
}

// checkWarnings asks the older interface, which is that of Jaeger's page: it alone
// has the warnings, such as of a clock that was adjusted.
func checkWarnings(url, traceID string, spans int) error {
	var found struct {
		Data []struct {
			Spans []struct {
				OperationName string
				Warnings      []string
			}
			Warnings []string
		}
	}
	if err := get(url+"/api/traces/"+traceID, &found); err != nil {
		return err
	}
	if len(found.Data) != 1 || len(found.Data[0].Spans) != spans || len(found.Data[0].Warnings) > 0 {
		return fmt.Errorf("trace %s: %d traces, warnings %q; want one with %d spans and none", traceID, len(found.Data), found.Data[0].Warnings, spans)
	}
	for _, s := range found.Data[0].Spans {
		if len(s.Warnings) > 0 {
			return fmt.Errorf("trace %s: span %s has the warnings %q", traceID, s.OperationName, s.Warnings)
		}
	}
	return nil
}

// startPrometheus starts the real one in the background, reading metrics from two
// addresses of this machine and taking them over OTLP, and ends it with the script.
func startPrometheus(ts *testscript.TestScript, _ bool, args []string) {
	path, err := serverPath("prometheus")
	ts.Check(err)
	config, err := os.ReadFile("dashboards/prometheus.yaml")
	ts.Check(err)
	// The configuration as it is, but for where it reads from and how often.
	text := strings.NewReplacer(
		"127.0.0.1:9464", args[1], "127.0.0.1:9465", args[2], "scrape_interval: 5s", "scrape_interval: 500ms",
	).Replace(string(config))
	dir := ts.MkAbs("prometheus-" + args[0])
	file := filepath.Join(dir, "prometheus.yaml")
	ts.Check(os.MkdirAll(dir, 0o777))
	ts.Check(os.WriteFile(file, []byte(text), 0o666))
	cmd := exec.Command(path, "--config.file="+file, "--web.listen-address=127.0.0.1:0", "--enable-feature=exemplar-storage", "--storage.tsdb.path="+dir)
	otlp, err := takesOTLP()
	ts.Check(err)
	if otlp {
		cmd.Args = append(cmd.Args, "--web.enable-otlp-receiver")
	}
	says, err := os.Create(filepath.Join(dir, "stderr"))
	ts.Check(err)
	defer says.Close() // it has its own
	cmd.Stderr = says
	ts.Check(cmd.Start())
	ts.Defer(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	until(ts, "Prometheus to be ready", func() bool {
		said, err := os.ReadFile(says.Name())
		at := listeningOn.FindSubmatch(said)
		if err != nil || at == nil {
			return false
		}
		ts.Setenv(args[0], string(at[1]))
		return get("http://"+string(at[1])+"/-/ready", nil) == nil
	})
}

// listeningOn is how Prometheus says where it is.
var listeningOn = regexp.MustCompile(`msg="Listening on" .*address=(127\.0\.0\.1:[0-9]+)`)

// goBuild builds a program of this module into the script's directory.
func goBuild(ts *testscript.TestScript, _ bool, args []string) {
	out, err := exec.Command("go", "build", "-o", ts.MkAbs(args[1]), args[0]).CombinedOutput()
	if err != nil {
		ts.Fatalf("building %s: %v\n%s", args[0], err, out)
	}
}

// A dashboard is what of one is looked at.
type dashboard struct {
	Title      string
	Templating struct {
		List []struct {
			Name  string
			Query struct{ Query string }
		}
	}
	Panels []struct {
		Title   string
		Targets []struct{ Expr string }
	}
}

// panels asks Prometheus what every panel of a dashboard would, and wants an answer
// with data in it, and one for every variable.
func panels(ts *testscript.TestScript, _ bool, args []string) {
	b, err := os.ReadFile(filepath.Join("dashboards/grafana", args[1]+".json"))
	ts.Check(err)
	var d dashboard
	ts.Check(json.Unmarshal(b, &d))
	values := []string{"$__rate_interval", "10s"}
	given := make(map[string]string)
	for _, arg := range args[2:] {
		name, value, _ := strings.Cut(arg, "=")
		values = append(values, "$"+name, value)
		given[name] = value
	}
	replacer := strings.NewReplacer(values...)
	for _, v := range d.Templating.List {
		// label_values(METRIC, LABEL) is Grafana's own; Prometheus has this for it.
		inner, ok := strings.CutPrefix(strings.TrimSuffix(v.Query.Query, ")"), "label_values(")
		metric, label, ok2 := strings.Cut(inner, ", ")
		if !ok || !ok2 {
			ts.Fatalf("%s: variable %s asks for %q; this test understands label_values(METRIC, LABEL)", d.Title, v.Name, v.Query.Query)
		}
		until(ts, d.Title+": $"+v.Name+" to offer "+given[v.Name], func() bool {
			var answer struct{ Data []string }
			err := get(args[0]+"/api/v1/label/"+label+"/values?match[]="+url.QueryEscape(metric), &answer)
			return err == nil && slices.Contains(answer.Data, given[v.Name])
		})
	}
	if len(d.Panels) < 8 {
		ts.Fatalf("%s has %d panels", d.Title, len(d.Panels))
	}
	for _, p := range d.Panels {
		if len(p.Targets) == 0 {
			ts.Fatalf("%s, panel %q asks nothing", d.Title, p.Title)
		}
		for _, t := range p.Targets {
			expr := replacer.Replace(t.Expr)
			if strings.Contains(expr, "$") {
				ts.Fatalf("%s, panel %q: %s has a variable without a value", d.Title, p.Title, expr)
			}
			// A rate takes two readings.
			until(ts, fmt.Sprintf("%s, panel %q: %s to have data", d.Title, p.Title, expr), func() bool {
				var answer struct {
					Data struct {
						Result []struct{ Value [2]any }
					}
				}
				err := get(args[0]+"/api/v1/query?query="+url.QueryEscape(expr), &answer)
				return err == nil && slices.ContainsFunc(answer.Data.Result, func(r struct{ Value [2]any }) bool { return r.Value[1] != "NaN" })
			})
		}
	}
}

// exemplars wants Prometheus to have exemplars of a metric, each with a trace.
func exemplars(ts *testscript.TestScript, _ bool, args []string) {
	var found struct {
		Data []struct {
			Exemplars []struct{ Labels map[string]string }
		}
	}
	ts.Check(get(args[0]+"/api/v1/query_exemplars?query="+args[1]+"&start=0&end=9999999999", &found))
	if len(found.Data) == 0 || len(found.Data[0].Exemplars) == 0 {
		ts.Fatalf("%s has no exemplars: %+v", args[1], found)
	}
	for _, d := range found.Data {
		for _, e := range d.Exemplars {
			if e.Labels["trace_id"] == "" || e.Labels["span_id"] == "" {
				ts.Fatalf("an exemplar of %s has no trace: %+v", args[1], e)
			}
		}
	}
}
