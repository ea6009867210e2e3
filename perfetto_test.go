package harness_test

import (
	"cmp"
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/f3f4c0de/harness/internal/results"
)

// perfetto reads back what was exported of a run for Perfetto, strictly: each
// process and each row has one name, what is drawn on a row nests, every task is
// there with an arrow to it, and its states are inside of it.
func perfetto(ts *testscript.TestScript, _ bool, args []string) {
	type event struct {
		Name  string         `json:"name"`
		Phase string         `json:"ph"`
		TS    float64        `json:"ts"`
		Dur   *float64       `json:"dur"`
		PID   int            `json:"pid"`
		TID   int            `json:"tid"`
		ID    string         `json:"id"`
		Cat   string         `json:"cat"`
		Args  map[string]any `json:"args"`
	}
	var doc struct {
		TraceEvents []event `json:"traceEvents"`
	}
	b, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Check(json.Unmarshal(b, &doc))
	data, err := results.Read(ts.MkAbs(args[1]))
	ts.Check(err)

	ns := func(us float64) int64 { return int64(math.Round(1000 * us)) }
	type row struct{ pid, tid int }
	type slice struct {
		from, to int64
		cat      string
	}
	processes, rows := make(map[int]string), make(map[row]string)
	drawn := make(map[row][]slice)
	arrows := make(map[string][2]*event) // from, to
	states := 0
	for i := range doc.TraceEvents {
		e := &doc.TraceEvents[i]
		at := row{e.PID, e.TID}
		switch e.Phase {
		case "M":
			name, _ := e.Args["name"].(string)
			switch {
			case e.Name == "process_name" && processes[e.PID] == "":
				processes[e.PID] = name
			case e.Name == "thread_name" && rows[at] == "":
				rows[at] = name
			case e.Name != "process_sort_index":
				ts.Fatalf("%+v is there twice, or unknown", e)
			}
		case "X":
			if e.Dur == nil || *e.Dur < 0 {
				ts.Fatalf("%+v has no duration", e)
			}
			drawn[at] = append(drawn[at], slice{ns(e.TS), ns(e.TS) + ns(*e.Dur), e.Cat})
			if e.Cat == "state" {
				states++
			}
		case "s", "f":
			ends := arrows[e.ID]
			end := &ends[0]
			if e.Phase == "f" {
				end = &ends[1]
			}
			if *end != nil {
				ts.Fatalf("the arrow %s has an end twice", e.ID)
			}
			*end = e
			arrows[e.ID] = ends
		default:
			ts.Fatalf("%+v is of an unknown phase", e)
		}
	}
	for at, spans := range drawn {
		if rows[at] == "" || processes[at.pid] == "" {
			ts.Fatalf("row %v or its process has no name", at)
		}
		slices.SortStableFunc(spans, func(a, b slice) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(b.to, a.to)) })
		var open []slice
		for _, s := range spans {
			for len(open) > 0 && open[len(open)-1].to <= s.from && s.to > s.from {
				open = open[:len(open)-1]
			}
			if len(open) > 0 && s.to > open[len(open)-1].to {
				ts.Fatalf("on the row %s of %s, %v does not end in %v", rows[at], processes[at.pid], s, open[len(open)-1])
			}
			if s.cat == "state" && (len(open) != 1 || open[0].cat != "task") {
				ts.Fatalf("on the row %s of %s, the state %v is in %v", rows[at], processes[at.pid], s, open)
			}
			open = append(open, s)
		}
	}
	on := func(e *event) bool {
		return slices.ContainsFunc(drawn[row{e.PID, e.TID}], func(s slice) bool { return s.from <= ns(e.TS) && ns(e.TS) <= s.to && s.cat != "state" })
	}
	tasks, crossed := 0, 0
	for _, l := range data.Timelines {
		for _, p := range l.Processes {
			if processes[p.PID] != l.Cell+": "+p.Name {
				ts.Fatalf("process %d is named %q; want %s: %s", p.PID, processes[p.PID], l.Cell, p.Name)
			}
		}
		tasks += len(l.Tasks)
	}
	for id, a := range arrows {
		if a[0] == nil || a[1] == nil || a[1].TS < a[0].TS || !on(a[0]) || !on(a[1]) || !strings.HasPrefix(rows[row{a[1].PID, a[1].TID}], "worker ") {
			ts.Fatalf("the arrow %s leads from %+v to %+v", id, a[0], a[1])
		}
		if a[0].PID != a[1].PID {
			crossed++
		}
	}
	if len(arrows) != tasks || states < tasks || crossed == 0 {
		ts.Fatalf("%d arrows, %d of them between processes, and %d states for %d tasks", len(arrows), crossed, states, tasks)
	}
}
