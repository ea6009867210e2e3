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
// begins, since another may be there later.
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

// thisProgram returns the path that the program was started from: what runs cannot
// be reached otherwise here.
func thisProgram() (string, error) { return os.Executable() }

// exitsCleanly reports true: whether a child has ended well is only known here when
// it has been reaped, and then its group may be somebody else's.
func exitsCleanly(int) bool { return true }

// Stopped reports false: whether a child was stopped is not known here.
func (*Process) Stopped() bool { return false }

// Times returns zero: how long a child has computed is not known here before its
// end.
func (*Process) Times() (computed, waited time.Duration) { return 0, 0 }

// Active returns -1: whether a child moves is not known here.
func (*Process) Active() time.Duration { return -1 }

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
