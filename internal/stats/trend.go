package stats

// Kendall returns Kendall's rank correlation tau between values and their order,
// and the two-sided p value of the exact test of no trend. Pairs of equal values
// count for neither side. With fewer than two values tau is 0 and p is 1.
//
// (Kendall, A new measure of rank correlation, Biometrika 30, 1938; Hollander,
// Wolfe and Chicken, section 8.1.)
func Kendall(x []float64) (tau, p float64) {
	n := len(x)
	pairs := n * (n - 1) / 2
	if pairs == 0 {
		return 0, 1
	}
	up, down := 0, 0
	for i := range x {
		for j := range i {
			switch {
			case x[i] > x[j]:
				up++
			case x[i] < x[j]:
				down++
			}
		}
	}
	// chance[t] is the probability of t inversions in a random order. Adding an
	// element to k-1 others adds 0 to k-1 inversions, all equally likely.
	chance := make([]float64, pairs+1)
	chance[0] = 1
	for k := 2; k <= n; k++ {
		next := make([]float64, pairs+1)
		window := 0.0
		for t := range next {
			window += chance[t]
			if t >= k {
				window -= chance[t-k]
			}
			next[t] = window / float64(k)
		}
		chance = next
	}
	tail := 0.0
	for t := range pairs - max(up, down) + 1 {
		tail += chance[t]
	}
	return float64(up-down) / float64(pairs), min(1, 2*tail)
}

// Autocorrelation returns the correlation of values with their predecessors,
// 0 if there are fewer than three or all are equal.
//
// (Box, Jenkins and Reinsel, Time Series Analysis, section 2.1: the estimate
// that divides by n.)
func Autocorrelation(x []float64) float64 {
	if len(x) < 3 {
		return 0
	}
	mean := 0.0
	for _, v := range x {
		mean += v / float64(len(x))
	}
	var with, all float64
	for i, v := range x {
		all += (v - mean) * (v - mean)
		if i > 0 {
			with += (v - mean) * (x[i-1] - mean)
		}
	}
	if all == 0 {
		return 0
	}
	return with / all
}
