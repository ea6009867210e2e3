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
	if p, err := h.proc(); err == nil {
		w.CPU = cpuModel(p)
	}
	return w
}
