package harness_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
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

func get(url string, v any) error {
	r, err := http.Get(url)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", url, r.Status, b)
	}
	if v == nil {
		return nil
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
