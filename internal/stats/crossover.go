package stats

import "math"

// A Crossover is where one of two models overtakes the other as something
// grows, such as the length of a task.
type Crossover struct {
	// At is the estimate, and Low and High are its interval; all NaN if the
	// models do not change places within what was measured.
	At, Low, High float64

	// Crossing is the share of the resampled runs in which they did.
	Crossing float64
}

// Established reports whether the crossing is sure enough to be stated: there
// is one, and 95 of 100 resampled runs have one as well.
func (c Crossover) Established() bool { return !math.IsNaN(c.At) && c.Crossing >= 0.95 }

// FindCrossover looks for the size at which the typical logarithmic ratio of
// two times changes its sign for the last time. sizes are positive and in
// ascending order; logs[i][r] is the logarithm of the ratio at sizes[i] in round
// r, NaN where that round was not kept. Between two sizes it interpolates in the
// logarithm of the size. The interval comes from a bootstrap over rounds.
func FindCrossover(sizes []float64, logs [][]float64, confidence float64, seed uint64) Crossover {
	all := allRounds(logs)
	at := func(rounds []int) float64 {
		ratios := make([]float64, len(logs))
		for i, l := range logs {
			ratios[i] = centre(pick(l, rounds))
		}
		return lastCrossing(sizes, ratios)
	}
	c := Crossover{At: math.NaN(), Low: math.NaN(), High: math.NaN()}
	if len(all) == 0 {
		return c
	}
	c.At = at(all)
	values := Bootstrap(len(all), seed, at)
	for len(values) > 0 && math.IsNaN(values[0]) {
		values = values[1:]
	}
	c.Crossing = float64(len(values)) / Resamples
	c.Low, c.High = PercentileInterval(values, confidence)
	return c
}

// lastCrossing returns the size at which the values change their sign for the
// last time, NaN if they do not.
func lastCrossing(sizes, values []float64) float64 {
	for i := len(values) - 1; i > 0; i-- {
		a, b := values[i-1], values[i]
		if (a < 0) != (b < 0) && !math.IsNaN(a) && !math.IsNaN(b) {
			share := a / (a - b)
			return math.Exp(math.Log(sizes[i-1]) + share*(math.Log(sizes[i])-math.Log(sizes[i-1])))
		}
	}
	return math.NaN()
}
