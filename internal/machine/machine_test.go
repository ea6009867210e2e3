package machine

import (
	"errors"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// host is a machine with these files.
func host(t *testing.T, files map[string]string) Host {
	t.Helper()
	h := Host{t.TempDir()}
	change(t, h, nil, files)
	return h
}

// pid is the process that reads.
const pid = "1"

// change replaces the files of a machine. Files that stay are not written again.
func change(t *testing.T, h Host, from, to map[string]string) {
	t.Helper()
	place := func(name string) string {
		return filepath.Join(h.Root, strings.Replace(name, "proc/self/", "proc/"+pid+"/", 1))
	}
	var errs []error
	for name := range from {
		if _, ok := to[name]; !ok {
			errs = append(errs, os.Remove(place(name)))
		}
	}
	for name, content := range to {
		if was, ok := from[name]; !ok || was != content {
			path := place(name)
			errs = append(errs, os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600))
		}
	}
	self := filepath.Join(h.Root, "proc", "self")
	if _, err := os.Lstat(self); err != nil && len(to) > 0 {
		errs = append(errs, os.MkdirAll(filepath.Dir(self), 0o700), os.Symlink(pid, self))
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestReadLoad(t *testing.T) {
	h := host(t, map[string]string{
		"proc/stat": "cpu  9 9 9 9 9 9 9 9 9 9\n" +
			"cpu0 100 10 20 5000 70 1 2 3 0 0\n" +
			"cpu1 200 0 0 5000 0 0 0 4 0 0\n" +
			"cpu2 9999 0 0 0 0 0 0 0 0 0\nintr 5\n",
		"proc/self/status":         "Name:\tx\nCpus_allowed_list:\t0-1\n",
		"proc/pressure/cpu":        "some avg10=0.01 avg60=1.78 avg300=9.29 total=1500\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
		"proc/self/cgroup":         "0::/a\n",
		"sys/fs/cgroup/a/cpu.stat": "usage_usec 5\nnr_throttled 3\nthrottled_usec 20\n",
	})
	got, err := h.ReadLoad()
	if err != nil {
		t.Fatal(err)
	}
	got.At = time.Time{}
	want := Load{Busy: 3400 * time.Millisecond, Steal: 70 * time.Millisecond, Pressure: 1500 * time.Microsecond, Throttled: 20 * time.Microsecond}
	if got != want {
		t.Errorf("ReadLoad() = %+v; want %+v, of the processors that may be used", got, want)
	}
	for name, files := range map[string]map[string]string{
		"no proc":      {},
		"no processor": {"proc/stat": "cpu 1 2 3 4 5 6 7 8\n"},
		"not a number": {"proc/stat": "cpu0 1 x 3 4 5 6 7 8\n"},
	} {
		if l, err := host(t, files).ReadLoad(); err == nil {
			t.Errorf("%s: ReadLoad() = %+v; want an error", name, l)
		}
	}
}

func TestParseList(t *testing.T) {
	for in, want := range map[string][]int{"": nil, "3": {3}, "0-2,5": {0, 1, 2, 5}, "a-b": nil} {
		if got := slices.Sorted(maps.Keys(parseList(in))); !slices.Equal(got, want) {
			t.Errorf("parseList(%q) = %v; want %v", in, got, want)
		}
	}
}

func TestQuota(t *testing.T) {
	tests := []struct {
		name  string
		files map[string]string
		want  float64
		known bool
	}{
		{"no groups", nil, 0, false},
		{"v1 without a bound", map[string]string{
			"proc/self/cgroup": "4:memory:/x\n1:cpu,cpuacct:/\n0::/\n", "sys/fs/cgroup/cpu/cpu.stat": "", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
		}, 0, true},
		{"v1", map[string]string{
			"proc/self/cgroup": "1:cpu:/docker/7\n", "sys/fs/cgroup/cpu/cpu.stat": "", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "150000\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
		}, 1.5, true},
		{"v2", map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.stat": "", "sys/fs/cgroup/a/b/cpu.max": "200000 100000\n"}, 2, true},
		{"v2 without a bound", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.stat": "", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 0, true},
		{"v2, the root", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.stat": ""}, 0, true},
	}
	for _, tt := range tests {
		if got, known := host(t, tt.files).Quota(); got != tt.want || known != tt.known {
			t.Errorf("%s: Quota() = %v, %v; want %v, %v", tt.name, got, known, tt.want, tt.known)
		}
	}
}

// The measured capacity is plausible; its amount depends on the machine.
func TestCapacity(t *testing.T) {
	alone, together := Capacity(2)
	if c := 2 * float64(alone) / float64(together); alone <= 0 || together <= 0 || math.IsNaN(c) || c <= 0 {
		t.Errorf("Capacity(2) = %v, %v", alone, together)
	}
	own, err := OwnCPU()
	if err != nil || own <= 0 {
		t.Errorf("after that work OwnCPU() = %v, %v; want some", own, err)
	}
}
