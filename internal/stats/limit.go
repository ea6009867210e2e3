package stats

import (
	"math"
	"slices"
)

// A Demand is what a program needs, in nanoseconds.
type Demand struct {
	Wall  float64   // time of all tasks one after the other
	CPU   float64   // the least processor time that they took on any model
	User  float64   // the part of CPU outside of the operating system
	Tasks []float64 // time of each task; may be unknown
}

// SpeedupLimit returns an upper bound of the speed-up that workers can reach on
// processors over doing the tasks one after the other, and names what sets it. By
// conservation of work, no schedule takes less time than the largest of
//
//   - the CPU time divided by the processors, or by the workers if they are fewer
//   - the time of all tasks divided by the workers
//   - the longest task
//   - the k+1 shortest of the k*workers+1 longest tasks, for every k, since one
//     worker must do k+1 of these tasks
//   - on a serial model, the time in the tasks' own code, without system calls
//
// (the bounds on the makespan of independent tasks are by Graham, 1969).
// processors may be a fraction: the measured capacity of the machine.
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
