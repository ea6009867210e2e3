package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/stats"
)

// A ScalingFit is a scaling law that was fitted to the speed-ups of a model at
// several numbers of workers.
type ScalingFit struct {
	Backend string  `json:"backend"`
	Law     string  `json:"law"` // one of the two below
	Lambda  float64 `json:"lambda"`
	Sigma   float64 `json:"sigma"`
	Kappa   float64 `json:"kappa"`
	Misfit  float64 `json:"misfit"`
	Peak    float64 `json:"peak,omitempty"` // workers; 0 if there is none

	// Causes has an entry for each coefficient that is large enough to matter.
	Causes []Cause `json:"causes,omitempty"`
}

// The laws.
const (
	lawUSL    = "the Universal Scalability Law"
	lawAmdahl = "Amdahl's law"
)

// A Cause explains a coefficient of a scaling law from the ledgers: it names the
// parts of the workers' time for a task that grow with the number of workers as
// the coefficient says.
type Cause struct {
	Coefficient string `json:"coefficient"` // sigma or kappa
	// Parts are those that each make up at least a quarter of the coefficient, the
	// largest first; none if the cause is not established.
	Parts     []CausePart `json:"parts,omitempty"`
	Statement string      `json:"finding"`
	// Command shows the ledger that it rests on; DIR stands for the run's folder.
	Command string `json:"command,omitempty"`
}

// A CausePart is a part of the workers' time and its share of a coefficient.
type CausePart struct {
	Name   string  `json:"name"`
	Doc    string  `json:"doc"`
	Share  float64 `json:"share"`
	FromNS float64 `json:"from_ns"` // for a task, with the fewest workers
	ToNS   float64 `json:"to_ns"`   // for a task, with the most workers
}

// Thresholds for the statement of a cause.
const (
	causeLoss  = 0.05 // a coefficient that costs less of the workers' time needs no cause
	causePart  = 0.25 // a part with a smaller share of the coefficient is not named
	causeWhole = 0.50 // if the named parts have less of it together, the cause is not established
)

// scalings returns the scaling laws that fit the speed-ups of each backend.
func (r *Report) scalings(g Grid) []ScalingFit {
	var fits []ScalingFit
	for _, b := range r.comparedBackends() {
		workers, speedups, rows := r.scaled(g, b.Name)
		for _, law := range []struct {
			name string
			fit  func(workers, throughput []float64) (stats.Scaling, bool)
		}{{lawUSL, stats.FitUSL}, {lawAmdahl, stats.FitAmdahl}} {
			s, ok := law.fit(workers, speedups)
			if !ok {
				continue
			}
			f := ScalingFit{Backend: b.Name, Law: law.name, Lambda: s.Lambda, Sigma: s.Sigma, Kappa: s.Kappa, Misfit: s.Misfit}
			if p := s.Peak(); p <= slices.Max(workers) { // beyond, nothing was measured
				f.Peak = p
			}
			f.Causes = r.causes(s, workers, rows)
			fits = append(fits, f)
		}
	}
	return fits
}

// scaled returns the speed-ups of a backend along a grid of workers, and their
// rows.
func (r *Report) scaled(g Grid, backend string) (workers, speedups []float64, rows []Row) {
	for _, p := range g.Points {
		if row, ok := r.find(p.Label, backend); ok && row.Speedup != nil {
			workers, speedups, rows = append(workers, float64(row.Workers)), append(speedups, row.Speedup.Value), append(rows, row)
		}
	}
	return workers, speedups, rows
}

// causes explains the coefficients of the scaling law of those rows from their
// ledgers.
func (r *Report) causes(s stats.Scaling, workers []float64, rows []Row) []Cause {
	last := len(rows) - 1
	var causes []Cause
	n := workers[last]
	for _, c := range []struct {
		name string
		loss float64 // with the most workers
		of   func(stats.Division) float64
	}{
		{"sigma", s.Sigma * (n - 1), func(d stats.Division) float64 { return d.Sigma }},
		{"kappa", s.Kappa * n * (n - 1), func(d stats.Division) float64 { return d.Kappa }},
	} {
		if c.loss < causeLoss {
			continue
		}
		cause := Cause{Coefficient: c.name}
		costs, ledgers := r.workerTime(rows)
		divided, agree := s.Divide(workers, values(costs))
		switch {
		case ledgers == nil:
			cause.Statement = "cause not established: not every number of workers has a ledger"
		case !agree:
			cause.Statement = "cause not established: " + disagreement(s, costs, workers)
		default:
			cause.setParts(costs, divided, c.of)
			cause.Command = "harness ledger DIR --cell " + rows[last].ID
			cause.Statement = cause.text(ledgers, workers)
		}
		causes = append(causes, cause)
	}
	return causes
}

