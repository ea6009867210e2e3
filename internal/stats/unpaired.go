package stats

import (
	"math"
	"slices"
)

// RatioUnpaired estimates how many times larger the values of a typically are
// than those of b if the values are not paired, such as those of two runs on
// different days. It is the median of all ratios, with the exact interval of the
// Mann–Whitney test. It assumes that nothing else differs between a and b, which is
// seldom true: the result is an indication, not a verdict.
//
// (Hollander, Wolfe and Chicken, sections 4.2 and 4.3.)
func RatioUnpaired(a, b []float64, confidence float64) Estimate {
	e := Estimate{math.NaN(), math.NaN(), math.NaN(), confidence, min(len(a), len(b))}
	if e.N == 0 {
		return e
	}
	diffs := make([]float64, 0, len(a)*len(b))
	for _, x := range a {
		for _, y := range b {
			diffs = append(diffs, math.Log(x)-math.Log(y))
		}
	}
	slices.Sort(diffs)
	e.Value, e.Low, e.High = math.Exp(Median(diffs)), 0, math.Inf(1)
	if c := criticalU(len(a), len(b), 1-confidence); c >= 0 {
		e.Low, e.High = math.Exp(diffs[c]), math.Exp(diffs[len(diffs)-1-c])
	}
	return e
}

// criticalU returns the largest Mann–Whitney statistic whose two-sided p value
// is at most alpha, or -1 if there is none.
func criticalU(m, n int, alpha float64) int {
	c := -1
	for u, p := range mannWhitneyCDF(m, n) {
		if 2*p > alpha+1e-12 {
			break
		}
		c = u
	}
	return c
}

// mannWhitneyCDF returns, for each value u of the Mann–Whitney statistic of
// samples of m and n values, the probability of at most u if all orders are
// equally likely. Its generating function is a Gaussian binomial coefficient,
// the product of (1-q^(n+i))/(1-q^i) for i from 1 to m.
func mannWhitneyCDF(m, n int) []float64 {
	p := make([]float64, m*n+1)
	p[0] = 1
	for i := 1; i <= m; i++ {
		for u := len(p) - 1; u >= n+i; u-- {
			p[u] -= p[u-n-i]
		}
		for u := i; u < len(p); u++ {
			p[u] += p[u-i]
		}
		for u := range p { // of C(n+i, i) orders: keeps the numbers small
			p[u] *= float64(i) / float64(n+i)
		}
	}
	for u := 1; u < len(p); u++ {
		p[u] += p[u-1]
	}
	return p
}
