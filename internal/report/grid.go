package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/f3f4c0de/harness/internal/report/document"
	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/stats"
)

// A Grid is a workload that was run with several values of one parameter, all
// else equal.
type Grid struct {
	Workload string      `json:"workload"` // its name, which its labels begin with
	Vary     string      `json:"vary"`     // name of the parameter or axis that was varied, or "workers"
	Unit     string      `json:"unit"`     // of the values: "ns", "B", "1" for a share, empty for a number
	Points   []GridPoint `json:"points"`   // by value, at least two

	// Scalings are the scaling laws that fit the speed-ups, by backend.
	Scalings []ScalingFit `json:"scalings,omitempty"`
}

// A GridPoint is one of the values.
type GridPoint struct {
	Value float64 `json:"value"`
	Label string  `json:"label"` // of the workload with this value
}

// A Crossover tells where one model overtakes another as a parameter grows.
type Crossover struct {
	Workload string `json:"workload"`
	Vary     string `json:"vary"`
	A        string `json:"a"`
	B        string `json:"b"`
	Unit     string `json:"unit"` // as in Grid
	Cold     bool   `json:"cold"` // starting and warming up the workers counts

	// At is the value at which they change places, and Low and High its interval;
	// nil if they do not, or if that is not established.
	At   *float64 `json:"at"`
	Low  *float64 `json:"low"`
	High *float64 `json:"high"`

	// Crossing is the share of resampled runs in which they change places.
	Crossing float64 `json:"crossing"`

	Points    []CrossoverPoint `json:"points"`
	Statement string           `json:"finding"`
}

// A CrossoverPoint is how many times faster B is than A at one value.
type CrossoverPoint struct {
	Value float64  `json:"value"`
	Ratio Estimate `json:"ratio"`

	// Waited is the measured share of the baseline's time in which it used no
	// processor, if the run varied the share of waiting; nil otherwise. Value is
	// the share that was asked for. They differ by what waiting itself costs.
	Waited *float64 `json:"waited,omitempty"`
}

// grids finds the grids of the run. It fits scaling laws to those that vary the
// workers, and looks for crossovers along all of them.
func (r *Report) grids() {
	if len(r.Run.Builds) > 0 {
		return // models are not compared with each other
	}
	for _, w := range r.Run.Workloads {
		if slices.ContainsFunc(r.Grids, func(g Grid) bool { return g.Workload == w.Name }) {
			continue
		}
		g, ok := r.grid(w.Name)
		if !ok {
			continue
		}
		if g.Vary == byWorkers {
			g.Scalings = r.scalings(g)
		}
		r.Grids = append(r.Grids, g)
		for i, a := range r.Run.Backends {
			for _, b := range r.Run.Backends[i+1:] {
				for _, cold := range []bool{false, true} {
					if c, ok := r.Crossover(g, a.Name, b.Name, cold); ok && changes(c.Points) {
						r.Crossovers = append(r.Crossovers, c)
					}
				}
			}
		}
	}
}

// byWorkers is the Vary of a grid whose points differ only in their workers.
const byWorkers = "workers"

// grid returns the grid of a workload. ok is false if nothing was varied, or more
// than one parameter.
func (r *Report) grid(workload string) (Grid, bool) {
	var infos []results.WorkloadInfo
	for _, w := range r.Run.Workloads {
		if w.Name == workload {
			infos = append(infos, w)
		}
	}
	if len(infos) < 2 {
		return Grid{}, false
	}
	if g, ok := alongAxis(workload, infos); ok {
		return g.sorted()
	}
	g := Grid{Workload: workload, Vary: byWorkers}
	varied := variedParams(infos)
	switch len(varied) {
	case 0:
	case 1:
		g.Vary = varied[0]
	default:
		return Grid{}, false
	}
	for _, w := range infos {
		v, ok := float64(r.mostWorkers(w.Label)), true
		if len(varied) > 0 {
			v, g.Unit, ok = number(w.Params[g.Vary])
		}
		if !ok {
			return Grid{}, false
		}
		if v <= 0 {
			continue // it has no place on a logarithmic axis
		}
		g.Points = append(g.Points, GridPoint{v, w.Label})
	}
	return g.sorted()
}

// variedParams returns the names of the parameters whose values differ.
func variedParams(infos []results.WorkloadInfo) (varied []string) {
	for _, key := range slices.Sorted(maps.Keys(infos[0].Params)) {
		if slices.ContainsFunc(infos[1:], func(w results.WorkloadInfo) bool {
			return fmt.Sprint(w.Params[key]) != fmt.Sprint(infos[0].Params[key])
		}) {
			varied = append(varied, key)
		}
	}
	return varied
}

// mostWorkers returns the largest number of workers of a workload's cells.
func (r *Report) mostWorkers(workload string) (n int) {
	for _, c := range r.Run.Cells {
		if c.Workload == workload {
			n = max(n, c.Workers)
		}
	}
	return n
}

