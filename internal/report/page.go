package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"

	"github.com/f3f4c0de/harness/internal/findings"
	"github.com/f3f4c0de/harness/internal/results"
)

//go:embed page.html
var pageSource string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"inline": func(c Chart) template.HTML { return template.HTML(c.Inline()) }, // charts escape what they show
	"bytes":  func(v float64) string { return fmt.Sprintf("%.0f MiB", v/(1<<20)) },
	"ns":     duration,
	"round":  func(n int) int { return n + 1 },
	"text":   func(o Overall) string { return o.text() },
	"proof":  evidenceOf,
	"shown":  shownBy,
	"ratio": func(e *Estimate) string {
		if e == nil {
			return "–"
		}
		return speedupText(e)
	},
	"metric": func(m MetricStat) string {
		s := fmt.Sprintf("%.4g %s", m.Median, m.Unit)
		if m.Unit == "ns" {
			s = duration(m.Median)
		}
		if m.Ratio != nil {
			s += ", " + speedupText(m.Ratio) + " of the baseline's"
		}
		return s
	},
}).Parse(pageSource))

// HTML writes the report as one page that needs nothing else: no network, no
// script, no other file.
func HTML(w io.Writer, r *Report, charts []Chart) error {
	type tableRow struct {
		Row
		Cells []string
	}
	var rows []tableRow
	for _, row := range r.Rows {
		rows = append(rows, tableRow{row, r.cells(row)})
	}
	used := usedParts(r.Ledger)
	var ledgers [][]string
	for i := range r.Ledger {
		ledgers = append(ledgers, ledgerRow(&r.Ledger[i], used))
	}
	return page.Execute(w, map[string]any{
		"Findings": findings.Groups(r.Findings), "ModelCosts": findings.Groups(r.ModelCosts),
		"FindingsIntro": findingsIntro, "NoFindings": noFindings, "CostsIntro": costsIntro,
		"After": afterParts, "Parts": used, "PartInfo": results.PartInfo, "Ledgers": ledgers, "Evidence": r.evidenceLine(),
		"Report": r, "Charts": charts, "Columns": r.columns(), "Rows": rows, "Legend": r.legend(),
		"Costs": r.costTable(), "CostNote": costNote,
		"Headlines": r.Headlines(), "Trust": r.TrustLines(), "VerdictLines": r.VerdictLines(), "Grids": r.GridLines(), "Style": template.CSS(chartStyle), "TrialTime": duration(float64(r.Run.TrialNS)),
	})
}
