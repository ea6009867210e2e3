package main

import (
	"os"
	"strings"
	"testing"

	"github.com/f3f4c0de/harness/executor"
)

func TestMain(m *testing.M) {
	executor.Main(tasks...)
	os.Exit(m.Run())
}

// A group runs, every arm has a row, and ours is the one that ratios are to.
func TestRun(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), &out, 1, "^process pairs$"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"process pairs: ", "harness processes", "1×", "ProcessPoolExecutor"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table has no %q:\n%s", want, out.String())
		}
	}
	if err := run(t.Context(), &out, 1, "("); err == nil {
		t.Error("a pattern that is none gave no error")
	}
}

// BenchmarkArms gives each arm's figure to benchstat.
func BenchmarkArms(b *testing.B) {
	for _, g := range groups {
		for _, a := range g.arms {
			b.Run(strings.ReplaceAll(g.name+"/"+a.name, " ", "_"), func(b *testing.B) {
				var figures []float64
				for b.Loop() {
					v, err := a.once(b.Context())
					if err != nil {
						b.Skip(err)
					}
					figures = append(figures, v)
				}
				unit := g.unit
				if unit == "s" {
					unit = "s/item"
				}
				b.ReportMetric(median(figures), unit)
			})
		}
	}
}
