package stats

// OtherCores returns how many processors other programs may use on average during
// a round that counts: a tenth of the machine, but at least 0.15 processors, since
// the system's accounting is not exact enough for less.
func OtherCores(processors int) float64 { return max(0.1*float64(processors), 0.15) }
