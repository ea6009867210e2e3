package stats

import (
	"cmp"
	"math"
	"slices"
)

// Holm adjusts the p values of a family of tests. If the adjusted values are
// compared with a level, the chance of at least one false rejection in the family
// stays below that level. The order of the values is kept.
//
// (Holm, A simple sequentially rejective multiple test procedure, Scandinavian
// Journal of Statistics 6, 1979.)
func Holm(p []float64) []float64 {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(p[i], p[j]) })
	adjusted := make([]float64, len(p))
	highest := 0.0
	for rank, i := range order {
		highest = max(highest, min(1, float64(len(p)-rank)*p[i]))
		adjusted[i] = highest
	}
	return adjusted
}

// RoundsForFamily returns how many rounds the signed-rank test needs to be able to
// reject equality in one of family comparisons after Holm's adjustment: the
// smallest n with 2^(1-n) <= alpha/family, where 2^(1-n) is its smallest p value.
func RoundsForFamily(family int, alpha float64) int {
	return int(math.Ceil(1 - math.Log2(alpha/float64(max(1, family)))))
}

// GeometricMean returns the n-th root of the product of n positive values; NaN
// if there are none.
func GeometricMean(x []float64) float64 {
	if len(x) == 0 {
		return math.NaN()
	}
	sum := 0.0
	for _, v := range x {
		sum += math.Log(v)
	}
	return math.Exp(sum / float64(len(x)))
}
