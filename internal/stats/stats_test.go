package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func near(a, b, tolerance float64) bool {
	return a == b || math.Abs(a-b) <= tolerance*math.Max(1, math.Abs(b))
}

// The reference values are those of R 4.2.2:
// wilcox.test(x, conf.int=TRUE, exact=TRUE).
func TestShiftAgainstReference(t *testing.T) {
	tests := []struct {
		name                string
		x                   []float64
		value, low, high, p float64
	}{
		// Hollander and Wolfe, table 3.1: second score minus first.
		{"depression scores", []float64{-0.952, 0.147, -1.022, -0.430, -0.620, -0.590, -0.490, 0.080, -0.010}, -0.46, -0.786, -0.010, 0.0390625},
		{"twelve values", []float64{0.11, -0.32, 0.57, 0.26, 1.04, -0.08, 0.73, 0.41, 0.19, -0.15, 0.88, 0.35}, 0.33, 0.045, 0.615, 0.02099609375},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := Estimate{tt.value, tt.low, tt.high, 0.95, len(tt.x)}
			if e := Shift(tt.x, 0.95); !near(e.Value, tt.value, 1e-9) || !near(e.Low, tt.low, 1e-9) || !near(e.High, tt.high, 1e-9) || e.N != len(tt.x) {
				t.Errorf("Shift(%v) = %+v; want %+v", tt.x, e, want)
			}
			if p := SignedRank(tt.x); !near(p, tt.p, 1e-12) {
				t.Errorf("SignedRank(%v) = %v; want %v", tt.x, p, tt.p)
			}
		})
	}
}

// The reference values are those of R's psignrank.
func TestSignedRankCDF(t *testing.T) {
	tests := []struct {
		n, t int
		want float64
	}{
		{1, 0, 0.5}, {5, 0, 0.03125}, {6, 0, 0.015625}, {9, 5, 0.01953125}, {10, 8, 0.0244140625}, {20, 52, 0.0242204666}, {30, 137, 0.0248550605}, {60, 400, 0.0000458602}, {60, 1830, 1},
	}
	for _, tt := range tests {
		if got := signedRankCDF(tt.n)[tt.t]; !near(got, tt.want, 1e-9) {
			t.Errorf("signedRankCDF(%d)[%d] = %.8f; want %.8f", tt.n, tt.t, got, tt.want)
		}
	}
}

// The interval excludes zero exactly if the test rejects it.
func TestIntervalAgreesWithTest(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	rejected := 0
	for n := 1; n <= 60; n++ {
		for range 30 {
			x := make([]float64, n)
			for i := range x {
				x[i] = rng.NormFloat64() + 0.4
			}
			e := Shift(x, 0.95)
			p := SignedRank(x)
			if excludes := e.Low > 0 || e.High < 0; excludes != (p <= 0.05) {
				t.Fatalf("n=%d: interval %v to %v, but p = %v", n, e.Low, e.High, p)
			}
			if p <= 0.05 {
				rejected++
			}
			if n < 6 && !math.IsInf(e.Low, -1) {
				t.Fatalf("n=%d: the interval begins at %v; no interval of 95 %% exists", n, e.Low)
			}
			if e.Value < e.Low || e.Value > e.High {
				t.Fatalf("n=%d: the estimate %v lies outside its interval %v to %v", n, e.Value, e.Low, e.High)
			}
		}
	}
	if rejected < 500 {
		t.Errorf("only %d of 1800 samples were told from zero; the test of the test is too weak", rejected)
	}
}

func TestIntervalCovers(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for _, n := range []int{7, 20} {
		missed := 0
		const runs = 4000
		for range runs {
			x := make([]float64, n)
			for i := range x {
				x[i] = 0.3 + rng.NormFloat64()
			}
			if e := Shift(x, 0.95); e.Low > 0.3 || e.High < 0.3 {
				missed++
			}
		}
		if rate := float64(missed) / runs; rate > 0.06 || rate < 0.02 {
			t.Errorf("with %d differences the interval missed the truth in %.1f %% of the runs; want at most 5", n, 100*rate)
		}
	}
}

