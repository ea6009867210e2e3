package stats

import "math"

// A Scaling is a model of how throughput grows with workers:
//
//	X(n) = Lambda*n / (1 + Sigma*(n-1) + Kappa*n*(n-1))
//
// Sigma is the share of the work that only one worker does at a time, and Kappa
// what every pair of workers costs each other. With Kappa zero it is Amdahl's
// law.
//
// (Amdahl, 1967; Gunther, Guerrilla Capacity Planning, 2007, chapters 4 to 6.)
type Scaling struct {
	Lambda, Sigma, Kappa float64

	// Misfit is the largest share by which the model misses a measured value.
	Misfit float64
}

// Peak returns the number of workers beyond which more of them slow the work
// down; +Inf if there is none.
func (s Scaling) Peak() float64 {
	if s.Kappa <= 0 {
		return math.Inf(1)
	}
	return math.Sqrt(max(0, 1-s.Sigma) / s.Kappa)
}

// At returns the throughput of n workers by the model.
func (s Scaling) At(n float64) float64 {
	return s.Lambda * n / (1 + s.Sigma*(n-1) + s.Kappa*n*(n-1))
}

// Of a fit that is to be shown.
const (
	FitPoints = 5    // numbers of workers that it takes
	FitMisfit = 0.10 // that it may have at most
)

// FitUSL fits the Universal Scalability Law to throughputs, or speed-ups, at
// different numbers of workers. Sigma and Kappa are at least zero. ok is false
// if there are fewer than FitPoints different numbers, or if the model misses
// one of the values by more than FitMisfit: processors that run out make a
// corner, which the model does not have, and its parameters then mean nothing.
func FitUSL(workers, throughput []float64) (s Scaling, ok bool) {
	return fit(workers, throughput, true)
}

// FitAmdahl fits Amdahl's law, as FitUSL does its own.
func FitAmdahl(workers, throughput []float64) (s Scaling, ok bool) {
	return fit(workers, throughput, false)
}

// fit solves n/X = (1 + Sigma*(n-1) + Kappa*n*(n-1)) / Lambda, which is linear
// in 1/Lambda, Sigma/Lambda and Kappa/Lambda, by least squares of the relative
// errors. A coefficient that would be negative is held at zero: the best of the
// subsets that leaves none negative.
func fit(workers, throughput []float64, kappa bool) (best Scaling, ok bool) {
	different := make(map[float64]bool)
	for _, n := range workers {
		different[n] = true
	}
	if len(different) < FitPoints {
		return Scaling{}, false
	}
	subsets := [][]int{{0}, {0, 1}}
	if kappa {
		subsets = append(subsets, []int{0, 2}, []int{0, 1, 2})
	}
	least := math.Inf(1)
	for _, columns := range subsets {
		c, err := leastSquares(workers, throughput, columns)
		if err < least && c[0] > 0 && c[1] >= 0 && c[2] >= 0 {
			least = err
			best = Scaling{Lambda: 1 / c[0], Sigma: c[1] / c[0], Kappa: c[2] / c[0]}
		}
	}
	if math.IsInf(least, 1) {
		return Scaling{}, false
	}
	for i, n := range workers {
		best.Misfit = max(best.Misfit, math.Abs(best.At(n)/throughput[i]-1))
	}
	return best, best.Misfit <= FitMisfit
}

// leastSquares returns the coefficients of those columns, the others zero, and
// the sum of the squared relative errors.
func leastSquares(workers, throughput []float64, columns []int) (c [3]float64, err float64) {
	k := len(columns)
	terms := func(n float64) [3]float64 { return [3]float64{1, n - 1, n * (n - 1)} }
	var m [3][4]float64 // normal equations
	for i, n := range workers {
		y := n / throughput[i]
		x := terms(n)
		for a, col := range columns {
			for b, other := range columns {
				m[a][b] += x[col] * x[other] / (y * y)
			}
			m[a][3] += x[col] / y
		}
	}
	for a := range k { // Gauss–Jordan; the matrix is positive definite
		for row := range k {
			if row == a {
				continue
			}
			f := m[row][a] / m[a][a]
			for b := range m[row] {
				m[row][b] -= f * m[a][b]
			}
		}
	}
	for a, col := range columns {
		c[col] = m[a][3] / m[a][a]
	}
	for i, n := range workers {
		x := terms(n)
		e := (c[0]*x[0]+c[1]*x[1]+c[2]*x[2])*throughput[i]/n - 1
		err += e * e
	}
	return c, err
}
