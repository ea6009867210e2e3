package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/f3f4c0de/harness/internal/results"
)

// alongShares is judgedData with a workload whose share of waiting was varied.
func alongShares() *results.Data {
	d := judgedData()
	shares := map[string]float64{"mixed_cpu_100us": 0, "mixed_cpu_200us": 0.25, "mixed_cpu_500us": 0.5, "mixed_cpu_1ms": 0.75}
	for i := range d.Run.Workloads {
		if v, ok := shares[d.Run.Workloads[i].Label]; ok {
			d.Run.Workloads[i].Axis = &results.AxisValue{Name: "wait", Unit: "1", Value: v}
		}
	}
	return d
}

// Shares are on a linear axis that begins at zero. Beside the share that was asked
// for is the measured one.
func TestCrossoverAlongAShare(t *testing.T) {
	r := Build(alongShares())
	if len(r.Grids) != 1 || r.Grids[0].Vary != "wait" || len(r.Grids[0].Points) != 4 || r.Grids[0].Points[0].Value != 0 {
		t.Fatalf("the grids are %+v; want one along wait, from 0", r.Grids)
	}
	c, ok := r.Crossover(r.Grids[0], "goroutines", "processes", false)
	if !ok || c.At == nil {
		t.Fatalf("Crossover = %+v, %v; want one", c, ok)
	}
	// Times are 14 to 15.5 at 0.25 and 35 to 30 at 0.5; logarithms cross at 0.25 + 0.25*0.398.
	if *c.At < 0.33 || *c.At > 0.37 || *c.Low > *c.At || *c.High < *c.At {
		t.Errorf("they change places at %v (%v to %v); want about 0.35", *c.At, *c.Low, *c.High)
	}
	if want := "processes overtakes goroutines at wait = 3"; !strings.Contains(c.Statement, want) || !strings.Contains(c.Statement, " % (95 % CI 3") {
		t.Errorf("it says %q; want %q and percentages", c.Statement, want)
	}
	var b bytes.Buffer
	if err := CrossoverText(&b, []Crossover{c}); err != nil || !strings.Contains(b.String(), "\n  50 % (measured 6 %) ") {
		t.Errorf("the text is\n%s%v; want the measured share beside the planned one", b.String(), err)
	}
	for _, chart := range r.Document().Charts() {
		if strings.Contains(chart.SVG(), "NaN") || strings.Contains(chart.SVG(), "Inf") {
			t.Errorf("chart %s has a place that is none", chart.Name)
		}
	}
}

// Models that are practically equal have no crossover, and a crossover is not
// established if one of its sides is not certain.
func TestCrossoverOfEquals(t *testing.T) {
	tests := []struct {
		name      string
		processes map[string]float64 // times goroutines' time
		listed    bool
		says      string
	}{
		{"equal on one side", map[string]float64{"mixed_cpu_100us": 1.001, "mixed_cpu_200us": 1.002, "mixed_cpu_500us": .9, "mixed_cpu_1ms": .8}, false, "do not change places with cpu between 100 µs and 1.00 ms: at 100 µs they are the same within ±5 %, at its end"},
		{"ahead each on its side", map[string]float64{"mixed_cpu_100us": 1.3, "mixed_cpu_200us": 1.2, "mixed_cpu_500us": .9, "mixed_cpu_1ms": .8}, true, "processes overtakes goroutines at cpu = "},
		{"never", map[string]float64{"mixed_cpu_100us": 1.3, "mixed_cpu_200us": 1.2, "mixed_cpu_500us": 1.2, "mixed_cpu_1ms": 1.2}, false, "do not change places with cpu between 100 µs and 1.00 ms: at its end processes is 0.8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := judgedData()
			walls := make(map[string]int64)
			each(d, func(trial *results.Trial) {
				if label, ok := strings.CutSuffix(trial.Cell, "-goroutines"); ok && trial.Kind == results.Timed {
					walls[label+string(rune(trial.Round))] = trial.WallNS
				}
			})
			each(d, func(trial *results.Trial) {
				if label, ok := strings.CutSuffix(trial.Cell, "-processes"); ok && trial.Kind == results.Timed && tt.processes[label] > 0 {
					noise := 1 + 0.004*float64(trial.Round%5-2)
					trial.WallNS = int64(float64(walls[label+string(rune(trial.Round))]) * tt.processes[label] * noise)
				}
			})
			r := Build(d)
			c, _ := r.Crossover(r.Grids[0], "goroutines", "processes", false)
			if !strings.Contains(c.Statement, tt.says) {
				t.Errorf("it says %q; want %q", c.Statement, tt.says)
			}
			listed := false
			for _, c := range r.Crossovers {
				listed = listed || c.A == "goroutines" && c.B == "processes" && !c.Cold
			}
			if listed != tt.listed {
				t.Errorf("that the report lists it is %v; want %v", listed, tt.listed)
			}
		})
	}
}