func TestRatio(t *testing.T) {
	a := []float64{2, 4, 6, 8, 10, 12, 14}
	b := []float64{1, 2, 3, 4, 5, 6, 7}
	if e := Ratio(a, b, 0.95); !near(e.Value, 2, 1e-9) || !near(e.Low, 2, 1e-9) || !near(e.High, 2, 1e-9) {
		t.Errorf("Ratio of doubled values = %+v; want 2, 2, 2", e)
	}
	up, down := Ratio(a, []float64{1, 3, 2, 5, 4, 7, 6}, 0.95), Ratio([]float64{1, 3, 2, 5, 4, 7, 6}, a, 0.95)
	if !near(up.Value, 1/down.Value, 1e-9) || !near(up.Low, 1/down.High, 1e-9) {
		t.Errorf("Ratio(a, b) = %+v and Ratio(b, a) = %+v; want each other's inverse", up, down)
	}
	if e := Ratio(nil, nil, 0.95); !math.IsNaN(e.Value) || e.N != 0 {
		t.Errorf("Ratio of nothing = %+v; want NaN", e)
	}
}

// The order of the pairs does not matter, and the input is not changed.
func TestShiftProperties(t *testing.T) {
	x := []float64{5, 1, 4, 2, 3, 9, -7}
	before := slices.Clone(x)
	e := Shift(x, 0.95)
	if !slices.Equal(x, before) {
		t.Errorf("Shift changed its input to %v", x)
	}
	slices.Reverse(x)
	if r := Shift(x, 0.95); r != e {
		t.Errorf("in another order Shift = %+v; want %+v", r, e)
	}
}

func TestQuantile(t *testing.T) {
	x := []float64{4, 1, 3, 2}
	for _, tt := range []struct{ q, want float64 }{{0, 1}, {0.25, 1.75}, {0.5, 2.5}, {1, 4}} {
		if got := Quantile(x, tt.q); !near(got, tt.want, 1e-12) {
			t.Errorf("Quantile(%v, %v) = %v; want %v", x, tt.q, got, tt.want)
		}
	}
}

func TestSpeedupLimit(t *testing.T) {
	equal := func(n int, each float64) []float64 { return slices.Repeat([]float64{each}, n) }
	tests := []struct {
		name       string
		d          Demand
		workers    int
		processors float64
		serial     bool
		want       float64
		by         Bound
	}{
		{"pure CPU", Demand{100, 100, 100, equal(100, 1)}, 8, 2, false, 2, ByProcessors},
		{"pure CPU at a measured capacity", Demand{100, 100, 100, equal(100, 1)}, 8, 1.95, false, 1.95, ByProcessors},
		{"pure CPU on one processor", Demand{100, 100, 100, equal(100, 1)}, 8, 1, false, 1, ByProcessors},
		{"CPU, fewer workers than processors", Demand{100, 100, 100, nil}, 2, 8, false, 2, ByWorkers},
		{"pure waiting", Demand{80, 0, 0, equal(80, 1)}, 8, 1, false, 8, ByWorkers},
		{"80 % waiting", Demand{100, 20, 20, nil}, 8, 1, false, 5, ByProcessors},
		{"one long task", Demand{10, 0, 0, []float64{5, 1, 1, 1, 1, 1}}, 8, 2, false, 2, ByLongestTask},
		{"four equal tasks, three workers", Demand{4, 0, 0, equal(4, 1)}, 3, 2, false, 2, ByTaskCount},
		{"16 equal tasks, three workers", Demand{16, 0, 0, equal(16, 1)}, 3, 2, false, 16.0 / 6, ByTaskCount},
		{"unequal tasks that fit", Demand{4, 0, 0, []float64{1, 1, 2}}, 2, 2, false, 2, ByWorkers},
		{"tasks timed elsewhere", Demand{10, 0, 0, []float64{10, 10}}, 8, 2, false, 2, ByLongestTask},
		{"nothing", Demand{}, 2, 2, false, math.Inf(1), ByWorkers},
		{"taking turns", Demand{100, 90, 90, nil}, 2, 2, true, 100. / 90, ByTurns},
		{"taking turns but in system calls", Demand{100, 90, 10, nil}, 2, 2, true, 2, ByWorkers},
		{"system calls on one processor", Demand{100, 90, 10, nil}, 2, 1, true, 100. / 90, ByProcessors},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, by := SpeedupLimit(tt.d, tt.workers, tt.processors, tt.serial)
			if !near(got, tt.want, 1e-9) || by != tt.by {
				t.Errorf("SpeedupLimit(%+v, %d, %v, %v) = %v by %s; want %v by %s", tt.d, tt.workers, tt.processors, tt.serial, got, by, tt.want, tt.by)
			}
		})
	}
}
