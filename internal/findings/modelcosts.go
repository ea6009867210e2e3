package findings

import (
	"cmp"
	"fmt"
	"time"

	"github.com/f3f4c0de/harness/internal/results"
)

// SerialExecution reports what a model costs that runs one task's code at a time.
var SerialExecution = &Rule{
	Name: "turns",
	Doc:  "on a model that runs one task's code at a time, tasks wait for their turn at least a fifth of their time",
	Check: func(c *Cell) *Finding {
		part := results.PartGate
		waited := c.Ledger.Parts[part]
		if c.Backend.GOMAXPROCS == 1 {
			part = results.PartRunnable
			waited = c.Ledger.Parts[part] + c.Ledger.Parts[results.PartIOLate]
		}
		if !c.Backend.Serial || c.Workers < 2 || ratio(waited, c.Ledger.BusyNS) < 0.2 {
			return nil
		}
		running := time.Duration(c.Ledger.Parts[results.PartRunning])
		waiting := c.ofWorkers("waiting for the turn", waited)
		return (&Finding{
			Figure: waiting,
			Says: fmt.Sprintf("One task's code runs at a time: each task computes for %v and waits %v for %s. Only what tasks wait for otherwise can overlap; more workers do not help.",
				about(c.each(results.PartRunning)), about(time.Duration(waited/int64(c.Ledger.Tasks))), cmp.Or(c.Backend.Turn, "its turn")),
			Evidence: []string{
				fmt.Sprintf("all tasks together run for %v of the %v that the program takes", about(running), about(time.Duration(c.Ledger.WallNS))),
				c.spent(waiting),
			},
		}).show(c.most(part)).at("they compute", c.computing().Where, c.computing().Stack)
	},
}

// Carrying reports what the transport to other processes and back costs.
var Carrying = &Rule{
	Name: "carrying",
	Doc:  "carrying the tasks to other processes and back takes at least a tenth as long as running them",
	Check: func(c *Cell) *Finding {
		p := &c.Ledger.Parts
		carried := p[results.PartEncode] + p[results.PartTransport] + p[results.PartDecode]
		if ratio(carried, c.Ledger.BusyNS) < 0.1 {
			return nil
		}
		return (&Finding{
			Figure: c.aTask("between processes", carried),
			Says: fmt.Sprintf("A task is carried to another process and back for %v, and is with its worker for %v.",
				about(time.Duration(carried/int64(c.Ledger.Tasks))), about(time.Duration(c.Ledger.BusyNS/int64(c.Ledger.Tasks)))),
			Evidence: []string{
				fmt.Sprintf("encoding %v, transport %v, decoding %v a task", about(c.each(results.PartEncode)), about(c.each(results.PartTransport)), about(c.each(results.PartDecode))), c.extra(),
			},
		}).show(c.most(results.PartTransport))
	},
}