// sorted returns the grid with its points in order of value. ok is false if it has
// fewer than two different values.
func (g Grid) sorted() (Grid, bool) {
	slices.SortStableFunc(g.Points, func(a, b GridPoint) int { return cmp.Compare(a.Value, b.Value) })
	g.Points = slices.CompactFunc(g.Points, func(a, b GridPoint) bool { return a.Value == b.Value })
	return g, len(g.Points) >= 2
}

// alongAxis returns the grid of workloads that were varied along one axis.
func alongAxis(workload string, infos []results.WorkloadInfo) (Grid, bool) {
	first := infos[0].Axis
	if first == nil {
		return Grid{}, false
	}
	g := Grid{Workload: workload, Vary: first.Name, Unit: first.Unit}
	for _, w := range infos {
		if w.Axis == nil || w.Axis.Name != g.Vary || w.Axis.Unit != g.Unit {
			return Grid{}, false
		}
		if w.Axis.Value > 0 || g.linear() {
			g.Points = append(g.Points, GridPoint{w.Axis.Value, w.Label})
		}
	}
	return g, true
}

// number converts a parameter to a number; a duration is in nanoseconds.
func number(v any) (n float64, unit string, ok bool) {
	s := fmt.Sprint(v)
	if d, err := time.ParseDuration(s); err == nil && d != 0 {
		return float64(d), "ns", true
	}
	n, err := strconv.ParseFloat(s, 64)
	return n, "", err == nil
}

