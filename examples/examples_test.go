// Package examples_test runs the example programs as a user would.
package examples_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/f3f4c0de/harness/executor"
)

// programs are the examples, with what each has to print on every backend.
var programs = []struct {
	name  string
	args  []string
	check func(t *testing.T, backend, out string)
}{
	{"prodcons", nil, checkProdCons},
	{"prodcons", []string{"-v"}, checkVerbose},
	{"pool", nil, checkPool},
	{"hellothreads", []string{"-daemon=false"}, checkGreetings},
	{"hellothreads", nil, checkThreads}, // how much is said before it ends is not certain
	{"mixed", nil, checkMixed},
	{"health", []string{"-tasks", "40"}, checkHealth},
}

func TestExamples(t *testing.T) {
	if testing.Short() {
		t.Skip("builds all of them")
	}
	dir := build(t)
	for _, p := range programs {
		for _, b := range executor.Backends() {
			t.Run(strings.Join(append([]string{p.name}, p.args...), " ")+"/"+b.Name, func(t *testing.T) {
				args := append([]string{"-scale", "0.005", "-backend", b.Name}, p.args...)
				p.check(t, b.Name, run(t, exec.CommandContext(t.Context(), filepath.Join(dir, p.name), args...)))
			})
		}
		t.Run(p.name+"/from the environment", func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), filepath.Join(dir, p.name), append([]string{"-scale", "0.005"}, p.args...)...)
			cmd.Env = append(os.Environ(), executor.EnvBackend+"=processes")
			p.check(t, "processes", run(t, cmd))
		})
	}

	// Who does not wait gets nothing that is not there; one after the other,
	// everything is.
	t.Run("prodcons -pop/sequential", func(t *testing.T) {
		out := run(t, exec.CommandContext(t.Context(), filepath.Join(dir, "prodcons"), "-scale", "0.005", "-backend", "sequential", "-pop"))
		checkProdCons(t, "sequential", out)
	})
	t.Run("mixed -backend all", func(t *testing.T) {
		out := run(t, exec.CommandContext(t.Context(), filepath.Join(dir, "mixed"), "-scale", "0.005", "-backend", "all"))
		for _, b := range executor.Backends() {
			checkMixed(t, b.Name, out)
		}
	})
	for _, p := range []string{"prodcons", "pool", "hellothreads", "mixed", "health"} {
		t.Run(p+" -backend mistaken", func(t *testing.T) {
			out, err := exec.CommandContext(t.Context(), filepath.Join(dir, p), "-backend", "mistaken").CombinedOutput()
			if want := `no backend is named "mistaken"`; err == nil || !strings.Contains(string(out), want) {
				t.Errorf("it ended with %v and printed\n%swant a failure with %q", err, out, want)
			}
		})
	}
}

// build builds the examples and returns the folder that they are in.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir() + string(filepath.Separator)
	args := []string{"build", "-o", dir}
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		args = append(args, "-race")
	}
	if out, err := exec.CommandContext(t.Context(), "go", append(args, "./...")...).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return dir
}

// run returns what the program printed.
func run(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, "GORACE=atexit_sleep_ms=0") // else a process lingers for a second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return string(out)
}

// matches fails the test unless the output has that many matches of a pattern,
// and returns them.
func matches(t *testing.T, out, pattern string, want int) [][]string {
	t.Helper()
	got := regexp.MustCompile("(?m)"+pattern).FindAllStringSubmatch(out, -1)
	if len(got) != want {
		t.Fatalf("%d lines match %q; want %d. The output was\n%s", len(got), pattern, want, out)
	}
	return got
}

func checkProdCons(t *testing.T, backend, out string) {
	matches(t, out, `^40 items, their sum is 5740$`, 1)
	for _, row := range []string{backend, "side by side", "one by one"} {
		matches(t, out, `^`+row+` +\d+\.\d{3} s +\d+\.\d{3} s +\d+\.\d{3} s$`, 1)
	}
}

