package stats

import (
	"math"
	"math/rand/v2"
	"testing"

	oracle "github.com/aclements/go-moremath/stats"
)

// The probabilities equal those of another implementation, for every value of the
// statistic and many sizes of samples.
func TestMannWhitneyAgainstOracle(t *testing.T) {
	for m := 1; m <= 12; m++ {
		for n := 1; n <= 12; n++ {
			u := oracle.UDist{N1: m, N2: n}
			for k, got := range mannWhitneyCDF(m, n) {
				if want := u.CDF(float64(k)); !near(got, want, 1e-9) {
					t.Fatalf("mannWhitneyCDF(%d, %d)[%d] = %v; the oracle says %v", m, n, k, got, want)
				}
			}
		}
	}
}

// An interval contains 1 exactly if the oracle's exact test, which ranks the values,
// does not reject equality of the samples.
func TestRatioUnpairedAgainstOracle(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		a, b := make([]float64, 3+rng.IntN(12)), make([]float64, 3+rng.IntN(12))
		shift := rng.NormFloat64()
		for i := range a {
			a[i] = math.Exp(rng.NormFloat64() + shift)
		}
		for i := range b {
			b[i] = math.Exp(rng.NormFloat64())
		}
		test, err := oracle.MannWhitneyUTest(a, b, oracle.LocationDiffers)
		if err != nil {
			t.Fatal(err)
		}
		e := RatioUnpaired(a, b, 0.95)
		if rejects := test.P <= 0.05; rejects == (e.Low < 1 && e.High > 1) {
			t.Errorf("RatioUnpaired(%v, %v) = %+v; the oracle's p value is %v", a, b, e, test.P)
		}
	}
}

func TestBinomialAgainstOracle(t *testing.T) {
	for _, n := range []int{1, 5, 12, 20, 72, 300} {
		for _, p := range []float64{0.01, 0.05, 0.3, 0.5, 0.95} {
			d := oracle.BinomialDist{N: n, P: p}
			for k := range n + 1 {
				if got, want := binomial(n, k, p), d.PMF(float64(k)); !near(got, want, 1e-9) {
					t.Fatalf("binomial(%d, %d, %v) = %v; the oracle says %v", n, k, p, got, want)
				}
			}
		}
	}
}

// The order statistics of the median's interval leave out no more than is allowed, and
// the next narrower interval would leave out too much.
func TestQuantileRanksAgainstOracle(t *testing.T) {
	for n := 6; n <= 60; n++ {
		l, u := quantileRanks(n, 0.5, 0.025)
		d := oracle.BinomialDist{N: n, P: 0.5}
		if below, above := d.CDF(float64(l-1)), 1-d.CDF(float64(u-1)); below > 0.025+1e-12 || above > 0.025+1e-12 {
			t.Errorf("of %d values, ranks %d and %d leave %v and %v; want at most 0.025 each", n, l, u, below, above)
		}
		if d.CDF(float64(l)) <= 0.025 || 1-d.CDF(float64(u-2)) <= 0.025 {
			t.Errorf("of %d values, ranks %d and %d are wider than they need be", n, l, u)
		}
	}
}

// The oracle's quantiles are of another type (8 of Hyndman and Fan); the two agree
// on the median.
func TestMedianAgainstOracle(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for n := 1; n <= 30; n++ {
		x := make([]float64, n)
		for i := range x {
			x[i] = rng.NormFloat64()
		}
		if got, want := Median(x), (oracle.Sample{Xs: x}).Quantile(0.5); !near(got, want, 1e-12) {
			t.Errorf("Median(%v) = %v; the oracle says %v", x, got, want)
		}
	}
}