// value formats a value of what was varied.
func value(v float64, unit string) string {
	switch unit {
	case "ns":
		return duration(v)
	case "1":
		return fmt.Sprintf("%.3g %%", 100*v)
	case "B":
		return size(v)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// size formats bytes with three digits.
func size(v float64) string {
	switch {
	case v >= 1<<20:
		return fmt.Sprintf("%.3g MiB", v/(1<<20))
	case v >= 1<<10:
		return fmt.Sprintf("%.3g KiB", v/(1<<10))
	}
	return fmt.Sprintf("%.0f B", v)
}

// Value formats a value of what the grid varies.
func (g Grid) Value(v float64) string { return value(v, g.Unit) }

func (c Crossover) value(v float64) string { return value(v, c.Unit) }

// linear reports whether the values of a grid belong on a linear axis. Only shares
// do; the axes of all other values are logarithmic.
func (g Grid) linear() bool { return g.Unit == "1" }

// place returns the position of a value on its axis, and at is the inverse.
func (g Grid) place(v float64) float64 {
	if g.linear() {
		return v
	}
	return math.Log(v)
}

func (g Grid) at(place float64) float64 {
	if g.linear() {
		return place
	}
	return math.Exp(place)
}

// Crossover looks for the value at which one of two models overtakes the other
// along a grid. ok is false if fewer than two points have figures of both.
func (r *Report) Crossover(g Grid, a, b string, cold bool) (c Crossover, ok bool) {
	c = Crossover{Workload: g.Workload, Vary: g.Vary, A: a, B: b, Unit: g.Unit, Cold: cold}
	metric := results.Wall
	if cold {
		metric = results.Cold
	}
	var places []float64
	var logs [][]float64
	var labels []string
	for _, p := range g.Points {
		first, ok1 := r.find(p.Label, a)
		second, ok2 := r.find(p.Label, b)
		if !ok1 || !ok2 {
			continue
		}
		var byRound, num, den []float64
		for _, block := range r.kept(p.Label) {
			x, y := block.Cell(first.Cell, metric), block.Cell(second.Cell, metric)
			if math.IsNaN(x) || math.IsNaN(y) {
				continue
			}
			for len(byRound) <= block.Round {
				byRound = append(byRound, math.NaN())
			}
			byRound[block.Round] = math.Log(x / y)
			num, den = append(num, x), append(den, y)
		}
		if len(num) == 0 {
			continue
		}
		places, logs, labels = append(places, g.place(p.Value)), append(logs, byRound), append(labels, p.Label)
		e := stats.Ratio(num, den, Confidence)
		c.Points = append(c.Points, CrossoverPoint{p.Value, *estimate(e), r.waited(g, p.Label)})
	}
	if len(places) < 2 {
		return c, false
	}
	found := stats.FindCrossover(places, logs, Confidence, r.Run.Seed)
	c.Crossing = found.Crossing
	rounds, doubt := r.basis(c.Points, labels, places, found.At)
	if found.Established() && doubt == "" {
		at, low, high := g.at(found.At), g.at(found.Low), g.at(found.High)
		c.At, c.Low, c.High = &at, &low, &high
	}
	c.Statement = g.crossoverStatement(c, rounds, doubt)
	return c, true
}

// basis returns how many rounds a crossing rests on: the smaller number of its two
// neighbouring points, or the smallest of all points if there is no crossing.
// doubt says why nothing can be stated; it is empty otherwise.
func (r *Report) basis(points []CrossoverPoint, labels []string, places []float64, at float64) (rounds int, doubt string) {
	rounds = math.MaxInt
	for i, p := range points {
		if !math.IsNaN(at) && (i+1 < len(places) && places[i+1] < at || i > 0 && places[i-1] >= at) {
			continue
		}
		rounds = min(rounds, p.Ratio.N)
		for _, t := range r.NoVerdicts() {
			if t.Workload == labels[i] && doubt == "" {
				doubt = fmt.Sprintf("no verdict on %s: %s", t.Workload, t.Doubt)
			}
		}
	}
	if rounds < stats.MinRounds {
		doubt = fmt.Sprintf("%d rounds; it takes %d", rounds, stats.MinRounds)
	}
	return rounds, doubt
}

// waited returns the measured share of the baseline's time in which it used no
// processor; nil if the grid does not vary that share.
func (r *Report) waited(g Grid, workload string) *float64 {
	for _, row := range r.Rows {
		if row.Workload == workload && row.Baseline && g.linear() && row.Wall.Median > 0 {
			share := max(0, 1-row.CPU.Median/row.Wall.Median)
			return &share
		}
	}
	return nil
}

// changes reports whether there are estimates on both sides of 1. An estimate
// whose interval lies within the band counts for neither side.
func changes(points []CrossoverPoint) bool {
	above, below := false, false
	for _, p := range points {
		if !p.same() {
			above, below = above || p.Ratio.Value > 1, below || p.Ratio.Value < 1
		}
	}
	return above && below
}

// same reports whether the models are practically equal at this point: the whole
// interval lies within the band.
func (p CrossoverPoint) same() bool {
	return p.Ratio.Low != nil && p.Ratio.High != nil && *p.Ratio.Low > 1/(1+stats.Band) && *p.Ratio.High < 1+stats.Band
}

func (g Grid) crossoverStatement(c Crossover, rounds int, doubt string) string {
	state := "warm"
	if c.Cold {
		state = "cold"
	}
	first, last := c.Points[0], c.Points[len(c.Points)-1]
	span := fmt.Sprintf("%s between %s and %s", g.Vary, g.Value(first.Value), g.Value(last.Value))
	if c.At != nil {
		overtaking, overtaken := c.B, c.A
		if last.Ratio.Value < 1 {
			overtaking, overtaken = c.A, c.B
		}
		return fmt.Sprintf("%s, %s: %s overtakes %s at %s = %s (95 %% CI %s to %s, %d rounds).",
			g.Workload, state, overtaking, overtaken, g.Vary, g.Value(*c.At), g.Value(*c.Low), g.Value(*c.High), rounds)
	}
	if changes(c.Points) {
		why := fmt.Sprintf("%.0f %% of resampled runs cross", 100*c.Crossing)
		switch {
		case doubt != "":
			why = doubt
		case c.Crossing >= 0.95:
			why = "not each of them is ahead somewhere, with an interval that excludes 1"
		}
		return fmt.Sprintf("%s, %s: whether %s and %s change places with %s is not established (%s).", g.Workload, state, c.A, c.B, span, why)
	}
	same := ""
	if i := slices.IndexFunc(c.Points, CrossoverPoint.same); i >= 0 {
		same = fmt.Sprintf("at %s they are the same within ±%.0f %%, ", g.Value(c.Points[i].Value), 100*stats.Band)
	}
	return fmt.Sprintf("%s, %s: %s and %s do not change places with %s: %sat its end %s is %s as fast as %s.",
		g.Workload, state, c.A, c.B, span, same, c.B, speedupText(&last.Ratio), c.A)
}

// gridLines returns sentences on what the grids show.
func (r *Report) gridLines() []string {
	var lines []string
	for _, c := range r.Crossovers {
		lines = append(lines, c.Statement)
	}
	for _, g := range r.Grids {
		lines = append(lines, r.scalingLines(g)...)
	}
	return lines
}

// CrossoverText writes crossovers for a terminal: for each a sentence, and the
// ratios that it rests on.
func CrossoverText(w io.Writer, found []Crossover) error {
	var b strings.Builder
	for i, c := range found {
		if i > 0 {
			b.WriteByte('\n')
		}
		document.Wrap(&b, c.Statement)
		t := document.NewTable(1, "  "+c.Vary, c.B+" is faster than "+c.A+" by", "95 % CI")
		for _, p := range c.Points {
			at := "  " + c.value(p.Value)
			if p.Waited != nil {
				at += fmt.Sprintf(" (measured %.0f %%)", 100**p.Waited)
			}
			t.Add(at, times(p.Ratio.Value), interval(&p.Ratio))
		}
		t.Text(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
