//go:build !linux

package workloads

import "time"

// sleepExactly sleeps, as exactly as the Go runtime does.
func sleepExactly(d time.Duration) error {
	time.Sleep(d)
	return nil
}
