package machine

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"

	"github.com/f3f4c0de/harness/internal/stats"
)

// A Status is the result of a check. What the system does not show is unknown, not
// ok.
type Status string

// The results of checks.
const (
	OK      Status = "ok"
	Warn    Status = "warn"    // intervals will be wider, or figures less general
	Fail    Status = "fail"    // figures will be wrong
	Unknown Status = "unknown" // the system does not tell
)

// A Check is something about the machine or the program that can spoil figures.
type Check struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	Found  string `json:"found"`
	Do     string `json:"do,omitempty"` // what to do about it
}

// Facts are what the checks need to know besides what files of the system say.
type Facts struct {
	NumCPU, GOMAXPROCS int
	Capacity           float64                         // how many processors did work at once; 0 is unknown
	Others             float64                         // how many processors other programs use now; negative is unknown
	Sleeps             map[time.Duration]time.Duration // how long sleeps of some lengths took
	Build              *debug.BuildInfo                // of the program; nil is unknown
	FreeBytes          int64                           // free space where results go; negative is unknown
	TempBytes          int64                           // free space where trials put their files; negative is unknown
	OpenFiles          uint64                          // most files that a process may have open; 0 is unknown
	Receivers          []Receiver                      // receivers of spans on this machine; none is unknown
}

// Checks makes all checks. They only read.
func (h Host) Checks(f Facts) []Check {
	var all []Check
	for _, check := range []func(Host, Facts) Check{
		cores, capacity, otherLoad, otherRuns, pressure, steal, throttling, timer, clock, governor, turbo, threads,
		memory, swap, hugePages, randomisation, files, processes, ports, space, tempSpace, counters, build, source, battery, receivers,
	} {
		all = append(all, check(h, f))
	}
	return all
}

func cores(h Host, f Facts) Check {
	c := Check{Name: "cores", Status: OK}
	online, _ := h.read("sys/devices/system/cpu/online")
	allowed := len(h.Allowed())
	quota, known := h.Quota()
	bound := "no quota"
	switch {
	case !known:
		bound = "quota unknown"
	case quota > 0:
		bound = fmt.Sprintf("quota %.3g", quota)
	}
	c.Found = fmt.Sprintf("system %s, affinity %s, %s, Go %d (GOMAXPROCS %d)", count(len(parseList(online))), count(allowed), bound, f.NumCPU, f.GOMAXPROCS)
	switch {
	case quota > 0 && quota < float64(f.NumCPU):
		c.Status, c.Do = Fail, fmt.Sprintf("the quota of the control group is below the %d processors that programs see: programs are stopped in the middle of a trial. Raise the quota, or give the group whole processors (cpuset)", f.NumCPU)
	case allowed > 0 && allowed != f.NumCPU:
		c.Status, c.Do = Warn, "the processors that may be used and those that Go sees differ"
	case f.GOMAXPROCS != f.NumCPU:
		c.Status, c.Do = Warn, "GOMAXPROCS is set; trials get a setting of their own. Unset it"
	case online == "":
		c.Status = Unknown
	}
	return c
}

func count(n int) string {
	if n == 0 {
		return "unknown"
	}
	return strconv.Itoa(n)
}

func capacity(_ Host, f Facts) Check {
	c := Check{Name: "capacity", Status: OK, Found: fmt.Sprintf("%.2f of %d cores did work at once", f.Capacity, f.NumCPU)}
	switch {
	case f.Capacity <= 0:
		return Check{Name: "capacity", Status: Unknown, Found: "it could not be measured"}
	case f.Capacity < 0.75*float64(f.NumCPU):
		c.Status, c.Do = Fail, "the machine does less work at once than its number of processors suggests, because of other programs, hyper-threads, a quota or an overcommitted host"
	case f.Capacity < 0.95*float64(f.NumCPU):
		c.Status, c.Do = Warn, "look at both limits in the report; the second is for this capacity"
	}
	return c
}

