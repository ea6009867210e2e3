package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/f3f4c0de/harness/internal/results"
)

// Ledgers writes where a task's time went on average, a line for each cell.
func Ledgers(w io.Writer, ledgers []results.Ledger) error {
	used := usedParts(ledgers)
	rows := [][]string{{"cell", "tasks", "a task"}}
	for _, p := range used {
		rows[0] = append(rows[0], p.String())
	}
	rows[0] = append(rows[0], afterParts...)
	for i := range ledgers {
		rows = append(rows, ledgerRow(&ledgers[i], used))
	}
	var b strings.Builder
	writeTable(&b, rows, 1)
	b.WriteByte('\n')
	writeWrapped(&b, `Averages over the tasks of one traced trial each. The parts and the residual add up to "a task". Beside that: OS queue is what the threads of all processes waited for a processor of the machine, spawn what starting the workers took, each a task's share.`)
	_, err := io.WriteString(w, b.String())
	return err
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
	fmt.Fprintf(&b, "%s: %d tasks, %s each from submission to result\n\n", l.Cell, l.Tasks, perTask(l.TasksNS, l))
	rows := [][]string{{"part", "what it is", "a task", "share"}}
	add := func(name, doc string, ns int64) {
		rows = append(rows, []string{name, doc, perTask(ns, l), ofWhole(float64(ns), float64(l.TasksNS))})
	}
	for i, info := range results.PartInfo {
		if l.Parts[i] == 0 {
			continue
		}
		add(info.Name, info.Doc, l.Parts[i])
		if results.Part(i) == results.PartRunning {
			known := fmt.Sprintf("of that, known for %d of %d tasks", l.OnCPUKnown, l.Tasks)
			rows = append(rows, []string{"  on a CPU", known, ofKnown(l.OnCPUNS, l.OnCPUKnown), ""},
				[]string{"  OS queue", "waiting for the system, likewise", ofKnown(l.OSQueueNS, l.OnCPUKnown), ""})
		}
	}
	add("residual", fmt.Sprintf("what the parts leave unexplained; of one task at most %s", ofWhole(l.LargestResidual, 1)), l.ResidualNS)
	add("sum", "", l.TasksNS)
	writeTable(&b, rows, 2)
	fmt.Fprintf(&b, "\nThe %d workers were busy with tasks for %s of the %s. Starting them took %s, %s a task, in no task's time.\n",
		l.Workers, busy(l), duration(float64(l.WallNS)), duration(float64(l.SpawnNS)), perTask(l.SpawnNS, l))
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
	for _, n := range l.Notes {
		b.WriteByte('\n')
		writeWrapped(&b, n)
	}
	_, err := io.WriteString(w, b.String())
	return err
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
	rows := [][]string{{"part", "what it is", "says", "time", "share"}}
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
