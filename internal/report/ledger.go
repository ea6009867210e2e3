package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/f3f4c0de/harness/internal/results"
)

// Ledgers writes where a task's time went on average, a line for each cell.
func Ledgers(w io.Writer, ledgers []results.Ledger) error {
	var b strings.Builder
	writeTable(&b, ledgerTable(ledgers), 1)
	b.WriteByte('\n')
	writeWrapped(&b, ledgersNote)
	_, err := io.WriteString(w, b.String())
	return err
}

// ledgersNote says what is in the table of all ledgers.
const ledgersNote = `Averages over the tasks of one traced trial each, from submission until the result was back. The parts and the residual add up to "a task". Beside that: workers busy is with tasks, of the workers' time, all of them for as long as the program took; OS queue is what the threads of all processes waited for a processor of the machine, spawn what starting the workers took, each a task's share.`

// ledgerTable is the table of all ledgers, its columns first.
func ledgerTable(ledgers []results.Ledger) [][]string {
	used := usedParts(ledgers)
	rows := [][]string{{"cell", "tasks", "a task"}}
	for _, p := range used {
		rows[0] = append(rows[0], p.String())
	}
	rows[0] = append(rows[0], afterParts...)
	for i := range ledgers {
		rows = append(rows, ledgerRow(&ledgers[i], used))
	}
	return rows
}

// ledgerMarkdown writes where a task's time went.
func (r *Report) ledgerMarkdown(b *strings.Builder) {
	if len(r.Ledger) == 0 {
		return
	}
	b.WriteString("\n## Where a task's time went\n\n")
	for i, row := range ledgerTable(r.Ledger) {
		for j := range row {
			row[j] = escapeMarkdown(row[j])
		}
		fmt.Fprintf(b, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			b.WriteString("| --- |" + strings.Repeat(" ---: |", len(row)-1) + "\n")
		}
	}
	fmt.Fprintf(b, "\n%s\n\n", escapeMarkdown(ledgersNote))
	for _, p := range usedParts(r.Ledger) {
		fmt.Fprintf(b, "- **%s**: %s\n", escapeMarkdown(p.String()), escapeMarkdown(results.PartInfo[p].Doc))
	}
	b.WriteString("\nIn full, with what is unknown and why: `harness ledger DIR --cell CELL`.\n")
}

// usedParts returns the parts that any of the ledgers has something of.
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

// afterParts are the columns of the table after the parts.
var afterParts = []string{"residual", "workers busy", "OS queue", "spawn"}

func perTask(ns int64, l *results.Ledger) string {
	return signed(float64(ns) / float64(max(1, l.Tasks)))
}

// signed is a duration that may be negative, as a residual may.
func signed(ns float64) string {
	if ns < 0 {
		return "-" + duration(-ns)
	}
	return duration(ns)
}

func busy(l *results.Ledger) string {
	return ofWhole(float64(l.BusyNS), float64(l.WallNS)*float64(l.Workers))
}

// ofWhole writes part of whole in hundredths.
func ofWhole(part, whole float64) string {
	if whole == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f %%", 100*part/whole)
}