func otherLoad(_ Host, f Facts) Check {
	c := Check{Name: "other programs", Status: OK, Found: fmt.Sprintf("%.2f of %d cores", f.Others, f.NumCPU)}
	allowed := stats.OtherCores(f.NumCPU)
	switch {
	case f.Others < 0:
		return Check{Name: "other programs", Status: Unknown, Found: "the system does not tell what they use"}
	case f.Others > allowed:
		c.Status, c.Do = Fail, fmt.Sprintf("end what uses the processors, or wait: rounds during which others use more than %.2g cores are left out", allowed)
	case f.Others > allowed/2:
		c.Status, c.Do = Warn, "it is more than half of the load at which a round is left out"
	}
	return c
}

// otherRuns looks for trials of other runs, as far as the environments of processes
// can be read.
func otherRuns(h Host, _ Facts) Check {
	names, _ := fs.Glob(h.fs(), "proc/[0-9]*/environ")
	if len(names) == 0 {
		return Check{Name: "other runs", Status: Unknown, Found: "the system does not tell"}
	}
	n := 0
	for _, name := range names {
		if s, _ := h.read(name); strings.Contains(s, "HARNESS_ROLE=trial") {
			n++
		}
	}
	if n > 0 {
		return Check{Name: "other runs", Status: Fail, Found: fmt.Sprintf("%d trials of another run are under way", n), Do: "wait until it has ended: two runs disturb each other"}
	}
	return Check{Name: "other runs", Status: OK, Found: "none under way"}
}

func pressure(h Host, f Facts) Check {
	p, err := h.proc()
	if err != nil {
		return Check{Name: "pressure", Status: Unknown, Found: "the system does not tell"}
	}
	psi, err := p.PSIStatsForResource("cpu")
	if err != nil || psi.Some == nil {
		return loadAverage(p, f)
	}
	c := Check{Name: "pressure", Status: OK, Found: fmt.Sprintf("in the last minute something waited for a processor %.1f %% of the time", psi.Some.Avg60)}
	if psi.Some.Avg60 > 10 {
		c.Status, c.Do = Warn, "other work was there a minute ago; it may come back"
	}
	return c
}

// loadAverage checks the load average, if the kernel does not report pressure.
func loadAverage(p procfs.FS, f Facts) Check {
	load, err := p.LoadAvg()
	if err != nil {
		return Check{Name: "pressure", Status: Unknown, Found: "the kernel does not tell (CONFIG_PSI)"}
	}
	c := Check{Name: "pressure", Status: OK, Found: fmt.Sprintf("in the last minute %.2g threads ran or waited at a time", load.Load1)}
	if load.Load1 > 0.5*float64(f.NumCPU) {
		c.Status, c.Do = Warn, "other work was there a minute ago; it may come back"
	}
	return c
}

func steal(h Host, _ Facts) Check {
	l, err := h.ReadLoad()
	if err != nil {
		return Check{Name: "stolen time", Status: Unknown, Found: "the system does not tell"}
	}
	share := 0.0
	if l.Busy > 0 {
		share = float64(l.Steal) / float64(l.Busy)
	}
	c := Check{Name: "stolen time", Status: OK, Found: fmt.Sprintf("%.1f %% of the busy time since the start went to other guests of the host", 100*share)}
	if share > 0.05 {
		c.Status, c.Do = Warn, "the host is shared and busy; prefer one that is not"
	}
	return c
}

func throttling(h Host, _ Facts) Check {
	if _, _, ok := h.group("cpu", "cpu.stat", "cpu.stat"); !ok {
		return Check{Name: "throttling", Status: Unknown, Found: "no control group was found"}
	}
	times, d := h.throttled()
	c := Check{Name: "throttling", Status: OK, Found: fmt.Sprintf("the control group was stopped %d times, for %v", times, d)}
	if times > 0 {
		c.Status, c.Do = Warn, "a quota has stopped programs here before: see cores"
	}
	return c
}

func timer(_ Host, f Facts) Check {
	c := Check{Name: "timer", Status: OK}
	if len(f.Sleeps) == 0 {
		return Check{Name: "timer", Status: Unknown, Found: "not measured"}
	}
	var parts []string
	for _, asked := range slices.Sorted(maps.Keys(f.Sleeps)) {
		parts = append(parts, fmt.Sprintf("%v for %v", f.Sleeps[asked].Round(time.Microsecond), asked))
		if f.Sleeps[asked] > asked*3/2+100*time.Microsecond {
			c.Status, c.Do = Warn, "sleeps this short last longer in an idle process, which the sequential baseline is: do not model waiting by time.Sleep. The built-in workloads wait for a server"
		}
	}
	c.Found = "a sleep takes " + strings.Join(parts, ", ")
	return c
}

