package stats

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Resamples is how many resamples a bootstrap draws.
const Resamples = 999

// Bootstrap draws n rounds with replacement, Resamples times, calls f with each
// draw, and returns the values of f in ascending order. f returns NaN for a draw
// without a value; NaN comes first. Whole rounds are drawn, since the trials within
// a round are not independent. The same seed gives the same draws.
//
// (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 6
// and 13; Kalibera and Jones, Rigorous benchmarking in reasonable time, 2013,
// for the level that is resampled.)
func Bootstrap(n int, seed uint64, f func(rounds []int) float64) []float64 {
	rng := rand.New(rand.NewPCG(seed, uint64(n)))
	values := make([]float64, Resamples)
	rounds := make([]int, n)
	for i := range values {
		for j := range rounds {
			rounds[j] = rng.IntN(n)
		}
		values[i] = f(rounds)
	}
	slices.Sort(values) // NaN first
	return values
}

// PercentileInterval returns the ends of the middle part of sorted values that
// holds the share confidence of them.
func PercentileInterval(sorted []float64, confidence float64) (low, high float64) {
	if len(sorted) == 0 {
		return math.NaN(), math.NaN()
	}
	tail := (1 - confidence) / 2
	k := int(tail * float64(len(sorted)+1))
	return sorted[max(0, k-1)], sorted[min(len(sorted)-1, len(sorted)-k)]
}

// GeometricMeanRatio estimates the geometric mean of several ratios, such as
// one model's speed-ups over many workloads: the mean of the Hodges–Lehmann
// estimates of their logarithms, with a bootstrap interval over rounds.
// logs[i][r] is the logarithm of ratio i in round r, or NaN if that round was
// not kept.
func GeometricMeanRatio(logs [][]float64, confidence float64, seed uint64) Estimate {
	all := allRounds(logs)
	mean := func(rounds []int) float64 {
		sum := 0.0
		for _, l := range logs {
			sum += centre(pick(l, rounds))
		}
		return sum / float64(len(logs))
	}
	if len(all) == 0 {
		return Estimate{math.NaN(), math.NaN(), math.NaN(), confidence, 0}
	}
	low, high := PercentileInterval(Bootstrap(len(all), seed, mean), confidence)
	return Estimate{math.Exp(mean(all)), math.Exp(low), math.Exp(high), confidence, len(all)}
}

// allRounds returns the numbers of the rounds, from 0, up to the length of the
// longest list.
func allRounds(logs [][]float64) []int {
	n := 0
	for _, l := range logs {
		n = max(n, len(l))
	}
	all := make([]int, n)
	for r := range all {
		all[r] = r
	}
	return all
}

// pick returns the values of the given rounds, without those that are missing.
func pick(values []float64, rounds []int) []float64 {
	var picked []float64
	for _, r := range rounds {
		if r < len(values) && !math.IsNaN(values[r]) {
			picked = append(picked, values[r])
		}
	}
	return picked
}

// centre returns the Hodges–Lehmann estimate without an interval. A bootstrap needs
// thousands of them, so the averages are not sorted; only the middle one is found.
func centre(diffs []float64) float64 {
	if len(diffs) == 0 {
		return math.NaN()
	}
	walsh := unsortedWalsh(diffs)
	k := len(walsh) / 2
	upper := selectNth(walsh, k)
	if len(walsh)%2 == 1 {
		return upper
	}
	return (slices.Max(walsh[:k]) + upper) / 2
}

// selectNth returns the value that would be at index k if x were sorted, and
// moves the smaller ones before it (Hoare, Algorithm 65: Find, 1961).
func selectNth(x []float64, k int) float64 {
	for low, high := 0, len(x)-1; low < high; {
		pivot, i, j := x[(low+high)/2], low, high
		for i <= j {
			for x[i] < pivot {
				i++
			}
			for x[j] > pivot {
				j--
			}
			if i <= j {
				x[i], x[j] = x[j], x[i]
				i++
				j--
			}
		}
		switch {
		case k <= j:
			high = j
		case k >= i:
			low = i
		default:
			return x[k]
		}
	}
	return x[k]
}
