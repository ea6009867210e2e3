package harness_test

import (
	"bufio"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/f3f4c0de/harness/internal/results"
)

// conserves checks that no time is lost or invented between the records of a
// run: the parts of a task's time add up to it, what workers do and do not do to
// all that they had, and the spans of the tasks to the tasks' times:
// conserves DIR
func conserves(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: conserves DIR")
	}
	dir := ts.MkAbs(args[0])
	data, err := results.Read(dir)
	ts.Check(err)
	spans := taskSpans(ts, dir)
	if len(data.Ledger) == 0 {
		ts.Fatalf("the run has no ledgers")
	}
	for _, l := range data.Ledger {
		within := func(what string, got, want int64, share float64) {
			if math.Abs(float64(got-want)) > share*float64(want)+1000 {
				ts.Fatalf("%s: %s is %d ns; want %d within %v %%", l.Cell, what, got, want, 100*share)
			}
		}
		within("the sum of all parts and the residual", l.Parts.Sum()+l.ResidualNS, l.TasksNS, 0)
		waited := int64(0) // between two readings of the clock a thread may lose its processor
		for _, p := range l.Processes {
			waited += p.RunQueueNS
		}
		if math.Abs(float64(l.ResidualNS)) > 0.01*float64(l.TasksNS)+float64(waited)+1000 {
			ts.Fatalf("%s: %d of %d ns are unexplained", l.Cell, l.ResidualNS, l.TasksNS)
		}
		outside := l.Parts[results.PartQueue] + l.Parts[results.PartEncode] + l.Parts[results.PartTransport] + l.Parts[results.PartDecode] + l.Parts[results.PartAhead]
		within("what tasks do on workers", l.Parts.Sum()-outside+l.ResidualNS, l.BusyNS, 0.01)
		if had := int64(l.Workers) * l.WallNS; float64(l.BusyNS+l.TailNS) > 1.02*float64(had) {
			ts.Fatalf("%s: %d workers were busy for %d ns and idle at the end for %d, of %d that they had", l.Cell, l.Workers, l.BusyNS, l.TailNS, had)
		}
		within("the sum of the tasks' spans", spans[l.TraceID], l.TasksNS, 0.01)
	}
}

// taskSpans returns how long the task spans of a run are, added up for each
// trace.
func taskSpans(ts *testscript.TestScript, dir string) map[string]int64 {
	sums := make(map[string]int64)
	for _, span := range spansOf(ts, dir) {
		if strings.HasPrefix(span.Name, "task ") {
			from, err1 := strconv.ParseInt(span.StartTimeUnixNano, 10, 64)
			to, err2 := strconv.ParseInt(span.EndTimeUnixNano, 10, 64)
			ts.Check(err1)
			ts.Check(err2)
			sums[span.TraceID] += to - from
		}
	}
	return sums
}

// A jsonSpan is a span in OTLP's JSON form.
type jsonSpan struct {
	TraceID           string
	SpanID            string
	Name              string
	StartTimeUnixNano string
	EndTimeUnixNano   string
}

// spansOf returns the spans of a run.
func spansOf(ts *testscript.TestScript, dir string) (spans []jsonSpan) {
	f, err := os.Open(filepath.Join(dir, results.TracesFile))
	ts.Check(err)
	defer f.Close()
	for lines := json.NewDecoder(bufio.NewReader(f)); lines.More(); {
		var line struct {
			ResourceSpans []struct{ ScopeSpans []struct{ Spans []jsonSpan } }
		}
		ts.Check(lines.Decode(&line))
		for _, r := range line.ResourceSpans {
			for _, s := range r.ScopeSpans {
				spans = append(spans, s.Spans...)
			}
		}
	}
	return spans
}
