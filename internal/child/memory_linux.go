package child

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// outOfMemoryKills returns how many processes the kernel has killed because
// memory ran out, on the machine and in this process's control group; 0 if
// neither can be read.
func outOfMemoryKills() int64 {
	kills := counter("/proc/vmstat", "oom_kill")
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return kills
	}
	for line := range strings.Lines(string(groups)) {
		if group, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			kills += counter(filepath.Join("/sys/fs/cgroup", group, "memory.events"), "oom_kill")
		}
	}
	return kills
}

// counter returns the value of the line "name value" of a file, or 0 if there is no such
// line.
func counter(file, name string) int64 {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(b) {
		if value, ok := bytes.CutPrefix(line, []byte(name+" ")); ok {
			n, err := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}
