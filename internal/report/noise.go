package report

import (
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/f3f4c0de/harness/internal/report/document"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/stats"
)

// A NoiseReport says how small a difference can be seen on a machine. It comes
// from comparing programs with themselves (A/A).
type NoiseReport struct {
	Trust Trust      `json:"trust"`
	Cores int        `json:"cores"`
	Arms  []NoiseArm `json:"arms"`
}

// A NoiseArm is one program on one backend against itself.
type NoiseArm struct {
	Workload string   `json:"workload"`
	Backend  string   `json:"backend"`
	Rounds   int      `json:"rounds"` // that the figures are of
	All      bool     `json:"all"`    // disturbed rounds are included, since too few others are left
	Wall     Spread   `json:"wall_ns"`
	Ratio    Estimate `json:"ratio"` // of its two trials in a round

	Verdict *stats.Verdict `json:"verdict,omitempty"`

	// Variation is the standard deviation of the times over their mean, and
	// Autocorrelation is the correlation of successive times.
	Variation       float64 `json:"variation"`
	Autocorrelation float64 `json:"autocorrelation"`

	// Detectable has, for several numbers of rounds, the smallest ratio that would
	// be distinguished from 1 in four runs of five.
	Detectable []Detectable `json:"detectable"`
}

// A Detectable is the smallest ratio that a number of rounds would show, of wall
// time and of processor time; 0 is unknown.
type Detectable struct {
	Rounds int     `json:"rounds"`
	Wall   float64 `json:"wall,omitempty"`
	CPU    float64 `json:"cpu,omitempty"`
}

// Noise computes the noise from a run in which programs were compared with
// themselves.
func Noise(r *Report) *NoiseReport {
	n := &NoiseReport{Trust: r.Trust, Cores: r.Run.Machine.Cores}
	for _, row := range r.Rows {
		if !row.Baseline {
			continue
		}
		blocks := r.kept(row.Workload)
		all := len(blocks) < stats.MinRounds
		if all {
			blocks = r.blocks[row.Workload]
		}
		var walls []float64 // nearly in the order in which they were measured
		for _, b := range blocks {
			for _, t := range b.Trials(row.Cell) {
				walls = append(walls, float64(t.WallNS))
			}
		}
		num, den := pairs(blocks, row.Cell, results.Wall)
		if len(num) == 0 {
			continue
		}
		arm := NoiseArm{
			Workload: row.Workload, Backend: row.Backend, Rounds: len(blocks), All: all,
			Wall: spread(walls), Ratio: *estimate(stats.Ratio(num, den, Confidence)), Verdict: row.Verdict,
			Variation: variation(walls), Autocorrelation: stats.Autocorrelation(walls),
		}
		wall := logRatios(num, den)
		cpu := logRatios(pairs(blocks, row.Cell, results.CPU))
		for _, rounds := range []int{10, 20, 40} {
			d := Detectable{Rounds: rounds}
			if v := stats.DetectableEffect(wall, rounds); !math.IsInf(v, 0) {
				d.Wall = v
			}
			if v := stats.DetectableEffect(cpu, rounds); !math.IsInf(v, 0) {
				d.CPU = v
			}
			arm.Detectable = append(arm.Detectable, d)
		}
		n.Arms = append(n.Arms, arm)
	}
	return n
}

func variation(x []float64) float64 {
	mean, square := 0.0, 0.0
	for _, v := range x {
		mean += v / float64(len(x))
	}
	for _, v := range x {
		square += (v - mean) * (v - mean)
	}
	if len(x) < 2 {
		return 0
	}
	return math.Sqrt(square/float64(len(x)-1)) / mean
}

// NoiseText writes a NoiseReport for a terminal.
func NoiseText(w io.Writer, n *NoiseReport) error {
	blocks := []document.Block{n.table(), document.Note("A/A: a program against itself, in random order; 1 is the truth. The columns of rounds tell the smallest difference that so many rounds would show in four runs of five, on this machine as it is now; the last one that in processor time.")}
	if c := n.Trust.Capacity; c != nil {
		blocks = append(blocks, document.Paragraph(fmt.Sprintf("Capacity: %.2f of %d cores did work at once (%.2f to %.2f).", c.Median, n.Cores, c.Min, c.Max)))
	}
	for _, t := range n.Trust.Workloads {
		if len(t.Disturbed) == 0 {
			continue
		}
		what := "they are left out here, as in a run"
		if slices.ContainsFunc(n.Arms, func(a NoiseArm) bool { return a.Workload == t.Workload && a.All }) {
			what = "too few are left, so all are counted here; a run would give no verdict"
		}
		blocks = append(blocks, document.Warning(fmt.Sprintf("%s: other programs used more than %.2g of %d cores in %d of %d rounds: %s.", t.Workload, n.Trust.OtherCores, n.Cores, len(t.Disturbed), t.Rounds, what)))
	}
	if !n.Trust.LoadKnown {
		blocks = append(blocks, document.Warning("What other programs did is not known on this system."))
	}
	return document.Text(w, []document.Section{{Blocks: blocks}})
}

func (n *NoiseReport) table() *document.Table {
	t := document.NewTable(2, "program", "backend", "time", "variation", "A/A", "95 % CI", "verdict", "10 rounds", "20 rounds", "40 rounds", "CPU, 20")
	effect := func(v float64) string {
		if v == 0 {
			return "–"
		}
		return percent(v - 1)
	}
	for _, a := range n.Arms {
		word := "–"
		if a.Verdict != nil {
			word = string(a.Verdict.Word)
		}
		d := a.Detectable
		t.Add(a.Workload, a.Backend, duration(a.Wall.Median), percent(a.Variation), times(a.Ratio.Value), interval(&a.Ratio), word,
			effect(d[0].Wall), effect(d[1].Wall), effect(d[2].Wall), effect(d[1].CPU))
	}
	return t
}
