package stats

import (
	"math"
	"math/rand/v2"
)

// DetectableEffect returns the smallest ratio above 1 that the signed-rank test
// at the 5 % level would distinguish from 1 in 80 of 100 runs of n rounds (a power
// of 80 %). The noise is that of diffs: paired logarithmic differences between equal
// programs. It returns +Inf if n rounds are too few for the test, or if there are
// fewer than two differences.
//
// It simulates: n differences are drawn with replacement, each with a random sign,
// since either of two equal programs could have been the first. The test rejects
// equality if at most a critical number of Walsh averages lie below zero. So each
// draw needs a shift that moves the average of that rank, in ascending order, to
// zero. The effect is the shift that suffices for four of five draws. The draws are
// the same in every call.
func DetectableEffect(diffs []float64, n int) float64 {
	const draws, power = 400, 0.8
	critical := criticalRank(n, Level)
	if critical < 0 || len(diffs) < 2 {
		return math.Inf(1)
	}
	middle := centre(diffs)
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	needed := make([]float64, draws)
	drawn := make([]float64, n)
	for i := range needed {
		for j := range drawn {
			drawn[j] = diffs[rng.IntN(len(diffs))] - middle
			if rng.IntN(2) == 0 {
				drawn[j] *= -1
			}
		}
		needed[i] = -selectNth(unsortedWalsh(drawn), critical)
	}
	return math.Exp(max(0, Quantile(needed, power)))
}
