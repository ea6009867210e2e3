// Package findings reads the ledgers of a run and says in plain language what is
// wrong with its programs. Every finding has evidence. A rule that is not sure
// reports nothing. The package is pure.
//
// A finding about a program is something that its author can change. What a model
// does with any program of the kind, such as running one task's code at a time, is
// a cost of the model: it explains a result, but is no fault of the program. The two
// are reported apart.
//
// To add a rule, write a file with a [Rule] and add a line to [All], or to [ModelCosts]
// if no change of the program would help. docs/causes.md is made from the rules:
// go test ./internal/findings -update.
package findings

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/f3f4c0de/harness/internal/results"
)

// A Finding is one observation about one cell.
type Finding struct {
	Rule     string `json:"rule"`
	Cell     string `json:"cell"`
	Workload string `json:"workload"`
	Model    string `json:"model"` // backend and workers: "gil×4"
	Says     string `json:"says"`
	// Figure is the amount that was found: the larger, the worse.
	Figure   Figure   `json:"figure"`
	Evidence []string `json:"evidence"`
	// Stack is the call stack of the place that the finding names, innermost first;
	// empty if it names none, or if too few samples were taken.
	Stack []string `json:"stack,omitempty"`
	// Task is the number of the task that shows it best, and SpanID its span.
	Task   uint64 `json:"task,omitempty"`
	SpanID string `json:"span_id,omitempty"`
	// Command prints the number and the place; DIR stands for the run's folder.
	Command string `json:"command"`
}

// A Figure is a share, or an amount of time per task, reply or other thing.
type Figure struct {
	What  string  `json:"what"` // is measured, such as "waiting for a lock"
	Value float64 `json:"value"`
	Unit  string  `json:"unit"` // "ns", or "1" for a share
	Of    string  `json:"of"`   // the whole of a share, or the thing of an amount per thing: "task"
}

// Amount returns the value alone: "35 %", "2.03ms".
func (f Figure) Amount() string {
	if f.Unit == "ns" {
		return fmt.Sprint(about(time.Duration(f.Value)))
	}
	return percent(f.Value)
}

// Each returns the text that follows the value: "of the workers' time", "a task".
func (f Figure) Each() string {
	if f.Unit == "ns" {
		return "a " + f.Of
	}
	return "of " + f.Of
}

// WorkersTime is the whole of every share of time: all workers of the cell, for as
// long as the measured part of its traced trial took.
const WorkersTime = "the workers' time"

// A Group is what one rule found in one program, on several models.
type Group struct {
	Rule, Workload string
	Findings       []Finding // the largest figure first
}

// Groups groups the findings of the same rule about the same program, so that each
// cause is reported once. Groups are in the order of their first findings.
func Groups(all []Finding) (groups []Group) {
	for _, f := range all {
		i := slices.IndexFunc(groups, func(g Group) bool { return g.Rule == f.Rule && g.Workload == f.Workload })
		if i < 0 {
			i = len(groups)
			groups = append(groups, Group{Rule: f.Rule, Workload: f.Workload})
		}
		groups[i].Findings = append(groups[i].Findings, f)
	}
	for _, g := range groups {
		slices.SortStableFunc(g.Findings, func(a, b Finding) int { return cmp.Compare(b.Figure.Value, a.Figure.Value) })
	}
	return groups
}

// Worst returns the finding with the largest figure.
func (g Group) Worst() Finding { return g.Findings[0] }

// Models says on which models the cause was found, and its figure on each:
// "waiting for a lock 22 to 35 % of the workers' time: 35 % on goroutines×4, 22 %
// on gomaxprocs1×4".
func (g Group) Models() string {
	worst, least := g.Worst().Figure, g.Findings[len(g.Findings)-1].Figure
	if len(g.Findings) == 1 {
		return fmt.Sprintf("on %s: %s %s %s", g.Worst().Model, worst.What, worst.Amount(), worst.Each())
	}
	var on []string
	for _, f := range g.Findings {
		on = append(on, f.Figure.Amount()+" on "+f.Model)
	}
	amounts := worst.Amount()
	if least.Amount() != amounts {
		amounts = least.Amount() + " to " + amounts
	}
	return fmt.Sprintf("on %d models: %s %s %s: %s", len(on), worst.What, amounts, worst.Each(), strings.Join(on, ", "))
}

// A Cell is what a rule checks: a cell of the run with its ledger.
type Cell struct {
	results.Cell
	Ledger  results.Ledger
	Backend results.BackendInfo
	Cores   int
	// Profiled is the profiled trial; nil if there is none.
	Profiled *results.Trial
	// CPUNS is the median processor time of a timed trial. LeastCPUNS is the
	// smallest of these medians over the workload's cells: what the work itself
	// needs.
	CPUNS, LeastCPUNS float64
	// Collections is the median number of garbage collections in the measured
	// part of a timed trial, set-up not included.
	Collections float64
}

