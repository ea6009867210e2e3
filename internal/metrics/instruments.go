package metrics

import (
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// The attributes of our own.
const (
	keyCell     = attribute.Key("cell")
	keyWorkload = attribute.Key("workload")
	keyBackend  = attribute.Key("backend")
	keyProcess  = attribute.Key("process")
	keyKind     = attribute.Key("kind")
	keyOutcome  = attribute.Key("outcome")
	keyPart     = attribute.Key("part")
	keyRule     = attribute.Key("rule")
	keyVerdict  = attribute.Key("verdict")
	keyRun      = attribute.Key("run")
	keyPreset   = attribute.Key("preset")
	keyStatus   = attribute.Key("status")
	keyGo       = attribute.Key("go")
)

// A kind is the kind of an instrument.
type kind string

const (
	counter   kind = "counter"   // adds values up over the run
	gauge     kind = "gauge"     // has the value of the present records
	histogram kind = "histogram" // counts values by size
)

// An instrument is one metric. A unit in braces is a thing that is counted, so the
// values are whole numbers.
type instrument struct {
	name, unit, doc string
	kind            kind
	bounds          []float64
	keys            []attribute.Key
}

// trialBounds and taskBounds are the upper bounds of buckets, in seconds.
var (
	trialBounds = bounds(1e-3, 60)
	taskBounds  = bounds(1e-6, 10)
)

// bounds returns 1, 2 and 5 times the powers of ten from low to high.
func bounds(low, high float64) (all []float64) {
	for p := low; ; p *= 10 {
		for _, k := range []float64{1, 2, 5} {
			v, err := strconv.ParseFloat(strconv.FormatFloat(k*p, 'g', 3, 64), 64)
			if err != nil || v > high {
				return all
			}
			all = append(all, v)
		}
	}
}

// ofCell are the attributes of a cell.
var ofCell = []attribute.Key{keyCell, keyWorkload, keyBackend}

func ofCellAnd(more ...attribute.Key) []attribute.Key {
	return append(ofCell[:len(ofCell):len(ofCell)], more...)
}

// To add an instrument, add a value here, a line to instruments and a call of
// Recorder.record or Recorder.setGauge.
var (
	runInfo = &instrument{
		name: "harness.run.info", kind: gauge, doc: "The run; always 1.", keys: []attribute.Key{keyRun, keyPreset, keyStatus, keyGo},
	}
	spansExpected = &instrument{name: "harness.spans.expected", unit: "{span}", kind: gauge, doc: "Spans that there should be."}
	spansExported = &instrument{name: "harness.spans.exported", unit: "{span}", kind: gauge, doc: "Spans that were written."}
	workers       = &instrument{name: "harness.workers", unit: "{worker}", kind: gauge, doc: "Workers of the cell.", keys: ofCell}
	speedup       = &instrument{
		name: "harness.speedup", unit: "1", kind: gauge, keys: ofCell,
		doc: "Speed-up over sequential; of sequential itself, its second trial over its first.",
	}
	speedupLow   = &instrument{name: "harness.speedup.low", unit: "1", kind: gauge, keys: ofCell, doc: "Low end of its 95 % interval."}
	speedupHigh  = &instrument{name: "harness.speedup.high", unit: "1", kind: gauge, keys: ofCell, doc: "High end of its 95 % interval."}
	speedupLimit = &instrument{name: "harness.speedup.limit", unit: "1", kind: gauge, keys: ofCell, doc: "Speed-up that no schedule can exceed."}
	cpuCost      = &instrument{name: "harness.cpu_cost", unit: "1", kind: gauge, keys: ofCell, doc: "Processor time, as a multiple of sequential's."}
	verdict      = &instrument{
		name: "harness.verdict", kind: gauge, keys: ofCellAnd(keyVerdict),
		doc: "The verdict on the cell: 1 for the word that it is, 0 for the others. Not given with fewer than 12 rounds.",
	}
	rounds     = &instrument{name: "harness.rounds", unit: "{round}", kind: gauge, keys: ofCell, doc: "Rounds that enter the figures."}
	wallMedian = &instrument{name: "harness.trial.wall.median", unit: "s", kind: gauge, keys: ofCell, doc: "Measured part of the timed trials: the median over the rounds that count."}
	cpuMedian  = &instrument{
		name: "harness.trial.cpu.median", unit: "s", kind: gauge, keys: ofCell,
		doc: "Processor time of a timed trial, all processes together: the median over the rounds that count.",
	}
	startMedian  = &instrument{name: "harness.trial.start.median", unit: "s", kind: gauge, keys: ofCell, doc: "Starting the workers: the median over the rounds that count."}
	memoryMedian = &instrument{
		name: "harness.trial.memory.median", unit: "By", kind: gauge, keys: ofCell,
		doc: "Peak of the memory of a timed trial, the sum over its processes: the median over the rounds that count.",
	}
	capacity    = &instrument{name: "harness.capacity", unit: "{core}", kind: gauge, doc: "Processors' worth of work that ran at once, the median of the probes."}
	findings    = &instrument{name: "harness.findings", unit: "{finding}", kind: gauge, keys: []attribute.Key{keyCell, keyRule}, doc: "What stands out."}
	workersBusy = &instrument{
		name: "harness.workers.busy", unit: "1", kind: gauge, keys: ofCell,
		doc: "Share of the workers' time inside of tasks, in the traced trial.",
	}

	trials    = &instrument{name: "harness.trials", unit: "{trial}", kind: counter, keys: ofCellAnd(keyKind, keyOutcome), doc: "Trials by kind and outcome."}
	trialWall = &instrument{name: "harness.trial.wall", unit: "s", kind: histogram, bounds: trialBounds, keys: ofCell, doc: "Measured part of the timed trials."}
	tasks     = &instrument{
		name: "harness.tasks", unit: "{task}", kind: counter, keys: ofCellAnd(keyKind, keyOutcome),
		doc: "Tasks of the timed and of the traced trials, by outcome.",
	}
	cpu = &instrument{
		name: "harness.cpu", unit: "s", kind: counter, keys: ofCellAnd(semconv.CPUModeKey),
		doc: "Processor time of the timed trials, all processes together.",
	}
	switches = &instrument{
		name: "harness.context_switches", unit: "{switch}", kind: counter, keys: ofCellAnd(semconv.ProcessContextSwitchTypeKey),
		doc: "Context switches in the timed trials, all processes together.",
	}
	collections = &instrument{name: "harness.gc.cycles", unit: "{cycle}", kind: counter, keys: ofCell, doc: "Garbage collections in the timed trials."}

	taskDuration = &instrument{
		name: "harness.task.duration", unit: "s", kind: histogram, bounds: taskBounds, keys: ofCell,
		doc: "Tasks of the traced trial, from submission until the result was back.",
	}
	taskQueue = &instrument{name: "harness.task.queue", unit: "s", kind: histogram, bounds: taskBounds, keys: ofCell, doc: "Until a worker was given the task."}
	taskRun   = &instrument{name: "harness.task.run", unit: "s", kind: histogram, bounds: taskBounds, keys: ofCell, doc: "Inside of the task's function."}
	taskIPC   = &instrument{
		name: "harness.task.ipc", unit: "s", kind: histogram, bounds: taskBounds, keys: ofCell,
		doc: "Between processes, there and back; of tasks that cross to one.",
	}
	ledgerTime = &instrument{
		name: "harness.ledger", unit: "s", kind: counter, keys: ofCellAnd(keyPart),
		doc: "What the tasks of the traced trial spent their time on.",
	}

	processCPU = &instrument{
		name: "process.cpu.time", unit: "s", kind: counter, keys: ofCellAnd(keyProcess, semconv.CPUModeKey),
		doc: "Processor time of each process of the traced trial, in its measured part.",
	}
	processSwitches = &instrument{
		name: "process.context_switches", unit: "{context_switch}", kind: counter, keys: ofCellAnd(keyProcess, semconv.ProcessContextSwitchTypeKey),
		doc: "Context switches of each process of the traced trial, in its measured part.",
	}
	processRunQueue = &instrument{
		name: "harness.process.run_queue", unit: "s", kind: counter, keys: ofCellAnd(keyProcess),
		doc: "For how long threads of each process waited for a processor of the machine, in the traced trial.",
	}
)

var instruments = []*instrument{
	runInfo, spansExpected, spansExported, capacity, workers, rounds, wallMedian, cpuMedian, startMedian, memoryMedian,
	speedup, speedupLow, speedupHigh, speedupLimit, cpuCost, verdict, findings, workersBusy,
	trials, trialWall, tasks, cpu, switches, collections,
	taskDuration, taskQueue, taskRun, taskIPC, ledgerTime,
	processCPU, processSwitches, processRunQueue,
}
