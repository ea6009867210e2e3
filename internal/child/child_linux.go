package child

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// selfExe leads to the file that the process runs, even after it was replaced or deleted. A
// child that is started from this path runs that file, too.
const selfExe = "/proc/self/exe"

// image identifies the file by its number: no other file can have that number while this
// one runs, and nobody can write to it. Its times may change, so they are left out.
func image() string { return fileAt(selfExe) }

// thisProgram returns a path from which this very program can be started: the path that it
// was started from, or selfExe if that path has another file by now.
func thisProgram() (string, error) {
	path, err := os.Executable()
	if id := image(); id != "" && (err != nil || fileAt(path) != id) {
		return selfExe, nil
	}
	return path, err
}

// exitsCleanly blocks until the child has ended, and reports whether it exited with code
// 0. It does not reap the child. If that cannot be known it reports true.
func exitsCleanly(pid int) bool {
	const (
		byPID  = 1          // P_PID
		exited = 4          // WEXITED
		noWait = 0x01000000 // WNOWAIT
	)
	// A siginfo_t: three numbers, padded to the size of a pointer, and, for a child that
	// has ended, its process id, user id and status.
	var info [16]uint64
	for {
		_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, byPID, uintptr(pid), uintptr(unsafe.Pointer(&info)), exited|noWait, 0, 0)
		if errno == 0 {
			break
		}
		if errno != syscall.EINTR {
			return true
		}
	}
	const code, exitedByItself = 8, 1 // si_code, CLD_EXITED
	status := uintptr(20)
	if unsafe.Sizeof(uintptr(0)) == 8 {
		status = 24
	}
	at := func(offset uintptr) int32 { return *(*int32)(unsafe.Add(unsafe.Pointer(&info), offset)) }
	return at(code) == exitedByItself && at(status) == 0
}

// Stopped reports whether the child was stopped, by a signal or a debugger.
func (p *Process) Stopped() bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(p.PID()) + "/stat")
	if err != nil {
		return false
	}
	_, state, ok := bytes.Cut(b[max(0, bytes.LastIndexByte(b, ')')):], []byte(" "))
	return ok && len(state) > 0 && (state[0] == 'T' || state[0] == 't')
}

// Times returns how long the child's first thread has run on a processor, and how long it
// has waited for one. Both are zero if that is not known.
func (p *Process) Times() (computed, waited time.Duration) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(p.PID()) + "/schedstat")
	if err != nil {
		return 0, 0
	}
	_, _ = fmt.Sscan(string(b), &computed, &waited) // nanoseconds
	return computed, waited
}

// Active returns a time that grows while any thread of the child runs or waits for a
// processor. It is negative if that is not known.
func (p *Process) Active() time.Duration {
	threads, _ := filepath.Glob("/proc/" + strconv.Itoa(p.PID()) + "/task/*/schedstat")
	if len(threads) == 0 {
		return -1
	}
	sum := time.Duration(0)
	for _, name := range threads {
		var computed, waited time.Duration
		if b, err := os.ReadFile(name); err == nil {
			_, _ = fmt.Sscan(string(b), &computed, &waited)
			sum += computed + waited
		}
	}
	return sum
}

// attributes makes the kernel kill the child when its parent dies.
func attributes(group bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: group, Pdeathsig: syscall.SIGKILL}
}

// parent starts all children from one OS thread that outlives them. The kernel sends the
// parent-death signal when the thread that started the child ends, not the process, and
// the Go runtime may end threads.
var parent starter

type starter struct {
	mu       sync.Mutex
	children int
	requests chan func()
	ended    chan struct{}
}

func (s *starter) start(cmd *exec.Cmd) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.children == 0 {
		s.requests, s.ended = make(chan func()), make(chan struct{})
		go s.serve() // ends when the last child has been reaped
	}
	s.children++
	done := make(chan error)
	s.requests <- func() { done <- cmd.Start() }
	err := <-done
	if err != nil {
		s.release()
	}
	return err
}

func (s *starter) serve() {
	runtime.LockOSThread() // and never unlocked, so that the thread ends with it
	for f := range s.requests {
		f()
	}
	close(s.ended)
}

func (s *starter) reaped() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release()
}

func (s *starter) release() {
	if s.children--; s.children == 0 {
		close(s.requests)
		<-s.ended
	}
}
