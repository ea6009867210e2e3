package machine

import (
	"maps"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

// quiet are the files of a machine that is fit for measuring.
func quiet() map[string]string {
	return map[string]string{
		"sys/devices/system/cpu/online":                                   "0-3\n",
		"sys/devices/system/cpu/smt/active":                               "0\n",
		"sys/devices/system/cpu/cpufreq/boost":                            "0\n",
		"sys/devices/system/cpu/cpu0/cpufreq/scaling_governor":            "performance\n",
		"sys/devices/system/cpu/cpu10/cpufreq/scaling_governor":           "performance\n",
		"sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
		"proc/self/status":                                                "Cpus_allowed_list:\t0-3\n",
		"proc/self/cgroup":                                                "0::/a\n",
		"sys/fs/cgroup/a/cpu.stat":                                        "nr_throttled 0\nthrottled_usec 0\n",
		"sys/fs/cgroup/a/cpu.max":                                         "max 100000\n",
		"proc/77/environ":                                                 "HOME=/root\x00",
		"proc/pressure/cpu":                                               "some avg10=0.00 avg60=1.00 avg300=0.00 total=5\n",
		"proc/stat":                                                       "cpu0 100 0 0 0 0 0 0 1 0 0\n",
		"proc/meminfo":                                                    "MemTotal: 8000000 kB\nMemAvailable: 4000000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
		"proc/sys/kernel/randomize_va_space":                              "2\n",
		"sys/kernel/mm/transparent_hugepage/enabled":                      "always [madvise] never\n",
		"sys/fs/cgroup/a/pids.max":                                        "9000\n",
		"sys/fs/cgroup/a/memory.max":                                      "max\n",
		"sys/fs/cgroup/a/memory.current":                                  "1000000\n",
		"proc/self/limits":                                                "Limit                     Soft Limit           Hard Limit           Units\nMax processes             unlimited            96365                processes\n",
		"proc/sys/net/ipv4/ip_local_port_range":                           "32768\t60999\n",
		"proc/net/sockstat":                                               "sockets: used 14\nTCP: inuse 1 orphan 0 tw 20 alloc 1 mem 0\n",
		"proc/sys/kernel/perf_event_paranoid":                             "2\n",
		"sys/class/power_supply/AC/online":                                "1\n",
		"sys/class/power_supply/BAT0/present":                             "1\n",
	}
}

// version1 are the same files on a machine with control groups of version 1.
func version1() map[string]string {
	files := quiet()
	for name := range files {
		if strings.HasPrefix(name, "sys/fs/cgroup/") {
			delete(files, name)
		}
	}
	maps.Copy(files, map[string]string{
		"proc/self/cgroup":                             "8:pids:/p\n4:memory:/m\n3:cpuset:/\n1:cpu,cpuacct:/c\n0::/\n",
		"sys/fs/cgroup/cpu/c/cpu.stat":                 "nr_periods 9\nnr_throttled 0\nthrottled_time 0\n",
		"sys/fs/cgroup/cpu/c/cpu.cfs_quota_us":         "-1\n",
		"sys/fs/cgroup/cpu/c/cpu.cfs_period_us":        "100000\n",
		"sys/fs/cgroup/memory/m/memory.limit_in_bytes": "9223372036854771712\n",
		"sys/fs/cgroup/memory/m/memory.usage_in_bytes": "1000000\n",
		"sys/fs/cgroup/pids/p/pids.max":                "max\n",
	})
	return files
}

func quietFacts() Facts {
	return Facts{
		NumCPU: 4, GOMAXPROCS: 4, Capacity: 3.95, Others: 0.1, FreeBytes: 1 << 30, TempBytes: 1 << 30, OpenFiles: 1024,
		Receivers: []Receiver{{Name: "OTLP over HTTP", Addr: "127.0.0.1:4318"}},
		Sleeps:    map[time.Duration]time.Duration{200 * time.Microsecond: 260 * time.Microsecond},
		Build:     &debug.BuildInfo{GoVersion: "go1.26", Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "false"}}},
	}
}

