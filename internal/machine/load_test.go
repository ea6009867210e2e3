package machine

import "testing"

// BenchmarkReadLoad reads the accounting of the system as it is done before and
// after each trial.
func BenchmarkReadLoad(b *testing.B) {
	if _, err := This.ReadLoad(); err != nil {
		b.Skip(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := This.ReadLoad(); err != nil {
			b.Fatal(err)
		}
	}
}
