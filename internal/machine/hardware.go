package machine

// Hardware is what the system says of its hardware and kernel. What it does not say is
// empty or 0.
type Hardware struct {
	Kernel string // release of the kernel
	CPU    string // model of the first processor
	Memory int64  // bytes
}

// Hardware reads what the system says of its hardware and kernel.
func (h Host) Hardware() (w Hardware) {
	w.Kernel, _ = h.read("proc/sys/kernel/osrelease")
	if total := h.meminfo().MemTotalBytes; total != nil {
		w.Memory = int64(*total)
	}
	p, err := h.proc()
	if err != nil {
		return w
	}
	if all, err := p.CPUInfo(); err == nil && len(all) > 0 {
		w.CPU = all[0].ModelName
	}
	return w
}
