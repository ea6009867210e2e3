package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestBootstrapOfTheMean(t *testing.T) {
	rng := rand.New(rand.NewPCG(10, 10))
	x := make([]float64, 50)
	for i := range x {
		x[i] = rng.NormFloat64()
	}
	mean := func(rounds []int) float64 {
		sum := 0.0
		for _, r := range rounds {
			sum += x[r] / float64(len(rounds))
		}
		return sum
	}
	values := Bootstrap(len(x), 1, mean)
	if len(values) != Resamples || !slices.IsSorted(values) {
		t.Fatalf("Bootstrap gave %d values, sorted: %v; want %d", len(values), slices.IsSorted(values), Resamples)
	}
	if !slices.Equal(values, Bootstrap(len(x), 1, mean)) {
		t.Error("the same seed gave other values")
	}
	// The width is that of the normal approximation.
	low, high := PercentileInterval(values, 0.95)
	if width := high - low; math.Abs(width-2*1.96/math.Sqrt(50)) > 0.12 {
		t.Errorf("the interval reaches from %v to %v; want a width of about 0.55", low, high)
	}
	if low, _ := PercentileInterval(nil, 0.95); !math.IsNaN(low) {
		t.Errorf("the interval of nothing begins at %v; want NaN", low)
	}
}

func TestCentreIsThatOfShift(t *testing.T) {
	rng := rand.New(rand.NewPCG(14, 14))
	for n := 1; n <= 40; n++ {
		x := make([]float64, n)
		for i := range x {
			x[i] = float64(rng.IntN(2 * n)) // some are equal
		}
		if got, want := centre(x), Shift(x, 0.95).Value; got != want {
			t.Errorf("centre(%v) = %v; want %v", x, got, want)
		}
	}
	if got := centre(nil); !math.IsNaN(got) {
		t.Errorf("centre of nothing = %v; want NaN", got)
	}
}

func TestGeometricMeanRatio(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 11))
	noisy := func(ratio float64) []float64 {
		logs := make([]float64, 20)
		for i := range logs {
			logs[i] = math.Log(ratio) + 0.02*rng.NormFloat64()
		}
		return logs
	}
	missing := noisy(8)
	missing[3] = math.NaN()
	e := GeometricMeanRatio([][]float64{noisy(1), missing}, 0.95, 1)
	if math.Abs(e.Value-math.Sqrt(8)) > 0.05 || e.Low > e.Value || e.High < e.Value || e.High/e.Low > 1.03 || e.N != 20 {
		t.Errorf("the geometric mean of 1 and 8 is %+v; want about %.3f within 1 %%", e, math.Sqrt(8))
	}
	if e := GeometricMeanRatio(nil, 0.95, 1); !math.IsNaN(e.Value) {
		t.Errorf("the geometric mean of nothing is %+v; want NaN", e)
	}
}

func TestFindCrossover(t *testing.T) {
	sizes := []float64{20, 50, 100, 200, 500, 1000}
	var places []float64
	for _, s := range sizes {
		places = append(places, math.Log(s))
	}
	grid := func(noise float64, log func(size float64) float64) [][]float64 {
		rng := rand.New(rand.NewPCG(12, 12))
		logs := make([][]float64, len(sizes))
		for i, s := range sizes {
			for range 20 {
				logs[i] = append(logs[i], log(s)+noise*rng.NormFloat64())
			}
		}
		return logs
	}
	falls := func(s float64) float64 { return math.Log(150 / s) } // equal at 150
	tests := []struct {
		name        string
		logs        [][]float64
		established bool
		at, within  float64
	}{
		{"clear", grid(0.1, falls), true, 150, 0.1},
		{"always above", grid(0.1, func(float64) float64 { return 1 }), false, math.NaN(), 0},
		{"hardly a difference", grid(0.5, func(s float64) float64 { return 0.14 + 0.01*math.Log(s/20) }), false, math.NaN(), 0},
		{"nothing", nil, false, math.NaN(), 0},
	}
	for _, tt := range tests {
		c := FindCrossover(places, tt.logs, 0.95, 1)
		c.At, c.Low, c.High = math.Exp(c.At), math.Exp(c.Low), math.Exp(c.High)
		if c.Established() != tt.established {
			t.Errorf("%s: FindCrossover = %+v; want established: %v", tt.name, c, tt.established)
		}
		if tt.established && (math.Abs(c.At/tt.at-1) > tt.within || c.Low > tt.at || c.High < tt.at) {
			t.Errorf("%s: FindCrossover = %+v; want %v", tt.name, c, tt.at)
		}
	}
}

// The estimates of models that are equal everywhere change places by chance in nearly
// every sample and resample. That must not be reported as a crossing.
func TestEqualsDoNotCross(t *testing.T) {
	rng := rand.New(rand.NewPCG(14, 14))
	const grids = 100
	places := []float64{1, 2, 3, 4, 5, 6}
	often, established := 0, 0
	for seed := range uint64(grids) {
		logs := make([][]float64, len(places))
		for i := range logs {
			for range 12 {
				logs[i] = append(logs[i], 0.1*rng.NormFloat64())
			}
		}
		c := FindCrossover(places, logs, 0.95, seed)
		if c.Crossing >= 0.95 {
			often++
		}
		if c.Established() {
			established++
		}
	}
	if established > grids*2/100 {
		t.Errorf("of %d grids of equals %d have a crossing; want at most 2 %%", grids, established)
	}
	if often < grids*10/100 {
		t.Errorf("of %d grids of equals %d cross in 95 of 100 resamples; want many, or this test cannot fail", grids, often)
	}
	t.Logf("of %d grids of equals %d cross in 95 of 100 resamples, %d are established", grids, often, established)
}

func TestDetectableEffect(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 13))
	noise := make([]float64, 200)
	for i := range noise {
		noise[i] = 0.1 * rng.NormFloat64()
	}
	// Noether's approximation for normal noise: exp(2.8*0.1/sqrt(0.955*n)).
	previous := math.Inf(1)
	for _, n := range []int{10, 20, 40} {
		want := math.Exp(2.8 * 0.1 / math.Sqrt(0.955*float64(n)))
		got := DetectableEffect(noise, n)
		if math.Abs(math.Log(got)/math.Log(want)-1) > 0.2 {
			t.Errorf("DetectableEffect of %d rounds = %.4f; want about %.4f", n, got, want)
		}
		if got >= previous {
			t.Errorf("%d rounds detect %.4f, fewer %.4f; want more rounds to detect less", n, got, previous)
		}
		previous = got
	}
	if got := DetectableEffect(noise, 5); !math.IsInf(got, 1) {
		t.Errorf("DetectableEffect of 5 rounds = %v; want none", got)
	}
	if got := DetectableEffect(nil, 20); !math.IsInf(got, 1) {
		t.Errorf("DetectableEffect without differences = %v; want none", got)
	}
}

func TestOtherCores(t *testing.T) {
	for processors, want := range map[int]float64{1: 0.15, 2: 0.2, 64: 6.4} {
		if got := OtherCores(processors); !near(got, want, 1e-12) {
			t.Errorf("OtherCores(%d) = %v; want %v", processors, got, want)
		}
	}
}
