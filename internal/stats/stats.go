// Package stats computes estimates with intervals from samples, and physical limits
// from measured times. It is pure: the same input gives the same output.
//
// The unit of every statistic is the trial, one fresh process. Two models are
// compared by the ratio of their times within the same round: disturbances of a
// machine drift over minutes, so they are nearly the same for trials that follow
// each other.
package stats

import (
	"math"
	"slices"
)

// An Estimate is a value with an interval that contains the true value with the
// stated confidence. With too few samples for an interval, the interval is
// unbounded.
type Estimate struct {
	Value, Low, High float64
	Confidence       float64
	N                int // number of pairs
}

// Ratio estimates how many times larger the numerators typically are than the
// denominators, pair by pair: the Hodges–Lehmann estimate of the logarithms of
// the ratios, with the exact interval of the Wilcoxon signed-rank test. All
// values must be positive; there must be as many of one as of the other.
//
// (Hollander, Wolfe and Chicken, Nonparametric Statistical Methods, 3rd ed.,
// sections 3.2 and 3.3.)
func Ratio(numerators, denominators []float64, confidence float64) Estimate {
	diffs := make([]float64, len(numerators))
	for i := range diffs {
		diffs[i] = math.Log(numerators[i]) - math.Log(denominators[i])
	}
	e := Shift(diffs, confidence)
	e.Value, e.Low, e.High = math.Exp(e.Value), math.Exp(e.Low), math.Exp(e.High)
	return e
}

// Shift estimates the centre of paired differences: the median of their Walsh
// averages, with the exact interval of the signed-rank test.
func Shift(diffs []float64, confidence float64) Estimate {
	n := len(diffs)
	if n == 0 {
		return Estimate{math.NaN(), math.NaN(), math.NaN(), confidence, 0}
	}
	walsh := walshAverages(diffs)
	e := Estimate{Median(walsh), math.Inf(-1), math.Inf(1), confidence, n}
	// The interval leaves out exactly those shifts that the test rejects, so the
	// interval and the test never disagree.
	if c := criticalRank(n, 1-confidence); c >= 0 {
		e.Low, e.High = walsh[c], walsh[len(walsh)-1-c]
	}
	return e
}

// SignedRank returns the two-sided p value of the exact Wilcoxon signed-rank
// test of the hypothesis that the differences are symmetric around zero. A
// difference of zero counts for neither side, which makes p larger rather than
// smaller.
func SignedRank(diffs []float64) float64 {
	if len(diffs) == 0 {
		return 1
	}
	above, below := 0, 0
	for _, w := range walshAverages(diffs) {
		switch {
		case w > 0:
			above++
		case w < 0:
			below++
		}
	}
	t := len(diffs)*(len(diffs)+1)/2 - max(above, below)
	return min(1, 2*signedRankCDF(len(diffs))[t])
}

// walshAverages returns the averages of all pairs, each value with itself
// included, in ascending order.
func walshAverages(x []float64) []float64 {
	w := unsortedWalsh(x)
	slices.Sort(w)
	return w
}

func unsortedWalsh(x []float64) []float64 {
	w := make([]float64, 0, len(x)*(len(x)+1)/2)
	for i := range x {
		for j := i; j < len(x); j++ {
			w = append(w, (x[i]+x[j])/2)
		}
	}
	return w
}

// criticalRank returns the largest statistic of n differences whose two-sided
// p value is at most alpha, or -1 if there is none.
func criticalRank(n int, alpha float64) int {
	c := -1
	for t, p := range signedRankCDF(n) {
		if 2*p > alpha+1e-12 { // 1-0.95 is not quite 0.05
			break
		}
		c = t
	}
	return c
}

// signedRankCDF returns, for each value t of the signed-rank statistic of n
// differences, the probability of a value of at most t if both signs are equally
// likely. It counts the subsets of the ranks by their sums.
func signedRankCDF(n int) []float64 {
	p := make([]float64, n*(n+1)/2+1)
	p[0] = 1
	for rank := 1; rank <= n; rank++ {
		for t := len(p) - 1; t >= 0; t-- {
			p[t] /= 2
			if t >= rank {
				p[t] += p[t-rank] / 2
			}
		}
	}
	for t := 1; t < len(p); t++ {
		p[t] += p[t-1]
	}
	return p
}

// Median returns the middle value, or the mean of the two in the middle; NaN
// if there are none.
func Median(x []float64) float64 { return Quantile(x, 0.5) }

// Quantile returns the q-quantile by linear interpolation between the order
// statistics (type 7 of Hyndman and Fan, 1996); NaN if there are no values.
func Quantile(x []float64, q float64) float64 {
	if len(x) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(x))
	at := q * float64(len(s)-1)
	i := min(int(at), len(s)-1)
	j := min(i+1, len(s)-1)
	return s[i] + (at-float64(i))*(s[j]-s[i])
}
