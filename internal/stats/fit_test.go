package stats

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Gunther's data of an SDET benchmark, as in the R package usl.
var (
	sdetWorkers    = []float64{1, 18, 36, 72, 108, 144, 216}
	sdetThroughput = []float64{64.9, 995.9, 1652.4, 1853.2, 1828.9, 1775.0, 1702.2}
)

// The reference values are those of R 4.2.2:
// lm(I(N/X) ~ I(N-1) + I(N*(N-1)), weights = 1/(N/X)^2).
func TestFitAgainstReference(t *testing.T) {
	s, ok := FitUSL(sdetWorkers, sdetThroughput)
	want := Scaling{68.1607052154525, 0.01336125459065, 0.00011520259847, 0.0792513423377}
	if !ok || !near(s.Lambda, want.Lambda, 1e-9) || !near(s.Sigma, want.Sigma, 1e-9) || !near(s.Kappa, want.Kappa, 1e-9) || !near(s.Misfit, want.Misfit, 1e-9) {
		t.Errorf("FitUSL = %+v, %v; want %+v", s, ok, want)
	}
	if peak := s.Peak(); math.Abs(peak-92.5) > 0.1 {
		t.Errorf("the peak is at %v workers; want 92.5", peak)
	}
	a, ok := FitAmdahl(sdetWorkers, sdetThroughput)
	want = Scaling{81.5866791863314, 0.0341216636048, 0, 0.257113700868}
	if ok || !near(a.Lambda, want.Lambda, 1e-9) || !near(a.Sigma, want.Sigma, 1e-9) || !near(a.Misfit, want.Misfit, 1e-9) {
		t.Errorf("FitAmdahl = %+v, %v; want %+v, and that it does not fit", a, ok, want)
	}
}

func TestFit(t *testing.T) {
	workers := []float64{1, 2, 4, 8, 16, 32}
	speedups := func(f func(n float64) float64) []float64 {
		x := make([]float64, len(workers))
		for i, n := range workers {
			x[i] = f(n)
		}
		return x
	}
	rng := rand.New(rand.NewPCG(7, 7))
	for range 200 { // what was made by the model is found again
		want := Scaling{Lambda: 0.5 + rng.Float64(), Sigma: 0.3 * rng.Float64(), Kappa: 0.01 * rng.Float64()}
		if got, ok := FitUSL(workers, speedups(want.At)); !ok || !near(got.Sigma, want.Sigma, 1e-6) || !near(got.Kappa, want.Kappa, 1e-6) || got.Misfit > 1e-6 {
			t.Fatalf("FitUSL of %+v gives %+v, %v", want, got, ok)
		}
	}
	tests := []struct {
		name string
		f    func(n float64) float64
		ok   bool
	}{
		{"linear", func(n float64) float64 { return n }, true},
		{"better than linear", func(n float64) float64 { return n * (1 + 0.001*n) }, true},
		{"two processors", func(n float64) float64 { return min(n, 2) }, false}, // a corner
	}
	for _, tt := range tests {
		s, ok := FitUSL(workers, speedups(tt.f))
		if ok != tt.ok || s.Sigma < 0 || s.Kappa < 0 {
			t.Errorf("%s: FitUSL = %+v, %v; want %v, and nothing below zero", tt.name, s, ok, tt.ok)
		}
	}
	if _, ok := FitUSL(workers[:4], speedups(func(n float64) float64 { return n })); ok {
		t.Error("four numbers of workers were enough for a fit")
	}
	if p := (Scaling{Lambda: 1, Sigma: 0.1}).Peak(); !math.IsInf(p, 1) {
		t.Errorf("without Kappa the peak is at %v; want none", p)
	}
}

// A cost that is added to one part of the workers' time is attributed to that part,
// and the shares of all parts add up to the whole.
func TestDivide(t *testing.T) {
	workers := []float64{1, 2, 4, 8, 16}
	law := Scaling{Lambda: 1, Sigma: 0.04, Kappa: 0.002}
	part := func(base, sigma, kappa float64) (cost []float64) {
		for _, n := range workers {
			cost = append(cost, 1000*(base+sigma*(n-1)+kappa*n*(n-1)))
		}
		return cost
	}
	work, lock, carry := part(0.9, 0, 0), part(0.1, 0.03, 0), part(0, 0.01, 0.002)
	got, ok := law.Divide(workers, [][]float64{work, lock, carry})
	for i, want := range []Division{{0, 0}, {0.03, 0}, {0.01, 0.002}} {
		if !ok || math.Abs(got[i].Sigma-want.Sigma) > 1e-12 || math.Abs(got[i].Kappa-want.Kappa) > 1e-12 {
			t.Errorf("part %d has %+v of the law, %v; want %+v", i, got, ok, want)
		}
	}
	for name, costs := range map[string][][]float64{
		"other trials lose nothing":       {part(1, 0, 0)},
		"other trials lose twice as much": {part(1, 0.08, 0.004)},
		"no parts":                        nil,
	} {
		if got, ok := law.Divide(workers, costs); ok {
			t.Errorf("%s: Divide = %+v; want that it explains nothing", name, got)
		}
	}
	if _, ok := (Scaling{Lambda: 1}).Divide(workers, [][]float64{work}); ok {
		t.Error("no loss was divided")
	}
	if _, ok := law.Divide(workers[:4], [][]float64{part(1, 0.04, 0.002)}); ok {
		t.Error("a law was divided over four numbers of workers")
	}
}