// disagreement says at which number of workers the traced trials differ most from
// the law of the timed trials.
func disagreement(s stats.Scaling, costs []timePart, workers []float64) string {
	total := make([]float64, len(workers))
	for _, p := range costs {
		for i, v := range p.costs {
			total[i] += v
		}
	}
	worst, traced, timed := 0, 1.0, 1.0
	for i, n := range workers {
		a, b := total[i]/total[0], (1+s.Loss(n))/(1+s.Loss(workers[0]))
		if math.Abs(a-b) > math.Abs(traced-timed) {
			worst, traced, timed = i, a, b
		}
	}
	return fmt.Sprintf("a task took %.2f times the workers' time with %s in the traced trial, %.2f times in the timed ones", traced, workersText(workers[worst]), timed)
}

func workersText(n float64) string {
	if n == 1 {
		return "1 worker"
	}
	return fmt.Sprintf("%.0f workers", n)
}

// A timePart is a part of the workers' time. costs are its nanoseconds for a task,
// at each number of workers.
type timePart struct {
	name, doc string
	costs     []float64
}

func values(parts []timePart) (costs [][]float64) {
	for _, p := range parts {
		costs = append(costs, p.costs)
	}
	return costs
}

// The names of the workers' time outside of tasks.
const (
	idleEnd     = "idle at the end"
	idleBetween = "idle between tasks"
)

// workerTime divides the time of all workers for a task into the parts inside and
// outside of tasks. Both results are nil if one of the rows has no ledger.
func (r *Report) workerTime(rows []Row) (parts []timePart, ledgers []*results.Ledger) {
	for _, row := range rows {
		i := slices.IndexFunc(r.Ledger, func(l results.Ledger) bool { return l.Cell == row.ID && l.Tasks > 0 })
		if i < 0 {
			return nil, nil
		}
		ledgers = append(ledgers, &r.Ledger[i])
	}
	add := func(name, doc string, of func(l *results.Ledger) int64) {
		p := timePart{name: name, doc: doc}
		for _, l := range ledgers {
			p.costs = append(p.costs, float64(of(l))/float64(l.Tasks))
		}
		parts = append(parts, p)
	}
	known := !slices.ContainsFunc(ledgers, func(l *results.Ledger) bool { return l.OnCPUKnown < l.Tasks })
	for i, info := range results.PartInfo {
		p := results.Part(i)
		if !p.AtWorker() {
			continue
		}
		if p == results.PartRunning && known {
			add("on a CPU", "running on a processor of the machine", func(l *results.Ledger) int64 { return l.OnCPUNS })
			add("OS queue", "waiting for the system to give it a processor", func(l *results.Ledger) int64 { return l.OSQueueNS })
			continue
		}
		add(info.Name, info.Doc, func(l *results.Ledger) int64 { return l.Parts[p] })
	}
	add(idleEnd, "workers with nothing left to do", func(l *results.Ledger) int64 { return l.TailNS })
	add(idleBetween, "workers to whom no task has come yet, or whose result is on its way", func(l *results.Ledger) int64 {
		return max(0, int64(l.Workers)*l.WallNS-l.BusyNS-l.TailNS)
	})
	return parts, ledgers
}

// setParts sets the parts that account for the coefficient. A part that shrinks
// as workers are added explains no loss.
func (c *Cause) setParts(costs []timePart, divided []stats.Division, of func(stats.Division) float64) {
	whole := 0.0
	for _, d := range divided {
		whole += max(0, of(d))
	}
	together := 0.0
	for j, d := range divided {
		p := CausePart{Name: costs[j].name, Doc: costs[j].doc, Share: of(d) / whole, FromNS: costs[j].costs[0], ToNS: costs[j].costs[len(costs[j].costs)-1]}
		if p.Share >= causePart && p.ToNS > p.FromNS {
			c.Parts = append(c.Parts, p)
			together += p.Share
		}
	}
	slices.SortStableFunc(c.Parts, func(a, b CausePart) int { return cmp.Compare(b.Share, a.Share) })
	if together < causeWhole {
		c.Parts = nil
	}
}

