package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/f3f4c0de/harness/internal/report/document"
	"github.com/f3f4c0de/harness/internal/results"
)

// ledgerSection shows where a task's time went, in a table of all cells.
func ledgerSection(r *Report) document.Section {
	s := document.Section{ID: "ledger"}
	if len(r.Ledger) > 0 {
		s.Title = "Where a task's time went"
		var terms document.Terms
		t := ledgerTable(r.Ledger)
		for _, c := range t.Columns {
			if c.Doc != "" {
				terms = append(terms, document.Item{Of: c.Name, Says: c.Doc})
			}
		}
		s.Blocks = []document.Block{document.Files{
			document.Note(`From submission until the result was back, on average over the tasks of one traced trial of each cell. The parts and the residual add up to "a task"; the columns after it are beside that.`),
			t, terms, document.Command{Before: "In full, with what is unknown and why:", Line: "harness ledger DIR --cell CELL"},
		}}
	}
	if line := r.Spans.text(); line != "" {
		s.Blocks = append(s.Blocks, document.Note(line))
	}
	return s
}

// Ledgers writes where a task's time went on average, a line for each cell.
func Ledgers(w io.Writer, ledgers []results.Ledger) error {
	return document.Text(w, []document.Section{{Blocks: []document.Block{ledgerTable(ledgers), document.Note(ledgersNote)}}})
}

// ledgersNote explains the table of all ledgers.
const ledgersNote = `Averages over the tasks of one traced trial each, from submission until the result was back. The parts and the residual add up to "a task". Beside that: workers busy is with tasks, of the workers' time, all of them for as long as the program took; OS queue is what the threads of all processes waited for a processor of the machine, spawn what starting the workers took, each a task's share.`

// ledgerTable returns the table of all ledgers.
func ledgerTable(ledgers []results.Ledger) *document.Table {
	used := usedParts(ledgers)
	t := document.NewTable(1, "cell", "tasks", "a task")
	t.Wide = true
	for _, p := range used {
		t.Columns = append(t.Columns, document.Column{Name: p.String(), Doc: results.PartInfo[p].Doc})
	}
	t.Columns = append(t.Columns,
		document.Column{Name: "residual", Doc: "what these leave unexplained"},
		document.Column{Name: "workers busy", Doc: "with tasks, of the workers' time: all of them, for as long as the program took"},
		document.Column{Name: "OS queue", Doc: "what the threads of all processes waited for a processor of the machine, a task's share"},
		document.Column{Name: "spawn", Doc: "what starting the workers took, a task's share"})
	for i := range ledgers {
		t.Add(ledgerRow(&ledgers[i], used)...)
	}
	return t
}

// usedParts returns the parts that are not zero in all of the ledgers.
func usedParts(ledgers []results.Ledger) (used []results.Part) {
	for i := range results.PartInfo {
		for _, l := range ledgers {
			if l.Parts[i] != 0 {
				used = append(used, results.Part(i))
				break
			}
		}
	}
	return used
}

func ledgerRow(l *results.Ledger, used []results.Part) []string {
	row := []string{l.Cell, fmt.Sprint(l.Tasks), perTask(l.TasksNS, l)}
	for _, p := range used {
		cell := "–"
		if l.Parts[p] != 0 {
			cell = perTask(l.Parts[p], l)
		}
		row = append(row, cell)
	}
	queued := "unknown"
	if l.RunQueueNS != nil {
		queued = perTask(*l.RunQueueNS, l)
	}
	return append(row, perTask(l.ResidualNS, l), busy(l), queued, perTask(l.SpawnNS, l))
}

func perTask(ns int64, l *results.Ledger) string {
	return signed(float64(ns) / float64(max(1, l.Tasks)))
}

func busy(l *results.Ledger) string {
	return ofWhole(float64(l.BusyNS), float64(l.WallNS)*float64(l.Workers))
}

// outside are the parts during which a task is not at a worker. Many tasks can be
// in them at once, so they are no share of the workers' time.
var outside = []results.Part{results.PartQueue, results.PartEncode, results.PartTransport, results.PartDecode, results.PartAhead}

