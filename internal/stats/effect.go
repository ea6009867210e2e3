package stats

import (
	"math"
	"math/rand/v2"
)

// DetectableEffect returns the smallest ratio above 1 that the signed-rank test
// at the 5 % level would tell from 1 in 80 of 100 runs of n rounds, if the noise
// is what these paired logarithmic differences between equal programs show. It
// is +Inf if no ratio below 16 would do, or if n rounds are too few to tell
// anything.
//
// It is found by simulation: n differences are drawn with replacement, each
// with a random sign, since between equal programs either could have come
// first; the effect is added, and the test is made. The draws are the same
// every time, and the same for every effect, so that the power only grows.
func DetectableEffect(diffs []float64, n int) float64 {
	const runs, wanted, most = 200, 0.8, 16
	critical := criticalRank(n, 0.05)
	if critical < 0 || len(diffs) < 2 {
		return math.Inf(1)
	}
	middle := centre(diffs)
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	noise := make([][]float64, runs)
	for i := range noise {
		noise[i] = make([]float64, n)
		for j := range noise[i] {
			noise[i][j] = diffs[rng.IntN(len(diffs))] - middle
			if rng.IntN(2) == 0 {
				noise[i][j] *= -1
			}
		}
	}
	found := func(effect float64) bool {
		hits := 0
		for _, d := range noise {
			if statisticBelow(d, effect) <= critical {
				hits++
			}
		}
		return float64(hits) >= wanted*runs
	}
	low, high := 0.0, math.Log(most)
	if !found(high) {
		return math.Inf(1)
	}
	for range 20 {
		if mid := (low + high) / 2; found(mid) {
			high = mid
		} else {
			low = mid
		}
	}
	return math.Exp(high)
}

// statisticBelow is the signed-rank statistic of the differences, each shifted
// up: how many of their Walsh averages are not above zero.
func statisticBelow(diffs []float64, shift float64) int {
	below := 0
	for i := range diffs {
		for j := i; j < len(diffs); j++ {
			if (diffs[i]+diffs[j])/2+shift <= 0 {
				below++
			}
		}
	}
	return below
}