// text returns the cause as a sentence. There is one ledger for each number of
// workers.
func (c *Cause) text(ledgers []*results.Ledger, workers []float64) string {
	if c.Parts == nil {
		return "cause not established: no part of the workers' time grows as the coefficient says"
	}
	first, last := ledgers[0], ledgers[len(ledgers)-1]
	var parts []string
	for _, p := range c.Parts {
		s := fmt.Sprintf("%s of it is %s (%s): %s a task with %s, %s with %.0f", percent(p.Share), p.Name, p.Doc, duration(p.FromNS), workersText(workers[0]), duration(p.ToNS), workers[len(workers)-1])
		switch p.Name {
		case idleEnd:
			s += fmt.Sprintf(", to whom %d tasks are dealt out", last.Tasks)
		case idleBetween:
			s += between(first, last, p.ToNS-p.FromNS)
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, "; ")
}

// between says why workers are idle between tasks, if the ledgers show it.
func between(first, last *results.Ledger, grows float64) string {
	most, by := results.PartTransport, 0.0
	each := func(l *results.Ledger, p results.Part) float64 { return float64(l.Parts[p]) / float64(l.Tasks) }
	for _, p := range []results.Part{results.PartEncode, results.PartTransport, results.PartDecode} {
		if d := each(last, p) - each(first, p); d > by {
			most, by = p, d
		}
	}
	switch {
	case last.MaxInFlight < last.Workers:
		return fmt.Sprintf(", as the program has at most %d tasks under way", last.MaxInFlight)
	case by >= grows/2:
		return fmt.Sprintf(", while the %s of a task grows from %s to %s", most, duration(each(first, most)), duration(each(last, most)))
	}
	return ""
}

// scalingLines returns sentences on how the models scale along a grid of workers.
func (r *Report) scalingLines(g Grid) []string {
	if g.Vary != byWorkers {
		return nil
	}
	var lines []string
	for _, b := range r.comparedBackends() {
		workers, speedups, _ := r.scaled(g, b.Name)
		if len(workers) == 0 {
			continue
		}
		fits := slices.DeleteFunc(slices.Clone(g.Scalings), func(f ScalingFit) bool { return f.Backend != b.Name })
		if len(fits) == 0 {
			s, _ := stats.FitUSL(workers, speedups)
			why := fmt.Sprintf("it takes %d numbers of workers", stats.FitPoints)
			if s.Misfit > 0 {
				why = fmt.Sprintf("%s misses a measured value by %s, and %s is allowed", lawUSL, percent(s.Misfit), percent(stats.FitMisfit))
			}
			lines = append(lines, fmt.Sprintf("%s on %s: no scaling law fits (%s); the limit says more.", g.Workload, b.Name, why))
			continue
		}
		for i, f := range fits {
			if i > 0 && fits[0].Kappa == 0 {
				continue // it is the same law
			}
			lines = append(lines, g.scalingLine(f, i == 0))
		}
	}
	return lines
}

// scalingLine returns a sentence on a scaling law, with its causes if they are
// wanted.
func (g Grid) scalingLine(f ScalingFit, causes bool) string {
	s := fmt.Sprintf("%s on %s scales as %s says: sigma %.3f", g.Workload, f.Backend, f.Law, f.Sigma)
	if f.Law == lawUSL {
		s += fmt.Sprintf(", kappa %.5f", f.Kappa)
	}
	if f.Peak > 0 {
		s += fmt.Sprintf(", peak at %.0f workers", f.Peak)
	}
	s += fmt.Sprintf("; it misses no measured value by more than %s.", percent(f.Misfit))
	if !causes {
		return s
	}
	for _, c := range f.Causes {
		s += fmt.Sprintf(" %s: %s", c.Coefficient, c.Statement)
		if c.Command != "" {
			s += " (" + c.Command + ")"
		}
		s += "."
	}
	most := g.Points[len(g.Points)-1].Value
	if law := (stats.Scaling{Sigma: f.Sigma, Kappa: f.Kappa}); law.Loss(most) < causeLoss {
		s += fmt.Sprintf(" With %.0f workers it loses %s of their time.", most, percent(math.Max(0, law.Loss(most)/(1+law.Loss(most)))))
	}
	return s
}
