package results

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A line of an older ledger can be read; what it lacks stays zero.
func TestOlderLedgerLine(t *testing.T) {
	const line = `{"number":1,"task":"factor","worker":1,"process":"worker-1","span_id":"7259f3be32e0d626","started_ns":236353,"wall_ns":12039720,` +
		`"parts":{"queue_ns":21349,"running_ns":10587464},"residual_ns":0,"on_cpu_ns":9527568,"os_queue_ns":1059896,"cpu_samples":1,"waits":{}}`
	var got LedgerTask
	if err := json.Unmarshal([]byte(line), &got); err != nil {
		t.Fatal(err)
	}
	want := LedgerTask{
		TaskRecord: TaskRecord{Number: 1, Task: "factor", Worker: 1, SpanID: "7259f3be32e0d626", StartedNS: 236353}, Process: "worker-1", WallNS: 12039720,
		Parts: Parts{PartQueue: 21349, PartRunning: 10587464}, OnCPUNS: new(int64(9527568)), OSQueueNS: new(int64(1059896)), CPUSamples: 1,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	b, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var before, after map[string]any
	if err := json.Unmarshal([]byte(line), &before); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &after); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(before, after); d != "" {
		t.Errorf("written again, the line differs (-before +after):\n%s", d)
	}
}

func TestLedgerOfSpan(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	f, err := Create(dir, testRun())
	if err != nil {
		t.Fatal(err)
	}
	task := func(number uint64, id, run, parent string) LedgerTask {
		return LedgerTask{TaskRecord: TaskRecord{Number: number, SpanID: id, RunSpanID: run, ParentSpanID: parent}, Where: "not a span: " + id + "ff"}
	}
	flat := []LedgerTask{task(1, "a1", "a2", ""), task(2, "a3", "a4", "")}
	nested := []LedgerTask{task(1, "b1", "b2", ""), task(2, "b3", "b4", "b2"), task(3, "b5", "b6", "")}
	for _, l := range []struct {
		trace string
		cell  string
		tasks []LedgerTask
	}{{"t0", "flat", nil}, {"t1", "flat", flat}, {"t2", "nested", nested}} { // the first was made again
		if err := f.AddLedger(&Ledger{Cell: l.cell, TraceID: l.trace}, l.tasks); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]struct {
		trace string
		tasks []uint64
	}{
		"a1": {"t1", []uint64{1}}, "a4": {"t1", []uint64{2}}, "b1": {"t2", []uint64{1, 2, 3}}, "b6": {"t2", []uint64{1, 2, 3}},
		"a1ff": {}, "c1": {}, // in a text, and nowhere
	} {
		l, tasks, err := LedgerOfSpan(dir, id)
		if err != nil || (l == nil) != (want.trace == "") {
			t.Errorf("the ledger of %s is %+v, %v; want that of %q", id, l, err, want.trace)
			continue
		}
		var numbers []uint64
		for _, task := range tasks {
			numbers = append(numbers, task.Number)
		}
		if l != nil && l.TraceID != want.trace || !cmp.Equal(numbers, want.tasks) {
			t.Errorf("of %s there is trace %v with tasks %v; want %s with %v", id, l, numbers, want.trace, want.tasks)
		}
	}
}
