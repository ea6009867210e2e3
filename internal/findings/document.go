package findings

import (
	"fmt"
	"strings"

	"github.com/f3f4c0de/harness/internal/results"
)

// Document returns docs/causes.md.
func Document() string {
	var b strings.Builder
	b.WriteString(documentHead)
	b.WriteString("\n## The parts\n\n| part | what it is | who says so |\n| --- | --- | --- |\n")
	for _, p := range results.PartInfo {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", p.Name, p.Doc, p.Source)
	}
	b.WriteString(documentParts)
	b.WriteString("\n## Findings\n\n" + documentFindings + "\n| finding | when |\n| --- | --- |\n")
	for _, r := range All {
		fmt.Fprintf(&b, "| `%s` | %s |\n", r.Name, r.Doc)
	}
	b.WriteString("\n## What models cost\n\n" + documentCosts + "\n| cost | when |\n| --- | --- |\n")
	for _, r := range ModelCosts {
		fmt.Fprintf(&b, "| `%s` | %s |\n", r.Name, r.Doc)
	}
	return b.String()
}

const documentHead = `# Causes

Where the time of tasks goes, and what the report concludes from it. This page is made from the code (` + "`go test ./internal/findings -update`" + `); a
test compares the two.

` + "`harness ledger DIR [--cell CELL] [--task N] [--json]`" + ` divides the time of every task of a cell's traced trial, from its submission until its result
was back, into parts. They do not overlap; together with the residual they are the whole time, to the nanosecond.
`

const documentParts = `
Beside the parts, since they are in no task's time or only sometimes known:

| figure | what it is | who says so |
| --- | --- | --- |
| on a CPU | of running; known for a task that had its thread to itself and did not wait, and for every task on ` + "`threads`" + ` | the thread's clock |
| OS queue, of a task | the rest of running: the system had not given it a processor | the difference |
| OS queue, of a process | what its threads, added up, waited for a processor of the machine; includes what other programs did | ` + "`schedstat`" + `; unknown on macOS |
| CPU samples | one for each 10 ms of processor time of the task's goroutine | the profiler |
| spawn | starting the workers, divided by the tasks | time stamps |
| children | for how long goroutines that the task started were running, beside it | execution trace |

What is not known is null in JSON and *unknown* in the table, with the reason below it: a task that shared its thread, a task beyond the end of an
execution trace (256 MiB), a system whose processes share no clock, so that encoding, transport and decoding are one part.

**The error.** An amount of time that a task is known to spend (spinning, waiting for a reply, a lock or a channel, letting another goroutine run,
encoding, decoding, a forced collection) is found in its part to 2 % and 0.2 ms, on every backend. The residual is below 0.2 ms a task. On a busy
machine a task may be stopped between its clock and the trace's, by as much as the OS queue says. ` + "`go test . -run TestAcceptance/amounts`" + ` repeats it, and
` + "`go test ./internal/ledger -run GoToolTrace`" + ` compares with what ` + "`go tool trace`" + ` computes from the same file (1 %).

The time for which tasks had to help the garbage collector is measured by the execution trace of their goroutines. In a program that allocates faster than its
garbage is collected, it is within 15 % of the runtime's own figure (` + "`/cpu/classes/gc/mark/assist:cpu-seconds`" + `): ` + "`go test ./internal/ledger -run CollectorsShare`" + `.
On a busy machine it can be half as much again. A thread that the system stops while it begins or ends helping counts here and not in the runtime's figure, and so does the
end of a collection, which the task that helps last has to do. The part ` + "`gc`" + ` also contains waiting for the collector, for which the runtime has no figure. What the collector does beside
the tasks, with a quarter of the processors while it runs, is in no task's time: meanwhile tasks are ` + "`runnable`" + `, and the CPU samples show the collector.
`

const documentFindings = `A finding is about the program: something that its author can change. It has numbers, the span that shows it best, a stack where one is known, and
the command that shows it. A rule that is not sure reports nothing. Rules tell which tasks compute by their processor time, which other programs do not add to. The report
states a cause once for each program, with the models that it was found on and its figure on each.

Rules compare with the time that tasks take, each from the begin of its function to its end. Every share of time that is shown is a share of *the workers'
time*: all workers of the cell, for as long as the measured part took, whether or not they had a task. The evidence has both. Queue, encoding and transport
are not in the workers' time, since many tasks can be in them at once; they are given for each task. Figures from CPU samples are shares of the processor time.
`

const documentCosts = `What a model does with any program, such as running one task's code at a time or carrying tasks to another process. It explains a result, and is no fault of the program.
`
