package stats

import (
	"math"
	"math/rand/v2"
)

// DetectableEffect returns the smallest ratio above 1 that the signed-rank test
// at the 5 % level would tell from 1 in 80 of 100 runs of n rounds, if the noise
// is what these paired logarithmic differences between equal programs show. It
// is +Inf if n rounds are too few to tell anything, or the differences to know
// the noise.
//
// It is found by simulation: n differences are drawn with replacement, each
// with a random sign, since between equal programs either could have come
// first. The test rejects if at most the critical number of Walsh averages lie
// below zero, so a draw is found different once that average of them, in
// ascending order, has been shifted above it; the effect is what four of five
// draws need. The draws are the same every time.
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
