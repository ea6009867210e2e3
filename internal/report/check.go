package report

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/stats"
)

// An Assertion is what somebody expects of a run, such as
//
//	speedup(goroutines, sqrt) >= 1.8
type Assertion struct {
	Metric string
	Args   []string
	Op     string // one of >=, >, <=, <
	Bound  float64

	text string // as it was written
}

// String returns the assertion as it was written.
func (a Assertion) String() string { return a.text }

// A checked metric is one that assertions can name.
type checked struct {
	name, args, doc string
	unit            string // that its bound may have: "x", "%" or "ns"
	of              func(r *Report, args []string, confidence float64) (stats.Estimate, []Row, error)
}

// checkedMetrics are all metrics that assertions can name.
var checkedMetrics = []checked{
	{"speedup", "backend, workload", "how many times faster than the baseline", "x", speedupOf(results.Wall)},
	{"cold_speedup", "backend, workload", "the same, with the time of starting and warming up the workers", "x", speedupOf(results.Cold)},
	{"ratio", "a, b, workload", "how many times faster a is than b", "x", ratioOf},
	{"share", "backend, workload", "share of the limit that the speed-up reaches", "%", shareOf},
	{"cpu_cost", "backend, workload", "how many times the baseline's processor time it takes", "x", cpuCostOf},
	{"time", "backend, workload", "median time of the program", "ns", timeOf},
}

// CheckDoc describes the metrics that can be asserted, one a line.
func CheckDoc() string {
	var b strings.Builder
	for _, m := range checkedMetrics {
		fmt.Fprintf(&b, "  %-34s %s\n", m.name+"("+m.args+")", m.doc)
	}
	return b.String()
}

var assertionForm = regexp.MustCompile(`^\s*(\w+)\s*\(([^()]*)\)\s*(>=|<=|>|<)\s*(\S.*?)\s*$`)

// ParseAssertion reads an assertion. The bound is a number: a ratio may be
// followed by × or x, a share may be in percent, and a time is a duration such
// as 50ms.
func ParseAssertion(s string) (Assertion, error) {
	parts := assertionForm.FindStringSubmatch(s)
	if parts == nil {
		return Assertion{}, fmt.Errorf("assertion %q; want something like speedup(goroutines, sqrt) >= 1.8", s)
	}
	a := Assertion{Metric: parts[1], Op: parts[3], text: strings.TrimSpace(s)}
	i := slices.IndexFunc(checkedMetrics, func(m checked) bool { return m.name == a.Metric })
	if i < 0 {
		var names []string
		for _, m := range checkedMetrics {
			names = append(names, m.name)
		}
		return Assertion{}, fmt.Errorf("assertion %q: unknown metric %q; known are %s", s, a.Metric, strings.Join(names, ", "))
	}
	m := checkedMetrics[i]
	for arg := range strings.SplitSeq(parts[2], ",") {
		a.Args = append(a.Args, strings.TrimSpace(arg))
	}
	if want := strings.Count(m.args, ",") + 1; len(a.Args) != want || slices.Contains(a.Args, "") {
		return Assertion{}, fmt.Errorf("assertion %q; want %s(%s)", s, m.name, m.args)
	}
	bound, ok := parseBound(parts[4], m.unit)
	if !ok {
		example := map[string]string{"x": "1.8", "%": "90%", "ns": "50ms"}[m.unit]
		return Assertion{}, fmt.Errorf("assertion %q: %q is no bound of %s; want something like %s", s, parts[4], m.name, example)
	}
	a.Bound = bound
	return a, nil
}

func parseBound(s, unit string) (bound float64, ok bool) {
	scale := 1.0
	switch unit {
	case "ns":
		d, err := time.ParseDuration(s)
		return float64(d), err == nil && d > 0
	case "%":
		if number, isPercent := strings.CutSuffix(s, "%"); isPercent {
			s, scale = strings.TrimSpace(number), 0.01
		}
	case "x":
		s = strings.TrimSuffix(strings.TrimSuffix(s, "×"), "x")
	}
	v, err := strconv.ParseFloat(s, 64)
	return v * scale, err == nil && v > 0 && !math.IsInf(v, 0)
}

