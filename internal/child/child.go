// Package child starts this program again in another role, and sees to it that
// what was started is heard, is told when to end, and is reaped.
//
// A child is started from the very image that its parent runs, although the
// program's file may have been replaced or deleted since; [Image] tells the two
// apart where the system cannot.
//
// A child talks to its parent on two descriptors of its own, so what it prints
// cannot disturb the conversation: it reads from descriptor 3 and writes to
// descriptor 4. When its input ends, its parent is done with it or gone, and
// it is to exit. Where the kernel can, it also kills a child whose parent has
// died.
//
// To add a role, divert on [Role] first thing in the program's main.
package child

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	roleEnv = "HARNESS_ROLE"
	inFD    = 3
	outFD   = 4
	fileFD  = 5 // of the first inherited file
)

// role is read once, and removed so that no program started from here takes
// itself for one of ours.
var role = func() string {
	r := os.Getenv(roleEnv)
	_ = os.Unsetenv(roleEnv)
	return r
}()

// Role returns the role that this process was started in; empty if it was not
// started by this package.
func Role() string { return role }

// Parent returns the two ends of the conversation with the process that
// started this one. It is for a process that has a Role, and for one caller in
// it.
//
// Note: the ends are in non-blocking mode, so that a goroutine that reads gives
// its processor away at once. In a blocking read it would keep it until the
// runtime's monitor takes it back, up to 10 ms later, and with GOMAXPROCS=1
// nothing else runs until then.
func Parent() (in io.ReadCloser, out io.WriteCloser) {
	for _, fd := range []int{inFD, outFD} {
		syscall.CloseOnExec(fd)           // not for the programs that this one starts
		_ = syscall.SetNonblock(fd, true) // a pipe can be either
	}
	return os.NewFile(inFD, "from-parent"), os.NewFile(outFD, "to-parent")
}

// File returns the i-th of the files that this process was given to inherit.
func File(i int) *os.File {
	syscall.CloseOnExec(fileFD + i)
	return os.NewFile(uintptr(fileFD+i), fmt.Sprintf("inherited-%d", i))
}

// A Command says what to start.
type Command struct {
	// Role is what Role returns in the child.
	Role string

	// Path is the program to start, another build of this one; this one
	// itself if empty.
	Path string

	// Env is added to this process's environment.
	Env []string

	// Stdout and Stderr get what the child writes there; nil discards it.
	// The last lines of standard error are kept anyway. What Stderr refuses is
	// lost; the child does not learn of it. While Stderr takes nothing, a child
	// that writes more than a pipe holds waits; its end is told all the same.
	Stdout, Stderr io.Writer

	// Files are inherited by the child, which gets them with File.
	Files []*os.File

	// Group makes the child the first of a process group, so that Kill
	// reaches whatever it has started, and a terminal's Ctrl-C does not. When
	// it ends by a signal or with another exit code than 0, what it has started
	// and left is killed.
	Group bool
}

// A Process is a child that was started.
type Process struct {
	// In is what the child hears; closing it tells the child to end. Out is
	// what it says, to be read until 30 seconds after its end. Wait closes both.
	In, Out *os.File

	cmd    *exec.Cmd
	group  bool
	tail   *tail
	stderr *os.File      // what it writes to standard error
	copied chan struct{} // closed when all of that has been passed on
	kills  int64         // for want of memory, when it was started
	done   chan struct{}
	exit   Exit
	once   sync.Once
}

// Start starts the child. The caller must call Wait.
func (c Command) Start() (*Process, error) {
	program := c.Path
	if program == "" {
		var err error
		if program, err = thisProgram(); err != nil {
			return nil, fmt.Errorf("finding this program to start it as %s: %w", c.Role, err)
		}
	}
	childIn, in, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.Role, err)
	}
	out, childOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", c.Role, err), childIn.Close(), in.Close())
	}
	errs, childErrs, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", c.Role, err), childIn.Close(), in.Close(), out.Close(), childOut.Close())
	}
	p := &Process{
		In: in, Out: out, group: c.Group, tail: &tail{}, stderr: errs, copied: make(chan struct{}),
		kills: outOfMemoryKills(), done: make(chan struct{}),
	}
	p.cmd = &exec.Cmd{
		Path:        program,
		Args:        os.Args[:1],
		Env:         append(append(os.Environ(), c.Env...), roleEnv+"="+c.Role),
		Stdout:      c.Stdout,
		Stderr:      childErrs,
		ExtraFiles:  append([]*os.File{childIn, childOut}, c.Files...),
		SysProcAttr: attributes(c.Group),
		WaitDelay:   outputGrace,
	}
	err = parent.start(p.cmd)
	// Ours are not the child's ends: it would never see the end of input.
	err = errors.Join(err, childIn.Close(), childOut.Close(), childErrs.Close())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", c.Role, err), in.Close(), out.Close(), errs.Close())
	}
	go p.copyStderr(c.Stderr) // ends with the process, or when Stderr has taken what it wrote
	go p.reap()               // ends with the process; Wait waits for it
	return p, nil
}

