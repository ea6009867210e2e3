package trace

import (
	"fmt"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// spanDocs describes every kind of span. A name with a word in capitals stands
// for many.
var spanDocs = []struct {
	name, service, kind, parent, doc string
	keys                             []attribute.Key
}{
	{"run", "harness", "internal", "`TRACEPARENT`, if there is one", "The whole run, and that of its cells: one short trace.",
		[]attribute.Key{keyRunID, keyRounds, keySeed, keyStatus}},
	{"cell CELL", "harness", "internal", "run", "One cell; the traces of its trials link to it.",
		[]attribute.Key{keyRunID, keyCellID, keyWorkload, keyBackend, keyWorkers, keyProfileID}},
	{"trial CELL", "harness-trial", "internal", "–; link to the cell", "A traced trial: a trace of its own. One of more than 1,000 tasks goes on in further traces, which link to the first.",
		[]attribute.Key{keyRunID, keyCellID, keyWorkload, keyBackend, keyWorkers, keyGOMAXPROCS, keyTrialKind, keyTrialPart, keyWallNS, keyCPUNS, keyProfileID}},
	{"spawn worker N", "harness-trial", "client", "trial", "A worker process as its parent sees it, from before its start until it was reaped. Event `ready`.",
		[]attribute.Key{keyWorkerIndex, semconv.ProcessPIDKey, semconv.ProcessExitCodeKey}},
	{"worker N", "harness-worker", "internal", "spawn worker N", "The same process as it sees itself.",
		[]attribute.Key{keyWorkerIndex, keyWorkerTasks}},
	{"task NAME", "harness-trial", "internal, or producer if it crosses to a process", "trial, or the span that it was submitted in", "From submission until the result was back.",
		[]attribute.Key{keyTaskName, keyTaskNumber, keyTaskQueueNS, keyTaskRunNS, keyTaskIPCNS, keyWorkerIndex}},
	{"queue", "harness-trial", "internal", "task NAME", "Until a worker was given the task.", nil},
	{"ipc send", "harness-trial", "internal", "task NAME", "From there until its function began, in another process.", nil},
	{"run NAME", "harness-trial or harness-worker", "internal, or consumer in a worker process", "task NAME; in a worker process also a link to worker N", "The task's function. Spans that it starts itself are below it.",
		[]attribute.Key{keyTaskName, keyTaskNumber, keyWorkerIndex, keyProfileID}},
	{"ipc receive", "harness-trial", "internal", "task NAME", "From its end until the result was back and decoded.", nil},
}

type keyDoc struct {
	key       attribute.Key
	unit, doc string
}

// keyDocs describes our attributes, and those of others that we set on spans.
var keyDocs = []keyDoc{
	{keyRunID, "", "the run, as in `run.json`"},
	{keyCellID, "", "the cell, as in the names of its folders"},
	{keyWorkload, "", "label of the workload"},
	{keyBackend, "", "execution model"},
	{keyWorkers, "1", "workers of the cell"},
	{keyGOMAXPROCS, "1", "that of the process that submits"},
	{keyTrialKind, "", "always `traced`"},
	{keyTrialPart, "1", "of a trial of several traces, which, from 0"},
	{keyWallNS, "ns", "the measured part"},
	{keyCPUNS, "ns", "processor time of all processes in it"},
	{keyRounds, "1", "rounds of the run"},
	{keySeed, "", "seed of the random order"},
	{keyStatus, "", "`completed`, `failed` or `interrupted`"},
	{keyTaskName, "", "the task's name in the program"},
	{keyTaskNumber, "1", "in the order of submission, from 1; `harness ledger --task` takes it"},
	{keyTaskQueueNS, "ns", "until a worker was given the task"},
	{keyTaskRunNS, "ns", "inside of its function"},
	{keyTaskIPCNS, "ns", "between processes, there and back, encoding included"},
	{keyWorkerIndex, "1", "the worker, from 0"},
	{keyWorkerTasks, "1", "tasks that it ran"},
	{keyProfileID, "", "label `span_id` of the CPU samples that belong to the span; `harness profile --span` shows them"},
	{semconv.ProcessPIDKey, "1", "semantic convention"},
	{semconv.ProcessExitCodeKey, "1", "semantic convention; -1 if a signal ended the process"},
}

// Document returns docs/telemetry.md, with a section on metrics.
func Document(metrics string) string {
	var b strings.Builder
	b.WriteString(documentHead)
	b.WriteString("\n## Spans\n\n| span | service | kind | parent | what it is |\n| --- | --- | --- | --- | --- |\n")
	for _, s := range spanDocs {
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s | %s |\n", s.name, s.service, s.kind, s.parent, s.doc)
	}
	b.WriteString("\n## Attributes of spans\n\n| attribute | unit | on | what it is |\n| --- | --- | --- | --- |\n")
	for _, k := range keyDocs {
		var on []string
		for _, s := range spanDocs {
			for _, key := range s.keys {
				if key == k.key {
					on = append(on, "`"+s.name+"`")
				}
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.key, k.unit, strings.Join(on, ", "), k.doc)
	}
	b.WriteString(documentSpans)
	b.WriteString(metrics)
	b.WriteString(documentRest)
	return b.String()
}

const documentHead = `# Telemetry

What a run tells about itself, and where. This page is made from the code (` + "`go test ./internal/metrics -update`" + `) and held against it.

A timed trial is not observed. One traced trial of every cell records each of its tasks, and has an execution trace and a CPU profile in
each of its processes; a profiled trial has all kinds of profiles. Spans of tasks are recorded while the trial runs and made when it is
over, so none is lost in a queue: what there should be is counted apart from what is written, for every process, and a difference fails
the trial. Workers that are replaced while it runs have several processes, ` + "`worker-0`, `worker-0.2`" + ` and so on, and each sends its
spans before it ends. What one had recorded that is killed goes with it: the trial fails, and says how many spans of which process.
`

const documentSpans = `
Times are nanoseconds, and say so in their names. A span whose task failed has the status *error* and the first line of the error.
`

const documentRest = `
## Resources

Every process has its own: ` + "`service.name`" + ` (` + "`harness`, `harness-trial`, `harness-worker`" + `), ` + "`service.version`, `service.instance.id`" + ` (run/role/pid),
` + "`process.pid`, `process.parent_pid`, `process.executable.name`, `process.runtime.name`, `process.runtime.version`, `host.name`, `host.id`" + `.
OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have the last word. Metrics have the resource of the run: ` + "`service.name`" + ` ` + "`harness`" + `, its ` + "`service.version`" + `,
and the run's id as ` + "`service.instance.id`" + `.

## Labels of samples

` + "`trace_id`, `span_id`, `task`, `worker`, `workload`, `backend`, `process`, `cell`" + `. In ` + "`profiles/CELL/traced-cpu.pb.gz`" + ` the span is that of the task, in
` + "`profiles/CELL/cpu.pb.gz`" + ` that of the cell.

Every sample of a merged profile of any kind has ` + "`process`, `worker` and `cell`" + `: ` + "`go tool pprof -tags`" + ` counts them, ` + "`-tagroot=worker`" + ` divides a
flame graph by them. The worker is its index, ` + "`none`" + ` where none of them was at work, and ` + "`unknown`" + ` in the kinds whose samples do not tell
the goroutine (allocs, heap, block, mutex), unless the worker is a process.

## Environment

| variable | effect |
| --- | --- |
| ` + "`OTEL_SDK_DISABLED`" + ` | ` + "`true`" + `: nothing is sent. The run's folder has its spans all the same: they are a record of the run |
| ` + "`OTEL_TRACES_EXPORTER`" + ` | ` + "`otlp`, `console`, `none`" + ` or several; without it, ` + "`otlp`" + ` if an endpoint is named. ` + "`console`" + ` prints OTLP JSON lines on standard error |
| ` + "`OTEL_METRICS_EXPORTER`" + ` | the same, and ` + "`prometheus`" + `: served while the run goes on, as by ` + "`--listen`" + `, at ` + "`OTEL_EXPORTER_PROMETHEUS_HOST`, `OTEL_EXPORTER_PROMETHEUS_PORT`" + ` (` + "`localhost`, `9464`" + `; loopback only). ` + "`console`" + ` prints what the Go SDK does |
| ` + "`OTEL_EXPORTER_OTLP_ENDPOINT`, `…_TRACES_ENDPOINT`, `…_METRICS_ENDPOINT`" + ` | where to; ` + "`http://localhost:4318`" + ` if none is named. ` + "`--otlp`" + ` has precedence over the first two. The path gets ` + "`/v1/traces` or `/v1/metrics`" + `, unless it ends so |
| ` + "`OTEL_EXPORTER_OTLP_PROTOCOL`, `…_HEADERS`, `…_TIMEOUT`, `…_COMPRESSION`, `…_CERTIFICATE`" + ` and those for traces and metrics | as everywhere |
| ` + "`OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE`, `…_DEFAULT_HISTOGRAM_AGGREGATION`, `OTEL_METRICS_EXEMPLAR_FILTER`" + ` | as everywhere |
| ` + "`OTEL_METRIC_EXPORT_INTERVAL`" + ` | milliseconds from one delivery of metrics to the next while a run goes on, 60000 without it. They are sent between trials, never during one |
| ` + "`OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`" + ` | as everywhere |
| ` + "`OTEL_PROPAGATORS`" + ` | ` + "`tracecontext`, `baggage`" + ` (both without it), ` + "`b3`, `b3multi`, `jaeger`, `xray`, `ottrace`" + ` or ` + "`none`" + `: what is read from the environment and what the tasks' own clients hand on |
| ` + "`TRACEPARENT`, `TRACESTATE`" + ` | the span that the run is part of |

Profiles are not sent: OpenTelemetry's signal for them is not stable. They are pprof files.

A value that is not understood is an error before anything runs. A receiver that is down is a warning after the run, which says what was not
delivered and with which command it can be: ` + "`harness trace DIR --otlp URL`, `harness metrics DIR --otlp URL`" + `. One that takes spans and no metrics, such
as Jaeger, is no reason for a warning unless metrics were asked for by name.

## Files

| file | what it is |
| --- | --- |
| ` + "`traces.jsonl`" + ` | spans, OTLP JSON, one TracesData a line, at most 2,000 spans each |
| ` + "`metrics.txt`" + ` | the metrics, OpenMetrics |
| ` + "`exectrace/CELL/PID.trace`" + ` | Go execution traces of the traced trial: ` + "`go tool trace`" + ` |
| ` + "`ledger.ndjson`, `ledger/CELL.ndjson`" + ` | where the time of tasks went: ` + "`harness ledger`" + ` |
| ` + "`profiles/CELL/KIND.pb.gz`" + ` | merged profiles; with ` + "`.PROCESS`" + ` before the ending, of one process |
`
