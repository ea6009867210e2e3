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

// startPrometheus starts the real one in the background, reading metrics from a port
// of this machine, and ends it with the script: prometheus PORT METRICS-PORT
func startPrometheus(ts *testscript.TestScript, _ bool, args []string) {
	path, err := serverPath("prometheus")
	ts.Check(err)
	config, err := os.ReadFile("dashboards/prometheus.yaml")
	ts.Check(err)
	// The configuration as it is, but for where it reads from and how often.
	text := strings.NewReplacer("127.0.0.1:9464", "127.0.0.1:"+args[1], "scrape_interval: 5s", "scrape_interval: 1s").Replace(string(config))
	file := ts.MkAbs("prometheus.yaml")
	ts.Check(os.WriteFile(file, []byte(text), 0o666))
	cmd := exec.Command(path, "--config.file="+file, "--web.listen-address=127.0.0.1:"+args[0], "--enable-feature=exemplar-storage", "--storage.tsdb.path="+ts.MkAbs("tsdb"))
	ts.Check(cmd.Start())
	ts.Defer(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// A dashboard is what of one is looked at.
type dashboard struct {
	Title      string
	Templating struct{ List []struct{ Name string } }
	Panels     []struct {
		Title   string
		Targets []struct{ Expr string }
	}
}

// panels asks Prometheus what every panel of every dashboard would, and wants an
// answer with data in it: panels URL CELL OTHER-CELL
func panels(ts *testscript.TestScript, _ bool, args []string) {
	query := func(expr string) (found int, err error) {
		var answer struct {
			Data struct{ Result []json.RawMessage }
		}
		err = get(args[0]+"/api/v1/query?query="+url.QueryEscape(expr), &answer)
		return len(answer.Data.Result), err
	}
	until(ts, "metrics in Prometheus", func() bool {
		n, err := query("harness_ledger_seconds_total")
		return err == nil && n > 0
	})
	files, err := filepath.Glob("dashboards/grafana/*.json")
	ts.Check(err)
	asked := 0
	for _, file := range files {
		b, err := os.ReadFile(file)
		ts.Check(err)
		var d dashboard
		ts.Check(json.Unmarshal(b, &d))
		for _, p := range d.Panels {
			for _, t := range p.Targets {
				asked++
				expr := strings.NewReplacer("$cell", args[1], "$a", args[1], "$b", args[2]).Replace(t.Expr)
				n, err := query(expr)
				if err != nil || n == 0 {
					ts.Fatalf("%s, panel %q: %s has %d results, %v", d.Title, p.Title, expr, n, err)
				}
			}
		}
	}
	if asked < 20 {
		ts.Fatalf("%d questions in %q; the dashboards have more", asked, files)
	}
	var exemplars struct {
		Data []struct {
			Exemplars []struct{ Labels map[string]string }
		}
	}
	ts.Check(get(args[0]+"/api/v1/query_exemplars?query=harness_task_run_seconds_bucket&start=0&end=9999999999", &exemplars))
	if len(exemplars.Data) == 0 || len(exemplars.Data[0].Exemplars) == 0 || exemplars.Data[0].Exemplars[0].Labels["trace_id"] == "" {
		ts.Fatalf("the tasks have no exemplars with a trace: %+v", exemplars)
	}
}
