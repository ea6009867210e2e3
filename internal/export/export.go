// Package export writes a run in the formats that people and other programs read:
// as files of its folder, and for harness export.
//
// To add a format, add a [Format] to [All].
package export

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/f3f4c0de/harness/internal/metrics"
	"github.com/f3f4c0de/harness/internal/report"
	"github.com/f3f4c0de/harness/internal/report/document"
	"github.com/f3f4c0de/harness/internal/results"
)

// A Run is a run to be written: its records and its report.
type Run struct {
	Data     *results.Data
	Report   *report.Report
	Document *document.Document
}

// NewRun returns the run of the records d, whose report is r.
func NewRun(d *results.Data, r *report.Report) *Run { return &Run{d, r, r.Document()} }

// A Format is a format that a run can be written in.
type Format struct {
	Name  string // in harness export --format
	Doc   string // one line
	File  string // name in the run's folder
	Write func(ctx context.Context, w io.Writer, r *Run) error
}

// All are the formats, in the order of their names. The same records give the same
// bytes.
var All = []Format{
	{"benchfmt", "Go benchmarks, for benchstat: a result per trial", results.BenchFile, func(_ context.Context, w io.Writer, r *Run) error { return report.Bench(w, r.Data) }},
	{"csv", "a line per trial, with all that it measured", results.CSVFile, func(_ context.Context, w io.Writer, r *Run) error { return report.CSV(w, r.Data) }},
	{"html", "the report as a page that needs nothing else", results.HTMLFile, func(_ context.Context, w io.Writer, r *Run) error { return report.HTML(w, r.Document) }},
	{"json", "the report with all figures", results.ResultsFile, func(_ context.Context, w io.Writer, r *Run) error { return report.JSON(w, r.Report) }},
	{"markdown", "the report for a pull request, with its charts in charts/", results.MDFile, func(_ context.Context, w io.Writer, r *Run) error { return report.Markdown(w, r.Document) }},
	{"openmetrics", "the run's metrics with exemplars, for Prometheus", results.MetricsFile, func(ctx context.Context, w io.Writer, r *Run) error { return metrics.Text(ctx, w, r.Data, r.Report) }},
}

// Files writes the run in all formats, and the report's charts, into the folder
// dir. Each file is replaced as a whole.
func Files(ctx context.Context, dir string, r *Run) error {
	for _, f := range All {
		var b bytes.Buffer
		err := f.Write(ctx, &b, r)
		if err == nil {
			err = results.WriteFile(filepath.Join(dir, f.File), b.Bytes())
		}
		if err != nil {
			return fmt.Errorf("writing %s: %w", f.File, err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, results.ChartsDir), 0o777); err != nil {
		return fmt.Errorf("making the folder for charts: %w", err)
	}
	for _, c := range r.Document.Charts() {
		name := filepath.Join(results.ChartsDir, c.Name+".svg")
		if err := results.WriteFile(filepath.Join(dir, name), []byte(c.SVG())); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return nil
}