// A Rule looks for one cause.
type Rule struct {
	Name  string
	Doc   string
	Check func(c *Cell) *Finding // returns nil if the cause is not there
}

// All are the rules, in the order in which their findings are reported.
var All = []*Rule{
	AwaitInALoop,
	PollingLoop,
	SerialIO,
	LockConvoy,
	LateIO,
	HeadOfLine,
	TooManyWorkers,
	IdleWorkers,
	Starved,
	IPCBound,
	TooSmall,
	GCBound,
}

// ModelCosts are the rules that say what a model costs the programs that it runs.
var ModelCosts = []*Rule{
	SerialExecution,
	Carrying,
}

// Of returns the findings of a run.
func Of(d *results.Data) []Finding { return check(d, All) }

// ModelCostsOf returns what the models cost the programs of a run.
func ModelCostsOf(d *results.Data) []Finding { return check(d, ModelCosts) }

func check(d *results.Data, rules []*Rule) []Finding {
	var all []Finding
	for i := range d.Ledger {
		c, ok := cellOf(d, &d.Ledger[i])
		if !ok || c.Ledger.Tasks == 0 {
			continue
		}
		for _, r := range rules {
			f := r.Check(c)
			if f == nil {
				continue
			}
			f.Rule, f.Cell, f.Workload, f.Model = r.Name, c.ID, c.Workload, c.model()
			if f.Command == "" {
				f.Command = "harness ledger DIR --cell " + c.ID
			}
			all = append(all, *f)
		}
	}
	return all
}

func cellOf(d *results.Data, l *results.Ledger) (*Cell, bool) {
	i := slices.IndexFunc(d.Run.Cells, func(c results.Cell) bool { return c.ID == l.Cell })
	if i < 0 {
		return nil, false
	}
	c := &Cell{Cell: d.Run.Cells[i], Ledger: *l, Cores: d.Run.Machine.Cores}
	for _, b := range d.Run.Backends {
		if b.Name == c.Cell.Backend {
			c.Backend = withTurn(b)
		}
	}
	cpu := make(map[string][]int64)
	var collections []int64
	for _, t := range d.Latest() {
		switch {
		case !t.OK():
		case t.Kind == results.Timed:
			cpu[t.Cell] = append(cpu[t.Cell], t.CPUNS())
			if t.Cell == c.ID {
				collections = append(collections, t.GCCycles)
			}
		case t.Kind == results.Profiled && t.Cell == c.ID:
			c.Profiled = &t
		}
	}
	c.CPUNS, c.Collections = median(cpu[c.ID]), median(collections)
	for _, other := range d.Run.Cells {
		if m := median(cpu[other.ID]); other.Workload == c.Workload && m > 0 && (c.LeastCPUNS == 0 || m < c.LeastCPUNS) {
			c.LeastCPUNS = m
		}
	}
	return c, true
}

// olderTurns has, by the name of the backend, the fields that older runs did not
// record.
var olderTurns = map[string]results.BackendInfo{
	"eventloop":   {Turn: "the loop's turn", Cooperative: true},
	"gil":         {Turn: "the interpreter lock"},
	"gomaxprocs1": {Turn: "the one processor"},
}

// withTurn completes the record of a serial backend of an older run.
func withTurn(b results.BackendInfo) results.BackendInfo {
	if b.Serial && b.Turn == "" {
		b.Turn, b.Cooperative = olderTurns[b.Name].Turn, olderTurns[b.Name].Cooperative
	}
	return b
}

func median(v []int64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return float64(v[len(v)/2]+v[(len(v)-1)/2]) / 2
}

// model returns the model of the cell, such as "gil×4".
func (c *Cell) model() string {
	name := fmt.Sprintf("%s×%d", c.Cell.Backend, c.Workers)
	if c.Build != "" {
		name += ", " + c.Build
	}
	return name
}

// whole returns the workers' time.
func (c *Cell) whole() int64 { return c.Ledger.WallNS * int64(c.Workers) }

// idle returns how much of their time the workers had no task.
func (c *Cell) idle() int64 { return max(0, c.whole()-c.Ledger.BusyNS) }

// ofWorkers returns an amount of the workers' time as a figure.
func (c *Cell) ofWorkers(what string, ns int64) Figure {
	return Figure{What: what, Value: ratio(ns, c.whole()), Unit: "1", Of: WorkersTime}
}

