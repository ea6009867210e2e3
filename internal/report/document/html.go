package document

import (
	_ "embed"
	"html/template"
	"io"
	"reflect"
	"strings"
	"sync"

	"github.com/f3f4c0de/harness/internal/report/chart"
)

//go:embed page.html
var pageSource string

// page returns the template of a page. For each type of block it has a template of
// the type's name.
var page = sync.OnceValue(func() *template.Template {
	var t *template.Template
	t = template.Must(template.New("page").Funcs(template.FuncMap{
		"render": func(b Block) (template.HTML, error) {
			var out strings.Builder
			err := t.ExecuteTemplate(&out, reflect.Indirect(reflect.ValueOf(b)).Type().Name(), b)
			return template.HTML(out.String()), err // the template has escaped it
		},
		"inline": func(c Chart) template.HTML { return template.HTML(c.Inline()) }, // charts escape what they show
		"rows":   pageRows,
	}).Parse(pageSource))
	return t
})

// HTML writes the document as one page that needs nothing else: no network, no
// script, no other file.
func HTML(w io.Writer, d *Document) error {
	return page().Execute(w, struct {
		*Document
		Style template.CSS
	}{d, chart.Style})
}

// A pageRow is a row of a table with the lines of its cells.
type pageRow struct {
	Rule  bool
	Cells [][]string
}

func pageRows(t *Table) (rows []pageRow) {
	for i, r := range t.Rows {
		first := t.Grouped && (i == 0 || r.Cells[0] != t.Rows[i-1].Cells[0])
		rows = append(rows, pageRow{r.Rule || first, t.cells(r)})
	}
	return rows
}
