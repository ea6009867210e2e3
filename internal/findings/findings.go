// Package findings reads the ledgers of a run and says in plain language what is
// wrong with a program, each with its evidence. It is pure. A rule that is not
// sure says nothing.
//
// A finding is something that the program's author can change. What a model does
// with any program of the kind, such as taking turns, is a cost of the model: it
// is the cause that a reader looks for, and no fault. The two are kept apart.
//
// To add a rule, write a file or a function with a [Rule] and add it to [All], or
// to [Costs] if no change of the program would help.
package findings

import (
	"fmt"
	"slices"
	"time"

	"github.com/f3f4c0de/harness/internal/results"
)

// A Finding is one observation about one cell.
type Finding struct {
	Rule     string   `json:"rule"`
	Cell     string   `json:"cell"`
	Says     string   `json:"says"`
	Evidence []string `json:"evidence"`
	// Stack is how the program got to the place that it is about, innermost
	// first; empty if there is none, or too little was sampled.
	Stack []string `json:"stack,omitempty"`
	// SpanID is the task that shows it best, and Command what prints its ledger
	// or its profile; DIR stands for the run's folder.
	SpanID  string `json:"span_id,omitempty"`
	Command string `json:"command"`
}

// A Cell is what a rule looks at.
type Cell struct {
	results.Cell
	Ledger  results.Ledger
	Backend results.BackendInfo
	Cores   int
	// Profiled is the profiled trial; nil if there is none.
	Profiled *results.Trial
	// CPUNS is the median processor time of a timed trial, and LeastCPUNS the
	// least of the workload's cells: what the work itself needs.
	CPUNS, LeastCPUNS float64
	// Collections is the median number of garbage collections in the measured
	// part of a timed trial, set-up not included.
	Collections float64
}

// A Rule looks for one thing.
type Rule struct {
	Name  string
	Doc   string
	Check func(c *Cell) *Finding // nil if it is not there
}

// All are the rules, in the order in which their findings are reported.
var All = []*Rule{
	AwaitInALoop, PollingLoop, SerialIO, LockConvoy, LateIO, HeadOfLine,
	TooManyWorkers, IdleWorkers, Starved, IPCBound, TooSmall, GCBound,
}

// Costs are the rules that say what a model costs a program.
var Costs = []*Rule{Turns, Carrying}

// Of returns the findings of a run.
func Of(d *results.Data) []Finding { return check(d, All) }

// CostsOf returns what the models cost the programs of a run.
func CostsOf(d *results.Data) []Finding { return check(d, Costs) }

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
			f.Rule, f.Cell = r.Name, c.ID
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
			c.Backend = b
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

func median(v []int64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return float64(v[len(v)/2]+v[(len(v)-1)/2]) / 2
}

// share returns what part of the time inside of tasks was spent so.
func (c *Cell) share(parts ...results.Part) float64 {
	var ns int64
	for _, p := range parts {
		ns += c.Ledger.Parts[p]
	}
	return ratio(ns, c.Ledger.BusyNS)
}

// busy returns for what part of the trial the workers were inside of tasks.
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

// extra says what the model costs more than the leanest one.
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

// place returns where the tasks spent the most of a part, and its share of it.
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

// behind returns the time that tasks waited for their turn, as these parts, and
// how much of it behind tasks that compute far longer than they do.
func (c *Cell) behind(parts ...results.Part) (waited, behindLong int64) {
	for _, p := range parts {
		waited += c.Ledger.Parts[p]
		behindLong += c.Ledger.BehindLong[p]
	}
	return waited, behindLong
}

// show makes a finding point at one task.
func (f *Finding) show(c *Cell, m results.MostTask) *Finding {
	if m.Number != 0 {
		f.SpanID = m.SpanID
		f.Command = fmt.Sprintf("harness ledger DIR --cell %s --task %d", c.ID, m.Number)
	}
	return f
}

// at says in the evidence where in the program that is, and keeps the stack.
func (f *Finding) at(what, where string, stack []string) *Finding {
	if where != "" {
		f.Evidence, f.Stack = append(f.Evidence, what+" at "+where), stack
	}
	return f
}

// blamed makes a finding point at the task that others wait behind.
func (f *Finding) blamed(c *Cell) *Finding {
	if len(c.Ledger.Blockers) == 0 {
		return f
	}
	b := c.Ledger.Blockers[0]
	f.Evidence = append(f.Evidence, fmt.Sprintf("task %d (%s) computes for at least %v, and %d others waited meanwhile, together %v",
		b.Number, b.Task, about(time.Duration(b.CPUNS)), b.Tasks, about(time.Duration(b.HeldUpNS))))
	return f.show(c, results.MostTask{Number: b.Number, SpanID: b.SpanID}).at("it computes", b.Where, b.Stack)
}

func percent(v float64) string { return fmt.Sprintf("%.0f %%", 100*v) }

// about rounds a duration to three digits or so.
func about(d time.Duration) time.Duration {
	for unit := time.Duration(1); ; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit)
		}
	}
}
