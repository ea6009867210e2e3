package child

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The roles of this test program.
func TestMain(m *testing.M) {
	in, out := io.ReadCloser(nil), io.WriteCloser(nil)
	if Role() != "" {
		in, out = Parent()
	}
	switch Role() {
	case "":
		os.Setenv("GORACE", "atexit_sleep_ms=0") // children end at once
		if os.Getenv(replacedEnv) != "" {
			beReplaced()
		}
		os.Exit(m.Run())
	case "echo": // until the end of input
		io.Copy(out, in)
		fmt.Println("printed")
		os.Exit(0)
	case "fail":
		for i := range 2000 {
			fmt.Fprintln(os.Stderr, "line", i)
		}
		os.Exit(3)
	case "deaf": // does not care about the end of input
		fmt.Fprintln(out, "ready")
		<-time.After(time.Hour)
	case "moves": // to its parent's group
		group, err := syscall.Getpgid(os.Getppid())
		if err == nil {
			err = syscall.Setpgid(0, group)
		}
		fmt.Fprintln(out, err)
		<-time.After(time.Hour)
	case "inherit":
		io.Copy(out, File(0))
		os.Exit(0)
	case "parent": // starts a child, tells its id, and waits to be killed
		p, err := Command{Role: "deaf"}.Start()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		bufio.NewReader(p.Out).ReadString('\n')
		fmt.Fprintln(out, p.PID())
		<-time.After(time.Hour)
	case "leaves": // a process that holds its end of the conversation open
		c := exec.Command("sleep", "60")
		c.ExtraFiles = []*os.File{out.(*os.File)}
		if err := c.Start(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Fprintln(out, c.Process.Pid)
		os.Exit(0)
	case "image":
		fmt.Fprint(out, Image())
		os.Exit(0)
	case "group": // starts a process, tells its id, and ends as it is told
		c := exec.Command("sleep", "60")
		if err := c.Start(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Fprintln(out, c.Process.Pid)
		code, _ := strconv.Atoi(os.Getenv("CODE"))
		if code < 0 {
			syscall.Kill(os.Getpid(), syscall.Signal(-code))
			select {}
		}
		os.Exit(code)
	case "environment":
		fmt.Fprint(out, os.Getenv("HARNESS_ROLE")+os.Getenv("GIVEN"))
		os.Exit(0)
	}
}

func start(t *testing.T, c Command) *Process {
	t.Helper()
	p, err := c.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		p.Wait()
	})
	return p
}

func TestConversation(t *testing.T) {
	var printed strings.Builder
	p := start(t, Command{Role: "echo", Stdout: &printed})
	fmt.Fprintln(p.In, "hello")
	r := bufio.NewReader(p.Out)
	if got, err := r.ReadString('\n'); got != "hello\n" || err != nil {
		t.Errorf("the child said %q, %v; want what it was told", got, err)
	}
	p.In.Close()
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("after the end of its input the child said something, or %v; want EOF", err)
	}
	exit := p.Wait()
	if exit.Code != 0 || printed.String() != "printed\n" {
		t.Errorf("it ended with %+v and printed %q; want code 0 and what it printed", exit, printed.String())
	}
	if again := p.Wait(); again != exit {
		t.Errorf("waiting again gives %+v; want %+v", again, exit)
	}
}

func TestExitTellsCauseAndLastLines(t *testing.T) {
	var all strings.Builder
	p := start(t, Command{Role: "fail", Stderr: &all})
	exit := p.Wait()
	if exit.Code != 3 || exit.Cause != "exit status 3" {
		t.Errorf("Wait() = code %d, cause %q; want 3, exit status 3", exit.Code, exit.Cause)
	}
	if !strings.HasPrefix(exit.Stderr, "line ") || !strings.HasSuffix(exit.Stderr, "\nline 1999") || len(exit.Stderr) > tailBytes {
		t.Errorf("the last lines are %d bytes, from %.20q; want whole lines up to the last", len(exit.Stderr), exit.Stderr)
	}
	if !strings.HasPrefix(all.String(), "line 0\n") {
		t.Errorf("passed on was %.20q; want everything", all.String())
	}
}

func TestKill(t *testing.T) {
	p := start(t, Command{Role: "deaf", Group: true})
	if _, err := bufio.NewReader(p.Out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	p.Kill()
	if exit := p.Wait(); exit.Code != -1 || exit.Cause != "signal: killed" {
		t.Errorf("Wait() = %+v; want killed", exit)
	}
	p.Kill() // nothing may be killed: its id may be that of another process now
}

func TestEndKillsTheDeaf(t *testing.T) {
	p := start(t, Command{Role: "deaf"})
	if _, err := bufio.NewReader(p.Out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if exit := p.End(10 * time.Millisecond); exit.Cause != "signal: killed" {
		t.Errorf("End() = %+v; want killed", exit)
	}
}

func TestInherit(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, Command{Role: "inherit", Files: []*os.File{r}})
	r.Close()
	fmt.Fprint(w, "through the file")
	w.Close()
	if got, err := io.ReadAll(p.Out); string(got) != "through the file" || err != nil {
		t.Errorf("the child read %q, %v from the file it inherited", got, err)
	}
}

// A process that a child has left behind does not keep the parent waiting for output.
func TestLeftBehind(t *testing.T) {
	before := readGrace
	t.Cleanup(func() { readGrace = before })
	readGrace = 10 * time.Millisecond
	p := start(t, Command{Role: "leaves"})
	r := bufio.NewReader(p.Out)
	line, err := r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	left, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(left, syscall.SIGKILL)
	if _, err := io.ReadAll(r); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("reading on, after the child has ended, gave %v; want that its time is over", err)
	}
	if exit := p.Wait(); exit.Code != 0 {
		t.Errorf("Wait() = %+v; want code 0", exit)
	}
}

