// Package machine examines the machine that a run is made on: its processors by
// several sources, the processor time of other programs, and how much work it does
// at once. It only reads, and changes no setting.
//
// To add a check of `harness doctor`, add a function to [Checks].
package machine

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
)

// A Host is a machine as its file system shows it. What the file system does not
// show is unknown, such as everything on a system without /proc.
type Host struct {
	Root string // of the file system
}

// This is the machine on which the program runs.
var This = Host{"/"}

func (h Host) fs() fs.FS { return os.DirFS(h.Root) }

// proc returns the machine's /proc, and self the entry of this process in it.
func (h Host) proc() (procfs.FS, error) { return procfs.NewFS(filepath.Join(h.Root, "proc")) }

func (h Host) self() (procfs.Proc, error) {
	p, err := h.proc()
	if err != nil {
		return procfs.Proc{}, err
	}
	return p.Self()
}

// read returns a file's content without surrounding space, and whether it could be
// read.
func (h Host) read(name string) (string, bool) {
	b, err := fs.ReadFile(h.fs(), name)
	return strings.TrimSpace(string(b)), err == nil
}

// Load is the accumulated load since the start of the machine, of the processors
// that this program may use.
type Load struct {
	At        time.Time
	Busy      time.Duration // of all processors together, stolen time included
	Steal     time.Duration // used by other guests of the same host instead
	Pressure  time.Duration // for which something waited for a processor
	Throttled time.Duration // for which the quota of this program's control group stopped it
}

// ReadLoad reads the load from the accounting of the system.
func (h Host) ReadLoad() (Load, error) {
	l := Load{At: time.Now()}
	p, err := h.proc()
	if err != nil {
		return l, fmt.Errorf("reading what the machine does: %w", err)
	}
	stat, err := p.Stat()
	if err != nil {
		return l, fmt.Errorf("reading what the machine does: %w", err)
	}
	allowed := h.Allowed()
	found := false
	for n, c := range stat.CPU {
		if len(allowed) > 0 && !allowed[int(n)] { // not ours
			continue
		}
		l.Busy += seconds(c.User + c.Nice + c.System + c.IRQ + c.SoftIRQ + c.Steal)
		l.Steal += seconds(c.Steal)
		found = true
	}
	if !found {
		return l, fmt.Errorf("proc/stat names none of the processors")
	}
	if psi, err := p.PSIStatsForResource("cpu"); err == nil && psi.Some != nil {
		l.Pressure = time.Duration(psi.Some.Total) * time.Microsecond
	}
	_, l.Throttled = h.throttled()
	return l, nil
}

// seconds rounds to hundredths of a second, which is how the system counts.
func seconds(s float64) time.Duration {
	return time.Duration(math.Round(100*s)) * (time.Second / 100)
}

// Allowed returns the numbers of the processors on which this program may run; none
// if that is unknown.
func (h Host) Allowed() map[int]bool {
	self, err := h.self()
	if err != nil {
		return nil
	}
	status, err := self.NewStatus()
	if err != nil {
		return nil
	}
	all := make(map[int]bool)
	for _, n := range status.CpusAllowedList {
		all[int(n)] = true
	}
	return all
}

// parseList reads the kernel's lists, such as "0-3,8".
func parseList(s string) map[int]bool {
	all := make(map[int]bool)
	for part := range strings.SplitSeq(s, ",") {
		from, to, isRange := strings.Cut(part, "-")
		a, err := strconv.Atoi(from)
		if err != nil {
			continue
		}
		b := a
		if isRange {
			if b, err = strconv.Atoi(to); err != nil {
				continue
			}
		}
		for i := a; i <= b && i < a+1<<16; i++ {
			all[i] = true
		}
	}
	return all
}

// group returns the folder of this program's control group for a controller: that of
// version 1 if the controller is mounted there, or else that of version 2. The
// folder must have a file named v1File or v2File, by its version.
func (h Host) group(controller, v1File, v2File string) (dir string, v2, ok bool) {
	self, err := h.self()
	if err != nil {
		return "", false, false
	}
	groups, err := self.Cgroups()
	if err != nil {
		return "", false, false
	}
	unified := ""
	for _, g := range groups {
		if slices.Contains(g.Controllers, controller) {
			return h.existing(path.Join("sys/fs/cgroup", controller), g.Path, v1File, false)
		}
		if g.HierarchyID == 0 {
			unified = g.Path
		}
	}
	if unified == "" {
		return "", false, false
	}
	return h.existing("sys/fs/cgroup", unified, v2File, true)
}

// existing returns the group's folder that has the file: below the mount, or the
// mount itself, where a container sees its own group.
func (h Host) existing(mount, group, file string, v2 bool) (string, bool, bool) {
	for _, dir := range []string{path.Join(mount, group), mount} {
		if _, err := fs.Stat(h.fs(), path.Join(dir, file)); err == nil {
			return dir, v2, true
		}
	}
	return "", v2, false
}

// Quota returns how many processors this program's control group may use on average;
// 0 if there is no bound. known is false if the control group cannot be found.
func (h Host) Quota() (processors float64, known bool) {
	dir, v2, ok := h.group("cpu", "cpu.stat", "cpu.stat")
	if !ok {
		return 0, false
	}
	var quota, period string
	if v2 {
		s, ok := h.read(path.Join(dir, "cpu.max"))
		if !ok {
			return 0, true // the root group has no bound, and no file
		}
		quota, period, _ = strings.Cut(s, " ")
	} else {
		quota, _ = h.read(path.Join(dir, "cpu.cfs_quota_us"))
		period, _ = h.read(path.Join(dir, "cpu.cfs_period_us"))
	}
	q, err1 := strconv.ParseFloat(quota, 64)
	p, err2 := strconv.ParseFloat(period, 64)
	if err1 != nil || err2 != nil || q <= 0 || p <= 0 { // "max", or -1
		return 0, true
	}
	return q / p, true
}

// throttled returns how often and how long the quota stopped this program's control
// group.
func (h Host) throttled() (times int64, d time.Duration) {
	dir, _, ok := h.group("cpu", "cpu.stat", "cpu.stat")
	if !ok {
		return 0, 0
	}
	s, _ := h.read(path.Join(dir, "cpu.stat"))
	for line := range strings.Lines(s) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		v, err := strconv.ParseInt(value, 10, 64)
		switch {
		case err != nil:
		case key == "nr_throttled":
			times = v
		case key == "throttled_usec": // version 2
			d = time.Duration(v) * time.Microsecond
		case key == "throttled_time": // version 1
			d = time.Duration(v)
		}
	}
	return times, d
}

// OwnCPU returns the processor time of this process, and of all its descendants that
// have ended and were waited for.
func OwnCPU() (time.Duration, error) {
	total := time.Duration(0)
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var r syscall.Rusage
		if err := syscall.Getrusage(who, &r); err != nil {
			return 0, fmt.Errorf("reading the accounting: %w", err)
		}
		total += time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	return total, nil
}
