package stats

// OtherCores is the most processors' worth of time that other programs may take
// during a round of P processors for the round to count: a tenth of the
// machine, but at least 0.15 processors, below which the system's own
// accounting cannot tell.
func OtherCores(processors int) float64 { return max(0.1*float64(processors), 0.15) }