// The role must not reach what the child starts.
func TestEnvironment(t *testing.T) {
	p := start(t, Command{Role: "environment", Env: []string{"GIVEN=x"}})
	if got, err := io.ReadAll(p.Out); string(got) != "x" || err != nil {
		t.Errorf("the child sees %q, %v; want what it was given, and no role", got, err)
	}
}

// A child whose parent is killed must end, even if it does not read its input.
func TestParentDeath(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("this platform has no parent-death signal")
	}
	p := start(t, Command{Role: "parent"})
	line, err := bufio.NewReader(p.Out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	grandchild, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	p.Kill()
	p.Wait()
	// It is init's child now, so only looking tells.
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-tick.C {
		err := syscall.Kill(grandchild, 0)
		if errors.Is(err, syscall.ESRCH) || zombie(grandchild) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d outlives its parent", grandchild)
		}
	}
}

// zombie reports whether the process has ended and only waits to be reaped.
func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(b), ") Z ")
}

// replacedEnv has the test program replace its own file and then start children.
const replacedEnv = "CHILD_TEST_REPLACED"

// beReplaced starts a child before and after the program's file was touched, replaced,
// and deleted, and prints which of them run what this process runs.
func beReplaced() {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	for _, replace := range []func() error{
		func() error { return nil },
		func() error { return os.Chtimes(self, time.Now(), time.Now()) },
		func() error { return os.Rename(os.Getenv(replacedEnv), self) },
		func() error { return os.Remove(self) },
	} {
		if err := replace(); err != nil {
			panic(err)
		}
		p, err := Command{Role: "image"}.Start()
		if err != nil {
			fmt.Println(err)
			continue
		}
		said, _ := io.ReadAll(p.Out)
		p.Wait()
		fmt.Println(string(said) == Image() && Image() != "")
	}
	os.Exit(0)
}

// A child runs the same file as its parent, even if the program was replaced or deleted.
func TestReplacedProgram(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere a program can be started by its path only")
	}
	program, other := t.TempDir()+"/program", t.TempDir()+"/other"
	b, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = errors.Join(os.WriteFile(program, b, 0o755), os.WriteFile(other, []byte("#!/bin/sh\necho other\n"), 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = append(os.Environ(), replacedEnv+"="+other)
	out, err := cmd.CombinedOutput()
	if got := string(out); got != "true\ntrue\ntrue\ntrue\n" || err != nil {
		t.Errorf("whether children were the program, before its file was touched, after, after it was replaced, and after it was deleted:\n%s%v; want four times true", got, err)
	}
}

// Wait returns when a child has ended even if nobody reads what it has written.
func TestStandardErrorThatIsNotTaken(t *testing.T) {
	never := make(takes)
	defer close(never)
	p := start(t, Command{Role: "fail", Stderr: never})
	exit := p.Wait()
	if exit.Code != 3 || !strings.Contains(exit.Stderr, "line ") {
		t.Errorf("it ended with %+v; want code 3 and lines of standard error", exit)
	}
}

// takes is a writer that blocks until it is closed.
type takes chan struct{}

func (t takes) Write(b []byte) (int, error) {
	<-t
	return len(b), nil
}

// A child that has left its group is killed, too.
func TestKillOutsideOfItsGroup(t *testing.T) {
	p := start(t, Command{Role: "moves", Group: true})
	if line, err := bufio.NewReader(p.Out).ReadString('\n'); line != "<nil>\n" {
		t.Fatalf("moving to another group: %s%v", line, err)
	}
	p.Kill()
	select {
	case <-p.Done():
	case <-time.After(time.Minute):
		_ = p.cmd.Process.Kill()
		t.Error("it lives on")
	}
}

// If a child crashes, the processes of its group are killed. If it exits with code 0, they are
// not.
func TestGroup(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere a group cannot be told from a later one of the same number")
	}
	for _, tt := range []struct {
		code  int
		lives bool
	}{{0, true}, {3, false}, {-int(syscall.SIGKILL), false}} {
		t.Run(strconv.Itoa(tt.code), func(t *testing.T) {
			p := start(t, Command{Role: "group", Env: []string{"CODE=" + strconv.Itoa(tt.code)}, Group: true})
			line, err := bufio.NewReader(p.Out).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			left, err := strconv.Atoi(strings.TrimSpace(line))
			if err != nil {
				t.Fatal(err)
			}
			defer syscall.Kill(left, syscall.SIGKILL)
			p.Wait()
			deadline := time.Now().Add(20 * time.Second)
			for !tt.lives && running(left) && time.Now().Before(deadline) {
				runtime.Gosched()
			}
			if got := running(left); got != tt.lives {
				t.Errorf("a process that it had started runs: %v; want %v", got, tt.lives)
			}
		})
	}
}

// running reports whether a process runs, and is not only left to be reaped.
func running(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(b), ") Z ")
}

type refusing struct{}

func (refusing) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// A child does not notice when its standard error cannot be written.
func TestStderrRefused(t *testing.T) {
	p := start(t, Command{Role: "fail", Stderr: refusing{}})
	if e := p.Wait(); e.Code != 3 || !strings.HasSuffix(e.Stderr, "line 1999") {
		t.Errorf("it ended with %s, and its last lines are %q; want exit status 3, line 1999", e.Cause, e.Stderr)
	}
}
