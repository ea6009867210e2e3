package stats

import (
	"math"
	"slices"
)

// QuantileInterval returns an interval that contains the q-quantile of the
// distribution of x with at least that confidence: two order statistics, each with
// half of the error. It assumes only that the values are independent, which trials
// are and the tasks of one trial are not. ok is false if there are too few values:
// the median needs 6 at 95 %, the 0.95-quantile 72, the 0.99-quantile 368.
//
// (David and Nagaraja, Order Statistics, 3rd ed., section 7.1.)
func QuantileInterval(x []float64, q, confidence float64) (low, high float64, ok bool) {
	s := slices.Sorted(slices.Values(x))
	tail := (1 - confidence) / 2
	l, u := quantileRanks(len(s), q, tail)
	if l < 1 || u > len(s) {
		return math.NaN(), math.NaN(), false
	}
	return s[l-1], s[u-1], true
}

// quantileRanks returns the ranks, counted from 1, of the two order statistics:
// l is the largest with P(B < l) <= tail and u the smallest with
// P(B >= u) <= tail, for B binomial with n and q. A rank outside of 1 to n
// means that there is none.
func quantileRanks(n int, q, tail float64) (l, u int) {
	u = n + 1
	below := 0.0 // P(B < k)
	found := false
	for k := 0; k <= n; k++ {
		if below <= tail+1e-12 {
			l = k
		}
		if !found && 1-below <= tail+1e-12 {
			u, found = k, true
		}
		below += binomial(n, k, q)
	}
	return l, u
}

// binomial is the probability of k successes in n trials.
func binomial(n, k int, p float64) float64 {
	if p <= 0 || p >= 1 {
		return math.NaN()
	}
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return math.Exp(a - b - c + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p))
}

// AtLeast returns a lower bound of the share of cases that have a property, if k of
// n independent cases have it: the lower end of Wilson's interval of 95 %
// confidence (Wilson, Journal of the American Statistical Association 22, 1927).
// It is 0 if n is 0.
func AtLeast(k, n int64) float64 {
	if n <= 0 {
		return 0
	}
	const z2 = 1.959964 * 1.959964
	m, p := float64(n), float64(k)/float64(n)
	return max(0, (p+z2/(2*m)-math.Sqrt(z2*(p*(1-p)/m+z2/(4*m*m))))/(1+z2/m))
}