// outputGrace is for how long a process that the child has started may hold its output
// open after its end.
const outputGrace = time.Second

// copyStderr keeps the end of what the child writes to standard error and passes all of it
// on. What is refused there, on a full disk, is dropped: a child whose pipe nobody
// reads any more would be ended by SIGPIPE.
func (p *Process) copyStderr(to io.Writer) {
	defer close(p.copied)
	defer p.stderr.Close()
	buf := make([]byte, 4<<10)
	for {
		n, err := p.stderr.Read(buf)
		_, _ = p.tail.Write(buf[:n])
		if to != nil && n > 0 {
			_, _ = to.Write(buf[:n])
		}
		if err != nil {
			return
		}
	}
}

// waitCopied waits until what the child has written to standard error is heard, but not
// for ever: a process that it has started may hold that open, and then heardAll reports
// false, or nobody may take what it has written.
func (p *Process) waitCopied() bool {
	late := time.NewTimer(outputGrace)
	defer late.Stop()
	select {
	case <-p.copied:
		return true
	case <-late.C:
	}
	_ = p.stderr.SetReadDeadline(time.Now())
	late.Reset(outputGrace)
	select {
	case <-p.copied:
		return false
	case <-late.C:
		return true
	}
}

// readGrace is for how long what a child has said can be read after its end. Then
// there is nothing more, even if a process that it has started holds the pipe
// open.
var readGrace = 30 * time.Second

func (p *Process) reap() {
	if p.group && !exitsCleanly(p.PID()) {
		// Its id is its group's until it has been reaped.
		_ = syscall.Kill(-p.PID(), syscall.SIGKILL)
	}
	err := p.cmd.Wait()
	if !p.waitCopied() && err == nil {
		err = exec.ErrWaitDelay
	}
	_ = p.Out.SetReadDeadline(time.Now().Add(readGrace)) // on every system that has pipes
	parent.reaped()
	s := p.cmd.ProcessState
	p.exit = Exit{Code: s.ExitCode(), Cause: s.String(), Stderr: p.tail.String(), CPU: s.UserTime() + s.SystemTime()}
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		p.exit.Signal = w.Signal().String()
		p.exit.OutOfMemory = w.Signal() == syscall.SIGKILL && outOfMemoryKills() > p.kills
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		p.exit.Cause += " (and left a process behind that holds its output open)"
	}
	close(p.done)
}

// PID returns the child's process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Kill ends the child at once, and with it its group if it has one. A child
// that has ended already is left alone.
func (p *Process) Kill() {
	select {
	case <-p.done:
		return // its id may belong to somebody else by now
	default:
	}
	if p.group {
		syscall.Kill(-p.PID(), syscall.SIGKILL)
	}
	p.cmd.Process.Kill() // it may have left its group
}

// Interrupt asks the child to end, with SIGTERM.
func (p *Process) Interrupt() { p.cmd.Process.Signal(syscall.SIGTERM) }

// Done returns a channel that is closed when the child has been reaped.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait blocks until the child has ended and been reaped, closes both ends of
// the conversation, and tells how it ended. It may be called more than once
// and concurrently.
func (p *Process) Wait() Exit {
	<-p.done
	p.once.Do(func() {
		p.In.Close()
		p.Out.Close()
	})
	return p.exit
}

// End closes the child's input, gives it until the grace period is over to
// exit by itself, then kills it, and waits.
func (p *Process) End(grace time.Duration) Exit {
	p.In.Close()
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-p.done:
	case <-t.C:
		p.Kill()
	}
	return p.Wait()
}

// An Exit tells how a child ended.
type Exit struct {
	Code   int           // exit code; -1 if a signal ended it
	Signal string        // the signal that ended it: "killed"; empty if none did
	Cause  string        // "exit status 3", "signal: killed"
	Stderr string        // the last lines it wrote there
	CPU    time.Duration // user and system time, its reaped children's included

	// OutOfMemory tells that the child was killed, and that the kernel's
	// count of processes killed for want of memory went up while it ran.
	OutOfMemory bool
}

// A tail keeps the end of what was written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const (
	tailBytes = 4096
	keepBytes = 256 << 10 // a crash of the Go runtime prints every stack
)

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if over := len(t.buf) - keepBytes; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(b), nil
}

// crashStart is how the Go runtime begins to tell why it crashes.
var crashStart = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?m)^(panic: |fatal error: |runtime: |SIG[A-Z]+: )`)
})

// String returns the last lines; of a crash, the lines around its first.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	from, to := max(0, len(t.buf)-tailBytes), len(t.buf)
	if at := crashStart().FindIndex(t.buf); at != nil && at[0] < from {
		from = max(0, at[0]-512)
		to = from + tailBytes
	}
	s := string(t.buf[from:to])
	if from > 0 {
		_, s, _ = strings.Cut(s, "\n") // from the start of a line
	}
	return strings.TrimRight(s, "\n")
}