// aTask returns an amount of time of all tasks together as a figure per task.
func (c *Cell) aTask(what string, ns int64) Figure {
	return Figure{What: what, Value: float64(ns) / float64(c.Ledger.Tasks), Unit: "ns", Of: "task"}
}

// spent formats a share of the workers' time as evidence, with the share that tasks
// took of it.
func (c *Cell) spent(f Figure) string {
	s := fmt.Sprintf("%s %s %s (%d workers for %v)", f.What, f.Amount(), f.Each(), c.Workers, about(time.Duration(c.Ledger.WallNS)))
	if f.What != noTask {
		s += ", of which tasks took " + percent(c.busy())
	}
	return s
}

// noTask describes the time of workers that have no task.
const noTask = "in no task"

// share returns the share of the parts in the time inside of tasks.
func (c *Cell) share(parts ...results.Part) float64 {
	var ns int64
	for _, p := range parts {
		ns += c.Ledger.Parts[p]
	}
	return ratio(ns, c.Ledger.BusyNS)
}

// busy returns the share of the workers' time inside of tasks.
func (c *Cell) busy() float64 {
	return ratio(c.Ledger.BusyNS, c.Ledger.WallNS*int64(c.Workers))
}

// cpu returns the processor time of the traced trial's processes.
func (c *Cell) cpu() (ns int64) {
	for _, p := range c.Ledger.Processes {
		ns += p.CPUNS
	}
	return ns
}

func ratio(part, whole int64) float64 {
	if whole <= 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// extra formats the processor time of a task as evidence, beside that on the
// leanest model.
func (c *Cell) extra() string {
	n := float64(c.Ledger.Tasks)
	return fmt.Sprintf("processor time in the timed trials: %v a task, %v on the leanest model", about(time.Duration(c.CPUNS/n)), about(time.Duration(c.LeastCPUNS/n)))
}

// each returns the mean of a part over the tasks.
func (c *Cell) each(p results.Part) time.Duration {
	return time.Duration(c.Ledger.Parts[p] / int64(c.Ledger.Tasks))
}

// most returns the task with the most of a part.
func (c *Cell) most(p results.Part) results.MostTask {
	for _, m := range c.Ledger.Most {
		if m.Part == p.String() {
			return m
		}
	}
	return results.MostTask{}
}

// place returns the place where the tasks spent most of a part, and its share of the
// part.
func (c *Cell) place(p results.Part) (results.Place, float64) {
	for _, at := range c.Ledger.Places {
		if at.Part == p.String() {
			return at, ratio(at.NS, c.Ledger.Parts[p])
		}
	}
	return results.Place{}, 0
}

// submitted returns where the program submits most of its tasks.
func (c *Cell) submitted() results.Place { return first(c.Ledger.Submitted) }

// computing returns where the tasks use most of their processor time.
func (c *Cell) computing() results.Place { return first(c.Ledger.Computing) }

func first(places []results.Place) results.Place {
	if len(places) == 0 {
		return results.Place{}
	}
	return places[0]
}

// behind returns how long tasks were in these parts because other tasks ran
// (scheduling interference), and how much of that was behind tasks that compute
// far longer than they do.
func (c *Cell) behind(parts ...results.Part) (waited, behindLong int64) {
	for _, p := range parts {
		waited += c.Ledger.Parts[p]
		behindLong += c.Ledger.BehindLong[p]
	}
	return waited, behindLong
}

// show sets the task that shows the finding best.
func (f *Finding) show(m results.MostTask) *Finding {
	f.Task, f.SpanID = m.Number, m.SpanID
	return f
}

// at adds a place in the program to the evidence, and sets the stack.
func (f *Finding) at(what, where string, stack []string) *Finding {
	if where != "" {
		f.Evidence, f.Stack = append(f.Evidence, what+" at "+where), stack
	}
	return f
}

// blamed adds the task that held up the others most to the evidence, and shows it.
func (f *Finding) blamed(c *Cell) *Finding {
	if len(c.Ledger.Blockers) == 0 {
		return f
	}
	b := c.Ledger.Blockers[0]
	f.Evidence = append(f.Evidence, fmt.Sprintf("task %d (%s) computes for at least %v, and %d others waited meanwhile, together %v",
		b.Number, b.Task, about(time.Duration(b.CPUNS)), b.Tasks, about(time.Duration(b.HeldUpNS))))
	return f.show(results.MostTask{Number: b.Number, SpanID: b.SpanID}).at("it computes", b.Where, b.Stack)
}

func percent(v float64) string { return fmt.Sprintf("%.0f %%", 100*v) }

// about rounds a duration to about three digits.
func about(d time.Duration) time.Duration {
	for unit := time.Duration(1); ; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit)
		}
	}
}
