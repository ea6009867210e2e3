package results

import (
	"math"
	"testing"
)

func TestBlocks(t *testing.T) {
	run := &Run{
		Workloads: []WorkloadInfo{{Label: "v"}, {Label: "w"}},
		Cells: []Cell{
			{ID: "w-s", Workload: "w", Backend: "s", Baseline: true}, {ID: "w-g", Workload: "w", Backend: "g"},
			{ID: "v-s", Workload: "v", Backend: "s", Baseline: true},
		},
	}
	load := func(busy, own int64) *Load { return &Load{WindowNS: 100, BusyNS: busy, OwnNS: own} }
	timed := func(cell string, round int, again bool, wall int64, l *Load) Trial {
		return Trial{Cell: cell, Kind: Timed, Round: round, Replicate: again, Load: l, Measured: Measured{StartNS: 10, WarmNS: 5, WallNS: wall, Usage: Usage{UserNS: 2 * wall}}}
	}
	failed := timed("w-g", 1, false, 5, load(10, 10))
	failed.Error = "lost"
	blocks := Blocks(run, []Trial{
		{Cell: "w-s", Kind: Pilot, Measured: Measured{WallNS: 999}},
		{Kind: Probe, Measured: Measured{AloneNS: 1}},
		timed("w-s", 0, false, 100, load(150, 100)), timed("w-g", 0, false, 50, load(190, 190)), timed("w-s", 0, true, 400, load(110, 60)),
		timed("w-s", 1, false, 100, load(20, 30)), failed,
		timed("v-s", 0, false, 7, nil),
	})
	if len(blocks) != 3 || blocks[0].Workload != "v" || blocks[1].Workload != "w" || blocks[2].Round != 1 {
		t.Fatalf("there are %d blocks, the first of %s; want those of v and of w's two rounds", len(blocks), blocks[0].Workload)
	}
	v, w, lost := blocks[0], blocks[1], blocks[2]
	if _, known := v.OtherCores(); known {
		t.Error("the load of a trial without a record is known")
	}
	if others, known := w.OtherCores(); !known || math.Abs(others-1.0/3) > 1e-12 {
		t.Errorf("others used %v cores, %v; want a third", others, known)
	}
	if others, known := lost.OtherCores(); !known || others != 0 {
		t.Errorf("others used %v cores, %v; want none, not less", others, known)
	}
	if num, den, ok := w.Pair(run.Cells[1], Wall); num != 100 || den != 50 || !ok {
		t.Errorf("the pair is %v, %v, %v; want the first of the baseline and the cell's own", num, den, ok)
	}
	if num, den, ok := w.Pair(run.Cells[0], Wall); num != 100 || den != 400 || !ok {
		t.Errorf("the baseline's pair is %v, %v, %v; want its two trials", num, den, ok)
	}
	if n := len(w.Trials(run.Cells[0])); n != 2 {
		t.Errorf("the baseline has %d trials in the block; want two", n)
	}
	if n := len(w.Trials(run.Cells[2])); n != 0 {
		t.Errorf("another workload's baseline has %d trials in the block", n)
	}
	if got := w.Cell(run.Cells[1], Cold); got != 65 {
		t.Errorf("cold it takes %v; want 65", got)
	}
	if got := w.Cell(run.Cells[1], CPU); got != 100 {
		t.Errorf("it takes %v of processor time; want 100", got)
	}
	if _, _, ok := lost.Pair(run.Cells[1], Wall); ok {
		t.Error("a failed trial has a pair")
	}
	if _, _, ok := lost.Pair(run.Cells[0], Wall); ok {
		t.Error("a baseline without its second trial has a pair")
	}
	if got := lost.Baseline(Wall); got != 100 {
		t.Errorf("the baseline's one trial counts as %v; want 100", got)
	}
}