func checkVerbose(t *testing.T, backend, out string) {
	checkProdCons(t, backend, out)
	for i := range 2 {
		matches(t, out, fmt.Sprintf(`^producer %d \(pid \d+\) put \d+$`, i), 20)
	}
	took := matches(t, out, `^consumer \(pid \d+\) took (\d+)$`, 40)
	counts := make(map[string]int)
	for _, m := range took {
		counts[m[1]]++
	}
	for i := 1; i <= 20; i++ {
		if n := counts[fmt.Sprint(i*i)]; n != 2 {
			t.Errorf("%d was taken %d times; want 2", i*i, n)
		}
	}
}

func checkPool(t *testing.T, backend, out string) {
	own := matches(t, out, `^the program's pid is (\d+)$`, 1)[0][1]
	lines := matches(t, out, `^worker (\d+)  pid (\d+) +All about (\w+)$`, 5)
	pids := make(map[string]bool)
	for i, want := range []string{"apples", "cherries", "pears", "plums", "quinces"} {
		if got := lines[i][3]; got != want {
			t.Errorf("title %d is of %s; want %s", i, got, want)
		}
		pids[lines[i][2]] = true
	}
	if backend != "processes" {
		if len(pids) != 1 || !pids[own] {
			t.Errorf("%s fetched the pages in processes %q; want %s only", backend, slices.Collect(maps.Keys(pids)), own)
		}
		return
	}
	// A worker is sent no more than two calls at a time.
	if len(pids) < 2 || pids[own] {
		t.Errorf("%s fetched the pages in processes %q; want several, and not %s", backend, slices.Collect(maps.Keys(pids)), own)
	}
}

func checkGreetings(t *testing.T, backend, out string) {
	for _, g := range []struct {
		name  string
		times int
	}{{"Michael", 10}, {"Sarah", 5}, {"Zoe", 2}, {"Mark", 11}} {
		matches(t, out, `^Hello `+g.name+`, for the \d+\. time, from pid \d+$`, g.times)
	}
	checkThreads(t, backend, out)
}

func checkThreads(t *testing.T, backend, out string) {
	matches(t, out, `^all started`, 1)
	matches(t, out, `^main is done after \d+\.\d{3} s$`, 1)
	threads := matches(t, out, `^greeter of \w+ \(id (\d+), native id (\d+)\) (?:is alive|has ended)$`, 4)
	natives := make(map[string]bool)
	for i, m := range threads {
		if want := fmt.Sprint(i + 1); m[1] != want {
			t.Errorf("a thread's id is %s; want %s", m[1], want)
		}
		if id := m[2]; id != "0" { // which it is until the task runs
			if natives[id] || backend != "threads" && backend != "processes" {
				t.Errorf("a thread on %s has native id %s", backend, id)
			}
			natives[id] = true
		}
	}
}

func checkMixed(t *testing.T, backend, out string) {
	matches(t, out, `^ +compute +download +block +wait +total$`, 1)
	for _, row := range []string{"the mix", backend} {
		matches(t, out, `^`+row+`(?: +\d+\.\d{3} s){5}$`, 1)
	}
}

// checkHealth checks the metrics of forty tasks, two of which fail.
func checkHealth(t *testing.T, backend, out string) {
	t.Helper()
	for _, want := range []string{
		`executor_tasks_total{executor="example",outcome="done",task="compute"} 20`,
		`executor_tasks_total{executor="example",outcome="done",task="wait"} 18`,
		`executor_tasks_total{executor="example",outcome="failed",task="wait"} 2`,
		`executor_task_run_seconds_count{executor="example",task="wait"} 20`,
		`executor_task_queue_seconds_count{executor="example",task="compute"} 20`,
		`executor_workers{executor="example",state="busy"} `, // the last worker may be about to know that its task is done
		`executor_workers_lost_total{executor="example"} 0`,
		`executor_queue_length{executor="example"} 0`,
		"go_goroutine_count",
	} {
		if !strings.Contains(out, "\n"+want) {
			t.Errorf("on %s it does not print %s:\n%s", backend, want, out)
		}
	}
	if across := strings.Contains(out, "executor_task_ipc_seconds_count"); across != (backend == "processes") {
		t.Errorf("on %s: times between processes: %v", backend, across)
	}
}
