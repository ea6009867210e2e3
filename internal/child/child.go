// Package child starts this program again as a child process. A role names the entry point
// of the child. The package reads what the child writes, tells it when to end, and reaps
// it.
//
// On Linux a child runs the very file that its parent runs, even if the program's file was
// replaced or deleted since. Elsewhere, compare [Image] of parent and child.
//
// Parent and child communicate over two pipes of their own, so what the child prints cannot
// disturb them: it reads from descriptor 3 and writes to descriptor 4. When its input
// ends, its parent needs it no more or has died, and it must exit. On Linux the kernel also
// kills a child whose parent has died.
//
// To add a role, test [Role] first in the program's main, and call the entry point.
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

// role is read once and then removed from the environment, so that a program that this
// process starts does not take the role for its own.
var role = func() string {
	r := os.Getenv(roleEnv)
	_ = os.Unsetenv(roleEnv)
	return r
}()

// Role returns the role that this process was started in. It is empty if this package did
// not start the process.
func Role() string { return role }

// Parent returns the pipes from and to the process that started this one. Call it once,
// and only in a process that has a [Role].
//
// Note: the pipes are in non-blocking mode, so that a goroutine that reads releases its
// processor at once. In a blocking read it would keep the processor until the runtime's
// monitor takes it away, up to 10 ms later, and with GOMAXPROCS=1 nothing else would run
// until then.
func Parent() (in io.ReadCloser, out io.WriteCloser) {
	for _, fd := range []int{inFD, outFD} {
		syscall.CloseOnExec(fd)           // programs that this one starts do not inherit it
		_ = syscall.SetNonblock(fd, true) // a pipe can always be non-blocking
	}
	return os.NewFile(inFD, "from-parent"), os.NewFile(outFD, "to-parent")
}

// File returns the i-th of the files that the parent named in [Command.Files].
func File(i int) *os.File {
	syscall.CloseOnExec(fileFD + i)
	return os.NewFile(uintptr(fileFD+i), fmt.Sprintf("inherited-%d", i))
}

// A Command says what to start.
type Command struct {
	// Role is what Role returns in the child.
	Role string

	// Path is the program to start, which is another build of this one; if it is empty,
	// this program.
	Path string

	// Env is added to this process's environment.
	Env []string

	// Stdout and Stderr get what the child writes there; nil discards it. The last
	// lines of standard error are kept in any case. If Stderr returns an error, what
	// was written is lost, and the child does not notice. While a Write of Stderr
	// blocks, a child that writes more than a pipe holds blocks, too; Wait still
	// returns when the child has ended.
	Stdout, Stderr io.Writer

	// Files are inherited by the child, which gets them by [File].
	Files []*os.File

	// Group makes the child the leader of a process group. Then Kill also kills the
	// processes that the child has started, and Ctrl-C in a terminal does not reach it.
	// When it ends by a signal or with another exit code than 0, the processes of its
	// group that are left are killed.
	Group bool
}

// A Process is a child that was started.
type Process struct {
	// In is the pipe to the child; closing it tells the child to end. Out is the pipe
	// from it, which can be read until 30 seconds after its end. Wait closes both.
	In, Out *os.File

	cmd    *exec.Cmd
	group  bool
	tail   *tail
	stderr *os.File      // the pipe from its standard error
	copied chan struct{} // closed when all of standard error has been copied
	kills  int64         // out-of-memory kills of the system when it was started
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
	// The parent must not keep the child's ends of the pipes: input would never end.
	err = errors.Join(err, childIn.Close(), childOut.Close(), childErrs.Close())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", c.Role, err), in.Close(), out.Close(), errs.Close())
	}
	go p.copyStderr(c.Stderr) // ends when standard error was read to its end, or outputGrace is over
	go p.reap()               // ends with the process; Wait waits for it
	return p, nil
}

// outputGrace is how long after the child's end a process that it has started may keep its
// output open.
const outputGrace = time.Second

// copyStderr copies what the child writes to standard error to w, and keeps the end of it.
// If w fails, for example on a full disk, it goes on reading: a child whose pipe nobody
// reads would block, or be ended by SIGPIPE.
func (p *Process) copyStderr(w io.Writer) {
	defer close(p.copied)
	defer p.stderr.Close()
	buf := make([]byte, 4<<10)
	for {
		n, err := p.stderr.Read(buf)
		_, _ = p.tail.Write(buf[:n])
		if w != nil && n > 0 {
			_, _ = w.Write(buf[:n])
		}
		if err != nil {
			return
		}
	}
}

// waitCopied waits until the child's standard error was copied to its end, at most twice
// outputGrace. It reports false if a process that the child has started keeps standard
// error open. It reports true although not all is copied if a Write blocks.
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

// readGrace is how long after a child's end its Out can be read. Then reading fails, even
// if a process that it has started keeps the pipe open.
var readGrace = 30 * time.Second

func (p *Process) reap() {
	if p.group && !exitsCleanly(p.PID()) {
		// Until it has been reaped, its id cannot be that of another group.
		_ = syscall.Kill(-p.PID(), syscall.SIGKILL)
	}
	err := p.cmd.Wait()
	if !p.waitCopied() && err == nil {
		err = exec.ErrWaitDelay
	}
	_ = p.Out.SetReadDeadline(time.Now().Add(readGrace)) // pipes support deadlines
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

// Kill kills the child, and with it its group if it has one. It does nothing if the child
// has been reaped.
func (p *Process) Kill() {
	select {
	case <-p.done:
		return // its id may be that of another process by now
	default:
	}
	if p.group {
		syscall.Kill(-p.PID(), syscall.SIGKILL)
	}
	p.cmd.Process.Kill() // the child itself may have left the group
}

// Interrupt asks the child to end, with SIGTERM.
func (p *Process) Interrupt() { p.cmd.Process.Signal(syscall.SIGTERM) }

// Done returns a channel that is closed when the child has been reaped.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait blocks until the child has ended and been reaped, closes In and Out, and returns how
// it ended. It may be called more than once and concurrently.
func (p *Process) Wait() Exit {
	<-p.done
	p.once.Do(func() {
		p.In.Close()
		p.Out.Close()
	})
	return p.exit
}

// End closes the child's input and waits for it to exit. After the grace period it kills
// the child.
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

	// OutOfMemory tells that the child was killed, and that the kernel's count of
	// out-of-memory kills went up while it ran.
	OutOfMemory bool
}

// A tail is a writer that keeps the last bytes.
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

// crashStart matches the beginning of a crash report of the Go runtime.
var crashStart = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?m)^(panic: |fatal error: |runtime: |SIG[A-Z]+: )`)
})

// String returns the last lines, or, if there was a crash, the lines around the beginning
// of its report: what precedes the many stacks.
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
		_, s, _ = strings.Cut(s, "\n") // begin with a whole line
	}
	return strings.TrimRight(s, "\n")
}
