package stats

import "math"

// A Crossover is the value at which one of two models overtakes the other as
// something grows, such as the length of a task.
type Crossover struct {
	// At is the estimate, and Low and High are its interval; all are NaN if the
	// models do not change places within the measured values.
	At, Low, High float64

	// Crossing is the share of the resampled runs in which they change places.
	Crossing float64

	// BothWays tells that one model is ahead at a value below At and the other at
	// a value above it, each with an interval that excludes equality. Without this
	// condition, two models that are equal everywhere would seem to change places.
	BothWays bool
}

// Established reports whether the crossing is certain enough to be stated: each
// model is ahead on its side of it, and at least 95 % of the resampled runs have a
// crossing, too.
func (c Crossover) Established() bool { return c.BothWays && c.Crossing >= 0.95 }

// FindCrossover finds the place at which the typical logarithmic ratio of two
// times changes its sign for the last time. places are in ascending order. Between
// two of them it interpolates linearly; places of values that grow by factors
// should be logarithms. logs[i][r] is the logarithm of the ratio at places[i] in
// round r, NaN if that round was not kept. The interval comes from a bootstrap over
// rounds.
func FindCrossover(places []float64, logs [][]float64, confidence float64, seed uint64) Crossover {
	all := allRounds(logs)
	at := func(rounds []int) float64 {
		ratios := make([]float64, len(logs))
		for i, l := range logs {
			ratios[i] = centre(pick(l, rounds))
		}
		return lastCrossing(places, ratios)
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
	var before, after [2]bool // below and above equality
	for i, l := range logs {
		side := &before
		if !(places[i] < c.At) {
			side = &after
		}
		if e := Shift(pick(l, all), confidence); e.High < 0 {
			side[0] = true
		} else if e.Low > 0 {
			side[1] = true
		}
	}
	c.BothWays = !math.IsNaN(c.At) && (before[0] && after[1] || before[1] && after[0])
	return c
}

// lastCrossing returns the place at which the values change their sign for the
// last time, NaN if they never do.
func lastCrossing(places, values []float64) float64 {
	for i := len(values) - 1; i > 0; i-- {
		a, b := values[i-1], values[i]
		if (a < 0) != (b < 0) && !math.IsNaN(a) && !math.IsNaN(b) {
			return places[i-1] + a/(a-b)*(places[i]-places[i-1])
		}
	}
	return math.NaN()
}
