//go:build !linux

package workloads

import "time"

func sleepExactly(d time.Duration) { time.Sleep(d) }
