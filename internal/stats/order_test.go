package stats

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The ranks are those of R 4.2.2: for the median the largest l with
// 2*pbinom(l-1, n, 0.5) <= 0.05, and its mirror image; for the 0.95-quantile
// of 100 values by pbinom(89:99, 100, 0.95).
func TestQuantileInterval(t *testing.T) {
	tests := []struct {
		n         int
		q         float64
		low, high float64 // of the values 1 to n, so also the ranks; 0 for none
	}{
		{5, 0.5, 0, 0}, {6, 0.5, 1, 6}, {10, 0.5, 2, 9}, {20, 0.5, 6, 15}, {40, 0.5, 14, 27},
		{100, 0.95, 90, 100},
		{71, 0.95, 0, 0}, {367, 0.99, 0, 0}, {3687, 0.999, 0, 0},
	}
	for _, tt := range tests {
		x := make([]float64, tt.n)
		for i, v := range rand.New(rand.NewPCG(5, 5)).Perm(tt.n) {
			x[i] = float64(v + 1)
		}
		low, high, ok := QuantileInterval(x, tt.q, 0.95)
		if ok != (tt.low > 0) || ok && (low != tt.low || high != tt.high) {
			t.Errorf("QuantileInterval(1 to %d, %v) = %v, %v, %v; want %v, %v", tt.n, tt.q, low, high, ok, tt.low, tt.high)
		}
	}
	for q, n := range map[float64]int{0.5: 6, 0.95: 72, 0.99: 368, 0.999: 3688} { // the fewest that will do
		if _, _, ok := QuantileInterval(make([]float64, n), q, 0.95); !ok {
			t.Errorf("%d values give no interval for the %v-quantile", n, q)
		}
	}
}

func TestQuantileIntervalCovers(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	missed := 0
	const runs = 2000
	for range runs {
		x := make([]float64, 100)
		for i := range x {
			x[i] = rng.Float64()
		}
		if low, high, ok := QuantileInterval(x, 0.9, 0.95); !ok || low > 0.9 || high < 0.9 {
			missed++
		}
	}
	if missed > runs*6/100 {
		t.Errorf("the interval missed the truth in %d of %d runs; want at most 5 %%", missed, runs)
	}
}

// The values were computed separately, from the roots of the quadratic equation.
func TestAtLeast(t *testing.T) {
	for _, tt := range []struct {
		k, n int64
		want float64
	}{{0, 0, 0}, {0, 10, 0}, {10, 10, 0.7224672}, {14, 47, 0.1865237}, {30, 100, 0.2189489}, {1, 2, 0.0945312}} {
		if got := AtLeast(tt.k, tt.n); math.Abs(got-tt.want) > 1e-4 {
			t.Errorf("AtLeast(%d, %d) = %v; want %v", tt.k, tt.n, got, tt.want)
		}
	}
}
