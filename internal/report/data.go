package report

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"golang.org/x/perf/benchfmt"

	"github.com/f3f4c0de/harness/internal/results"
)

// JSON writes the report for programs.
func JSON(w io.Writer, r *Report) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// CSV writes a line for every trial, with what it measured.
func CSV(w io.Writer, d *results.Data) error {
	out := csv.NewWriter(w)
	cells := make(map[string]results.Cell)
	for _, c := range d.Run.Cells {
		cells[c.ID] = c
	}
	rows := [][]string{{
		"run", "workload", "backend", "workers", "gomaxprocs", "kind", "round", "copy", "order", "started",
		"open_ns", "start_ns", "warm_ns", "wall_ns", "close_ns", "user_ns", "system_ns",
		"voluntary_switches", "involuntary_switches", "gc_cycles", "max_rss_bytes", "tasks", "digest", "error",
		"build", "repeats", "window_ns", "busy_ns", "own_ns", "observer",
	}}
	for _, t := range d.Latest() {
		c := cells[t.Cell]
		row := []string{
			d.Run.ID, c.Workload, c.Backend, strconv.Itoa(c.Workers), strconv.Itoa(t.GOMAXPROCS), string(t.Kind),
			strconv.Itoa(t.Round), strconv.FormatBool(t.Replicate), strconv.Itoa(t.Order), t.Started.Format(time.RFC3339Nano),
		}
		for _, n := range []int64{
			t.OpenNS, t.StartNS, t.WarmNS, t.WallNS, t.CloseNS, t.UserNS, t.SystemNS,
			t.VoluntarySwitches, t.InvoluntarySwitches, t.GCCycles, t.MaxRSSBytes, int64(t.Tasks),
		} {
			row = append(row, strconv.FormatInt(n, 10))
		}
		row = append(row, t.Digest, t.Error, c.Build, strconv.Itoa(max(1, t.Repeats)))
		load := results.Load{}
		if t.Load != nil {
			load = *t.Load
		}
		for _, n := range []int64{load.WindowNS, load.BusyNS, load.OwnNS} {
			row = append(row, strconv.FormatInt(n, 10))
		}
		rows = append(rows, append(row, t.Observer))
	}
	if err := out.WriteAll(rows); err != nil {
		return err
	}
	return out.Error()
}

// benchName returns the benchmark name of a cell. benchstat does not print a key
// that has the same value in all names.
func benchName(c results.Cell) string {
	name := fmt.Sprintf("Trial/workload=%s/backend=%s/workers=%d", c.Workload, c.Backend, c.Workers)
	if c.Build != "" {
		name += "/build=" + c.Build
	}
	return name
}

// Bench writes the timed trials in the format of Go benchmarks, which benchstat
// reads: one result per trial, without the A/A replicates of the baseline.
//
// Note: benchstat treats the trials as independent. Ours are paired by round; its
// test does not use that, so its intervals are wider.
func Bench(w io.Writer, d *results.Data) error {
	out := benchfmt.NewWriter(w)
	cells := make(map[string]results.Cell)
	for _, c := range d.Run.Cells {
		cells[c.ID] = c
	}
	for _, t := range d.Latest() {
		if t.Kind != results.Timed || !t.OK() || t.Replicate {
			continue
		}
		c := cells[t.Cell]
		res := &benchfmt.Result{
			Name:  benchfmt.Name(benchName(c)),
			Iters: 1,
			Values: []benchfmt.Value{
				{Value: float64(t.WallNS), Unit: "ns/op"},
				{Value: float64(t.CPUNS()), Unit: "cpu-ns/op"},
				{Value: float64(t.MaxRSSBytes), Unit: "peak-RSS-bytes"},
			},
		}
		// The run's id is left out: benchstat does not compare results whose
		// configurations differ.
		for _, kv := range [][2]string{
			{"goos", d.Run.Machine.OS}, {"goarch", d.Run.Machine.Arch}, {"pkg", "github.com/f3f4c0de/harness"}, {"cpu", d.Run.Machine.CPU},
		} {
			if kv[1] != "" {
				res.Config = append(res.Config, benchfmt.Config{Key: kv[0], Value: []byte(kv[1]), File: true})
			}
		}
		if err := out.Write(res); err != nil {
			return err
		}
	}
	return nil
}
