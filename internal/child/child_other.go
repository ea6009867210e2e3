//go:build !linux

package child

import (
	"os/exec"
	"syscall"
)

// attributes: no parent-death signal here; the end of input tells the child.
func attributes(group bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: group}
}

var parent starter

type starter struct{}

func (starter) start(cmd *exec.Cmd) error { return cmd.Start() }
func (starter) reaped()                   {}

// outOfMemoryKills returns 0: the count is not available here.
func outOfMemoryKills() int64 { return 0 }
