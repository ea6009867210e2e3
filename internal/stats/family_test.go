package stats

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The reference values are those of R 4.2.2: p.adjust(p, "holm").
func TestHolm(t *testing.T) {
	tests := []struct{ p, want []float64 }{
		{nil, nil},
		{[]float64{0.01, 0.04, 0.03, 0.005, 0.2}, []float64{0.04, 0.09, 0.09, 0.025, 0.2}},
		{[]float64{0.3, 0.9, 0.6}, []float64{0.9, 1, 1}},
	}
	for _, tt := range tests {
		got := Holm(tt.p)
		for i := range tt.want {
			if !near(got[i], tt.want[i], 1e-12) {
				t.Errorf("Holm(%v) = %v; want %v", tt.p, got, tt.want)
				break
			}
		}
	}
}

// A false rejection among twelve true hypotheses is as rare as with one.
func TestHolmHoldsTheLevel(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	raw, adjusted := 0, 0
	const runs = 2000
	for range runs {
		p := make([]float64, 12)
		for i := range p {
			p[i] = rng.Float64()
		}
		if min(p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], p[9], p[10], p[11]) < 0.05 {
			raw++
		}
		for _, q := range Holm(p) {
			if q < 0.05 {
				adjusted++
				break
			}
		}
	}
	if raw < runs*40/100 || adjusted > runs*65/1000 {
		t.Errorf("of %d families %d had a false rejection, %d after Holm's adjustment; want 46 %% and at most 5 %%", runs, raw, adjusted)
	}
}

func TestRoundsForFamily(t *testing.T) {
	for family, want := range map[int]int{0: 6, 1: 6, 12: 9, 54: 12} {
		if got := RoundsForFamily(family, 0.05); got != want {
			t.Errorf("RoundsForFamily(%d, 0.05) = %d; want %d", family, got, want)
		}
	}
}

// R: exp(mean(log(c(1.5, 2, 8)))).
func TestGeometricMean(t *testing.T) {
	if got := GeometricMean([]float64{1.5, 2, 8}); !near(got, 2.88449914061, 1e-10) {
		t.Errorf("GeometricMean(1.5, 2, 8) = %v; want 2.88449914061", got)
	}
	if got := GeometricMean(nil); !math.IsNaN(got) {
		t.Errorf("GeometricMean() = %v; want NaN", got)
	}
}
