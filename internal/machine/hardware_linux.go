package machine

import "github.com/prometheus/procfs"

// cpuModel returns the model of the first processor; empty if that is unknown.
func cpuModel(p procfs.FS) string {
	all, err := p.CPUInfo()
	if err != nil || len(all) == 0 {
		return ""
	}
	return all[0].ModelName
}
