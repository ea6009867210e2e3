package stats

import (
	"math"
	"slices"
)

// A Demand is what a program needs.
type Demand struct {
	Wall  float64   // time of all tasks one after the other
	CPU   float64   // the least processor time that they were seen to need
	User  float64   // of CPU, what is outside of the operating system
	Tasks []float64 // time of each task; may be unknown
}

// SpeedupLimit returns how many times faster than one after the other the
// tasks can be done by that many workers on that many processors, and names
// what limits it. It is a bound by conservation of work: no schedule can beat
// the largest of the processors' share of the CPU time, and the bounds on the
// makespan of independent tasks (Graham, 1969): the workers' share of the
// time, the longest task, and, of the k*workers+1 longest, the k+1 shortest,
// which one worker must do. If the model is serial, the tasks' own code takes
// turns, too; system calls do not. processors may be a fraction: what the
// machine was measured to do at once.
func SpeedupLimit(d Demand, workers int, processors float64, serial bool) (limit float64, by Bound) {
	least, by := d.Wall/float64(workers), ByWorkers
	if t := d.CPU / min(processors, float64(workers)); t > least {
		least, by = t, ByProcessors
	}
	if serial && d.User > least {
		least, by = d.User, ByTurns
	}
	// upTo[i] is the time of the i longest tasks.
	upTo := make([]float64, 1, len(d.Tasks)+1)
	for _, t := range slices.Backward(slices.Sorted(slices.Values(d.Tasks))) {
		upTo = append(upTo, upTo[len(upTo)-1]+t)
	}
	if total := upTo[len(upTo)-1]; total > 0 {
		// The tasks were timed in another trial: only their shares count.
		scale := d.Wall / total
		if t := upTo[1] * scale; t > least {
			least, by = t, ByLongestTask
		}
		for k := 1; k*workers < len(d.Tasks); k++ {
			if t := (upTo[k*workers+1] - upTo[k*workers-k]) * scale; t > least*(1+1e-9) {
				least, by = t, ByTaskCount
			}
		}
	}
	if least <= 0 {
		return math.Inf(1), ByWorkers
	}
	return d.Wall / least, by
}

// A Bound names what limits a speed-up.
type Bound string

// What can limit a speed-up.
const (
	ByWorkers     Bound = "workers"      // all workers busy all the time
	ByProcessors  Bound = "processors"   // all processors busy all the time
	ByTurns       Bound = "turns"        // one task's code at a time, all the time
	ByLongestTask Bound = "longest task" // nothing is shorter than its longest part
	ByTaskCount   Bound = "task count"   // the tasks cannot be dealt out evenly
)
