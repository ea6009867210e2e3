package child

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// attributes has the kernel kill the child when its parent dies.
func attributes(group bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: group, Pdeathsig: syscall.SIGKILL}
}

// parent starts all children from one OS thread that outlives them. The
// parent-death signal is sent when the thread that started the child ends, not
// the process, and the Go runtime ends threads.
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
		s.gone()
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
	s.gone()
}

func (s *starter) gone() {
	if s.children--; s.children == 0 {
		close(s.requests)
		<-s.ended
	}
}