// LedgerText writes one cell's ledger in full.
func LedgerText(w io.Writer, l *results.Ledger) error {
	var b strings.Builder
	whole := l.WallNS * int64(l.Workers)
	ofWorkers := func(ns int64) string { return ofWhole(float64(ns), float64(whole)) }
	fmt.Fprintf(&b, "%s: %d tasks, %s each from submission to result; %d workers for %s\n\n", l.Cell, l.Tasks, perTask(l.TasksNS, l), l.Workers, duration(float64(l.WallNS)))
	rows := [][]string{{"part", "what it is", "a task", "of the workers' time"}}
	for i, info := range results.PartInfo {
		p, share := results.Part(i), "–"
		if l.Parts[i] == 0 {
			continue
		}
		if p.AtWorker() {
			share = ofWorkers(l.Parts[i])
		}
		rows = append(rows, []string{info.Name, info.Doc, perTask(l.Parts[i], l), share})
		if p == results.PartRunning {
			known := fmt.Sprintf("of that, known for %d of %d tasks", l.OnCPUKnown, l.Tasks)
			rows = append(rows, []string{"  on a CPU", known, ofKnown(l.OnCPUNS, l.OnCPUKnown), ""},
				[]string{"  OS queue", "waiting for the system, likewise", ofKnown(l.OSQueueNS, l.OnCPUKnown), ""})
		}
	}
	idle := max(0, whole-l.BusyNS)
	rows = append(rows,
		[]string{"residual", fmt.Sprintf("what the parts leave unexplained; of one task at most %s of its time", ofWhole(l.LargestResidual, 1)), perTask(l.ResidualNS, l), ofWorkers(l.ResidualNS)},
		[]string{"a task", "the sum of these", perTask(l.TasksNS, l), ""},
		[]string{"no task", "workers had none, a task's share", perTask(idle, l), ofWorkers(idle)})
	writeTable(&b, rows, 2)
	b.WriteByte('\n')
	writeWrapped(&b, "The workers' time is all workers, for as long as the program took; the shares add up to it. – is in no worker's time: many tasks can be there at once.")
	fmt.Fprintf(&b, "\nThe %d workers were busy with tasks for %s of their time. Starting them took %s, %s a task, in no task's time.\n",
		l.Workers, busy(l), duration(float64(l.SpawnNS)), perTask(l.SpawnNS, l))
	fmt.Fprintf(&b, "Never more than %d of the %d tasks were between submission and result.\n", l.MaxInFlight, l.Tasks)
	if l.Waits.IO > 0 {
		fmt.Fprintf(&b, "They waited %d times for I/O: %s each until it was there, %s until they went on.\n", l.Waits.IO,
			signed(float64(l.Parts[results.PartIOService]+l.Parts[results.PartIOWait])/float64(l.Waits.IO)), signed(float64(l.Parts[results.PartIOLate])/float64(l.Waits.IO)))
	}
	if l.TailNS > 0 {
		fmt.Fprintf(&b, "At the end workers had nothing more to do, for %s of their time.\n", ofWorkers(l.TailNS))
	}
	if l.ChildrenNS > 0 {
		fmt.Fprintf(&b, "Goroutines that the tasks started were running for %s a task, beside them.\n", perTask(l.ChildrenNS, l))
	}
	if len(l.Processes) > 0 {
		b.WriteByte('\n')
		rows := [][]string{{"process", "CPU", "OS queue", "preempted", "collections", "spans"}}
		for _, p := range l.Processes {
			rows = append(rows, []string{p.Name, duration(float64(p.CPUNS)), duration(float64(p.RunQueueNS)), fmt.Sprint(p.Switches), fmt.Sprint(p.GCCycles), fmt.Sprintf("%d of %d", p.SpansExported, p.SpansExpected)})
		}
		writeTable(&b, rows, 1)
		b.WriteString("OS queue: what the threads of the process, added up, waited for a processor of the machine.\n")
	}
	writePlaces(&b, "They waited longest", l.Places, func(p results.Place) string {
		return fmt.Sprintf("%s, %d times, %s in all, %s of the workers' time", p.Part, p.Waits, duration(float64(p.NS)), ofWorkers(p.NS))
	})
	writePlaces(&b, "They used the processor", l.Computing, func(p results.Place) string { return counted(p.Waits, "sample") + " of 10 ms each" })
	writePlaces(&b, "They were submitted", l.Submitted, func(p results.Place) string { return fmt.Sprintf("%d times", p.Waits) })
	if o := l.Longest; o.Where != "" {
		fmt.Fprintf(&b, "\nTask %d lasted longest, %s. It computed for at least %s, at\n", o.Number, duration(float64(o.NS)), duration(float64(o.CPUNS)))
		for _, f := range o.Stack {
			fmt.Fprintf(&b, "  %s\n", f)
		}
	}
	for _, h := range l.Blockers {
		fmt.Fprintf(&b, "\nTask %d (%s) computed for at least %s; %d others waited meanwhile, together %s. It computed at\n", h.Number, h.Task, duration(float64(h.CPUNS)), h.Tasks, duration(float64(h.HeldUpNS)))
		for _, f := range h.Stack {
			fmt.Fprintf(&b, "  %s\n", f)
		}
	}
	for _, n := range l.Notes {
		b.WriteByte('\n')
		writeWrapped(&b, n)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writePlaces writes places in the program, the first of each part with its stack.
func writePlaces(b *strings.Builder, what string, places []results.Place, amount func(results.Place) string) {
	shown := make(map[string]bool)
	for _, p := range places {
		fmt.Fprintf(b, "\n%s at %s: %s\n", what, p.Where, amount(p))
		if shown[p.Part] {
			continue
		}
		shown[p.Part] = true
		for _, f := range p.Stack {
			fmt.Fprintf(b, "  %s\n", f)
		}
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
	rows := [][]string{{"part", "what it is", "says", "time", "of the task's time"}}
	for i, info := range results.PartInfo {
		if t.Parts[i] == 0 {
			continue
		}
		rows = append(rows, []string{info.Name, info.Doc, info.Source, duration(float64(t.Parts[i])), ofWhole(float64(t.Parts[i]), float64(t.WallNS))})
		if results.Part(i) == results.PartRunning {
			rows = append(rows, []string{"  on a CPU", "of that", "clock of the thread", known(t.OnCPUNS), ""},
				[]string{"  OS queue", "waiting for the system", "the difference", known(t.OSQueueNS), ""})
		}
	}
	rows = append(rows, []string{"residual", "unexplained", "", signed(float64(t.ResidualNS)), ofWhole(float64(t.ResidualNS), float64(t.WallNS))})
	writeTable(&b, rows, 3)
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
		for _, f := range t.Stack {
			fmt.Fprintf(&b, "  %s\n", f)
		}
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
