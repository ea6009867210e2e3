package machine

import (
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
		"sys/class/power_supply/AC/online":                                "1\n",
		"sys/class/power_supply/BAT0/present":                             "1\n",
	}
}

func quietFacts() Facts {
	return Facts{
		NumCPU: 4, GOMAXPROCS: 4, Capacity: 3.95, Others: 0.1, FreeBytes: 1 << 30, OpenFiles: 1024,
		Sleeps: map[time.Duration]time.Duration{200 * time.Microsecond: 260 * time.Microsecond},
		Build:  &debug.BuildInfo{GoVersion: "go1.26", Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "false"}}},
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
		{"battery", "power", file("sys/class/power_supply/AC/online", "0\n"), Warn, "on battery"},
	}
	for _, c := range host(quiet()).Checks(quietFacts()) {
		if c.Status != OK || c.Found == "" || c.Do != "" {
			t.Errorf("on a quiet machine there is %+v", c)
		}
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files, facts := quiet(), quietFacts()
			tt.change(files, &facts)
			for _, c := range host(files).Checks(facts) {
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

// What a system does not show is unknown, never ok and never an alarm.
func TestChecksOfNothing(t *testing.T) {
	for _, c := range host(nil).Checks(Facts{NumCPU: 4, GOMAXPROCS: 4, Others: -1, FreeBytes: -1}) {
		if c.Status != Unknown && c.Name != "power" {
			t.Errorf("without /proc and /sys there is %+v; want unknown", c)
		}
	}
}
