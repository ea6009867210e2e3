package stats

import "math"

// A Scaling is a model of how throughput grows with workers:
//
//	X(n) = Lambda*n / (1 + Sigma*(n-1) + Kappa*n*(n-1))
//
// Sigma is the share of the work that only one worker can do at a time
// (contention), and Kappa the cost of every pair of workers (coherency). With Kappa
// zero it is Amdahl's law.
//
// (Amdahl, 1967; Gunther, Guerrilla Capacity Planning, 2007, chapters 4 to 6.)
type Scaling struct {
	Lambda, Sigma, Kappa float64

	// Misfit is the largest share by which the model misses a measured value.
	Misfit float64
}

// Peak returns the number of workers with the highest throughput; +Inf if
// throughput always grows.
func (s Scaling) Peak() float64 {
	if s.Kappa <= 0 {
		return math.Inf(1)
	}
	return math.Sqrt(max(0, 1-s.Sigma) / s.Kappa)
}

// At returns the throughput that the model predicts for n workers.
func (s Scaling) At(n float64) float64 {
	return s.Lambda * n / (1 + s.Sigma*(n-1) + s.Kappa*n*(n-1))
}

// What a fit needs to be shown.
const (
	FitPoints = 5    // least different numbers of workers
	FitMisfit = 0.10 // largest misfit
)

// FitUSL fits the Universal Scalability Law to throughputs, or speed-ups, at
// different numbers of workers. Sigma and Kappa are at least zero. ok is false
// if there are fewer than FitPoints different numbers, or if the model misses
// one of the values by more than FitMisfit. That happens where all processors are in
// use: throughput stops growing abruptly, which the model cannot describe, so its
// parameters mean nothing.
func FitUSL(workers, throughput []float64) (s Scaling, ok bool) {
	return fit(workers, throughput, true)
}

// FitAmdahl fits Amdahl's law in the same way.
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

// terms returns the terms of the model of a unit's cost with n workers.
func terms(n float64) [3]float64 { return [3]float64{1, n - 1, n * (n - 1)} }

// leastSquares fits y with the given columns of terms. It returns the
// coefficients, zero for the other columns, and the sum of the squared errors, each
// relative to its scale.
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

// A Division is the share of one part of the workers' time in the coefficients of a
// law.
type Division struct{ Sigma, Kappa float64 }

// Divide divides the coefficients among the parts of the workers' time.
// costs[j][i] is the time of part j for a unit of work with workers[i] workers. The
// sum of the parts grows as 1 + Sigma*(n-1) + Kappa*n*(n-1). Least squares are
// linear, so the same fit to each part gives coefficients that add up to those of
// the whole.
//
// The parts are from other trials than the law. ok is false if these trials differ
// from the law by more than half of its largest loss, or if the law has no loss:
// then the parts do not explain the law.
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
	largestLoss, difference := 0.0, 0.0
	for i, n := range workers {
		loss := s.Loss(n)
		largestLoss, difference = max(largestLoss, loss), max(difference, math.Abs(total[i]/whole[0]-1-loss))
	}
	for _, cost := range costs {
		c, _ := leastSquares(workers, cost, total, columns)
		parts = append(parts, Division{c[1] / whole[0], c[2] / whole[0]})
	}
	return parts, largestLoss > 0 && difference <= largestLoss/2
}

// Loss returns how much more workers' time a unit of work takes with n workers than
// with one, as a share of the time with one.
func (s Scaling) Loss(n float64) float64 { return s.Sigma*(n-1) + s.Kappa*n*(n-1) }
