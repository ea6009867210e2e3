package machine

import (
	"fmt"
	"math"
	"path"
	"strconv"
	"strings"
)

// A Receiver is a program on this machine that receives or shows spans.
type Receiver struct {
	Name    string // what it should be, such as "OTLP over HTTP"
	Addr    string
	Running bool
	Says    string // its version, if known
	Wrong   string // why it is not the program that Name says; empty if it is
}

// receivers checks which receivers of spans run. A run needs none.
func receivers(_ Host, f Facts) Check {
	if len(f.Receivers) == 0 {
		return Check{Name: "receivers", Status: Unknown, Found: "not looked for"}
	}
	c := Check{Name: "receivers", Status: OK}
	var found []string
	running := false
	for _, r := range f.Receivers {
		state := "not running"
		switch {
		case r.Wrong != "":
			state = "taken: " + r.Wrong
			c.Status, c.Do = Warn, "spans that are sent there are lost: start that program or the receiver on another port. harness keeps the spans in traces.jsonl in any case"
		case r.Running && r.Says != "":
			state = r.Says
		case r.Running:
			state = "running"
		}
		running = running || r.Running
		found = append(found, fmt.Sprintf("%s at %s %s", r.Name, r.Addr, state))
	}
	c.Found = strings.Join(found, ", ")
	if !running && c.Status == OK {
		c.Found += "; spans are kept in traces.jsonl, and harness run --jaeger starts one"
	}
	return c
}

// bytesOf reads a number from a file of a control group. ok is false if the file has
// none, or if it means no bound.
func (h Host) bytesOf(name string) (n int64, ok bool) {
	s, _ := h.read(name)
	n, err := strconv.ParseInt(s, 10, 64) // "max" means no bound
	return n, err == nil && n < 1<<60     // version 1 has a very large number instead
}

// memoryLeft returns how many bytes this program's control group may still use,
// if it is bounded.
func (h Host) memoryLeft() (left int64, bound bool) {
	const v1, v2 = "memory.limit_in_bytes", "memory.max"
	dir, unified, ok := h.group("memory", v1, v2)
	if !ok {
		return 0, false
	}
	limit, used := v1, "memory.usage_in_bytes"
	if unified {
		limit, used = v2, "memory.current"
	}
	most, ok1 := h.bytesOf(path.Join(dir, limit))
	now, ok2 := h.bytesOf(path.Join(dir, used))
	return most - now, ok1 && ok2
}

func hugePages(h Host, _ Facts) Check {
	s, ok := h.read("sys/kernel/mm/transparent_hugepage/enabled")
	_, rest, found := strings.Cut(s, "[")
	if !ok || !found {
		return Check{Name: "huge pages", Status: Unknown, Found: "the system does not tell"}
	}
	mode, _, _ := strings.Cut(rest, "]")
	c := Check{Name: "huge pages", Status: OK, Found: "transparent: " + mode}
	if mode == "always" {
		c.Status, c.Do = Warn, "the kernel merges pages at any time, which takes time and increases peak memory: echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled"
	}
	return c
}

// processes checks how many threads and processes may be started; the system counts
// both together.
func processes(h Host, f Facts) Check {
	most := math.Inf(1)
	by := "no bound"
	known := false
	if self, err := h.self(); err == nil {
		if limits, err := self.Limits(); err == nil && limits.Processes > 0 {
			known = true
			if limits.Processes < math.MaxUint64 { // which is no bound
				most, by = float64(limits.Processes), fmt.Sprintf("%d by ulimit", limits.Processes)
			}
		}
	}
	if dir, _, ok := h.group("pids", "pids.max", "pids.max"); ok {
		known = true
		if n, ok := h.bytesOf(path.Join(dir, "pids.max")); ok && float64(n) < most {
			most, by = float64(n), fmt.Sprintf("%d by the control group", n)
		}
	}
	if !known {
		return Check{Name: "processes", Status: Unknown, Found: "the system does not tell"}
	}
	c := Check{Name: "processes", Status: OK, Found: by}
	if enough := float64(64 * f.NumCPU); most < enough {
		c.Status, c.Do = Warn, fmt.Sprintf("worker processes have some ten threads each: raise it to %.0f or more, with ulimit -u or in the control group", enough)
	}
	return c
}

// ports checks the local ports for connections to servers. A port stays in use for a
// minute after its connection has ended.
func ports(h Host, _ Facts) Check {
	s, _ := h.read("proc/sys/net/ipv4/ip_local_port_range")
	fields := strings.Fields(s)
	if len(fields) != 2 {
		return Check{Name: "ports", Status: Unknown, Found: "the system does not tell"}
	}
	from, err1 := strconv.Atoi(fields[0])
	to, err2 := strconv.Atoi(fields[1])
	if err1 != nil || err2 != nil {
		return Check{Name: "ports", Status: Unknown, Found: "the system does not tell"}
	}
	waiting := h.timeWait()
	all := to - from + 1
	c := Check{Name: "ports", Status: OK, Found: fmt.Sprintf("%d for connections (%d to %d), %d of them in TIME_WAIT", all, from, to, waiting)}
	switch {
	case all < 4096:
		c.Status, c.Do = Warn, "workloads that open a connection for each request run out of ports: sudo sysctl net.ipv4.ip_local_port_range='32768 60999'"
	case waiting > all/2:
		c.Status, c.Do = Warn, "something opened and closed many connections: wait a minute"
	}
	return c
}

// timeWait returns the number of connections in the state TIME_WAIT.
func (h Host) timeWait() int {
	p, err := h.proc()
	if err != nil {
		return 0
	}
	stat, err := p.NetSockstat()
	if err != nil {
		return 0
	}
	for _, of := range stat.Protocols {
		if of.Protocol == "TCP" && of.TW != nil {
			return *of.TW
		}
	}
	return 0
}

func space(_ Host, f Facts) Check {
	return spaceCheck("space", "here", f.FreeBytes, 256<<20, "a run with its evidence takes some 20 MiB, a long one more")
}

func tempSpace(_ Host, f Facts) Check {
	return spaceCheck("temporary space", "where trials put their files", f.TempBytes, 256<<20, "free some, or set TMPDIR: the file workload and the comparison of builds need space")
}

func spaceCheck(name, where string, free, least int64, do string) Check {
	switch {
	case free < 0:
		return Check{Name: name, Status: Unknown, Found: "the system does not tell"}
	case free < least:
		return Check{Name: name, Status: Warn, Found: fmt.Sprintf("%d MiB free %s", free>>20, where), Do: do}
	}
	return Check{Name: name, Status: OK, Found: fmt.Sprintf("%d MiB free %s", free>>20, where)}
}

// counters says what perf can count. It never warns, since the harness does not use
// perf.
func counters(h Host, _ Facts) Check {
	s, ok := h.read("proc/sys/kernel/perf_event_paranoid")
	n, err := strconv.Atoi(s)
	if !ok || err != nil {
		return Check{Name: "counters", Status: Unknown, Found: "the system does not tell what perf may count"}
	}
	what := "perf may count everything"
	switch {
	case n >= 3:
		what = "perf may count nothing without privileges"
	case n == 2:
		what = "perf may count in user space"
	case n >= 0:
		what = "perf may count in user space and in the kernel"
	}
	return Check{Name: "counters", Status: OK, Found: fmt.Sprintf("%s (perf_event_paranoid %d); the profiles of harness use timers and need no counters", what, n)}
}
