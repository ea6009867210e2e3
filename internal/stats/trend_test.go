package stats

import (
	"math/rand/v2"
	"testing"
)

// The reference values are those of R 4.2.2:
// cor.test(x, y, method="kendall", exact=TRUE), with y in the order of x.
func TestKendall(t *testing.T) {
	tests := []struct {
		name   string
		x      []float64
		tau, p float64
	}{
		// Hollander and Wolfe, example 8.1: tuna lightness and consumer panel.
		{"tuna", []float64{2.5, 4.0, 2.6, 3.6, 2.8, 3.1, 5.2, 5.0, 3.8}, 0.444444444444, 0.119438932981},
		{"rising", []float64{5.1, 5.3, 4.9, 5.6, 5.8, 5.5, 6.1, 5.7, 6.3, 6.0, 6.6, 6.2}, 0.696969696970, 0.000974481087},
		{"one", []float64{1}, 0, 1},
	}
	for _, tt := range tests {
		if tau, p := Kendall(tt.x); !near(tau, tt.tau, 1e-9) || !near(p, tt.p, 1e-9) {
			t.Errorf("%s: Kendall(%v) = %v, %v; want %v, %v", tt.name, tt.x, tau, p, tt.tau, tt.p)
		}
	}
}

func TestKendallHoldsTheLevel(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	rejected := 0
	const runs = 1000
	for range runs {
		x := make([]float64, 20)
		for i := range x {
			x[i] = rng.Float64()
		}
		if _, p := Kendall(x); p < 0.05 {
			rejected++
		}
	}
	if rejected > 70 || rejected < 25 {
		t.Errorf("of %d series without a trend %d were found to have one; want about 50", runs, rejected)
	}
}

// R: acf(z, plot=FALSE)$acf[2].
func TestAutocorrelation(t *testing.T) {
	x := []float64{5.1, 5.3, 4.9, 5.6, 5.8, 5.5, 6.1, 5.7, 6.3, 6.0, 6.6, 6.2}
	if got := Autocorrelation(x); !near(got, 0.484327776153, 1e-10) {
		t.Errorf("Autocorrelation(%v) = %v; want 0.484327776153", x, got)
	}
	for _, x := range [][]float64{nil, {1, 2}, {3, 3, 3, 3}} {
		if got := Autocorrelation(x); got != 0 {
			t.Errorf("Autocorrelation(%v) = %v; want 0", x, got)
		}
	}
}
