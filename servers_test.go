package harness_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/f3f4c0de/harness/internal/results"
)

// serverPath returns where a server is that the scripts talk to, or that there
// is none. With HARNESS_SERVERS=required that is an error.
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
	if os.Getenv("HARNESS_SERVERS") == "required" {
		return "", fmt.Errorf("there is no %s, and HARNESS_SERVERS=required: bash tools/build %s builds it", name, name)
	}
	return "", nil
}

// ports puts unused ports into variables: ports NAME …
func ports(ts *testscript.TestScript, _ bool, names []string) {
	for _, name := range names {
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
		ts.Check(err)
		defer l.Close() // all are taken before any is given back
		_, port, err := net.SplitHostPort(l.Addr().String())
		ts.Check(err)
		ts.Setenv(name, port)
	}
}

// answers waits until a URL answers with 200: answers URL
func answers(ts *testscript.TestScript, _ bool, args []string) {
	until(ts, args[0]+" to answer", func() bool { return get(args[0], nil) == nil })
}

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

// A jaegerTrace is one in the answer of Jaeger's page, which has its warnings.
type jaegerTrace struct {
	Spans []struct {
		SpanID, ProcessID, OperationName string
		References                       []struct{ RefType, TraceID, SpanID string }
		Warnings                         []string
		Tags                             []struct{ Key string }
	}
	Processes map[string]struct{ ServiceName string }
	Warnings  []string
}

// injaeger holds what Jaeger has against the run: every trial's trace, with no
// span missing, no warning, every parent there and all processes.
// injaeger URL DIR
func inJaeger(ts *testscript.TestScript, _ bool, args []string) {
	data, err := results.Read(ts.MkAbs(args[1]))
	ts.Check(err)
	traced := 0
	for _, t := range data.Latest() {
		if t.TraceID == "" {
			continue
		}
		traced++
		var found jaegerTrace
		until(ts, "the trace of "+t.Cell, func() bool {
			var all struct{ Data []jaegerTrace }
			if get(args[0]+"/api/traces/"+t.TraceID, &all) != nil || len(all.Data) != 1 {
				return false
			}
			found = all.Data[0]
			return len(found.Spans) >= t.SpansExpected
		})
		ts.Check(checkTrace(&found, t, data))

		// The newer interface has the same, with the links.
		var v3 struct {
			Result struct {
				ResourceSpans []struct {
					ScopeSpans []struct {
						Spans []struct {
							Name  string
							Links []struct{ TraceID string }
						}
					}
				}
			}
		}
		ts.Check(get(args[0]+"/api/v3/traces/"+t.TraceID, &v3))
		spans, links := 0, 0
		for _, rs := range v3.Result.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					spans++
					if strings.HasPrefix(s.Name, "trial ") || strings.Contains(t.Cell, "processes") && strings.HasPrefix(s.Name, "run ") {
						links += len(s.Links)
					}
				}
			}
		}
		if want := 1 + strings.Count(t.Cell, "processes")*t.Tasks; spans != t.SpansExpected || links != want {
			ts.Fatalf("%s: /api/v3 has %d spans and %d links; want %d and %d", t.Cell, spans, links, t.SpansExpected, want)
		}
	}
	if traced == 0 {
		ts.Fatalf("the run has no traces")
	}
}

func checkTrace(found *jaegerTrace, t results.Trial, data *results.Data) error {
	if len(found.Spans) != t.SpansExpected || len(found.Warnings) > 0 {
		return fmt.Errorf("%s: Jaeger has %d spans, with warnings %q; want %d", t.Cell, len(found.Spans), found.Warnings, t.SpansExpected)
	}
	ids := make(map[string]bool)
	for _, s := range found.Spans {
		ids[s.SpanID] = true
	}
	var errs []error
	roots := 0
	for _, s := range found.Spans {
		if len(s.Warnings) > 0 {
			errs = append(errs, fmt.Errorf("%s: span %s has warnings %q", t.Cell, s.OperationName, s.Warnings))
		}
		parents := 0
		for _, r := range s.References {
			if r.RefType == "CHILD_OF" {
				parents++
				if !ids[r.SpanID] {
					errs = append(errs, fmt.Errorf("%s: the parent of %s is not there", t.Cell, s.OperationName))
				}
			}
		}
		if parents == 0 {
			roots++
		}
	}
	if roots != 1 {
		errs = append(errs, fmt.Errorf("%s: %d spans have no parent; want the trial alone", t.Cell, roots))
	}
	for _, l := range data.Ledger {
		if l.Cell == t.Cell && len(found.Processes) != len(l.Processes) {
			errs = append(errs, fmt.Errorf("%s: Jaeger has %d processes; want %d", t.Cell, len(found.Processes), len(l.Processes)))
		}
	}
	return errors.Join(errs...)
}

// startPrometheus starts the real one in the background, reading metrics from ports
// of this machine and taking them over OTLP, and ends it with the script:
// prometheus PORT METRICS-PORT EXECUTOR-PORT
func startPrometheus(ts *testscript.TestScript, _ bool, args []string) {
	path, err := serverPath("prometheus")
	ts.Check(err)
	config, err := os.ReadFile("dashboards/prometheus.yaml")
	ts.Check(err)
	// The configuration as it is, but for where it reads from and how often.
	text := strings.NewReplacer(
		"127.0.0.1:9464", "127.0.0.1:"+args[1], "127.0.0.1:9465", "127.0.0.1:"+args[2], "scrape_interval: 5s", "scrape_interval: 500ms",
	).Replace(string(config))
	dir := ts.MkAbs("prometheus-" + args[0])
	file := filepath.Join(dir, "prometheus.yaml")
	ts.Check(os.MkdirAll(dir, 0o777))
	ts.Check(os.WriteFile(file, []byte(text), 0o666))
	cmd := exec.Command(path, "--config.file="+file, "--web.listen-address=127.0.0.1:"+args[0], "--enable-feature=exemplar-storage", "--web.enable-otlp-receiver", "--storage.tsdb.path="+dir)
	ts.Check(cmd.Start())
	ts.Defer(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	until(ts, "Prometheus to be ready", func() bool { return get("http://127.0.0.1:"+args[0]+"/-/ready", nil) == nil })
}

// goBuild builds a program of this module into the script's directory:
// gobuild PACKAGE NAME
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
// with data in it, and one for every variable: panels URL DASHBOARD [VARIABLE=VALUE …]
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

// exemplars wants Prometheus to have exemplars of a metric, each with a trace:
// exemplars URL METRIC
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