// LedgerText writes one cell's ledger in full.
func LedgerText(w io.Writer, l *results.Ledger) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d tasks, %s each from submission to result; %d workers for %s\n\n", l.Cell, l.Tasks, perTask(l.TasksNS, l), l.Workers, duration(float64(l.WallNS)))
	partsTable(l).Text(&b)
	b.WriteByte('\n')
	document.Wrap(&b, "The workers' time is all workers, for as long as the program took; the shares add up to it. – is in no worker's time: many tasks can be there at once.")
	writeWorkers(&b, l)
	if len(l.Processes) > 0 {
		b.WriteByte('\n')
		t := document.NewTable(1, "process", "CPU", "OS queue", "preempted", "collections", "spans")
		for _, p := range l.Processes {
			t.Add(p.Name, duration(float64(p.CPUNS)), duration(float64(p.RunQueueNS)), fmt.Sprint(p.Switches), fmt.Sprint(p.GCCycles), fmt.Sprintf("%d of %d", p.SpansExported, p.SpansExpected))
		}
		t.Text(&b)
		b.WriteString("OS queue: what the threads of the process, added up, waited for a processor of the machine.\n")
	}
	writePlaces(&b, "They waited longest", l.Places, func(p results.Place) string {
		return fmt.Sprintf("%s, %d times, %s in all, %s of the workers' time", p.Part, p.Waits, duration(float64(p.NS)), ofWorkers(p.NS, l))
	})
	writePlaces(&b, "They used the processor", l.Computing, func(p results.Place) string { return counted(p.Waits, "sample") + " of 10 ms each" })
	writePlaces(&b, "They were submitted", l.Submitted, func(p results.Place) string { return fmt.Sprintf("%d times", p.Waits) })
	if o := l.Longest; o.Where != "" {
		fmt.Fprintf(&b, "\nTask %d lasted longest, %s. It computed for at least %s, at\n", o.Number, duration(float64(o.NS)), duration(float64(o.CPUNS)))
		writeStack(&b, o.Stack)
	}
	for _, h := range l.Blockers {
		fmt.Fprintf(&b, "\nTask %d (%s) computed for at least %s; %d others waited meanwhile, together %s. It computed at\n", h.Number, h.Task, duration(float64(h.CPUNS)), h.Tasks, duration(float64(h.HeldUpNS)))
		writeStack(&b, h.Stack)
	}
	for _, n := range l.Notes {
		b.WriteByte('\n')
		document.Wrap(&b, n)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// ofWorkers formats an amount of time as a share of the workers' time.
func ofWorkers(ns int64, l *results.Ledger) string {
	return ofWhole(float64(ns), float64(l.WallNS*int64(l.Workers)))
}

// partsTable divides a cell's tasks' time into its parts.
func partsTable(l *results.Ledger) *document.Table {
	t := document.NewTable(2, "part", "what it is", "a task", "of the workers' time")
	for i, info := range results.PartInfo {
		p, share := results.Part(i), "–"
		if l.Parts[i] == 0 {
			continue
		}
		if !slices.Contains(outside, p) {
			share = ofWorkers(l.Parts[i], l)
		}
		t.Add(info.Name, info.Doc, perTask(l.Parts[i], l), share)
		if p == results.PartRunning {
			t.Add("  on a CPU", fmt.Sprintf("of that, known for %d of %d tasks", l.OnCPUKnown, l.Tasks), ofKnown(l.OnCPUNS, l.OnCPUKnown))
			t.Add("  OS queue", "waiting for the system, likewise", ofKnown(l.OSQueueNS, l.OnCPUKnown))
		}
	}
	idle := max(0, l.WallNS*int64(l.Workers)-l.BusyNS)
	t.Add("residual", fmt.Sprintf("what the parts leave unexplained; of one task at most %s of its time", ofWhole(l.LargestResidual, 1)), perTask(l.ResidualNS, l), ofWorkers(l.ResidualNS, l))
	t.Add("a task", "the sum of these", perTask(l.TasksNS, l))
	t.Add("no task", "workers had none, a task's share", perTask(idle, l), ofWorkers(idle, l))
	return t
}

// writeWorkers writes how busy the workers were, and what they waited for.
func writeWorkers(b *strings.Builder, l *results.Ledger) {
	fmt.Fprintf(b, "\nThe %d workers were busy with tasks for %s of their time. Starting them took %s, %s a task, in no task's time.\n",
		l.Workers, busy(l), duration(float64(l.SpawnNS)), perTask(l.SpawnNS, l))
	fmt.Fprintf(b, "Never more than %d of the %d tasks were between submission and result.\n", l.MaxInFlight, l.Tasks)
	if l.Waits.IO > 0 {
		fmt.Fprintf(b, "They waited %d times for I/O: %s each until it was there, %s until they went on.\n", l.Waits.IO,
			signed(float64(l.Parts[results.PartIOService]+l.Parts[results.PartIOWait])/float64(l.Waits.IO)), signed(float64(l.Parts[results.PartIOLate])/float64(l.Waits.IO)))
	}
	if l.TailNS > 0 {
		fmt.Fprintf(b, "At the end workers had nothing more to do, for %s of their time.\n", ofWorkers(l.TailNS, l))
	}
	if l.ChildrenNS > 0 {
		fmt.Fprintf(b, "Goroutines that the tasks started were running for %s a task, beside them.\n", perTask(l.ChildrenNS, l))
	}
}

// writeStack writes a stack, one frame a line.
func writeStack(b *strings.Builder, stack []string) {
	for _, f := range stack {
		fmt.Fprintf(b, "  %s\n", f)
	}
}

// writePlaces writes places in the program, with the stack of the first place of
// each part.
func writePlaces(b *strings.Builder, what string, places []results.Place, amount func(results.Place) string) {
	shown := make(map[string]bool)
	for _, p := range places {
		fmt.Fprintf(b, "\n%s at %s: %s\n", what, p.Where, amount(p))
		if shown[p.Part] {
			continue
		}
		shown[p.Part] = true
		writeStack(b, p.Stack)
	}
}

func ofKnown(ns int64, known int) string {
	if known == 0 {
		return "unknown"
	}
	return duration(float64(ns) / float64(known))
}

// LedgerTaskText writes one task's ledger.
func LedgerTaskText(w io.Writer, cell string, t *results.LedgerTask) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, task %d (%s) on worker %d (%s): %s from submission to result, span %s\n\n",
		cell, t.Number, t.Task, t.Worker, t.Process, duration(float64(t.WallNS)), t.SpanID)
	table := document.NewTable(3, "part", "what it is", "says", "time", "of the task's time")
	for i, info := range results.PartInfo {
		if t.Parts[i] == 0 {
			continue
		}
		table.Add(info.Name, info.Doc, info.Source, duration(float64(t.Parts[i])), ofWhole(float64(t.Parts[i]), float64(t.WallNS)))
		if results.Part(i) == results.PartRunning {
			table.Add("  on a CPU", "of that", "clock of the thread", known(t.OnCPUNS))
			table.Add("  OS queue", "waiting for the system", "the difference", known(t.OSQueueNS))
		}
	}
	table.Add("residual", "unexplained", "", signed(float64(t.ResidualNS)), ofWhole(float64(t.ResidualNS), float64(t.WallNS)))
	table.Text(&b)
	if t.OnCPUNS == nil && t.Parts[results.PartRunning] > 0 {
		b.WriteString("\nIts time on a CPU is unknown: it waited, or did not have its thread to itself.\n")
	}
	if t.CPUSamples > 0 {
		fmt.Fprintf(&b, "\nThe profiler found it on a CPU %d times, once in 10 ms of processor time.\n", t.CPUSamples)
	}
	if w := t.Waits; w != (results.Waits{}) {
		fmt.Fprintf(&b, "\nIt waited %d times for I/O, %d for locks, %d for channels, %d for timers.\n", w.IO, w.Lock, w.Channel, w.Sleep)
	}
	if t.Where != "" {
		fmt.Fprintf(&b, "\nIt waited longest, %s, at\n", duration(float64(t.WhereNS)))
		writeStack(&b, t.Stack)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func known(ns *int64) string {
	if ns == nil {
		return "unknown"
	}
	return duration(float64(*ns))
}
