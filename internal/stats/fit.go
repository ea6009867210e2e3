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
	cost := make([]float64, len(workers)) // workers' time for a unit of work
	for i, n := range workers {
		cost[i] = n / throughput[i]
	}
	least := math.Inf(1)
	for _, columns := range subsets {
		c, err := leastSquares(workers, cost, cost, columns)
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

// terms are what the cost of a unit of work is a sum of, with n workers.
func terms(n float64) [3]float64 { return [3]float64{1, n - 1, n * (n - 1)} }

// leastSquares returns the coefficients of those columns, the others zero, and
// the sum of the squared errors, each relative to its scale.
func leastSquares(workers, y, scale []float64, columns []int) (c [3]float64, err float64) {
	k := len(columns)
	var m [3][4]float64 // normal equations
	for i, n := range workers {
		x := terms(n)
		w := 1 / (scale[i] * scale[i])
		for a, col := range columns {
			for b, other := range columns {
				m[a][b] += w * x[col] * x[other]
			}
			m[a][3] += w * x[col] * y[i]
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
		e := (c[0]*x[0] + c[1]*x[1] + c[2]*x[2] - y[i]) / scale[i]
		err += e * e
	}
	return c, err
}

// A Division says how much of a law's coefficients is due to one part of what
// the workers spend their time on.
type Division struct{ Sigma, Kappa float64 }

// Divide divides the coefficients among the parts of the workers' time.
// costs[j][i] is what part j takes of the time of workers[i] workers for a unit
// of work. All parts together are the whole, so they grow as
// 1 + Sigma*(n-1) + Kappa*n*(n-1) does; and since least squares are linear, the
// same fit to each part gives coefficients that add up to those of the whole.
//
// The parts come from other trials than the law. ok is false if those differ by
// more than half of the largest loss that the law states, or if that is nothing:
// the parts then explain something else.
func (s Scaling) Divide(workers []float64, costs [][]float64) (parts []Division, ok bool) {
	if len(workers) < FitPoints {
		return nil, false
	}
	total := make([]float64, len(workers))
	for _, cost := range costs {
		for i := range total {
			total[i] += cost[i]
		}
	}
	columns := []int{0}
	if s.Sigma > 0 {
		columns = append(columns, 1)
	}
	if s.Kappa > 0 {
		columns = append(columns, 2)
	}
	whole, _ := leastSquares(workers, total, total, columns)
	if !(whole[0] > 0) {
		return nil, false
	}
	most, apart := 0.0, 0.0
	for i, n := range workers {
		loss := s.Loss(n)
		most, apart = max(most, loss), max(apart, math.Abs(total[i]/whole[0]-1-loss))
	}
	for _, cost := range costs {
		c, _ := leastSquares(workers, cost, total, columns)
		parts = append(parts, Division{c[1] / whole[0], c[2] / whole[0]})
	}
	return parts, most > 0 && apart <= most/2
}

// Loss returns how much more of its workers' time a unit of work takes with n of
// them than with one, as a share of the latter.
func (s Scaling) Loss(n float64) float64 { return s.Sigma*(n-1) + s.Kappa*n*(n-1) }
