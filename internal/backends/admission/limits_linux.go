package admission

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
)

// systemLimits returns the limits of the operating system that can be read.
func systemLimits() []limit {
	var known []limit
	add := func(ok bool, l limit) {
		if ok {
			known = append(known, l)
		}
	}
	free, ok := field("/proc/meminfo", "MemAvailable:")
	add(ok, limit{fmt.Sprintf("%d MiB of memory are available", free>>10), free << 10, ofMemory})

	// The threads of all users count against these two.
	if there, ok := allTasks(); ok {
		for _, f := range []string{"threads-max", "pid_max"} {
			most, ok := number("/proc/sys/kernel/" + f)
			add(ok, limit{fmt.Sprintf("the kernel allows %d threads (kernel.%s)", most, f), most - there, ofTasks})
		}
	}
	var rl syscall.Rlimit
	const rlimitNproc = 6
	if os.Getuid() != 0 && syscall.Getrlimit(rlimitNproc, &rl) == nil && rl.Cur < 1<<40 { // root is exempt
		own, _ := field("/proc/self/status", "Threads:") // the user may have more elsewhere
		add(true, limit{fmt.Sprintf("a user may have %d processes and threads (ulimit -u)", rl.Cur), int64(rl.Cur) - own, ofTasks})
	}
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &rl) == nil && rl.Cur < 1<<40 {
		open, err := os.ReadDir("/proc/self/fd")
		add(err == nil, limit{fmt.Sprintf("a process may have %d files open (ulimit -n)", rl.Cur), int64(rl.Cur) - int64(len(open)), ofFiles})
	}
	own, _ := os.ReadFile("/proc/self/cgroup")
	for _, dir := range groups(own, "pids") {
		most, ok := number(dir + "/pids.max")
		if !ok {
			continue
		}
		there, ok := number(dir + "/pids.current")
		add(ok, limit{fmt.Sprintf("the control group allows %d processes and threads (%s/pids.max)", most, dir), most - there, ofTasks})
	}
	for _, dir := range groups(own, "memory") {
		for _, f := range [][3]string{{"memory.max", "memory.current", "inactive_file"}, {"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"}} {
			most, ok := number(dir + "/" + f[0])
			if !ok {
				continue
			}
			used, ok := number(dir + "/" + f[1])
			cache, _ := field(dir+"/memory.stat", f[2]+" ") // the kernel frees it when memory is needed
			add(ok, limit{fmt.Sprintf("the control group allows %d MiB of memory (%s/%s)", most>>20, dir, f[0]), most - used + cache, ofMemory})
		}
	}
	return known
}

// groups returns the directories in which a process's control group and its ancestors
// are expected. own is the content of the process's cgroup file.
func groups(own []byte, controller string) []string {
	var dirs []string
	for line := range strings.Lines(string(own)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		root := "/sys/fs/cgroup"
		if parts[1] != "" {
			if !strings.Contains(","+parts[1]+",", ","+controller+",") {
				continue
			}
			root += "/" + controller // version 1
		}
		for dir := path.Clean("/" + parts[2]); ; dir = path.Dir(dir) {
			dirs = append(dirs, path.Join(root, dir))
			if dir == "/" {
				break
			}
		}
	}
	return dirs
}

// number reads a file that holds a number. It reports false if there is none, as in a
// file that says "max".
func number(name string) (int64, bool) {
	b, err := os.ReadFile(name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(b)), 10, 64)
	return n, err == nil && n < 1<<60 // in version 1 a larger number stands for no limit
}

// field reads the number after key, which begins a line.
func field(name, key string) (int64, bool) {
	b, err := os.ReadFile(name)
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			if f := strings.Fields(rest); len(f) > 0 {
				n, err := strconv.ParseInt(f[0], 10, 64)
				return n, err == nil
			}
		}
	}
	return 0, false
}

// allTasks returns how many processes and threads the system has.
func allTasks() (int64, bool) {
	b, err := os.ReadFile("/proc/loadavg") // 0.20 0.18 0.12 1/80 11206
	if err != nil {
		return 0, false
	}
	f := strings.Fields(string(b))
	if len(f) < 4 {
		return 0, false
	}
	_, all, _ := strings.Cut(f[3], "/")
	n, err := strconv.ParseInt(all, 10, 64)
	return n, err == nil
}
