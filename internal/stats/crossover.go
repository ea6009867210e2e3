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

	// BothWays tells that one of them is ahead somewhere before At and the other
	// somewhere after it, each time with an interval that excludes equality. Two
	// models that are equal everywhere change places all the time.
	BothWays bool
}

// Established reports whether the crossing is sure enough to be stated: each of
// the models is ahead on its side of it, and 95 of 100 resampled runs have one
// as well.
func (c Crossover) Established() bool { return c.BothWays && c.Crossing >= 0.95 }

// FindCrossover looks for the place at which the typical logarithmic ratio of
// two times changes its sign for the last time. places are in ascending order;
// between two of them it interpolates in a straight line, so of what grows by
// factors they should be the logarithms. logs[i][r] is the logarithm of the ratio
// at places[i] in round r, NaN where that round was not kept. The interval comes
// from a bootstrap over rounds.
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
// last time, NaN if they do not.
func lastCrossing(places, values []float64) float64 {
	for i := len(values) - 1; i > 0; i-- {
		a, b := values[i-1], values[i]
		if (a < 0) != (b < 0) && !math.IsNaN(a) && !math.IsNaN(b) {
			return places[i-1] + a/(a-b)*(places[i]-places[i-1])
		}
	}
	return math.NaN()
}
