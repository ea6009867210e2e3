package metrics

import (
	"cmp"
	"slices"

	"go.opentelemetry.io/otel/attribute"

	"github.com/f3f4c0de/harness/internal/results"
	"github.com/f3f4c0de/harness/internal/trace"
)

// A Described is the description of a metric.
type Described struct {
	Name       string   `json:"-"`
	Doc        string   `json:"-"`
	Kind       string   `json:"instrument"` // counter, gauge or histogram
	Unit       string   `json:"unit,omitempty"`
	Attributes []string `json:"attributes,omitempty"`
}

// List describes all metrics of a run: those of the harness, then those of the Go
// runtime.
func List() ([]Described, error) {
	var all []Described
	for _, i := range instruments {
		all = append(all, Described{i.name, i.doc, string(i.kind), i.unit, names(i.keys)})
	}
	points, err := trace.Runtime()
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(points, func(p, q results.Point) int { return cmp.Compare(p.Name, q.Name) })
	for _, p := range slices.CompactFunc(points, func(p, q results.Point) bool { return p.Name == q.Name }) {
		kind, keys := gauge, ofCellAnd(keyProcess)
		switch {
		case p.Counts != nil:
			kind = histogram
		case p.Counter:
			kind = counter
		}
		for k := range p.Attributes {
			keys = append(keys, attribute.Key(k))
		}
		all = append(all, Described{p.Name, p.Doc, string(kind), p.Unit, names(keys)})
	}
	return all, nil
}

func names(keys []attribute.Key) (all []string) {
	for _, k := range keys {
		all = append(all, string(k))
	}
	return all
}