// An Outcome is the result of checking an assertion.
type Outcome struct {
	Assertion string `json:"assertion"`

	// Result is "passed" or "failed" if the whole interval supports it, and
	// otherwise "undecided", with the reason in Why.
	Result string `json:"result"`
	Why    string `json:"why,omitempty"`

	Value *Estimate `json:"value,omitempty"`
}

// The results of a check.
const (
	Passed    = "passed"
	Failed    = "failed"
	Undecided = "undecided"
)

// Check compares the interval of each figure with the bound of its assertion. An
// assertion passes if its whole interval satisfies it, fails if no part of the
// interval does, and is undecided otherwise. All intervals together have the
// usual confidence: with m assertions each has 1-0.05/m (Bonferroni). Check
// returns an error for an assertion that names something the run does not have.
func (r *Report) Check(assertions []Assertion) ([]Outcome, error) {
	var outcomes []Outcome
	confidence := 1 - (1-Confidence)/float64(max(1, len(assertions)))
	for _, a := range assertions {
		i := slices.IndexFunc(checkedMetrics, func(m checked) bool { return m.name == a.Metric })
		e, rows, err := checkedMetrics[i].of(r, a.Args, confidence)
		if err != nil {
			return nil, fmt.Errorf("assertion %q: %w", a, err)
		}
		o := Outcome{Assertion: a.String(), Result: Undecided}
		if e.N > 0 {
			o.Value = estimate(e)
		}
		if o.Why = r.whyUndecided(rows, e); o.Why == "" {
			o.Result, o.Why = a.decide(e)
		}
		outcomes = append(outcomes, o)
	}
	return outcomes, nil
}

// whyUndecided returns why the figures of those rows allow no decision; "" if
// they allow one.
func (r *Report) whyUndecided(rows []Row, e stats.Estimate) string {
	if !r.Judged {
		return fmt.Sprintf("the run has %d rounds; it takes %d, as with --preset standard", r.Run.Rounds, stats.MinRounds)
	}
	for _, row := range rows {
		if v := row.Verdict; v != nil && (v.Word == stats.NoVerdict || v.Word == stats.Invalid) {
			return row.Statement
		}
	}
	if e.N < stats.MinRounds {
		return fmt.Sprintf("there are %d rounds; it takes %d", e.N, stats.MinRounds)
	}
	return ""
}

func (a Assertion) decide(e stats.Estimate) (result, why string) {
	low, high := e.Low, e.High
	var passed, failed bool
	switch a.Op {
	case ">=":
		passed, failed = low >= a.Bound, high < a.Bound
	case ">":
		passed, failed = low > a.Bound, high <= a.Bound
	case "<=":
		passed, failed = high <= a.Bound, low > a.Bound
	case "<":
		passed, failed = high < a.Bound, low >= a.Bound
	}
	switch {
	case passed:
		return Passed, ""
	case failed:
		return Failed, ""
	}
	return Undecided, "the interval reaches to both sides of the bound; more rounds would narrow it"
}

// cell returns the row of a backend, or of a build if those are compared.
func (r *Report) cell(model, workload string) (Row, error) {
	var models, workloads []string
	for _, row := range r.Rows {
		name := row.Backend
		if row.Build != "" {
			name = row.Build
		}
		if name == model && row.Workload == workload {
			return row, nil
		}
		if !slices.Contains(models, name) {
			models = append(models, name)
		}
		if !slices.Contains(workloads, row.Workload) {
			workloads = append(workloads, row.Workload)
		}
	}
	if !slices.Contains(workloads, workload) {
		return Row{}, fmt.Errorf("the run has no workload %q; it has %s", workload, strings.Join(workloads, ", "))
	}
	return Row{}, fmt.Errorf("the run has nothing on %q for %s; it has %s", model, workload, strings.Join(models, ", "))
}

