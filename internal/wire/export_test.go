package wire

// For the tests that send random values to other processes.
var (
	RandomValue = randomValue
	Difference  = difference
)
