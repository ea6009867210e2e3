package machine

import "testing"

func TestHardware(t *testing.T) {
	files := map[string]string{
		"proc/sys/kernel/osrelease": "6.1.0-test\n",
		"proc/meminfo":              "MemTotal:       1024 kB\nMemFree:        10 kB\n",
		"proc/cpuinfo":              "processor\t: 0\nmodel name\t: First CPU @ 3 GHz\n\nprocessor\t: 1\nmodel name\t: Second CPU\n\n",
	}
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  Hardware
	}{
		{"all of it", files, Hardware{Kernel: "6.1.0-test", CPU: "First CPU @ 3 GHz", Memory: 1 << 20}},
		{"no /proc", nil, Hardware{}},
	} {
		if got := host(t, tt.files).Hardware(); got != tt.want {
			t.Errorf("%s: Hardware() = %+v; want %+v", tt.name, got, tt.want)
		}
	}
}