type metricFunc = func(r *Report, args []string, confidence float64) (stats.Estimate, []Row, error)

func speedupOf(m results.Metric) metricFunc {
	return func(r *Report, args []string, confidence float64) (stats.Estimate, []Row, error) {
		row, err := r.cell(args[0], args[1])
		if err != nil {
			return stats.Estimate{}, nil, err
		}
		num, den := pairs(r.kept(row.Workload), row.Cell, m)
		return stats.Ratio(num, den, confidence), []Row{row}, nil
	}
}

func cpuCostOf(r *Report, args []string, confidence float64) (stats.Estimate, []Row, error) {
	row, err := r.cell(args[0], args[1])
	if err != nil {
		return stats.Estimate{}, nil, err
	}
	num, den := pairs(r.kept(row.Workload), row.Cell, results.CPU)
	return stats.Ratio(den, num, confidence), []Row{row}, nil
}

func shareOf(r *Report, args []string, confidence float64) (stats.Estimate, []Row, error) {
	e, rows, err := speedupOf(results.Wall)(r, args, confidence)
	if err == nil && rows[0].Limit > 0 {
		limit := rows[0].Limit
		e.Value, e.Low, e.High = e.Value/limit, e.Low/limit, e.High/limit
	} else if err == nil {
		e = stats.Estimate{}
	}
	return e, rows, err
}

func ratioOf(r *Report, args []string, confidence float64) (stats.Estimate, []Row, error) {
	a, err := r.cell(args[0], args[2])
	if err != nil {
		return stats.Estimate{}, nil, err
	}
	b, err := r.cell(args[1], args[2])
	if err != nil {
		return stats.Estimate{}, nil, err
	}
	var num, den []float64
	for _, block := range r.kept(args[2]) {
		x, y := block.Cell(b.Cell, results.Wall), block.Cell(a.Cell, results.Wall)
		if !math.IsNaN(x) && !math.IsNaN(y) {
			num, den = append(num, x), append(den, y)
		}
	}
	return stats.Ratio(num, den, confidence), []Row{a, b}, nil
}

func timeOf(r *Report, args []string, confidence float64) (stats.Estimate, []Row, error) {
	row, err := r.cell(args[0], args[1])
	if err != nil {
		return stats.Estimate{}, nil, err
	}
	var walls []float64
	for _, b := range r.kept(row.Workload) {
		if t := b.Trial(row.ID); t != nil { // one of the baseline's two trials: each round counts once
			walls = append(walls, float64(t.WallNS))
		}
	}
	e := stats.Estimate{Value: stats.Median(walls), Low: 0, High: math.Inf(1), Confidence: confidence, N: len(walls)}
	if low, high, ok := stats.QuantileInterval(walls, 0.5, confidence); ok {
		e.Low, e.High = low, high
	}
	return e, []Row{row}, nil
}

// CheckText formats the outcomes of assertions, one a line.
func CheckText(outcomes []Outcome) string {
	var b strings.Builder
	for _, o := range outcomes {
		fmt.Fprintf(&b, "%-9s  %s", o.Result, o.Assertion)
		if v := o.Value; v != nil {
			number := func(x float64) string { return fmt.Sprintf("%.3g", x) }
			if strings.HasPrefix(o.Assertion, "time") {
				number = duration
			}
			fmt.Fprintf(&b, "   is %s", number(v.Value))
			if v.Low != nil && v.High != nil {
				fmt.Fprintf(&b, " (%.3g %% CI %s to %s, %d rounds)", 100*v.Confidence, number(*v.Low), number(*v.High), v.N)
			}
		}
		if o.Why != "" {
			fmt.Fprintf(&b, "; %s", o.Why)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