func TestChecks(t *testing.T) {
	flag := func(key, value string) func(map[string]string, *Facts) {
		return func(_ map[string]string, f *Facts) {
			f.Build.Settings = append(f.Build.Settings, debug.BuildSetting{Key: key, Value: value})
		}
	}
	file := func(name, content string) func(map[string]string, *Facts) {
		return func(files map[string]string, _ *Facts) { files[name] = content }
	}
	tests := []struct {
		name, check string
		change      func(files map[string]string, f *Facts)
		want        Status
		says        string
	}{
		{"quota", "cores", file("sys/fs/cgroup/a/cpu.max", "150000 100000\n"), Fail, "quota 1.5"},
		{"affinity", "cores", file("proc/self/status", "Cpus_allowed_list:\t0-7\n"), Warn, "affinity 8"},
		{"setting", "cores", func(_ map[string]string, f *Facts) { f.GOMAXPROCS = 1 }, Warn, "GOMAXPROCS 1"},
		{"half the capacity", "capacity", func(_ map[string]string, f *Facts) { f.Capacity = 2.1 }, Fail, "2.10 of 4"},
		{"some capacity less", "capacity", func(_ map[string]string, f *Facts) { f.Capacity = 3.5 }, Warn, "3.50 of 4"},
		{"unmeasured", "capacity", func(_ map[string]string, f *Facts) { f.Capacity = 0 }, Unknown, ""},
		{"a neighbour", "other programs", func(_ map[string]string, f *Facts) { f.Others = 1 }, Fail, "1.00 of 4"},
		{"hidden neighbours", "other programs", func(_ map[string]string, f *Facts) { f.Others = -1 }, Unknown, ""},
		{"another run", "other runs", file("proc/78/environ", "A=b\x00HARNESS_ROLE=trial\x00"), Fail, "1 trials"},
		{"pressure", "pressure", file("proc/pressure/cpu", "some avg10=0.00 avg60=50.00 avg300=0.00 total=5\n"), Warn, "50.0 %"},
		{"steal", "stolen time", file("proc/stat", "cpu0 100 0 0 0 0 0 0 50 0 0\n"), Warn, "33.3 %"},
		{"throttled", "throttling", file("sys/fs/cgroup/a/cpu.stat", "nr_throttled 7\nthrottled_usec 9000\n"), Warn, "7 times, for 9ms"},
		{"coarse timer", "timer", func(_ map[string]string, f *Facts) { f.Sleeps[50*time.Microsecond] = time.Millisecond }, Warn, "1ms for 50µs"},
		{"slow clock", "clock", file("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n"), Warn, "hpet"},
		{"governor", "frequency", file("sys/devices/system/cpu/cpu10/cpufreq/scaling_governor", "powersave\n"), Warn, "performance, powersave"},
		{"boost", "turbo", file("sys/devices/system/cpu/cpufreq/boost", "1\n"), Warn, "on"},
		{"hyper-threads", "hyper-threads", file("sys/devices/system/cpu/smt/active", "1\n"), Warn, "on"},
		{"little memory", "memory", file("proc/meminfo", "MemAvailable: 1000 kB\n"), Warn, "0 MiB"},
		{"swapped", "swap", file("proc/meminfo", "SwapTotal: 1000000 kB\nSwapFree: 0 kB\n"), Warn, "976 MiB"},
		{"fixed layout", "address layout", file("proc/sys/kernel/randomize_va_space", "0\n"), Warn, "not random"},
		{"few files", "open files", func(_ map[string]string, f *Facts) { f.OpenFiles = 64 }, Warn, "64"},
		{"full disk", "space", func(_ map[string]string, f *Facts) { f.FreeBytes = 1 << 20 }, Warn, "1 MiB"},
		{"race", "build", flag("-race", "true"), Fail, "-race"},
		{"not optimised", "build", flag("-gcflags", "all=-N -l"), Fail, "not optimised"},
		{"covered", "build", flag("-cover", "true"), Fail, "-cover"},
		{"unknown build", "build", func(_ map[string]string, f *Facts) { f.Build = nil }, Unknown, ""},
		{"changed source", "source", flag("vcs.modified", "true"), Warn, "not committed"},
		{"version 1: quota", "cores", file("sys/fs/cgroup/cpu/c/cpu.cfs_quota_us", "150000\n"), Fail, "quota 1.5"},
		{"version 1: throttled", "throttling", file("sys/fs/cgroup/cpu/c/cpu.stat", "nr_throttled 7\nthrottled_time 9000000\n"), Warn, "7 times, for 9ms"},
		{"version 1: bounded memory", "memory", file("sys/fs/cgroup/memory/m/memory.limit_in_bytes", "105857600\n"), Warn, "100 MiB available, as the control group is bounded"},
		{"version 1: few processes", "processes", file("sys/fs/cgroup/pids/p/pids.max", "100\n"), Warn, "100 by the control group"},
		{"bounded memory", "memory", file("sys/fs/cgroup/a/memory.max", "105857600\n"), Warn, "100 MiB available, as the control group is bounded"},
		{"few processes", "processes", file("sys/fs/cgroup/a/pids.max", "100\n"), Warn, "100 by the control group"},
		{"few threads", "processes", file("proc/self/limits", "Limit                     Soft Limit           Hard Limit           Units\nMax processes             128                  96365                processes\n"), Warn, "128 by ulimit"},
		{"no bound on processes", "processes", file("sys/fs/cgroup/a/pids.max", "max\n"), OK, "no bound"},
		{"huge pages", "huge pages", file("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n"), Warn, "always"},
		{"few ports", "ports", file("proc/sys/net/ipv4/ip_local_port_range", "60000 60999\n"), Warn, "1000 for connections"},
		{"ports in TIME_WAIT", "ports", file("proc/net/sockstat", "TCP: inuse 1 orphan 0 tw 20000 alloc 1 mem 0\n"), Warn, "20000 of them"},
		{"full temporary disk", "temporary space", func(_ map[string]string, f *Facts) { f.TempBytes = 1 << 20 }, Warn, "1 MiB"},
		{"no counters", "counters", file("proc/sys/kernel/perf_event_paranoid", "4\n"), OK, "nothing without privileges"},
		{"load without pressure", "pressure", func(files map[string]string, _ *Facts) {
			delete(files, "proc/pressure/cpu")
			files["proc/loadavg"] = "3.82 3.64 3.07 3/112 15657\n"
		}, Warn, "3.8 threads"},
		{"Jaeger", "receivers", func(_ map[string]string, f *Facts) {
			f.Receivers[0].Running, f.Receivers[0].Says = true, "Jaeger v2.13.0"
		}, OK, "OTLP over HTTP at 127.0.0.1:4318 Jaeger v2.13.0"},
		{"something else", "receivers", func(_ map[string]string, f *Facts) { f.Receivers[0].Wrong = "it answers 200 OK" }, Warn, "taken: it answers 200 OK"},
		{"battery", "power", file("sys/class/power_supply/AC/online", "0\n"), Warn, "on battery"},
	}
	hosts := map[string]Host{"2": host(t, quiet()), "1": host(t, version1())}
	for version, h := range hosts {
		for _, c := range h.Checks(quietFacts()) {
			if c.Status != OK || c.Found == "" || c.Do != "" {
				t.Errorf("on a quiet machine with control groups of version %s there is %+v", version, c)
			}
		}
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, all := hosts["2"], quiet
			if strings.HasPrefix(tt.name, "version 1: ") {
				h, all = hosts["1"], version1
			}
			files, facts := all(), quietFacts()
			tt.change(files, &facts)
			change(t, h, all(), files)
			defer change(t, h, files, all())
			seen := false
			defer func() {
				if !seen {
					t.Errorf("there is no check of %s", tt.check)
				}
			}()
			for _, c := range h.Checks(facts) {
				seen = seen || c.Name == tt.check
				switch {
				case c.Name != tt.check:
				case c.Status != tt.want || !strings.Contains(c.Found, tt.says):
					t.Errorf("the check of %s is %+v; want %s, and that it says %q", c.Name, c, tt.want, tt.says)
				case (c.Status == Warn || c.Status == Fail) && c.Do == "":
					t.Errorf("the check of %s is %+v, and does not say what to do", c.Name, c)
				}
			}
		})
	}
}

// What a system does not show is unknown, neither ok nor a warning.
func TestChecksOfNothing(t *testing.T) {
	for _, c := range host(t, nil).Checks(Facts{NumCPU: 4, GOMAXPROCS: 4, Others: -1, FreeBytes: -1, TempBytes: -1}) {
		if c.Status != Unknown && c.Name != "power" {
			t.Errorf("without /proc and /sys there is %+v; want unknown", c)
		}
	}
}
