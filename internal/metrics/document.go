package metrics

import (
	"fmt"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// keyDocs describes the attributes.
var keyDocs = []struct {
	key attribute.Key
	doc string
}{
	{keyCell, "the cell, as in the names of its folders"},
	{keyWorkload, "label of the workload"},
	{keyBackend, "execution model"},
	{keyProcess, "`trial`, `worker-0` and so on"},
	{keyKind, "of a trial: `pilot`, `timed`, `traced`, `profiled`"},
	{keyOutcome, "`done`, `failed`; of tasks also `cancelled`"},
	{keyPart, "of a task's time, as in the ledger"},
	{keyRule, "of a finding"},
	{keyVerdict, "a word that verdicts are given in"},
	{keyRun, "the run, as in `run.json`"},
	{keyPreset, "that of the run"},
	{keyStatus, "`running`, `completed`, `failed` or `interrupted`"},
	{keyGo, "version of Go"},
	{semconv.CPUModeKey, "semantic convention: `user` or `system`"},
	{semconv.ProcessContextSwitchTypeKey, "semantic convention: `voluntary` or `involuntary`"},
}

// Document returns the section on metrics of docs/telemetry.md.
func Document() (string, error) {
	var b strings.Builder
	b.WriteString(documentHead)
	b.WriteString("\n| metric | instrument | unit | buckets | attributes | what it is |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, i := range instruments {
		buckets := ""
		if i.bounds != nil {
			buckets = fmt.Sprintf("%d: 1, 2, 5 … from %g to %g", len(i.bounds), i.bounds[0], i.bounds[len(i.bounds)-1])
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", i.name, i.kind, i.unit, buckets, keys(i.keys), i.doc)
	}
	all, err := List()
	if err != nil {
		return "", err
	}
	b.WriteString(documentRuntime)
	b.WriteString("\n| metric | unit | attributes | what it is |\n| --- | --- | --- | --- |\n")
	for _, m := range all[len(instruments):] {
		fmt.Fprintf(&b, "| `%s` | %s | `%s` | %s |\n", m.Name, m.Unit, strings.Join(m.Attributes, "`, `"), m.Doc)
	}
	b.WriteString("\n| attribute of metrics | what it is |\n| --- | --- |\n")
	for _, k := range keyDocs {
		fmt.Fprintf(&b, "| `%s` | %s |\n", k.key, k.doc)
	}
	return b.String(), nil
}

func keys(all []attribute.Key) string {
	var names []string
	for _, k := range all {
		names = append(names, "`"+string(k)+"`")
	}
	return strings.Join(names, ", ")
}

const documentHead = `
## Metrics

Made from the records of the run, between trials and when it is over: as OpenMetrics in ` + "`metrics.txt`" + ` and, with ` + "`--listen`" + `, at ` + "`/metrics`" + `; over OTLP. Prometheus
puts underscores for dots and adds the unit: ` + "`harness.task.run`" + ` is ` + "`harness_task_run_seconds`" + `. Histograms of tasks have exemplars: of each bucket the
last task, by the ids of its span. A unit in braces is a thing that is counted.
`

const documentRuntime = `
The Go runtime of each process of a traced trial, at its end and since the start of the process, as OpenTelemetry's own instrumentation for Go
sees it. Its histogram is put into fewer buckets, and it is a sample: one of eight goroutines.
`
