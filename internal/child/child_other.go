//go:build !linux

package child

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// imageAtStart identifies the file that this process runs. It is read when the process
// starts, since the file may be replaced later.
var imageAtStart = func() string {
	path, err := os.Executable()
	if err != nil {
		return ""
	}
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s size %d modified %d", fileID(info), info.Size(), info.ModTime().UnixNano())
}()

func image() string { return imageAtStart }

// thisProgram returns the path that the program was started from. This system has no path
// to the running file itself.
func thisProgram() (string, error) { return os.Executable() }

// exitsCleanly reports true: on this system the exit code is known only after the child was
// reaped, and then its group may belong to another process.
func exitsCleanly(int) bool { return true }

// Stopped reports false: this system does not tell.
func (*Process) Stopped() bool { return false }

// Times returns zero: this system does not tell before the child's end.
func (*Process) Times() (computed, waited time.Duration) { return 0, 0 }

// Active returns -1: this system does not tell.
func (*Process) Active() time.Duration { return -1 }

// attributes sets no parent-death signal, which this system lacks. A child notices the
// parent's death by the end of its input.
func attributes(group bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: group}
}

var parent starter

type starter struct{}

func (starter) start(cmd *exec.Cmd) error { return cmd.Start() }
func (starter) reaped()                   {}

// outOfMemoryKills returns 0: this system has no such count.
func outOfMemoryKills() int64 { return 0 }