func clock(h Host, _ Facts) Check {
	source, ok := h.read("sys/devices/system/clocksource/clocksource0/current_clocksource")
	if !ok {
		return Check{Name: "clock", Status: Unknown, Found: "the system does not tell its source"}
	}
	c := Check{Name: "clock", Status: OK, Found: source}
	if source == "hpet" || source == "acpi_pm" || source == "jiffies" {
		c.Status, c.Do = Warn, "reading this clock takes a microsecond and more; a machine with tsc, kvm-clock or arch_sys_counter is better"
	}
	return c
}

func governor(h Host, _ Facts) Check {
	names, _ := fs.Glob(h.fs(), "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
	if len(names) == 0 {
		return Check{Name: "frequency", Status: Unknown, Found: "there is no governor here; in a virtual machine the host sets the frequency"}
	}
	governors := make(map[string]bool)
	for _, name := range names {
		s, _ := h.read(name)
		governors[s] = true
	}
	found := strings.Join(slices.Sorted(maps.Keys(governors)), ", ")
	if len(governors) == 1 && governors["performance"] {
		return Check{Name: "frequency", Status: OK, Found: "governor " + found}
	}
	return Check{Name: "frequency", Status: Warn, Found: "governor " + found, Do: "sudo cpupower frequency-set -g performance"}
}

func turbo(h Host, _ Facts) Check {
	if s, ok := h.read("sys/devices/system/cpu/intel_pstate/no_turbo"); ok {
		if s == "1" {
			return Check{Name: "turbo", Status: OK, Found: "off"}
		}
		return Check{Name: "turbo", Status: Warn, Found: "on: one busy core is faster than many", Do: "echo 1 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo"}
	}
	if s, ok := h.read("sys/devices/system/cpu/cpufreq/boost"); ok {
		if s == "0" {
			return Check{Name: "turbo", Status: OK, Found: "off"}
		}
		return Check{Name: "turbo", Status: Warn, Found: "on: one busy core is faster than many", Do: "echo 0 | sudo tee /sys/devices/system/cpu/cpufreq/boost"}
	}
	return Check{Name: "turbo", Status: Unknown, Found: "the system does not tell"}
}

func threads(h Host, _ Facts) Check {
	s, ok := h.read("sys/devices/system/cpu/smt/active")
	if !ok {
		return Check{Name: "hyper-threads", Status: Unknown, Found: "the system does not tell"}
	}
	if s == "1" {
		return Check{Name: "hyper-threads", Status: Warn, Found: "on: two of the processors share a core", Do: "compare with the limit at measured capacity, or: echo off | sudo tee /sys/devices/system/cpu/smt/control"}
	}
	return Check{Name: "hyper-threads", Status: OK, Found: "off"}
}

// meminfo returns the memory statistics of the system. Unknown fields are nil.
func (h Host) meminfo() (m procfs.Meminfo) {
	if p, err := h.proc(); err == nil {
		m, _ = p.Meminfo() // after an error all fields are nil
	}
	return m
}

func memory(h Host, _ Facts) Check {
	available := h.meminfo().MemAvailableBytes
	if available == nil {
		return Check{Name: "memory", Status: Unknown, Found: "the system does not tell"}
	}
	free := int64(*available)
	c := Check{Name: "memory", Status: OK, Found: fmt.Sprintf("%d MiB available", free>>20)}
	if left, bound := h.memoryLeft(); bound && left < free {
		free = left
		c.Found = fmt.Sprintf("%d MiB available, as the control group is bounded", free>>20)
	}
	if free < 512<<20 {
		c.Status, c.Do = Warn, "worker processes need memory; end programs that are not needed"
	}
	return c
}

func swap(h Host, _ Facts) Check {
	m := h.meminfo()
	if m.SwapTotalBytes == nil || m.SwapFreeBytes == nil {
		return Check{Name: "swap", Status: Unknown, Found: "the system does not tell"}
	}
	used := *m.SwapTotalBytes - *m.SwapFreeBytes
	c := Check{Name: "swap", Status: OK, Found: fmt.Sprintf("%d MiB in use", used>>20)}
	if used > 64<<20 {
		c.Status, c.Do = Warn, "swapped memory is read back in the middle of a trial: sudo swapoff -a"
	}
	return c
}

func randomisation(h Host, _ Facts) Check {
	s, ok := h.read("proc/sys/kernel/randomize_va_space")
	if !ok {
		return Check{Name: "address layout", Status: Unknown, Found: "the system does not tell"}
	}
	if s != "2" {
		return Check{Name: "address layout", Status: Warn, Found: "not random (" + s + ")", Do: "every trial is a fresh process so that the effects of layouts average out; turn randomisation on: sudo sysctl kernel.randomize_va_space=2"}
	}
	return Check{Name: "address layout", Status: OK, Found: "random, and every trial has one of its own"}
}

func files(_ Host, f Facts) Check {
	c := Check{Name: "open files", Status: OK, Found: fmt.Sprintf("%d a process", f.OpenFiles)}
	switch {
	case f.OpenFiles == 0:
		return Check{Name: "open files", Status: Unknown, Found: "the system does not tell"}
	case f.OpenFiles < 256:
		c.Status, c.Do = Warn, "many workers need many open files: ulimit -n 1024"
	}
	return c
}

func build(_ Host, f Facts) Check {
	if f.Build == nil {
		return Check{Name: "build", Status: Unknown, Found: "the program does not tell how it was built"}
	}
	flags := make(map[string]string)
	for _, s := range f.Build.Settings {
		flags[s.Key] = s.Value
	}
	c := Check{Name: "build", Status: OK, Found: f.Build.GoVersion + ", optimised, without the race detector"}
	switch {
	case flags["-race"] == "true":
		c.Status, c.Found, c.Do = Fail, f.Build.GoVersion+" with -race, which makes programs 2 to 20 times slower", "build without -race"
	case flags["-asan"] == "true" || flags["-msan"] == "true" || flags["-cover"] == "true":
		c.Status, c.Found, c.Do = Fail, f.Build.GoVersion+" with -asan, -msan or -cover", "build without them"
	case unoptimised(flags["-gcflags"]):
		c.Status, c.Found, c.Do = Fail, f.Build.GoVersion+" with -gcflags="+flags["-gcflags"]+", not optimised", "build without -N and -l"
	}
	return c
}

// unoptimised reports whether flags of the compiler disable optimisation (-N) or
// inlining (-l).
func unoptimised(gcflags string) bool {
	return slices.ContainsFunc(strings.Fields(gcflags), func(flag string) bool {
		if _, after, ok := strings.Cut(flag, "="); ok { // of some packages
			flag = after
		}
		return flag == "-N" || flag == "-l"
	})
}

func source(_ Host, f Facts) Check {
	flags := make(map[string]string)
	if f.Build != nil {
		for _, s := range f.Build.Settings {
			flags[s.Key] = s.Value
		}
	}
	revision := flags["vcs.revision"]
	switch {
	case revision == "":
		return Check{Name: "source", Status: Unknown, Found: "the program does not record its revision", Do: "go build ./cmd/harness in a clone records it; go run does not"}
	case flags["vcs.modified"] == "true":
		return Check{Name: "source", Status: Warn, Found: "revision " + revision + " with changes that were not committed", Do: "commit first, so that the figures can be reproduced"}
	}
	return Check{Name: "source", Status: OK, Found: "revision " + revision}
}

func battery(h Host, _ Facts) Check {
	names, _ := fs.Glob(h.fs(), "sys/class/power_supply/*/online")
	for _, name := range names {
		if s, _ := h.read(name); s == "0" && strings.HasPrefix(path.Base(path.Dir(name)), "A") { // AC, ADP1, ACAD
			return Check{Name: "power", Status: Warn, Found: "on battery", Do: "plug it in: frequencies are lower on battery"}
		}
	}
	return Check{Name: "power", Status: OK, Found: "not on battery"}
}
