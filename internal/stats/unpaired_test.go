package stats

import (
	"math"
	"testing"
)

// The reference values are those of R 4.2.2: pwilcox(u, m, n).
func TestMannWhitneyCDF(t *testing.T) {
	tests := []struct {
		u, m, n int
		want    float64
	}{
		{8, 5, 10, 0.01998001998002}, {100, 20, 20, 0.00307247782462}, {127, 20, 20, 0.02454516259469}, {700, 40, 45, 0.03947847573931},
	}
	for _, tt := range tests {
		if got := mannWhitneyCDF(tt.m, tt.n)[tt.u]; !near(got, tt.want, 1e-10) {
			t.Errorf("mannWhitneyCDF(%d, %d)[%d] = %.14f; want %.14f", tt.m, tt.n, tt.u, got, tt.want)
		}
	}
}

// R 4.2.2: wilcox.test(x, y, conf.int=TRUE, exact=TRUE), of the logarithms.
func TestRatioUnpaired(t *testing.T) {
	exp := func(x ...float64) []float64 {
		for i := range x {
			x[i] = math.Exp(x[i])
		}
		return x
	}
	tests := []struct {
		name             string
		a, b             []float64
		value, low, high float64
	}{
		// Hollander and Wolfe, table 4.1: permeability at term and at 12 to 26 weeks.
		{
			"membranes", exp(0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46), exp(1.15, 0.88, 0.90, 0.74, 1.21),
			0.305, -0.15, 0.76,
		},
		{
			"fifteen values", exp(2.31, 2.55, 2.18, 2.92, 2.47, 2.61, 2.39, 2.74), exp(1.92, 2.21, 2.05, 2.44, 1.87, 2.29, 2.13),
			0.395, 0.11, 0.68,
		},
		{"too few", exp(1, 2, 3), exp(1, 2, 3), 0, math.Inf(-1), math.Inf(1)},
	}
	for _, tt := range tests {
		e := RatioUnpaired(tt.a, tt.b, 0.95)
		if !near(math.Log(e.Value), tt.value, 1e-9) || !near(math.Log(e.Low), tt.low, 1e-9) || !near(math.Log(e.High), tt.high, 1e-9) {
			t.Errorf("%s: logarithms of the estimate and its interval are %v, %v, %v; want %v, %v, %v", tt.name, math.Log(e.Value), math.Log(e.Low), math.Log(e.High), tt.value, tt.low, tt.high)
		}
	}
	if e := RatioUnpaired(nil, []float64{1}, 0.95); !math.IsNaN(e.Value) || e.N != 0 {
		t.Errorf("RatioUnpaired of nothing = %+v; want NaN", e)
	}
}
