//go:build !linux

package machine

import "github.com/prometheus/procfs"

// cpuModel returns nothing: only Linux tells by /proc.
func cpuModel(procfs.FS) string { return "" }
